"""Reads by a unique key: their parameters are compared with its columns, and used for nothing else."""

from __future__ import annotations

from collections.abc import Generator

import psycopg
import pytest

from plainsql.analysis import Analyser

SCHEMA = """
create extension citext;
create table a (
  id int primary key, x int, y int, n int not null default 0, k text unique, s text, big bigint unique,
  b char(5) unique, ci citext unique, d date unique, tu tsvector, gone timestamptz
);
create unique index on a (n) where gone is null;
create unique index on a (y) where s = 'a';
create unique index on a (lower(k));
create unique index on a (n, x) where y is not null;
create unique index on a (x, y) nulls not distinct;
create table b (id int primary key, aid int unique references a, t int);
create table over_rows (id int primary key);
create table more_rows () inherits (over_rows);
create table parts (id int, r int, primary key (id, r)) partition by list (r);
create table parts_1 partition of parts for values in (1);
create unique index on parts_1 (id);
create view seen as select id, x from a;
create table later (id int unique deferrable);
create table beside (id int primary key, x int);
create unique index beside_with on beside (id) include (x);
"""

BY_KEY = [
    "select id from a where id = $1",
    "select id, $2::text || k from a where id = $1",
    "select id from a where n = $1 and gone is null",
    "select id from a where y = $1 and s = 'a'",
    "select id from a where n = $1 and x = $2 and y is not null",
    "select id from a where x = $1 and y is null",
    "select id from a where big = $1::int",
    'select id from a where k collate "C" = $1',
    "select id from a where ci = $1",
    "select id from a where d = $1::timestamp",
    "select id from a where id = $1 and k = $2",
    "select id from a where id = $1::int + $2",
    "select id from only over_rows where id = $1",
    "select id from parts where id = $1 and r = $2",
    "select id from parts_1 where id = $1",
    "select a.id, b.t from a left join b on b.aid = a.id where a.id = $1",
    "select a.id, b.t from a left join b on b.aid = a.id and b.id = $2 where a.id = $1",
    "select a.id, b.t from a join b on b.id = a.x + $2 where a.id = $1",
]

NOT_BY_KEY = [
    "select id from a where id = $1 and x > $2",
    "select id from a where id = $1 and $2::bool",
    "select id from a where (id, x) = ($1, $2)",
    "select id from a where id = $1 or x = $2",
    "select id from a where n = $1 and (gone is null) = $2",
    "select id from a where n = $1 and gone is not distinct from $2",
    "select id from a where y = $1 and s = $2",
    "select id from a where n = $1 and x = $2 and y > $3",
    "select id from a where lower(k) = lower($1)",
    "select id from a where ci::text = $1",
    "select id from a where b::text = $1",
    "select id from a where d = $1::timestamptz",
    "select id from a where id = any ($1::int[])",
    "select id from a where id = $1 order by x",
    "select id from a where id = $1 limit $2",
    "select id from a where id = $1 offset $2",
    "select count(*) from a where id = $1",
    "select id from a where id = $1 for update",
    "select id, row_number() over () from a where id = $1",
    "select id from a tablesample system (10) where id = $1",
    "select id from a where id = $1 and exists (select from b where b.t = $2)",
    "select id from seen where id = $1",
    "select id from (select id from a where id = $1 order by x limit 1) as q",
    "select id from over_rows where id = $1",
    "select id from parts where id = $1",
    "select id from later where id = $1",
    "select id from beside where id = $1 and x = $2",
    "select a.id, b.t from a left join b on b.aid = a.id and b.t = $2 where a.id = $1",
    "select a.id, b.t from a full join b on b.aid = a.id where a.id = $1",
    # The parameter restricts the row of a key, and finds none by it.
    "select id from a where id = 5 and x = $1",
    "select id from a where id = 5 and x = $1 and y = n",
    "select id from a where id = 5 and big = x + $1",
    "select a.id, b.t from a left join b on b.aid = a.id and a.id = $2 where a.k = $1",
    "select id from a where k = 'x' and id = (random() * $1)::int",
]


@pytest.fixture(scope="module")
def keys_analyser(database_url: str) -> Generator[Analyser]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
        with Analyser(connection) as analyser:
            yield analyser


@pytest.mark.parametrize("sql", BY_KEY)
def test_a_read_by_key_is_known(keys_analyser: Analyser, sql: str) -> None:
    assert keys_analyser.analyse(sql).by_key


@pytest.mark.parametrize("sql", NOT_BY_KEY)
def test_a_read_whose_plan_depends_on_a_value_is_no_read_by_key(keys_analyser: Analyser, sql: str) -> None:
    assert not keys_analyser.analyse(sql).by_key
