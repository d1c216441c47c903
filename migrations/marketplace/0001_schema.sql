-- The schema marketplace, its closed sets, and what keeps updated_at.
-- Lock: none on any table. Time: milliseconds.
-- Undone by 0001_schema.rollback.sql.
create schema marketplace;

comment on schema marketplace is
'A second-hand marketplace bot: what is on sale, who asks, what is agreed';

-- The closed sets are enums, so that they are Literals in Python: a misspelt status is found by the
-- type checker there and refused here.
create type marketplace.product_status as enum ('AVAILABLE', 'RESERVED', 'SOLD', 'INACTIVE');

create type marketplace.conversation_status as enum (
  'ACTIVE', 'COMPLETED', 'CANCELLED', 'BLOCKED', 'ARCHIVED'
);

create type marketplace.message_type as enum ('USER_MESSAGE', 'BOT_MESSAGE', 'SYSTEM_MESSAGE');

-- A trigger and not a line in each statement: a change by hand in psql must count as well.
create function marketplace.set_updated_at() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.updated_at := now();
  return new;
end
$$;

comment on function marketplace.set_updated_at() is
'Stamps a changed row with the time of its transaction';
