"""Cancellation at any moment: no connection is lost or left in the middle of something."""

# ruff: noqa: ASYNC110 (what is waited for happens in the server)

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

import plainsql
from tests.database.ask import SELECT_1, count, many, one

LOCK = one("select pg_advisory_xact_lock(7) is null")
SERIES = many("select n from generate_series(1, 50) as n")


async def test_a_cancelled_call_is_cancelled_on_the_server_too(
    one_connection_db: plainsql.Database, outside: Any
) -> None:
    async with outside.transaction():
        await outside.execute("select pg_advisory_xact_lock(7)")
        for _ in range(5):
            call = asyncio.create_task(LOCK(one_connection_db))
            await _until_waiting(outside)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await _until_nobody_waits(outside)
            assert await SELECT_1(one_connection_db) == 1


async def test_a_call_that_times_out_is_cancelled_on_the_server(
    one_connection_db: plainsql.Database, outside: Any
) -> None:
    async with outside.transaction():
        await outside.execute("select pg_advisory_xact_lock(7)")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await LOCK(one_connection_db)
        await _until_nobody_waits(outside)
        assert await SELECT_1(one_connection_db) == 1


async def test_the_statement_timeout_names_the_query(database_url: str) -> None:
    slow = one("select pg_sleep(60)")
    async with plainsql.connect(database_url, max_size=1, statement_timeout=0.05) as db:
        with pytest.raises(TimeoutError) as raised:
            await slow(db)
        assert raised.value.__notes__ == [
            "query: test.one (sql/test/one.sql)",
            "the statement ran out of time: it may have been executed, or not",
        ]
        assert await SELECT_1(db) == 1


async def _cancel_at_turn(work: Coroutine[Any, Any, Any], turn: int) -> bool:
    """Run ``work``, cancel it when the loop has turned so often, and say whether it was done before."""
    task = asyncio.create_task(work)
    for _ in range(turn):
        await asyncio.sleep(0)
        if task.done():
            await task
            return True
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return False
    return False


async def _every_turn(make: Any, check: Any) -> int:
    """Cancel what ``make`` makes at the first turn of the loop, at the second…, until it ends by itself."""
    for turn in range(2000):
        done = await _cancel_at_turn(make(), turn)
        await check()
        # Waiting for the network takes more turns or less: several runs in a row must have ended.
        if done and turn > 100:
            return turn
    raise AssertionError("it never ended by itself")


async def test_a_call_may_be_cancelled_at_any_turn_of_the_loop(one_connection_db: plainsql.Database) -> None:
    async def check() -> None:
        assert await SELECT_1(one_connection_db) == 1

    await _every_turn(lambda: one("select 2")(one_connection_db), check)


async def test_a_transaction_may_be_cancelled_at_any_turn_of_the_loop(
    one_connection_db: plainsql.Database, outside: Any
) -> None:
    await outside.execute("drop table if exists cancelled; create table cancelled (n int)")
    add = count("insert into cancelled values (1)")
    total = one("select count(*)::int from cancelled")

    async def work() -> None:
        async with one_connection_db.transaction() as tx:
            await add(tx)
            async with tx.transaction() as inner:
                await add(inner)

    async def check() -> None:
        # All or nothing, and the connection is in no transaction.
        async with one_connection_db.acquire() as connection:
            assert not connection.is_in_transaction()
        assert await total(one_connection_db) % 2 == 0

    await _every_turn(work, check)


async def test_a_stream_may_be_cancelled_at_any_turn_of_the_loop(
    one_connection_db: plainsql.Database,
) -> None:
    async def work() -> None:
        rows = SERIES.stream(one_connection_db)
        async for _ in rows:
            await asyncio.sleep(0)

    async def check() -> None:
        async with one_connection_db.acquire() as connection:
            assert not connection.is_in_transaction()
        assert await SELECT_1(one_connection_db) == 1

    await _every_turn(work, check)


async def test_many_calls_cancelled_while_they_wait_for_a_connection_lose_none(
    database_url: str, outside: Any
) -> None:
    async with plainsql.connect(database_url, max_size=2, acquire_timeout=10) as db:
        async with outside.transaction():
            await outside.execute("select pg_advisory_xact_lock(7)")
            calls = [asyncio.create_task(LOCK(db)) for _ in range(10)]
            await _until_waiting(outside)
            for call in calls[::2]:
                call.cancel()
            await asyncio.wait(calls[::2])
        rest = await asyncio.gather(*calls[1::2])
        assert rest == [False] * 5
        assert await asyncio.gather(*(SELECT_1(db) for _ in range(4))) == [1] * 4


async def _until_waiting(connection: Any) -> None:
    while not await _waiting(connection):
        await asyncio.sleep(0)


async def _until_nobody_waits(connection: Any) -> None:
    while await _waiting(connection):
        await asyncio.sleep(0)


async def _waiting(connection: Any) -> int:
    found: int = await connection.fetchval(
        "select count(*) from pg_locks where not granted and locktype = 'advisory' and database ="
        " (select oid from pg_database where datname = current_database())"
    )
    return found
