"""Servers that go away: the caller's error has the query's name, and the next call works."""

# ruff: noqa: PT012 (it is the block of a transaction or stream that raises)

# ruff: noqa: ASYNC110 (what is waited for happens in the server)

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from asyncpg import exceptions

import plainsql
from tests.database.ask import SELECT_1, many, one
from tests.proxy import Proxy

SLEEP = one("select pg_sleep(60)")
LOST = (exceptions.PostgresError, exceptions.InterfaceError, OSError)


async def test_a_backend_killed_during_a_query_is_one_error_with_a_note(
    one_connection_db: plainsql.Database, outside: Any
) -> None:
    call = asyncio.create_task(SLEEP(one_connection_db))
    await _kill_sleeping(outside)
    with pytest.raises(LOST) as raised:
        await call
    assert raised.value.__notes__ == [
        "query: test.one (sql/test/one.sql)",
        "the connection was lost while the statement ran: it may have been executed, or not",
    ]
    assert await SELECT_1(one_connection_db) == 1


async def test_a_backend_killed_inside_a_transaction_ends_that_one_only(
    one_connection_db: plainsql.Database, outside: Any
) -> None:
    with pytest.raises(LOST):
        async with one_connection_db.transaction() as tx:
            call = asyncio.create_task(SLEEP(tx))
            await _kill_sleeping(outside)
            await call
    assert await SELECT_1(one_connection_db) == 1


async def test_a_backend_killed_between_two_queries_does_not_pass_for_committed(
    one_connection_db: plainsql.Database, outside: Any
) -> None:
    with pytest.raises(LOST):
        async with one_connection_db.transaction() as tx:
            backend = await one("select pg_backend_pid()")(tx)
            await outside.execute("select pg_terminate_backend($1, 5000)", backend)
    assert await SELECT_1(one_connection_db) == 1


async def test_a_backend_killed_while_idle_costs_one_call_at_most(
    one_connection_db: plainsql.Database, outside: Any
) -> None:
    backend = await one("select pg_backend_pid()")(one_connection_db)
    await outside.execute("select pg_terminate_backend($1, 5000)", backend)
    with suppress(*LOST):
        await SELECT_1(one_connection_db)
    assert await SELECT_1(one_connection_db) == 1


async def test_a_connection_that_is_cut_is_an_error_and_the_next_call_works(
    proxy: Proxy, database_url: str
) -> None:
    name = database_url.partition("?")[0].rpartition("/")[2]
    async with plainsql.connect(proxy.url(name), max_size=1) as db:
        call = asyncio.create_task(SLEEP(db))
        before = proxy.to_server.bytes
        await proxy.until(lambda: proxy.to_server.bytes > before)
        assert proxy.cut() == 1
        with pytest.raises(LOST) as raised:
            await call
        assert "query: test.one (sql/test/one.sql)" in raised.value.__notes__
        assert await SELECT_1(db) == 1


async def test_a_stream_that_is_cut_is_an_error_and_the_next_one_works(
    proxy: Proxy, database_url: str
) -> None:
    name = database_url.partition("?")[0].rpartition("/")[2]
    series = many("select n from generate_series(1, 1000) as n")
    async with plainsql.connect(proxy.url(name), max_size=1, prefetch=10) as db:
        seen = 0
        with pytest.raises(LOST):
            async for _ in series.stream(db):
                seen += 1
                if seen == 15:
                    proxy.cut()
        assert 15 <= seen < 1000
        assert len([row async for row in series.stream(db)]) == 1000


async def test_calls_fail_while_the_server_refuses_connections_and_work_again(
    proxy: Proxy, database_url: str
) -> None:
    name = database_url.partition("?")[0].rpartition("/")[2]
    async with plainsql.connect(proxy.url(name), max_size=1) as db:
        assert await SELECT_1(db) == 1
        proxy.refuse()
        proxy.cut()
        await proxy.until(lambda: proxy.connections == 0)
        for _ in range(3):
            with pytest.raises((plainsql.PlainsqlError, *LOST)):
                await SELECT_1(db)
        await proxy.accept()
        assert await SELECT_1(db) == 1


async def _kill_sleeping(connection: Any) -> None:
    """Terminate the other backend as soon as it sleeps."""
    while not await connection.fetchval(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
        " where datname = current_database() and wait_event = 'PgSleep'"
    ):
        await asyncio.sleep(0)
