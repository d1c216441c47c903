create schema counters;

create table counters.counters (
  id integer primary key,
  n bigint not null
);

-- All values that a counter has had: those that are missing in the end were lost in a failover.
create table counters.history (
  id integer not null,
  n bigint not null,
  primary key (id, n)
);

create function counters.keep() returns trigger
language plpgsql
as $$
begin
  insert into counters.history (id, n)
  values (new.id, new.n)
  on conflict do nothing;
  return null;
end
$$;

create trigger keep
after insert or update on counters.counters
for each row
execute function counters.keep();
