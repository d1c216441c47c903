drop schema soak cascade;
