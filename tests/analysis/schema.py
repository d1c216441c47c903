"""The schema of the analysis's tests: every kind of object that the analysis distinguishes."""

from __future__ import annotations

SCHEMA = """
create extension if not exists vector;
create type mood as enum ('sad', 'ok', 'happy');
create domain email as text not null check (value like '%@%');
create domain score as integer check (value >= 0);
create type address as (street text, town text);

create table customers (
  id integer primary key,
  name text not null,
  nickname text,
  mood mood,
  home address,
  mail email,
  tags text[] not null default '{}',
  profile jsonb not null default '{}',
  joined_at timestamptz not null default now(),
  active boolean not null default true,
  visits integer default 0
);
create table orders (
  id bigint generated always as identity primary key,
  customer_id integer not null references customers (id) on delete cascade on update cascade,
  number text not null,
  total integer not null,
  note text,
  doubled integer generated always as (total * 2) stored,
  unique (customer_id, number)
);
create table items (
  order_id bigint not null references orders (id) on delete cascade,
  product integer not null,
  quantity integer,
  agent_id integer references customers (id) on delete set null,
  primary key (order_id, product)
);
create table parcels (
  id uuid primary key,
  order_id bigint references orders (id),
  weight numeric not null,
  label varchar(10),
  code text unique deferrable,
  slot text,
  embedding vector(3)
);
create unique index parcels_slot on parcels (slot) where weight > 1;
create index parcels_embedding on parcels using hnsw (embedding vector_cosine_ops);
create index customers_joined_at on customers (joined_at);
create table loose (a integer, b text);
create table parent (id integer not null, word text not null);
create table child (extra integer) inherits (parent);
create table measures (day date not null, place text not null, value numeric, primary key (day, place))
  partition by range (day);
create table measures_2026 partition of measures for values from ('2026-01-01') to ('2027-01-01');
create view active_customers as
  select id, name, nickname from customers where active and nickname is not null;
create view order_totals as
  select c.id as customer_id, c.name, count(o.id) as orders, sum(o.total) as total
  from customers as c left join orders as o on o.customer_id = c.id group by c.id, c.name;
create view nested as select id, name from active_customers where id > 0;
create materialized view counted as select count(*) as n from customers;

create table audited (id integer primary key, word text, stamp timestamptz);
create function touch() returns trigger language plpgsql as $$ begin new.stamp := now(); return new; end $$;
create trigger audited_touch before update on audited for each row execute function touch();
create table left_out (id integer primary key, word text not null);
create function leave_out() returns trigger language plpgsql as $$
begin if new.id < 0 then return null; end if; return new; end $$;
create trigger left_out_some before insert on left_out for each row execute function leave_out();
create table quiet (id integer primary key, word text);
create trigger quiet_same before update on quiet
  for each row execute function suppress_redundant_updates_trigger();

create table log (word text);
create function write_log() returns trigger language plpgsql as $$
begin insert into log values (new.word); return new; end $$;
create table logged (id integer primary key, word text);
create trigger logged_log before insert or update on logged for each row execute function write_log();

create table secrets (id integer primary key, tenant integer not null, word text);
alter table secrets enable row level security;
create policy by_tenant on secrets using (tenant in (select c.id from customers as c
  where c.name = current_setting('app.tenant', true)));

create table checked (a integer check (a is not null and a > 0), b integer check (b > 0));
create view logged_view as select id, word from logged;
create function redirect() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger logged_view_redirect instead of insert on logged_view for each row execute function redirect();
create table ruled (a integer not null);
create rule ruled_nothing as on delete to ruled do instead nothing;

create function plain_double(x integer) returns integer language sql immutable strict as 'select x * 2';
create function peek() returns bigint language sql stable as 'select count(*) from customers';
create function poke() returns integer language plpgsql volatile as $$ begin return 1; end $$;

create table nodes (
  id integer primary key,
  above integer references nodes (id) on delete cascade,
  kind integer default 1 references customers (id) on delete set default,
  word text unique
);
create table rooms (id integer not null, house uuid not null, mood mood, name text, primary key (id, house))
  partition by list (id);
create table rooms_1 partition of rooms for values in (1, 2, 3);
create table beds (
  id integer primary key,
  room integer,
  house uuid,
  foreign key (room, house) references rooms (id, house) on delete cascade
);
create index on rooms (mood);
create view moody as select id, house, mood from rooms where name is not null;
create foreign data wrapper nowhere;
create server elsewhere foreign data wrapper nowhere;
create foreign table remote (id integer) server elsewhere;
create sequence tickets;

create table sums (id integer primary key, total integer);
create function keep_sums() returns trigger language plpgsql as $$
begin update sums set total = total + 1; return null; end $$;
comment on function keep_sums() is 'Keeps the sums. plainsql: writes sums';
create table counted_rows (id integer primary key, word text);
create trigger counted_rows_sum after insert or update on counted_rows
  for each row execute function keep_sums();
create function told() returns bigint language sql stable as 'select count(*) from customers';
comment on function told() is 'plainsql: reads customers';
create function mistold() returns bigint language sql stable as 'select count(*) from customers';
comment on function mistold() is 'plainsql: reads nobody_knows';
create function acts() returns integer language plpgsql volatile
  as $$ begin delete from sums; return 1; end $$;
comment on function acts() is 'plainsql: reads nothing; writes sums';
"""
