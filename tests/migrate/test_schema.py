"""Two dumps differ if, and only if, the schemas differ."""

from __future__ import annotations

import psycopg
import pytest

from plainsql import migrate
from plainsql.migrate.schema import dump
from tests.migrate.conftest import Query, Write

BASE = """
create schema s;
create type s.mood as enum ('b', 'a');
create domain s.short as text check (length(value) < 9);
create table s.t (
  id bigint generated always as identity primary key, mood s.mood not null default 'a', note text
);
create index note_index on s.t (note);
create table s.u (t_id bigint references s.t, at timestamptz not null default now());
create view s.v as select t.id from s.t as t;
create function s.f() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger touch before update on s.t for each row execute function s.f();
alter table s.t enable row level security;
create policy mine on s.t using (note = current_user);
create text search configuration s.plain (copy = pg_catalog.simple);
"""

CHANGES = [
    "alter type s.mood add value 'c'",
    "alter domain s.short set not null",
    "alter table s.t add column extra int",
    "alter table s.t alter column note set not null",
    "alter table s.t alter column note set default 'x'",
    "alter table s.u alter column at type timestamp",
    "alter table s.t alter column note set storage plain",
    "alter table s.t add constraint c check (note <> '') not valid",
    "alter table s.t force row level security",
    "alter table s.t set (fillfactor = 70)",
    "alter table s.t replica identity full",
    "alter table s.t disable trigger touch",
    "alter table s.u drop constraint u_t_id_fkey",
    "alter sequence s.t_id_seq increment by 2",
    "create unique index on s.u (at)",
    "drop index s.note_index",
    "create or replace view s.v with (security_barrier) as select t.id from s.t as t",
    "create materialized view s.m as select 1 as one",
    "create or replace function s.f() returns trigger language plpgsql as $$ begin return old; end $$",
    "alter function s.f() security definer",
    "create procedure s.p() language sql as 'select 1'",
    "create aggregate s.total (int) (sfunc = int4pl, stype = int, initcond = '0')",
    "alter policy mine on s.t using (true)",
    "create policy theirs on s.t as restrictive for select using (true)",
    "create rule r as on insert to s.u do also select 1",
    "create statistics s.both on id, note from s.t",
    "grant select on s.t to public",
    "grant select (note) on s.t to public",
    "revoke execute on function s.f() from public",
    "alter default privileges in schema s grant select on tables to public",
    "comment on column s.t.note is 'said'",
    "alter text search configuration s.plain drop mapping for email",
    "create extension pg_trgm",
    "create type s.pair as (a int, b int)",
    "create type s.span as range (subtype = float8)",
    "create table s.parts (a int) partition by range (a)",
    "create cast (s.mood as s.pair) with inout",
    "alter table s.t rename column note to remark",
]


@pytest.fixture(scope="module")
def base(database_url: str) -> str:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(BASE.encode())
    return database_url


def test_every_change_of_a_schema_shows(base: str) -> None:
    before = dump(base)
    unseen = []
    for change in CHANGES:
        with psycopg.connect(base, autocommit=True) as connection:
            connection.execute(change.encode())
            after = dump(base)
            if after == before:
                unseen.append(change)
            before = after
    assert not unseen


def test_data_records_and_dropped_columns_do_not_show(
    write: Write, fresh_database_url: str, query: Query
) -> None:
    query("create table t (id int generated always as identity, a int, b int)")
    before = dump(fresh_database_url)
    query("insert into t (a) values (1), (2)")
    query("alter table t add column c int")
    query("alter table t drop column c")
    query("grant select on t to public")
    query("revoke select on t from public")
    migrate.apply(fresh_database_url, write({"0001_a.sql": "select 1;", "realty/0001_a.sql": "select 1;"}))
    assert dump(fresh_database_url) == before


def test_it_reads_like_a_description(fresh_database_url: str, query: Query) -> None:
    query("create table t (id int primary key, note text default 'x')")
    text = dump(fresh_database_url)
    columns = "  column id integer not null\n  column note text default 'x'::text\n"
    assert f"{columns}  constraint t_pkey PRIMARY KEY (id)\n" in text
    assert "\nindex public.t_pkey\n  CREATE UNIQUE INDEX t_pkey ON public.t USING btree (id)\n" in text
