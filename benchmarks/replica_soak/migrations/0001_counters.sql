create schema counters;

create table counters.counters (
  id integer primary key,
  n bigint not null
);
