"""Networks that fall silent: every wait has a limit, no place of the pool is lost, all is well afterwards.

A connection is open, and nothing arrives any more: what a firewall, a NAT or a server that has vanished does.
"""

# ruff: noqa: ASYNC110 (what is waited for happens in the server)

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import asyncpg
import pytest

import plainsql
from plainsql.database import ConnectionLostError
from plainsql.errors import ConnectError, PoolTimeoutError
from plainsql.query import Args, count, many, one
from tests.database.stepping import settled
from tests.proxy import Proxy

CHUNKS = range(12)
"""Answers of the server after which a connection falls silent: handshake, set-up and the first call."""


@one[int]("t.plus", "t.sql", 1, "select :n::int + 1", read_only=True, session_clean=True)
def plus(*, n: int) -> Args:
    return (n,)


@one[int]("t.joining", "t.sql", 1, "select :n::int + 2", read_only=True, session_clean=True)
def joining(*, n: int) -> Args:
    return (n,)


@one[int]("t.put", "t.sql", 1, "insert into silent (n) values (:n) returning n", session_clean=True)
def put(*, n: int) -> Args:
    return (n,)


@count("t.unknown", "t.sql", 1, "insert into silent (n) values (:n)")
def put_unknown(*, n: int) -> Args:
    return (n,)


@many[int](
    "t.series", "t.sql", 1, "select n from generate_series(1, 1000) as n", read_only=True, session_clean=True
)
def series() -> Args:
    return ()


def _name(database_url: str) -> str:
    return database_url.partition("?")[0].rpartition("/")[2]


async def _serves(db: plainsql.Database, number: int) -> bool:
    gate = asyncio.Barrier(number)

    async def hold() -> None:
        async with db.acquire() as connection:
            await gate.wait()
            assert await connection.fetchval("select 1") == 1

    served = True
    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(number):
                tasks.create_task(hold())
    except* (PoolTimeoutError, ConnectError, asyncpg.PostgresConnectionError, ConnectionLostError):
        served = False
    return served


async def _is_well(db: plainsql.Database) -> None:
    """All places of the pool serve calls, and none is held."""
    size = db.stats().max_size
    async with asyncio.timeout(60):
        while db.stats().in_use:
            await asyncio.sleep(0.01)
        while not await _serves(db, size):
            pass  # the time limits are short, the machine may be slow, and the connections are cut
        await settled(lambda: db.stats().in_use == 0)
    stats = db.stats()
    assert (stats.open, stats.idle, stats.waiting) == (size, size, 0)


@pytest.mark.parametrize("chunks", CHUNKS)
async def test_connections_that_fall_silent_while_they_open_cost_no_place(
    proxy: Proxy, database_url: str, chunks: int
) -> None:
    async with plainsql.connect(
        proxy.url(_name(database_url)), max_size=3, connect_timeout=2, acquire_timeout=0.3
    ) as db:
        async with db.acquire():
            proxy.silence_new(chunks)
            calls = [asyncio.create_task(plus(db, n=n)) for n in range(2)]
            # One whose connection is set up before the silence waits for its answer: that is no wait for a
            # connection.
            await asyncio.wait(calls, timeout=1)
            assert not db._connections._waiting
            for call in calls:
                call.cancel()
            async with asyncio.timeout(20):
                results = await asyncio.gather(*calls, return_exceptions=True)
            proxy.silence_new(None)
        for result in results:
            assert isinstance(result, int | PoolTimeoutError | asyncio.CancelledError), result
        proxy.cut()
        await _is_well(db)


@pytest.mark.parametrize("chunks", CHUNKS)
async def test_a_database_that_falls_silent_while_connecting_fails_in_time(
    proxy: Proxy, database_url: str, chunks: int
) -> None:
    proxy.silence_new(chunks)
    async with asyncio.timeout(20):
        try:
            async with plainsql.connect(proxy.url(_name(database_url)), connect_timeout=0.3) as db:
                assert db.stats().open == 1
        except ConnectError as error:
            assert "no answer in time" in error.message  # noqa: PT017 (some of them are open in time)
    assert await _until(lambda: proxy.connections == 0)


async def test_one_cancellation_ends_a_call_that_opens_a_connection(proxy: Proxy, database_url: str) -> None:
    for chunks in CHUNKS:
        async with plainsql.connect(proxy.url(_name(database_url)), max_size=2, connect_timeout=60) as db:
            async with db.acquire():
                proxy.silence_new(chunks)
                call = asyncio.create_task(plus(db, n=1))
                await proxy.until(lambda: proxy.connections == 2)
                call.cancel()
                async with asyncio.timeout(10):
                    await asyncio.wait([call])
            proxy.silence_new(None)
            async with asyncio.timeout(10):
                await db.close(timeout=0.1)


async def _until(condition: Callable[[], bool]) -> bool:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)
    return True


# Each kind of call ------------------------------------------------------------------------------------


async def _read(db: plainsql.Database) -> None:
    await plus(db, n=1)


async def _read_together(db: plainsql.Database) -> None:
    await asyncio.gather(*(joining(db, n=n) for n in range(40)))


async def _write(db: plainsql.Database) -> None:
    await put(db, n=1)


async def _unknown(db: plainsql.Database) -> None:
    await put_unknown(db, n=1)


async def _batch(db: plainsql.Database) -> None:
    await put.batch(db, [{"n": n} for n in range(10)])


async def _batch_of_reads(db: plainsql.Database) -> None:
    await plus.batch(db, [{"n": n} for n in range(10)])


async def _many(db: plainsql.Database) -> None:
    await put.execute_many(db, [{"n": n} for n in range(10)])


async def _transaction(db: plainsql.Database) -> None:
    async with db.transaction() as tx:
        await put(tx, n=1)
        async with tx.transaction() as inner:
            await put(inner, n=2)


async def _stream(db: plainsql.Database) -> None:
    async with aclosing(series.stream(db)) as rows:  # type: ignore[type-var]
        async for _ in rows:
            pass


async def _copy_in(db: plainsql.Database) -> None:
    await db.copy_in("silent", [(n,) for n in range(10)], columns=["n"])


async def _copy_out(db: plainsql.Database) -> None:
    async def take(data: bytes) -> None:
        pass

    await db.copy_out(series, take)


async def _lock(db: plainsql.Database) -> None:
    async with db.lock("silent"):
        pass


async def _listen(db: plainsql.Database) -> None:
    async with db.listen("silent"):
        pass


async def _tenant(db: plainsql.Database) -> None:
    await plus(db.tenant("a"), n=1)


async def _acquire(db: plainsql.Database) -> None:
    async with db.acquire() as connection:
        await connection.fetchval("select 1")


KINDS: list[Callable[[plainsql.Database], Awaitable[None]]] = [
    _read,
    _read_together,
    _write,
    _unknown,
    _batch,
    _batch_of_reads,
    _many,
    _transaction,
    _stream,
    _copy_in,
    _copy_out,
    _lock,
    _listen,
    _tenant,
    _acquire,
]


@pytest.fixture
async def table(database_url: str) -> str:
    async with plainsql.connect(database_url) as db, db.acquire() as connection:
        await connection.execute("create table if not exists silent (n int)")
    return _name(database_url)


@pytest.mark.parametrize("kind", KINDS)
async def test_one_cancellation_ends_a_call_on_a_silent_connection(
    proxy: Proxy, table: str, kind: Any
) -> None:
    async with plainsql.connect(proxy.url(table), max_size=2, connect_timeout=0.5, acquire_timeout=20) as db:
        for chunks in range(20):
            async with asyncio.timeout(60):
                await settled(lambda: db.stats().in_use == 0)
                proxy.silence(chunks)
                call = asyncio.create_task(kind(db))
                ended, _ = await asyncio.wait([call], timeout=0.1)
                if not ended:
                    call.cancel()
                    ended, _ = await asyncio.wait([call], timeout=20)
                    assert ended, f"still running after a cancellation, silent after {chunks}"
                    assert call.cancelled() or call.exception() is not None
                    proxy.spare()
                else:
                    await call
                    break  # all its answers came before the silence
                await kind(db)
        else:
            raise AssertionError("it never ended by itself")
        proxy.cut()
        await _is_well(db)


@pytest.mark.parametrize("kind", KINDS)
async def test_the_statement_timeout_ends_a_call_on_a_silent_connection(
    proxy: Proxy, table: str, kind: Any
) -> None:
    async with plainsql.connect(
        proxy.url(table), max_size=1, connect_timeout=1, acquire_timeout=10, statement_timeout=0.2
    ) as db:
        for chunks in range(3):
            await settled(lambda: db.stats().in_use == 0)
            proxy.silence(chunks)
            async with asyncio.timeout(30):
                results: list[object] = await asyncio.gather(kind(db), return_exceptions=True)
            assert results == [None] or isinstance(results[0], TimeoutError), results
        proxy.silence_new(None)
        async with asyncio.timeout(30):
            await _until_answered(db)


async def _until_answered(db: plainsql.Database) -> None:
    """The time limit is short, the machine may be slow."""
    while True:
        try:
            assert await plus(db, n=1) == 2
        except TimeoutError:
            continue
        return


async def test_calls_behind_silent_statements_of_their_query_fail_in_time(proxy: Proxy, table: str) -> None:
    async with plainsql.connect(proxy.url(table), max_size=3, connect_timeout=1, acquire_timeout=0.5) as db:
        await asyncio.gather(*(joining(db, n=n) for n in range(100)))
        proxy.silence()
        proxy.silence_new(0)
        calls = [asyncio.create_task(joining(db, n=n)) for n in range(200)]

        async with asyncio.timeout(60):
            # Three have a connection, and no time limit of their own.
            while sum(call.done() for call in calls) < 197:
                await asyncio.sleep(0.01)
        running = [call for call in calls if not call.done()]
        assert all(isinstance(call.exception(), PoolTimeoutError) for call in calls if call.done())
        for call in running:
            call.cancel()
        await asyncio.wait(running)
        proxy.silence_new(None)
        await _is_well(db)
