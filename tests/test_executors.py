"""An argument that is no executor, or not one for this call, is refused by name in every kind of call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

import plainsql
from plainsql.errors import BindError
from tests.database.ask import many

ECHO = many("select :n::int as n", "n")

CALLS: dict[str, Callable[[Any], Any]] = {
    "call": lambda db: ECHO(db, n=1),
    "fresh": lambda db: ECHO.fresh(db, n=1),
    "stream": lambda db: ECHO.stream(db, n=1),
    "batch": lambda db: ECHO.batch(db, [{"n": 1}]),
    "execute_many": lambda db: ECHO.execute_many(db, [{"n": 1}]),
}


HINTS = {
    "call": "call many(db, n)",
    "fresh": "call many.fresh(db, n)",
    "stream": "call many.stream(db, n)",
    "batch": "call many.batch(db, [{'n': …}, …])",
    "execute_many": "call many.execute_many(db, [{'n': …}, …])",
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("executor", [None, 1, "postgresql://h/db", object(), [], plainsql])
def test_what_runs_no_queries_is_refused(call: str, executor: object) -> None:
    with pytest.raises(BindError, match=r"^test\.many: the first argument is an executor") as raised:
        CALLS[call](executor)
    assert f"got {type(executor).__name__}" in raised.value.message
    assert raised.value.hint == HINTS[call]


@pytest.mark.parametrize("call", CALLS)
def test_a_database_that_is_not_connected_yet_is_refused_with_a_hint(call: str) -> None:
    with pytest.raises(BindError, match=r"got Connecting\nHINT: await it first"):
        CALLS[call](plainsql.connect("postgresql://h/db"))


@asynccontextmanager
async def block() -> AsyncIterator[None]:
    yield


@pytest.mark.parametrize("call", CALLS)
def test_a_block_that_was_not_entered_is_refused_with_a_hint(call: str) -> None:
    with pytest.raises(BindError, match="HINT: enter it first"):
        CALLS[call](block())


@pytest.mark.parametrize("method", ["batch", "execute_many"])
def test_many_sets_run_on_a_synchronous_executor(sync_db: Any, method: str) -> None:
    expected = [[1]] if method == "batch" else None
    assert CALLS[method](sync_db) == expected
    with sync_db.transaction() as tx:
        assert CALLS[method](tx) == expected


def test_the_other_calls_work_on_a_synchronous_executor(sync_db: Any) -> None:
    assert ECHO(sync_db, n=1) == ECHO.fresh(sync_db, n=1) == list(ECHO.stream(sync_db, n=1)) == [1]
