"""Errors of the server have plainsql's classes and the driver's, in every kind of call on both drivers."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Callable, Generator
from typing import Any, cast

import asyncpg
import psycopg
import psycopg_pool
import pytest
from psycopg import errors

import plainsql
import plainsql.sync
from plainsql.query import Binder, CountQuery, QueryFacts
from plainsql.testing import Databases
from tests.database.ask import count, many, one

SCHEMA = """
create schema paper;
create table paper.authors (
  id integer primary key,
  name text not null,
  age integer constraint grown check (age >= 18),
  seat int4range,
  constraint one_name unique (name),
  constraint seats_apart exclude using gist (seat with &&)
);
create table paper.books (
  id integer primary key,
  author_id integer not null constraint of_author references paper.authors,
  shelf integer constraint one_a_shelf unique deferrable initially deferred
);
insert into paper.authors values (1, 'Ana', 40, '[1,3)');
insert into paper.books values (1, 1, 1);
"""


class NameTaken(plainsql.UniqueViolation):
    """The class that a generated module exports."""


def _named(sql: str, *names: str) -> CountQuery[...]:
    facts = QueryFacts(session_clean=True, errors={"one_name": NameTaken})
    return CountQuery("test.named", "sql/test/named.sql", 1, sql, Binder(names, {}, {}, None), int, facts)


ADD = _named("insert into paper.authors (id, name) values (:id, :name)", "id", "name")
SHELVE = count("insert into paper.books (id, author_id, shelf) values (:id, 1, :shelf)", "id", "shelf")
TAKEN = {"id": 2, "name": "Ana"}
DIVIDE = many("select 1 / n as q from generate_series(2, 0, -1) as n")
SECOND_SHELF = {"id": 2, "shelf": 1}

REFUSED: dict[str, tuple[str, type[plainsql.ServerError], Any, Any]] = {
    "insert into paper.authors (id, name) values (2, 'Ana')": (
        "one_name",
        plainsql.UniqueViolation,
        asyncpg.UniqueViolationError,
        errors.UniqueViolation,
    ),
    "insert into paper.books (id, author_id) values (2, 9)": (
        "of_author",
        plainsql.ForeignKeyViolation,
        asyncpg.ForeignKeyViolationError,
        errors.ForeignKeyViolation,
    ),
    "insert into paper.authors (id, name, age) values (2, 'Eva', 3)": (
        "grown",
        plainsql.CheckViolation,
        asyncpg.CheckViolationError,
        errors.CheckViolation,
    ),
    "insert into paper.authors (id, name) values (2, null)": (
        "name",
        plainsql.NotNullViolation,
        asyncpg.NotNullViolationError,
        errors.NotNullViolation,
    ),
    "insert into paper.authors (id, name, seat) values (2, 'Eva', '[2,4)')": (
        "seats_apart",
        plainsql.ExclusionViolation,
        asyncpg.ExclusionViolationError,
        errors.ExclusionViolation,
    ),
    "select 1 / 0": ("", plainsql.ServerError, asyncpg.DivisionByZeroError, errors.DivisionByZero),
}


@pytest.fixture(scope="module")
def paper_url(plainsql_databases: Databases) -> Generator[str]:
    """A database with authors and books, whose constraints the tests violate."""
    with plainsql_databases.clone() as url:
        with psycopg.connect(url) as connection:
            connection.execute(SCHEMA.encode())
        yield url


def _check(error: plainsql.ServerError, name: str, kind: type[Exception], driver: type[Exception]) -> None:
    assert isinstance(error, kind)
    assert isinstance(error, driver)
    assert error.sqlstate == driver.sqlstate  # type: ignore[attr-defined]
    if kind is plainsql.ServerError:
        # Without a class of its own it is shown by the driver's name.
        assert type(error).__qualname__ == driver.__qualname__
        return
    assert name in (error.constraint, error.column)
    assert error.table in ("paper.authors", "paper.books")
    assert (type(error).__module__, type(error).__name__) == ("plainsql", kind.__name__)
    assert error.message in str(error)
    assert "DETAIL" in str(error)
    assert error.__notes__ == ["query: test.count (sql/test/count.sql)"]
    for same in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(same) is type(error)
        assert str(same) == str(error)
        assert (same.constraint, same.table, same.__notes__) == (
            error.constraint,
            error.table,
            error.__notes__,
        )


async def test_violations_are_of_both_classes_in_every_call_of_asyncpg(paper_url: str) -> None:
    async with plainsql.connect(paper_url) as db:
        for sql, (name, kind, driver, _) in REFUSED.items():
            with pytest.raises(kind) as raised:
                await count(sql)(db)
            _check(raised.value, name, kind, driver)

        async def transaction() -> None:
            async with db.transaction() as tx:
                await SHELVE(tx, **SECOND_SHELF)

        async def savepoint() -> None:
            async with db.transaction() as tx, tx.transaction() as inner:
                await ADD(inner, **TAKEN)

        async def acquired() -> None:
            async with db.acquire() as connection:
                await connection.execute("insert into paper.authors values (2, 'Ana')")

        async def over() -> None:
            connection = await asyncpg.connect(paper_url)
            try:
                await ADD(plainsql.over(connection), **TAKEN)
            finally:
                await connection.close()

        calls: dict[str, Callable[[], Any]] = {
            "at the commit of a call": lambda: SHELVE(db, **SECOND_SHELF),
            "at the commit of a transaction": transaction,
            "batch": lambda: ADD.batch(db, [TAKEN, {"id": 3, "name": "Eva"}]),
            "execute_many": lambda: ADD.execute_many(db, [TAKEN]),
            "copy": lambda: db.copy_in("paper.authors", [(2, "Ana")], columns=["id", "name"]),
            "savepoint": savepoint,
            "acquire": acquired,
            "over": over,
        }
        for call in calls.values():
            with pytest.raises(plainsql.UniqueViolation) as raised:
                await call()
            assert raised.value.constraint in ("one_name", "one_a_shelf")
            assert isinstance(raised.value, asyncpg.UniqueViolationError)
        for call in (calls["batch"], calls["execute_many"], savepoint, over):
            with pytest.raises(NameTaken) as raised:
                await call()
            assert type(pickle.loads(pickle.dumps(raised.value))) is type(raised.value)
            assert type(raised.value).__qualname__ == "NameTaken"
        with pytest.raises(plainsql.ServerError, match="division by zero"):
            async for _ in DIVIDE.stream(db):
                pass
        with pytest.raises(plainsql.ReadOnlySqlTransaction):
            async with db.transaction(read_only=True) as tx:
                await ADD(tx, **TAKEN)


def test_violations_are_of_both_classes_in_every_call_of_psycopg(paper_url: str) -> None:
    def over() -> Any:
        with psycopg.connect(paper_url) as connection:
            return ADD(plainsql.sync.over(connection), **TAKEN)

    def over_pool() -> Any:
        with psycopg_pool.ConnectionPool(paper_url, min_size=1, open=True) as pool:
            SHELVE(plainsql.sync.over(pool), **SECOND_SHELF)

    def pooled() -> Any:
        with plainsql.sync.Pool(paper_url, max_size=1) as pool:
            ADD(pool, **TAKEN)

    with plainsql.sync.connect(paper_url) as db:
        for sql, (name, kind, _, driver) in REFUSED.items():
            with pytest.raises(kind) as raised:
                count(sql)(db)
            _check(raised.value, name, kind, driver)

        def transaction() -> None:
            with db.transaction() as tx:
                SHELVE(tx, **SECOND_SHELF)

        calls: dict[str, Callable[[], Any]] = {
            "at the commit of a call": lambda: SHELVE(db, **SECOND_SHELF),
            "at the commit of a transaction": transaction,
            "batch": lambda: ADD.batch(db, [TAKEN, {"id": 3, "name": "Eva"}]),
            "execute_many": lambda: ADD.execute_many(db, [TAKEN]),
            "copy": lambda: db.copy_in("paper.authors", [(2, "Ana")], columns=["id", "name"]),
            "over": over,
            "over a pool, at its commit": over_pool,
            "pool": pooled,
        }
        for call in calls.values():
            with pytest.raises(plainsql.UniqueViolation) as raised:
                call()
            assert raised.value.constraint in ("one_name", "one_a_shelf")
            assert isinstance(cast("object", raised.value), errors.UniqueViolation)
        for call in (calls["batch"], calls["execute_many"], over, pooled):
            with pytest.raises(NameTaken) as raised:
                call()
            assert type(pickle.loads(pickle.dumps(raised.value))) is type(raised.value)
        with pytest.raises(plainsql.ServerError, match="division by zero"):
            list(DIVIDE.stream(db))
        with pytest.raises(plainsql.ReadOnlySqlTransaction), db.transaction(read_only=True) as tx:
            ADD(tx, **TAKEN)


async def test_time_limits_locks_and_deadlocks_have_classes(paper_url: str) -> None:
    slow = one("select pg_sleep(60)")
    async with plainsql.connect(paper_url, statement_timeout=0.05, max_size=1) as db:
        with pytest.raises(plainsql.QueryCanceled, match=r"statement_timeout=0\.05") as raised:
            await slow(db)
        assert isinstance(raised.value, TimeoutError)
        assert raised.value.sqlstate == "57014"
        assert pickle.loads(pickle.dumps(raised.value)).__notes__ == raised.value.__notes__
    with (
        plainsql.sync.connect(paper_url, statement_timeout=0.05) as sync_db,
        pytest.raises(plainsql.QueryCanceled),
    ):
        slow(sync_db)
    async with plainsql.connect(paper_url) as db:
        update = count("update paper.authors set age = 41 where id = 1")
        locked = one("select id from paper.authors where id = 1 for update nowait")
        async with db.transaction() as tx:
            await update(tx)
            with pytest.raises(plainsql.LockNotAvailable):
                await locked(db)
        lock = count("select pg_advisory_xact_lock(:n)", "n")

        async def collide(first: int, second: int, ready: asyncio.Barrier) -> None:
            async with db.transaction() as tx:
                await lock(tx, n=first)
                await ready.wait()
                await lock(tx, n=second)

        ready = asyncio.Barrier(2)
        found = await asyncio.gather(collide(1, 2, ready), collide(2, 1, ready), return_exceptions=True)
        assert [type(e).__name__ for e in found if e is not None] == ["DeadlockDetected"]
        assert any(isinstance(e, asyncpg.DeadlockDetectedError) for e in found)


def test_an_error_can_be_made_for_a_test_of_the_program() -> None:
    error = NameTaken("it is taken", constraint="one_name", table="paper.authors")
    assert (error.sqlstate, error.constraint, error.table, error.column) == (
        "23505",
        "one_name",
        "paper.authors",
        None,
    )
    assert str(pickle.loads(pickle.dumps(error))) == "it is taken"
