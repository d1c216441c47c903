"""Transactions that a table change interrupts are run again by ``db.retry``, and say so without it."""

from __future__ import annotations

from typing import Any

import pytest
from asyncpg import exceptions

import plainsql
from plainsql.query import Args, many, one
from plainsql.rows import Row


class Part(Row, frozen=True):
    id: int
    name: str


@many[Part]("c.parts", "c.sql", 1, "select * from part order by id", more_columns=True)
def parts() -> Args:
    return ()


@one[int]("c.add", "c.sql", 1, "insert into part (name) values (:name) returning id", session_clean=True)
def add(*, name: str) -> Args:
    return (name,)


@pytest.fixture
async def outside(outside: Any) -> Any:
    """The connection outside of the pool, after it has created the table ``part`` afresh."""
    await outside.execute(
        "drop table if exists part; drop type if exists size;"
        "create type size as (width int, height int);"
        "create table part (id int generated always as identity, name text not null);"
        "insert into part (name) values ('a')"
    )
    return outside


@pytest.mark.parametrize("as_tenant", [False, True])
async def test_a_statement_that_a_migration_made_invalid_is_run_again(
    database_url: str, outside: Any, as_tenant: bool
) -> None:
    told: list[BaseException] = []

    async def work(tx: plainsql.Transaction) -> list[Part]:
        await add(tx, name="b")
        return await parts(tx)

    async with plainsql.connect(database_url, max_size=2, min_size=2) as db:
        view: Any = db.tenant("a") if as_tenant else db
        async with view.transaction() as first, view.transaction() as second:
            await parts(first)
            await parts(second)
        await outside.execute("alter table part add column more text")
        found = await view.retry(work, on_retry=lambda _, error: told.append(error))
        assert [part.name for part in found] == ["a", "b"]
    assert [isinstance(error, exceptions.InvalidCachedStatementError) for error in told] == [True]


async def test_without_a_retry_the_error_says_what_to_do(database_url: str, outside: Any) -> None:
    async with plainsql.connect(database_url, max_size=1) as db:
        await parts(db)
        await outside.execute("alter table part add column more text")
        with pytest.raises(exceptions.InvalidCachedStatementError) as raised:
            async with db.transaction() as tx:
                await parts(tx)
        assert raised.value.__notes__[0] == (
            "the tables have changed since this connection prepared the statement: "
            "run the transaction again, as 'db.retry' does"
        )
        async with db.transaction() as tx:
            assert [part.name for part in await parts(tx)] == ["a"]


async def test_a_type_that_a_migration_has_changed_is_read_again(database_url: str, outside: Any) -> None:
    await outside.execute("alter table part add column size size; update part set size = row(1, 2)")

    @one[Any]("c.size", "c.sql", 1, "select size from part limit 1")
    def size() -> Args:
        return ()

    attempts: list[BaseException] = []
    async with plainsql.connect(database_url, max_size=1) as db:
        assert tuple(await size(db)) == (1, 2)
        await outside.execute("alter type size add attribute depth int")
        found = await db.retry(size, on_retry=lambda _, error: attempts.append(error))
        assert tuple(found) == (1, 2, None)
    assert [type(error) for error in attempts] == [exceptions.OutdatedSchemaCacheError]
