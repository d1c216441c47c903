"""Findings about times of two kinds and about inserts without a row, each next to cases that have none."""

from __future__ import annotations

from collections.abc import Generator

import psycopg
import pytest

from plainsql.analysis import Analyser

SCHEMA = """
create table t (id bigint primary key, seen timestamp, at timestamptz, day date, k text unique, n int);
create view recent as select * from t where seen > now();
"""

TWO_KINDS = [
    "select id from t where seen > now() - interval '1 day'",
    "select id from t where seen = any(array[now()])",
    "select id from t where seen in (now(), at)",
    "select id from t where (seen, id) > (now(), 1)",
    "select id from t where seen between now() and now()",
    "select id from t where seen is distinct from at",
    "select coalesce(seen, at) as x from t",
    "select seen - now() as x from t",
    "select age(at, seen) as x from t",
    "select case when id > 1 then seen else at end as x from t",
    "select greatest(seen, at) as x from t",
    "select nullif(seen, at) as x from t",
    "select a.id from t as a inner join t as b on a.seen = b.at",
    "select (select b.id from t as b where b.seen > now() limit 1) as x from t",
    "with x as (select id from t where seen > now()) select id from x",
    "update t set n = 1 where seen < now()",
    "update t set seen = coalesce(seen, now())",
    "insert into t (id) select id from t where seen > at",
    "merge into t using (select 1 as id) as s on s.id = t.id and t.seen < now() when matched then delete",
]

ONE_KIND = [
    "select id from t where seen > localtimestamp - interval '1 day'",
    "select id from t where seen at time zone 'UTC' > now()",
    "select id from t where seen::timestamptz > now()",
    "select id from t where cast(now() as timestamp) < seen",
    "select id from t where at > now() and seen > '2020-01-01'",
    "select id from t where at >= current_date and seen >= current_date and day < seen",
    "select id from t where seen is not null and at is not null",
    "select id from recent",
    "insert into t (id, seen) values (1, now())",
    "insert into t (id, seen) values (1, now()), (2, now())",
    "insert into t (id, seen) select 1, now()",
    "insert into t (id) values (1) on conflict (id) do update set seen = now()",
    "update t set seen = now(), at = localtimestamp",
    "merge into t using (select 1 as id) as s on s.id = t.id when matched then update set seen = now()",
]

WITHOUT_ROW = [
    "insert into t (id) values (1) on conflict do nothing returning id",
    "insert into t (id) values (1) on conflict (id) do update set k = 'a' where t.n > 1 returning id",
    "with i as (insert into t (id) values (1) on conflict do nothing returning id) select id from i",
    (
        "with i as (insert into t (id) values (1) on conflict do nothing returning id)"
        " select t.id from t inner join i on i.id = t.id"
    ),
]

WITH_ROW = [
    "insert into t (id) values (1) returning id",
    "insert into t (id) values (1) on conflict do nothing",
    "insert into t (id) values (1) on conflict (id) do update set k = 'a' returning id",
    "with i as (insert into t (id) values (1) on conflict do nothing returning id) select count(*) from i",
    (
        "with i as (insert into t (id) values (1) on conflict do nothing returning id)"
        " select id from i union all select t.id from t where t.id = 1 limit 1"
    ),
    (
        "with i as (insert into t (id) values (1) on conflict do nothing returning id)"
        " select t.id from t left join i on i.id = t.id where t.id = 1"
    ),
]


@pytest.fixture(scope="module")
def prepared(database_url: str) -> Generator[Analyser]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
        with Analyser(connection) as analyser:
            yield analyser


def names(analyser: Analyser, sql: str) -> set[str]:
    return {finding.name for finding in analyser.analyse(sql).findings}


@pytest.mark.parametrize("sql", TWO_KINDS)
def test_times_of_two_kinds_depend_on_the_session(prepared: Analyser, sql: str) -> None:
    assert "session-time-zone" in names(prepared, sql)


@pytest.mark.parametrize("sql", ONE_KIND)
def test_times_of_one_kind_and_written_casts_are_no_finding(prepared: Analyser, sql: str) -> None:
    assert "session-time-zone" not in names(prepared, sql)


@pytest.mark.parametrize("sql", WITHOUT_ROW)
def test_an_insert_may_return_no_row_for_a_conflict(prepared: Analyser, sql: str) -> None:
    assert "conflict-without-row" in names(prepared, sql)


@pytest.mark.parametrize("sql", WITH_ROW)
def test_a_row_comes_back_in_spite_of_a_conflict(prepared: Analyser, sql: str) -> None:
    assert "conflict-without-row" not in names(prepared, sql)
