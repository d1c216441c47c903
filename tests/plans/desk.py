"""The desk: the tables on which plans are made, with enough rows that the planner has a choice."""

from __future__ import annotations

SCHEMA = """
create schema desk;
create type desk.state as enum ('open', 'done', 'lost');
create table desk.tickets (
  id bigint primary key,
  tenant_id text not null,
  state desk.state not null,
  note text,
  tags text[] not null,
  facts jsonb not null,
  made_at timestamptz not null
);
insert into desk.tickets
select
  n,
  'tenant ' || n % 5,
  (case when n % 1000 = 0 then 'lost' when n % 3 = 0 then 'done' else 'open' end)::desk.state,
  'note ' || n,
  array['tag ' || n % 10],
  jsonb_build_object('n', n % 100),
  timestamptz '2026-01-01 00:00+00' + n * interval '1 minute'
from generate_series(1, 20000) as n;
create index tickets_state on desk.tickets (state);
create index tickets_made_at on desk.tickets (made_at);
analyze desk.tickets;
create table desk.letters (
  id bigint generated always as identity primary key,
  tenant_id text not null default current_setting('app.jwt_tenant'),
  text text not null
);
insert into desk.letters (tenant_id, text)
select case when n <= 4000 then 'tenant 1' else 'tenant ' || n end, 'letter ' || n
from generate_series(1, 5000) as n;
create index letters_tenant on desk.letters (tenant_id);
alter table desk.letters enable row level security;
create policy own on desk.letters using (
  tenant_id = (select nullif(current_setting('app.jwt_tenant', true), ''))
);
analyze desk.letters;
"""
"""Tickets, with a state that is common, one that is rare, and letters under row-level security."""
