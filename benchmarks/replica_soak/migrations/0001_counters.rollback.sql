drop schema counters cascade;
