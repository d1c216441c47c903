"""Errors that only look like a lost connection, calls that are closed and not cancelled, late poolers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asyncpg import exceptions

import plainsql
from plainsql.embedded import EmbeddedServer
from plainsql.errors import ConnectError
from plainsql.query import Binder, CountQuery, OneQuery
from tests.database.ask import READS, SELECT_1
from tests.database.stepping import settled
from tests.pgbouncer import PORT, pgbouncer
from tests.proxy import open_proxy


@pytest.mark.parametrize("state", ["08001", "08006", "08P01"])
async def test_a_server_that_does_not_reach_another_is_not_lost(
    one_connection_db: plainsql.Database, state: str
) -> None:
    """The error that postgres_fdw and dblink raise, on a healthy session."""
    raises: CountQuery[...] = CountQuery(
        "t.raises",
        "t.sql",
        1,
        f"do $$ begin raise exception 'no route' using errcode = '{state}'; end $$",
        Binder((), {}, {}, None),
        int,
    )
    backend = await _backend(one_connection_db)
    with pytest.raises(exceptions.PostgresError) as raised:
        await raises(one_connection_db)
    assert not isinstance(raised.value, plainsql.ConnectionLostError)
    assert getattr(raised.value, "sqlstate", None) == state
    assert await _backend(one_connection_db) == backend
    with pytest.raises(exceptions.PostgresError) as raised:
        async with one_connection_db.transaction() as tx:
            await raises(tx)
    assert not isinstance(raised.value, plainsql.ConnectionLostError)


async def test_a_call_that_is_closed_while_it_waits_leaves_the_queue(
    one_connection_db: plainsql.Database,
) -> None:
    async with one_connection_db.acquire():
        call = SELECT_1(one_connection_db)
        call.send(None)
        assert one_connection_db.stats().waiting == 1
        call.close()
        assert one_connection_db.stats().waiting == 0
    assert await SELECT_1(one_connection_db) == 1
    await settled(lambda: one_connection_db.stats().in_use == 0)


async def test_a_lock_on_a_silent_network_ends(server: EmbeddedServer) -> None:
    async with (
        open_proxy(server.socket) as proxy,
        plainsql.connect(proxy.url(), max_size=1, connect_timeout=1) as db,
    ):
        async with asyncio.timeout(60):
            with pytest.raises((ConnectError, exceptions.InterfaceError, TimeoutError)):
                async with db.lock("silent"):
                    proxy.silence()
        await settled(lambda: db.stats().in_use == 0)
        assert await SELECT_1(db) == 1


async def test_a_pooler_that_comes_later_is_noticed(server: EmbeddedServer, database_url: str) -> None:
    """The first connection goes to the server itself, the next ones to PgBouncer at the same address."""
    database = database_url.rpartition("/")[2].partition("?")[0]
    with pgbouncer(server, "transaction", ignores="hnsw.iterative_scan") as folder:
        async with (
            open_proxy(server.socket) as proxy,
            plainsql.connect(proxy.url(database), max_size=1, connect_timeout=5) as db,
        ):
            assert await SELECT_1(db) == 1
            proxy.retarget(folder / f".s.PGSQL.{PORT}")
            proxy.cut()
            with pytest.raises(ConnectError, match="there is a pooler in front of the server now"):
                await SELECT_1(db)


async def _backend(db: plainsql.Database) -> Any:
    query: OneQuery[..., Any] = OneQuery(
        "t.pid", "t.sql", 1, "select pg_backend_pid()", Binder((), {}, {}, None), int, READS
    )
    return await query(db)
