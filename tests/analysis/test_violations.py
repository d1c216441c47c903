"""The constraints that a write may violate: complete, and without those that are proved to hold."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import psycopg
import pytest

from plainsql.analysis import Analyser

SCHEMA = """
create schema v;
create domain v.email as text constraint has_at check (value like '%@%');
create table v.customers (
  id integer generated always as identity primary key,
  email v.email not null constraint email_key unique,
  nick text,
  age integer constraint grown check (age >= 18),
  rank integer constraint rank_key unique deferrable initially deferred,
  seat int4range,
  boss_id integer constraint has_boss references v.customers,
  constraint seats_apart exclude using gist (seat with &&)
);
create unique index nick_key on v.customers (lower(nick)) where age is not null;
create table v.orders (
  id integer,
  customer_id integer not null constraint of_customer references v.customers,
  total integer not null default 0 constraint not_negative check (total >= 0),
  primary key (id)
) partition by range (id);
create table v.orders_low partition of v.orders for values from (0) to (100);
create table v.orders_high partition of v.orders default;
create table v.notes (
  id integer primary key,
  customer_id integer constraint note_of references v.customers on delete cascade
);
create table v.tags (note_id integer constraint tag_of references v.notes);
create view v.names as select id, nick from v.customers;
create function v.note() returns trigger language plpgsql as
$$ begin insert into v.tags values (1); return new; end $$;
comment on function v.note() is 'plainsql: writes v.tags';
create table v.watched (id integer primary key);
create trigger watch after insert on v.watched for each row execute function v.note();
insert into v.customers (email, nick, age, rank, seat) values ('a@b', 'ana', 40, 1, '[1,3)');
insert into v.orders values (1, 1, 0);
insert into v.notes values (1, 1);
insert into v.tags values (1);
"""

INSERT = "insert into v.customers (email, nick) values ($1, $2)"
ALL = "customers_pkey email_key grown has_at has_boss nick_key rank_key seats_apart"

# The statement, and the constraints that it may violate.
CASES = {
    INSERT: ALL,
    f"{INSERT} on conflict do nothing": "grown has_at has_boss rank_key",
    f"{INSERT} on conflict (email) do nothing": ALL.replace("email_key ", ""),
    f"{INSERT} on conflict on constraint email_key do update set nick = excluded.nick": ALL.replace(
        "email_key ", ""
    ),
    f"{INSERT} on conflict (email) do update set email = excluded.email": ALL,
    f"{INSERT} on conflict (lower(nick)) where age is not null do nothing": ALL.replace(" nick_key", ""),
    "insert into v.customers (email, nick) select nick, $1 from v.customers": (
        ALL + " null:v.customers.email"
    ),
    "update v.customers set age = $1": "grown nick_key",
    "update v.customers set nick = $1 where id = $2": "nick_key",
    "update v.customers set email = nick": "email_key has_at null:v.customers.email",
    "update v.customers set rank = 2": "rank_key",
    "update v.names set nick = $1": "nick_key via view v.names",
    "insert into v.orders values ($1, $2)": (
        "not_negative of_customer orders_pkey|orders_high_pkey|orders_low_pkey"
    ),
    "insert into v.orders_low values ($1, $2)": "not_negative of_customer orders_low_pkey",
    "delete from v.customers where id = $1": ("has_boss; of_customer; tag_of via foreign key note_of"),
    "delete from v.orders": "",
    "with gone as (delete from v.notes returning id) insert into v.tags select id from gone": "tag_of",
    "insert into v.watched values ($1)": "watched_pkey; tag_of via trigger v.watched.watch",
    "merge into v.notes as n using v.tags as t on n.id = t.note_id "
    "when matched then update set customer_id = 1 when not matched then insert values (t.note_id)": (
        "note_of notes_pkey null:v.notes.id"
    ),
    "select 1": "",
}

# What the server refuses, and the name that it reports.
REFUSED = {
    "insert into v.customers (email) values ('a@b')": "email_key",
    "insert into v.customers (email) values ('ab')": "has_at",
    "insert into v.customers (email, nick, age) values ('c@d', 'ANA', 20)": "nick_key",
    "insert into v.customers (email, seat) values ('c@d', '[1,2)')": "seats_apart",
    "insert into v.customers (email, rank) values ('c@d', 1)": "rank_key",
    "update v.customers set age = 2": "grown",
    "insert into v.orders values (1, 1)": "orders_low_pkey",
    "insert into v.orders values (101, 9)": "of_customer",
    "insert into v.orders values (2, 1, -1)": "not_negative",
    "delete from v.customers": "of_customer",
    "delete from v.notes": "tag_of",
    "insert into v.watched values (1); delete from v.notes": "tag_of",
}


@pytest.fixture(scope="module")
def violations_url(database_url: str) -> str:
    """The module's database with customers, their orders, and all kinds of constraints."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
    return database_url


@pytest.fixture(scope="module")
def violations_analyser(violations_url: str) -> Generator[Analyser]:
    """An analyser of the customers and their orders."""
    with psycopg.connect(violations_url, autocommit=True) as connection, Analyser(connection) as analyser:
        yield analyser


def _listed(analyser: Analyser, sql: str) -> list[str]:
    found = []
    for one in analyser.analyse(sql).violations:
        name = "|".join(one.names) or f"null:{one}"
        found.append(f"{name} via {one.via}" if one.via else name)
    return sorted(found)


def test_the_violations_of_each_kind_of_write_are_listed(violations_analyser: Analyser) -> None:
    found = {sql: _listed(violations_analyser, sql) for sql in CASES}
    expected = {
        sql: sorted(names.split("; ") if " via " in names else names.split()) for sql, names in CASES.items()
    }
    assert found == expected


def test_every_constraint_that_the_server_reports_is_listed(
    violations_url: str, violations_analyser: Analyser
) -> None:
    with psycopg.connect(violations_url) as connection:
        for sql, name in REFUSED.items():
            with pytest.raises(psycopg.errors.IntegrityError) as raised, connection.transaction():
                connection.execute(f"{sql}; set constraints all immediate".encode())
            assert raised.value.diag.constraint_name == name, sql
            last = sql.rpartition("; ")[2]
            listed: Any = violations_analyser.analyse(last).violations
            assert name in {each for one in listed for each in one.names}, sql


def test_a_constraint_that_is_checked_at_the_commit_is_marked(violations_analyser: Analyser) -> None:
    listed = violations_analyser.analyse(INSERT).violations
    assert [one.name for one in listed if one.deferred] == ["rank_key"]
