"""The soundness fuzzer, on fixed seeds, and the cases that it found."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from plainsql.analysis import Analyser
from tests.analysis.fuzz import Case, Tally, Violation, build, judge, run
from tests.analysis.generate import Schema

SEEDS, QUERIES = (11, 12, 13, 14), 550


@pytest.mark.parametrize("seed", SEEDS)
def test_no_claim_is_disproved(connection: psycopg.Connection[Any], seed: int) -> None:
    """No null in a column that may have none, no second row, no row that matters against a claim."""
    tally = Tally()
    case = next(run(connection, seed, QUERIES, tally), None)
    assert case is None, str(case)
    # The run is useful only while most queries run and many columns are claimed.
    assert tally.refused + tally.failed < 0.35 * tally.queries
    assert tally.never_null > 0.35 * tally.columns
    assert tally.single > 0.1 * tally.queries
    assert tally.bound


FOUND = [
    (
        "grouping sets give a row each, over one row as well",
        "select q.x from (values (1, '')) as q (x, y) group by grouping sets ((), (q.x))",
    ),
    (
        "a lateral row of values is one for each row that it refers to",
        "select q.id from t as q inner join lateral (values (q.id)) as v (x) on q.id = v.x",
    ),
    (
        "a window function without variables has many values",
        "select distinct on (rank() over (order by t.id)) rank() over (order by t.id), t.id from t",
    ),
    (
        "an aggregate without variables has many values",
        "select distinct count(*) from t group by t.id, t.word",
    ),
    (
        "the one row of a full join's side is also filled with nulls",
        "select distinct b.x from (values (1)) as a (x) full join (values (2)) as b (x) on a.x = b.x",
    ),
    (
        "the one row of a left join's side is also filled with nulls",
        "select distinct b.x from t as a left join (values (2)) as b (x) on a.id = b.x",
    ),
    (
        "what is computed from a side that may be filled with nulls has two values",
        "select a.id from t as a left join (values (2)) as b (x) on a.id = b.x where a.id = coalesce(b.x, 1)",
    ),
]


@pytest.mark.parametrize(("why", "sql"), FOUND, ids=[why for why, _ in FOUND])
def test_cases_of_the_fuzzer_stay_right(connection: psycopg.Connection[Any], why: str, sql: str) -> None:
    """Each was once claimed to give one row at most."""
    schema = Schema(
        ["create table t (id integer not null, word text)"],
        [],
        ["insert into t values (1, 'a'), (1, 'a'), (2, null), (3, 'b')"],
    )
    assert build(connection, schema)
    with Analyser(connection) as analyser:
        assert analyser.analyse(sql).rows == "many"
        rows = connection.execute(sql.encode()).fetchall()
        assert len(rows) > 1


def test_grouping_sets_leave_out_an_expression_with_a_sub_select(connection: psycopg.Connection[Any]) -> None:
    """Before 18 the tree does not mark it: it is recognised by its text, sub-select and all."""
    sub_select = "coalesce((select max(i.id) from t as i), 0)"
    statement = f"select {sub_select} from t group by cube (t.word, {sub_select})"
    schema = Schema(
        ["create table t (id integer not null, word text)"], [], ["insert into t values (1, 'a')"]
    )
    assert build(connection, schema)
    with Analyser(connection) as analyser:
        assert analyser.analyse(statement).columns[0].nullable
        assert (None,) in connection.execute(statement.encode()).fetchall()


def test_a_false_claim_is_seen(connection: psycopg.Connection[Any]) -> None:
    """The oracle itself: a null, a second row, no row."""
    with Analyser(connection) as analyser:
        one = analyser.analyse("select 1")
        assert judge(one, [(b"1",)]) is None
        assert judge(one, [(None,)]) == Violation("null", "column 1 is null, though constant")
        assert judge(one, [(b"1",), (b"1",)]) == Violation(
            "too many rows", "2 rows, though one row of values"
        )
        assert judge(one, []) == Violation("no row", "though one row of values")


def test_a_case_can_be_run_again_from_its_text() -> None:
    """It holds the schema, the data, the parameters and the statement."""
    schema = Schema(["create table t (a integer)"], [], ["insert into t values (1)"])
    case = Case(schema, "select a from t", [], [], ["t"], Violation("null", "column 1 is null"))
    assert str(case).splitlines() == [
        "null: column 1 is null",
        "create table t (a integer);",
        "insert into t values (1);",
        "delete from t;",
        "-- []",
        "select a from t;",
    ]
