"""The pool's books: every connection that is open at the server is counted, grows old, and is closed."""

# ruff: noqa: ASYNC110 (what is waited for happens in the server)

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

import plainsql
from plainsql.database.pool.keepalive import Keepalive
from plainsql.query import Args, one
from tests.database.stepping import settled
from tests.proxy import Proxy


@one[bool]("t.slow", "t.sql", 1, "select pg_sleep(60) is null", session_clean=True)
def slow() -> Args:
    return ()


@one[int]("t.pid", "t.sql", 1, "select pg_backend_pid()", session_clean=True)
def pid() -> Args:
    return ()


async def _sessions(outside: Any) -> int:
    found: int = await outside.fetchval(
        "select count(*) from pg_stat_activity"
        " where datname = current_database() and application_name = 'plainsql'"
    )
    return found


async def _until_sessions(outside: Any, number: int) -> None:
    async with asyncio.timeout(30):
        while await _sessions(outside) != number:
            await asyncio.sleep(0.001)


async def _sleeping(outside: Any, number: int) -> None:
    async with asyncio.timeout(30):
        while (
            await outside.fetchval(
                "select count(*) from pg_stat_activity"
                " where datname = current_database() and wait_event = 'PgSleep'"
            )
            != number
        ):
            await asyncio.sleep(0.001)


async def _end_eight(db: plainsql.Database, outside: Any, how: str) -> None:
    calls = [asyncio.create_task(slow(db)) for _ in range(8)]
    if how == "cancelled":
        await _sleeping(outside, 8)
        for call in calls:
            call.cancel()
    await asyncio.wait(calls)
    await settled(lambda: db.stats().in_use == 0)


@pytest.mark.parametrize("how", ["cancelled", "out of time"])
async def test_connections_of_cancelled_calls_are_counted_and_close_when_idle(
    database_url: str, outside: Any, how: str
) -> None:
    limit = None if how == "cancelled" else 1.0
    async with plainsql.connect(database_url, max_size=8, min_size=0, statement_timeout=limit) as db:
        await _end_eight(db, outside, how)
        await _until_sessions(outside, db.stats().open)
        assert db.stats().open == db.stats().idle
        db._connections._max_idle = 0.0
        await pid(db)  # has the clock begin again
        db._connections._trim()
        await settled(lambda: db.stats().open == 0)
        await _until_sessions(outside, 0)


async def test_connections_of_cancelled_calls_grow_old(database_url: str, outside: Any) -> None:
    async with plainsql.connect(database_url, max_size=8, max_lifetime=0.0) as db:
        await _end_eight(db, outside, "cancelled")
        assert db.stats().open == 0
        await _until_sessions(outside, 0)


async def test_a_connection_that_is_lost_while_it_idles_leaves_the_books(
    database_url: str, outside: Any
) -> None:
    async with plainsql.connect(database_url, max_size=2) as db:
        await pid(db)
        assert db.stats().open == 1
        await outside.fetch(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and application_name = 'plainsql'"
        )
        await settled(lambda: db.stats() == (0, 0, 0, 0, 2))


async def test_idle_connections_that_are_kept_cost_nothing(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with plainsql.connect(database_url, max_size=2, min_size=1, max_idle=0.001) as db:
        db._connections._max_idle = 0.0
        await pid(db)
        trims = 0
        trim = db._connections._trim

        def counted() -> None:
            nonlocal trims
            trims += 1
            trim()

        monkeypatch.setattr(db._connections, "_trim", counted)
        trim()
        for _ in range(1000):
            await asyncio.sleep(0)
        assert trims == 0
        assert db.stats().idle == 1


async def test_connections_that_take_their_time_to_close_are_not_counted_as_kept(database_url: str) -> None:
    async with plainsql.connect(database_url, min_size=2, max_size=5) as db:
        leases = db._connections
        taken = [await leases.acquire() for _ in range(5)]
        leases._max_idle = 0.0
        for lease in taken[:2]:
            leases.release(lease)
        leases._trim()  # their last messages are in progress
        for lease in taken[2:]:
            leases.release(lease)
        leases._trim()
        await settled(lambda: db.stats().open == 2)
        assert db.stats().idle == 2


# The end ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0.0, 0.2])
async def test_close_cancels_what_still_runs_on_the_server(
    database_url: str, outside: Any, timeout: float
) -> None:
    db = await plainsql.connect(database_url, max_size=3)

    async def in_transaction() -> None:
        async with db.transaction() as tx:
            await slow(tx)

    async def idle_in_transaction() -> None:
        async with db.transaction() as tx:
            await pid(tx)
            await asyncio.Event().wait()

    async def alone() -> None:
        await slow(db)

    calls = [asyncio.create_task(call()) for call in (in_transaction, idle_in_transaction, alone)]
    await _sleeping(outside, 2)
    async with asyncio.timeout(30):
        await db.close(timeout)
    await _sleeping(outside, 0)
    await _until_sessions(outside, 0)
    calls[1].cancel()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(result, BaseException) for result in results)
    assert db.stats()[:4] == (0, 0, 0, 0)


async def test_close_ends_though_the_network_is_silent(proxy: Proxy, database_url: str) -> None:
    name = database_url.partition("?")[0].rpartition("/")[2]
    db = await plainsql.connect(proxy.url(name), max_size=2)
    call = asyncio.create_task(slow(db))
    async with db.acquire():
        pass
    proxy.silence()
    proxy.silence_new(0)
    async with asyncio.timeout(30):
        await db.close(0.1)
    assert isinstance((await asyncio.gather(call, return_exceptions=True))[0], Exception)
    async with asyncio.timeout(30):
        await proxy.until(lambda: proxy.connections == 0)


# Silence ----------------------------------------------------------------------------------------------


async def test_a_hundred_cancelled_calls_log_nothing(
    proxy: Proxy, database_url: str, outside: Any, caplog: pytest.LogCaptureFixture
) -> None:
    name = database_url.partition("?")[0].rpartition("/")[2]
    await outside.execute("create table if not exists noise (n int)")
    # As most URLs are: with TLS if the server has it.
    url = proxy.url(name).replace("?sslmode=disable", "")
    async with plainsql.connect(url, max_size=5) as db:

        async def in_transaction() -> None:
            async with db.transaction() as tx:
                await slow(tx)

        async def alone() -> None:
            await slow(db)

        async def copying() -> None:
            async def rows() -> AsyncIterator[tuple[int]]:
                yield (1,)
                await asyncio.Event().wait()

            await db.copy_in("noise", rows(), columns=["n"])

        with caplog.at_level(logging.WARNING):
            for turn in range(20):
                calls = [
                    asyncio.create_task(call())
                    for call in (in_transaction, copying, in_transaction, alone, copying)
                ]
                await asyncio.wait(calls, timeout=0.002 * turn)
                for call in calls:
                    call.cancel()
                await asyncio.wait(calls)
    assert caplog.records == []


async def test_sockets_of_tcp_connections_have_keepalive(proxy: Proxy, database_url: str) -> None:
    name = database_url.partition("?")[0].rpartition("/")[2]
    async with plainsql.connect(proxy.url(name)) as db, db.acquire() as connection:
        sock = connection._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        expected = Keepalive()
        if hasattr(socket, "TCP_KEEPIDLE"):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == expected.idle
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == expected.user_timeout_ms
