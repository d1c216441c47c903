-- Drop the kitchen.
drop table bookings;

drop table guests;

drop table everything;

drop table cooks;

drop table dishes;

drop type recipe;

drop type step;

drop domain email;

drop type mood;

drop extension vector;
