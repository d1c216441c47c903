"""A small production: many kinds of tables and indexes, 100,000 rows, and changes since the last analyze."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import psycopg
from psycopg import sql

MIGRATION = """
create extension if not exists btree_gist;
create type state as enum ('new', 'open', 'done', 'lost');
create schema crm;
create table crm.people (
  id bigint generated always as identity primary key,
  email text not null, country char(2) not null, city varchar(30), api_token text not null, born date,
  level text not null, extra jsonb, photo bytea, address inet,
  full_name text generated always as (email || ' ' || country) stored
);
create unique index people_email_key on crm.people (lower(email));
create index people_city_idx on crm.people (city text_pattern_ops desc nulls last, id);
create index people_born_idx on crm.people (born) include (country) where born is not null;
create index people_token_idx on crm.people (upper(api_token));
create index people_extra_idx on crm.people using gin (extra jsonb_path_ops);
create table crm.messages (
  id bigint generated always as identity primary key,
  person_id bigint not null references crm.people (id),
  tenant integer not null, state state not null, sent timestamptz not null, topic text not null,
  body text not null, tags text[] not null, score numeric(8, 2), key uuid not null, valid tstzrange,
  words tsvector generated always as (to_tsvector('simple', body)) stored
) with (fillfactor = 80);
create index messages_tenant_sent_idx on crm.messages (tenant, sent desc);
create index messages_tenant_idx on crm.messages (tenant);
create index messages_open_idx on crm.messages (sent) where state = 'open';
create index messages_day_idx on crm.messages (((sent at time zone 'UTC')::date)) where tenant < 5;
create index messages_topic_length_idx on crm.messages ((length(topic)), state);
create index messages_key_idx on crm.messages using hash (key);
create index messages_sent_brin on crm.messages using brin (sent);
create index messages_tags_idx on crm.messages using gin (tags);
create index messages_words_idx on crm.messages using gin (words);
create index messages_valid_idx on crm.messages using gist (tenant, valid);
create index messages_person_idx on crm.messages (person_id) with (fillfactor = 12);
alter table crm.messages enable row level security;
create policy own on crm.messages using (tenant = current_setting('app.tenant')::integer);
create table crm.events (
  id bigint not null, at timestamptz not null, kind text not null, primary key (id, at)
) partition by range (at);
create table crm.events_old partition of crm.events for values from ('2024-01-01') to ('2025-01-01');
create table crm.events_new partition of crm.events for values from ('2025-01-01') to ('2026-01-01');
create index events_kind_idx on crm.events (kind, at);
create table crm."Odd name" (id int primary key, "Größe" text);
create statistics crm.people_level (ndistinct, dependencies) on level, country, city from crm.people;
create statistics crm.people_common on city, level from crm.people;
create table crm.empty (id int primary key, note text);
create table crm.never (id int primary key, note text);
create table crm.safes (
  id int primary key, password text, tok_gen text generated always as (upper(password)) stored,
  pin text, "cardNumber" text, auth_code text, kreditkarte varchar(40), owner name, spinner text, author text,
  version int not null default 1
);
create index safes_tok_idx on crm.safes (lower(tok_gen));
create view crm.safe_words as select id, password as word from crm.safes;
create materialized view crm.words as select word as p2 from crm.safe_words;
create materialized view crm.topics as
  select m.topic, count(*) as messages from crm.messages as m group by 1;
create unique index topics_topic_key on crm.topics (topic);
"""

ROLLBACK = "drop schema crm cascade; drop type state; drop extension btree_gist;"

ROWS = """
set synchronous_commit = off;
insert into crm.people (email, country, city, api_token, born, level, extra, photo, address)
select 'private.' || md5(n::text) || '@example.com', chr(65 + n % 26) || chr(65 + n / 26 % 9),
  'city ' || (n * n) % 400, 'secret ' || n % 3, case when n % 5 > 0 then date '1950-01-01' + n % 20000 end,
  case n % 7 when 0 then 'gold' when 1 then 'silver' else 'plain' end,
  jsonb_build_object('plan', 'plan ' || n % 90, 'n', n % 1000), decode(md5(n::text), 'hex'),
  ('10.0.' || n % 250 || '.' || n % 7)::inet
from generate_series(1, 30000) as n;
insert into crm.messages (person_id, tenant, state, sent, topic, body, tags, score, key, valid)
select 1 + (n * 7919) % 30000, (n % 100) * (n % 7) % 40, (enum_range(null::state))[1 + (n % 40) / 13],
  timestamptz '2025-01-01' + n * interval '10 minutes', 'topic ' || n % 12,
  'private text ' || n % 977 || ' of ' || n % 50, array['tag ' || n % 60, 'tag ' || (n * 31) % 600],
  case when n % 3 > 0 then n % 10000 / 7.0 end, md5(n::text)::uuid,
  tstzrange(
    timestamptz '2025-01-01' + n * interval '10 minutes',
    timestamptz '2025-01-02' + n * interval '11 minutes')
from generate_series(1, 25000) as n;
insert into crm.events select n, timestamptz '2024-01-01' + n * interval '18 minutes', 'kind ' || n % 9
from generate_series(1, 40000) as n;
insert into crm."Odd name" select n, 'value ' || n % 80 from generate_series(1, 3000) as n;
refresh materialized view crm.topics;
insert into crm.safes (id, password, pin, "cardNumber", auth_code, kreditkarte, owner, spinner, author)
select n, 'secret ' || n % 4, 'secret ' || n % 5, 'secret ' || n % 3, 'secret ' || n % 3, 'secret ' || n % 3,
  'private ' || n % 900, 'spinner ' || n % 3, 'author ' || n % 3 from generate_series(1, 2000) as n;
refresh materialized view crm.words;
"""

# Growth and changes since the last vacuum and analyze: pages that are not all visible, pending pages of GIN.
CHANGES = """
insert into crm.people (email, country, city, api_token, level)
select 'late ' || n || '@example.com', 'ZZ', 'late city', 'secret 1', 'plain'
from generate_series(1, 5000) as n;
update crm.messages set score = 1, tags = array['late'] where id % 50 = 0;
delete from crm.messages where id > 24990;
truncate crm.never;
insert into crm.never select n, 'note ' || n from generate_series(1, 5000) as n;
"""


def create(url: str) -> None:
    """Make the production in an empty database. Autovacuum leaves it as it is."""
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        connection.execute("create extension pageinspect; create extension pgstattuple")
        connection.execute(MIGRATION)
        tables = connection.execute(
            "select oid::regclass::text from pg_class"
            " where relkind in ('r', 'm') and relnamespace = 'crm'::regnamespace"
        ).fetchall()
        for (table,) in tables:
            connection.execute(f"alter table {table} set (autovacuum_enabled = off)".encode())
        connection.execute(ROWS)
        connection.execute("vacuum analyze")
        connection.execute(CHANGES)
        connection.execute("analyze crm.messages")


STATEMENTS: tuple[tuple[str, tuple[object, ...]], ...] = (
    ("select * from crm.people where id = $1", (77,)),
    ("select * from crm.people where id > $1 order by id limit 20", (2_000_000_000,)),
    ("select id from crm.people where lower(email) = $1", ("late 3@example.com",)),
    ("select id from crm.people where city like $1", ("city 1%",)),
    ("select born, country from crm.people where born between $1 and $2", ("1960-01-01", "1960-03-01")),
    ("select born from crm.people where born > $1 order by born", ("2004-10-01",)),
    ("select count(*) from crm.people where level = $1 and country > $2", ("gold", "Q")),
    ("select id from crm.people where extra @> $1", ('{"plan": "plan 7"}',)),
    ("select * from crm.messages where tenant = $1 order by sent desc limit 20", (6,)),
    ("select * from crm.messages where tenant = $1 and sent > $2", (6, "2025-06-10")),
    ("select count(*) from crm.messages where tenant = $1", (39,)),
    ("select * from crm.messages where state = 'open' and sent > $1", ("2025-06-16",)),
    ("select * from crm.messages where state = $1 and topic = $2", ("lost", "topic 3")),
    ("select * from crm.messages where key = $1", ("00000000-0000-0000-0000-000000000001",)),
    ("select * from crm.messages where tags @> array[$1]", ("tag 7",)),
    ("select * from crm.messages where tags && array[$1, $2] and tenant = $3", ("tag 7", "late", 4)),
    ("select * from crm.messages where words @@ to_tsquery('simple', $1)", ("private & 17",)),
    ("select * from crm.messages where tenant = $1 and valid @> $2::timestamptz", (3, "2025-03-01")),
    ("select * from crm.messages where length(topic) = $1 and state = 'new'", (8,)),
    ("select * from crm.messages where (sent at time zone 'UTC')::date = $1 and tenant < 5", ("2025-02-03",)),
    ("select m.topic, count(*) from crm.messages as m group by m.topic having count(*) > $1", (3,)),
    (
        """select p.email, m.sent from crm.people as p inner join crm.messages as m on m.person_id = p.id
        where p.country = $1 and m.state = 'open' order by m.sent desc limit 5""",
        ("CA",),
    ),
    ("select * from crm.events where at > $1 order by at limit 3", ("2025-05-15",)),
    ("select * from crm.events where kind = $1 and at < $2", ("kind 3", "2024-02-01")),
    ('select * from crm."Odd name" where "Größe" = $1', ("value 9",)),
    ("select * from crm.topics where topic = $1", ("topic 1",)),
    ("select * from crm.never where id > $1", (7,)),
    ("select * from crm.empty where id = $1", (1,)),
    ("select level, country, city, count(*) from crm.people where id > $1 group by 1, 2, 3", (0,)),
    ("update crm.messages set score = $1 where person_id = $2", (4, 500)),
    ("insert into crm.empty (id, note) select id, email from crm.people where city = $1", ("city 9",)),
)
"""Statements with one call of each."""


def plans_of(connection: psycopg.Connection[Any]) -> dict[str, dict[str, Any]]:
    """Return the generic and the custom plan of each statement."""
    found: dict[str, dict[str, Any]] = {}
    connection.execute("set app.tenant = '6'")
    for number, (statement, values) in enumerate(STATEMENTS):
        for mode in ("force_generic_plan", "force_custom_plan"):
            connection.execute(f"set plan_cache_mode = {mode}".encode())
            connection.execute(f"prepare s{number}_{mode} as {statement}".encode())
            call = sql.SQL("explain (format json) execute {} ({})").format(
                sql.Identifier(f"s{number}_{mode}"), sql.SQL(", ").join(map(sql.Literal, map(str, values)))
            )
            row = connection.execute(call).fetchone()
            assert row is not None
            found[f"{mode}: {statement}"] = row[0][0]["Plan"]
    return found
