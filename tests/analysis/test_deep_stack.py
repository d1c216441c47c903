"""Statements as deep and long as PostgreSQL accepts are analysed, in time that grows with their length."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from plainsql.analysis import Analyser, RefusedError
from plainsql.analysis.deep_stack import with_deep_stack


@pytest.fixture(scope="module")
def small_analyser(database_url: str) -> Iterator[Analyser]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("create table t (id int primary key, s text not null, n int)")
        with Analyser(connection) as analyser:
            yield analyser


def chain(operator: str, term: str, count: int) -> str:
    return operator.join([term] * count)


def nested(before: str, inner: str, after: str, count: int) -> str:
    return before * count + inner + after * count


def steps(step: str, count: int = 80) -> str:
    """Return ``with`` items that each read the one before, which ``step`` calls ``{0}``."""
    items = [f"c{i} as ({step.format(f'c{i - 1}')})" for i in range(1, count)]
    return f"with c0 as (select t.id as x, t.n as n from t), {', '.join(items)} select x from c{count - 1}"


@pytest.mark.parametrize(
    ("sql", "nullable"),
    [
        pytest.param(f"select {chain(' + ', 't.id', 3000)} as x from t", False, id="sum"),
        pytest.param(f"select {chain(' + ', 't.id', 2000)} + t.n as x from t", True, id="sum with null"),
        pytest.param(f"select {chain(' || ', 't.s', 3000)} as x from t", False, id="concatenation"),
        pytest.param(f"select ({chain(' or ', 't.id = 1', 3000)}) as x from t", False, id="or"),
        pytest.param(
            f"select t.n from t where {chain(' + ', 't.n', 1000)} > $1", False, id="sum that is compared"
        ),
        pytest.param(
            f"select t.n from t where {chain(' and ', 't.id <> 5', 2000)} and t.n > 1", False, id="and"
        ),
        pytest.param(f"select {nested('lower(', 't.s', ')', 1500)} as x from t", False, id="calls"),
        pytest.param(f"select {nested('not (', 't.id = 1', ')', 1500)} as x from t", False, id="not"),
        pytest.param(
            f"select {nested('case when t.id = 1 then 1 else ', 't.id', ' end', 1000)} as x from t",
            False,
            id="case in else",
        ),
        pytest.param(
            f"select {nested('case when t.id = 1 then ', 't.id', ' else 1 end', 1000)} as x from t",
            False,
            id="case in then",
        ),
        pytest.param(chain(" union all ", "select t.id from t", 600), False, id="union all"),
        pytest.param(
            f"{chain(' union all ', 'select t.id from t', 300)} union all select t.n from t",
            True,
            id="union all with null",
        ),
        pytest.param(
            nested("select x from (", "select t.id as x from t", ") as s", 150), False, id="subqueries"
        ),
        pytest.param(steps("select x + 1 as x from {0}"), False, id="with"),
        pytest.param(
            steps("select a.x + b.x as x from {0} as a inner join {0} as b on b.x = a.x"),
            False,
            id="with, read twice",
        ),
        pytest.param(
            steps("select a.x + b.x as x from {0} as a left join {0} as b on b.x = a.x"),
            True,
            id="with, read twice by an outer join",
        ),
        pytest.param(steps("select x from {0} union all select x from {0}"), False, id="with, by union"),
        pytest.param(
            steps("select (select count(*) from {0}) + (select count(*) from {0}) as x"),
            False,
            id="with, by sub-selects",
        ),
        pytest.param(
            steps("select a.x, max(b.x) as m from {0} as a inner join {0} as b on b.x = a.x group by a.x"),
            False,
            id="with, grouped",
        ),
    ],
)
def test_statements_that_postgresql_accepts_are_analysed(
    small_analyser: Analyser, sql: str, nullable: bool
) -> None:
    assert small_analyser.analyse(sql).columns[0].nullable is nullable


def test_a_statement_that_is_too_deep_is_one_error(
    small_analyser: Analyser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a message and a hint, and the next statement is analysed normally."""
    monkeypatch.setattr("plainsql.analysis.deep_stack._MAX_FRAMES", 1000)
    with pytest.raises(RefusedError, match="the statement nests too deep to be analysed") as raised:
        small_analyser.analyse(f"select {chain(' + ', 't.id', 3000)} as x from t")
    assert raised.value.hint
    assert not small_analyser.analyse("select t.id from t").columns[0].nullable


def test_a_deep_stack_leaves_nothing_behind() -> None:
    """Neither the limit nor the size of other threads' stacks stays changed, whatever the work raises."""
    before = sys.getrecursionlimit(), threading.stack_size()

    def fall(depth: int) -> int:
        return 1 + fall(depth - 1) if depth else 0

    def fall_and_fail() -> Any:
        fall(5000)
        raise KeyError("work")

    assert with_deep_stack(lambda: fall(5000)) == 5000
    with pytest.raises(KeyError, match="work"):
        with_deep_stack(fall_and_fail)
    assert (sys.getrecursionlimit(), threading.stack_size()) == before


def test_shallow_work_stays_in_its_thread() -> None:
    assert with_deep_stack(threading.get_ident) == threading.get_ident()
