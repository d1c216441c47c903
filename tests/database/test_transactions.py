"""Mistakes that only the asynchronous executor can make: two tasks in one transaction, abandoned streams."""

# ruff: noqa: PT012 (it is the block of a transaction or stream that raises)

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

import plainsql
from plainsql.errors import PoolTimeoutError, TransactionError
from tests.database.ask import SELECT_1, many, one

SLEEP = one("select pg_sleep(0.05)")
SERIES = many("select n from generate_series(1, 2000) as n")


async def test_two_tasks_in_one_transaction_are_told_apart_and_do_not_break_it(
    one_connection_db: plainsql.Database,
) -> None:
    async with one_connection_db.transaction() as tx:
        first = asyncio.create_task(SLEEP(tx))
        await asyncio.sleep(0)
        with pytest.raises(plainsql.TransactionError) as raised:
            await SELECT_1(tx)
        with pytest.raises(plainsql.TransactionError, match="busy with another task's query"):
            async with tx.transaction():
                pass
        await first
        assert await SELECT_1(tx) == 1
    assert str(raised.value) == (
        "the transaction is busy with another task's query\n"
        "HINT: a transaction is one connection: await one query at a time, or use db for concurrent reads"
    )


async def test_a_transaction_and_the_database_do_not_see_each_other(database_url: str) -> None:
    async with plainsql.connect(database_url, max_size=2) as db:
        async with db.acquire() as connection:
            await connection.execute("drop table if exists seen; create table seen (n int)")
        total = one("select count(*)::int from seen")
        async with db.transaction() as tx:
            await tx.connection.execute("insert into seen values (1)")
            assert await total(tx) == 1
            assert await total(db) == 0
        assert await total(db) == 1


async def test_an_error_through_the_connection_underneath_is_seen_as_well(
    one_connection_db: plainsql.Database,
) -> None:
    with pytest.raises(plainsql.TransactionError, match="not committed"):
        async with one_connection_db.transaction() as tx:
            with pytest.raises(asyncpg.DivisionByZeroError):
                await tx.connection.execute("select 1/0")
    assert await SELECT_1(one_connection_db) == 1


async def test_a_timeout_caught_in_a_transaction_does_not_pass_for_committed(
    one_connection_db: plainsql.Database,
) -> None:
    with pytest.raises(plainsql.TransactionError, match="not committed"):
        async with one_connection_db.transaction() as tx:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await one("select pg_sleep(60)")(tx)
    assert await SELECT_1(one_connection_db) == 1


async def test_an_error_before_the_server_leaves_the_transaction_whole(
    one_connection_db: plainsql.Database,
) -> None:
    async with one_connection_db.transaction() as tx:
        with pytest.raises(plainsql.BindError):
            await one("select :a::int", "a")(tx, a="x")
        assert await SELECT_1(tx) == 1


async def test_a_stream_holds_a_connection_until_it_is_closed(one_connection_db: plainsql.Database) -> None:
    rows = SERIES.stream(one_connection_db)
    assert await anext(rows) == 1
    blocked = asyncio.create_task(SELECT_1(one_connection_db))
    await asyncio.sleep(0)
    assert not blocked.done()
    await rows.aclose()  # type: ignore[attr-defined]
    assert await blocked == 1


async def test_a_stream_left_open_releases_its_connection_when_collected(
    one_connection_db: plainsql.Database,
) -> None:
    async for row in SERIES.stream(one_connection_db):
        assert row == 1
        break
    async with asyncio.timeout(10):
        assert await SELECT_1(one_connection_db) == 1


async def test_an_error_of_the_consumer_gives_the_connection_back(
    one_connection_db: plainsql.Database,
) -> None:
    with pytest.raises(LookupError, match="mine"):
        async for _ in SERIES.stream(one_connection_db):
            raise LookupError("mine")
    async with asyncio.timeout(10):
        assert await SELECT_1(one_connection_db) == 1


async def test_a_stream_reads_no_further_ahead_than_its_prefetch(database_url: str, outside: Any) -> None:
    # The sequence counts what the server has produced.
    await outside.execute("drop sequence if exists produced; create sequence produced")
    counting = many("select nextval('produced') from generate_series(1, 100000)")
    async with plainsql.connect(database_url, prefetch=10) as db:
        rows = counting.stream(db)
        for _ in range(15):
            await anext(rows)
        assert await outside.fetchval("select last_value from produced") == 20
        await rows.aclose()  # type: ignore[attr-defined]


async def test_a_transaction_that_ended_is_told_to_the_task_that_still_uses_it(
    one_connection_db: plainsql.Database,
) -> None:
    async def late(tx: plainsql.Transaction, ended: asyncio.Event) -> Any:
        await ended.wait()
        return await SELECT_1(tx)

    ended = asyncio.Event()
    async with one_connection_db.transaction() as tx:
        task = asyncio.create_task(late(tx, ended))
    ended.set()
    with pytest.raises(plainsql.TransactionError, match="the transaction has ended"):
        await task


async def test_the_outer_transaction_waits_while_a_savepoint_is_open(
    one_connection_db: plainsql.Database,
) -> None:
    async with one_connection_db.transaction() as tx:
        async with tx.transaction() as savepoint:
            assert await SELECT_1(savepoint) == 1
            with pytest.raises(TransactionError, match="an open savepoint"):
                await SELECT_1(tx)
        assert await SELECT_1(tx) == 1


async def test_a_task_that_waits_for_its_own_transactions_connection_is_told(database_url: str) -> None:
    async with plainsql.connect(database_url, max_size=1, acquire_timeout=0.05) as db:
        with pytest.raises(PoolTimeoutError) as raised:
            async with db.transaction():
                await SELECT_1(db)
        assert "this task is inside of a transaction of this database" in str(raised.value)
        assert not db._state.pool.holders
