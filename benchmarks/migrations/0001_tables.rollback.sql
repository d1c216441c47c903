drop schema bench cascade;
