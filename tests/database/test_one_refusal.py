"""A connection that is refused is one failure: calls wait for those that there are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest

import plainsql
from plainsql.errors import ConnectError, PoolTimeoutError
from plainsql.query import Args, one
from tests.database.stepping import settled
from tests.proxy import Proxy


@one[int](
    "t.plus",
    "t.sql",
    1,
    "select :n::int + 1 from (select pg_sleep(0.001)) as s",
    read_only=True,
    session_clean=True,
)
def plus(*, n: int) -> Args:
    return (n,)


@one[int]("t.together", "t.sql", 1, "select :n::int + 2", read_only=True, session_clean=True)
def together(*, n: int) -> Args:
    return (n,)


@one[int]("t.put", "t.sql", 1, "insert into limited (n) values (:n) returning n", session_clean=True)
def put(*, n: int) -> Args:
    return (n,)


@pytest.fixture
async def limited_url(database_url: str, outside: Any) -> AsyncIterator[str]:
    """The module's database for a role that may have two connections."""
    role = f"two_{urlsplit(database_url).path.strip('/')}"[:60]
    await outside.execute(
        f"create role {role} login connection limit 2; create table limited (n int);"
        f"grant all on limited to {role}"
    )
    yield database_url.replace("//postgres@", f"//{role}@")
    await outside.fetch(
        "select pg_terminate_backend(pid, 10000) from pg_stat_activity where usename = $1", role
    )
    await outside.execute(f"drop table limited; drop owned by {role}; drop role {role}")


async def _in_transaction(db: plainsql.Database, *, n: int) -> int:
    async with db.transaction() as tx:
        return await plus(tx, n=n)


@pytest.mark.parametrize("min_size", [0, 1, 5])
async def test_300_calls_of_a_role_with_two_connections_are_all_answered(
    limited_url: str, min_size: int
) -> None:
    async with asyncio.timeout(120):
        db = await plainsql.connect(limited_url, min_size=min_size, max_size=10, acquire_timeout=60)
        async with db:
            for call in (together, put, plus, _in_transaction):
                results = await asyncio.gather(*(call(db, n=n) for n in range(300)))
                assert len(results) == 300
            stats = db.stats()
            assert stats.waiting == 0
            await settled(lambda: db.stats().in_use == 0)
            assert 1 <= db.stats().open <= 2


async def test_when_all_connections_are_lost_they_are_opened_again(limited_url: str, outside: Any) -> None:
    async with plainsql.connect(limited_url, max_size=10, acquire_timeout=60) as db:
        await asyncio.gather(*(plus(db, n=n) for n in range(50)))
        async with asyncio.timeout(60):
            for _ in range(3):
                await outside.fetch(
                    "select pg_terminate_backend(pid, 10000) from pg_stat_activity"
                    " where datname = current_database() and application_name = 'plainsql'"
                )
                results = await asyncio.gather(*(plus(db, n=n) for n in range(50)))
                assert results == list(range(1, 51))


async def test_where_no_server_is_there_all_are_told_at_once(proxy: Proxy, database_url: str) -> None:
    name = database_url.partition("?")[0].rpartition("/")[2]
    # No caller could wait for these limits.
    async with plainsql.connect(proxy.url(name), max_size=4, connect_timeout=600, acquire_timeout=600) as db:
        await asyncio.gather(*(plus(db, n=n) for n in range(8)))
        proxy.refuse()
        proxy.cut()
        await settled(lambda: db.stats().open == 0)
        async with asyncio.timeout(60):
            results = await asyncio.gather(*(plus(db, n=n) for n in range(300)), return_exceptions=True)
            assert {type(result) for result in results} == {ConnectError}
            assert len(set(map(id, results))) == 300  # each has its own traceback and notes
            assert db.stats() == (0, 0, 0, 0, 4)
            await proxy.accept()
            assert await asyncio.gather(*(plus(db, n=n) for n in range(8))) == list(range(1, 9))


async def test_who_waits_too_long_is_told_that_the_server_refuses_more(limited_url: str) -> None:
    async with plainsql.connect(limited_url, max_size=10, acquire_timeout=0.5) as db:
        async with db.acquire(), db.acquire():
            with pytest.raises(PoolTimeoutError) as raised:
                await put(db, n=1)
        detail = raised.value.detail or ""
        assert detail.startswith("2 connections are in use, of 10 at most, and another could not be opened: ")
        assert "TooManyConnectionsError" in detail


async def test_a_connection_is_opened_for_waiting_calls_once_it_is_allowed(
    limited_url: str, outside: Any
) -> None:
    role = urlsplit(limited_url).username
    async with asyncio.timeout(60), plainsql.connect(limited_url, max_size=3, acquire_timeout=60) as db:
        async with db.acquire(), db.acquire():
            waiting = asyncio.create_task(put(db, n=1))
            await settled(lambda: db._connections._openings.refused is not None)
            assert not waiting.done()
            await outside.execute(f"alter role {role} connection limit 3")
            assert await waiting == 1
        await outside.execute(f"alter role {role} connection limit 2")


async def test_what_only_a_change_of_a_setting_mends_is_told_to_one_call(
    limited_url: str, outside: Any
) -> None:
    role = urlsplit(limited_url).username
    async with (
        asyncio.timeout(60),
        plainsql.connect(limited_url, max_size=3, acquire_timeout=60) as db,
        db.acquire(),
    ):
        await outside.execute(f"alter role {role} nologin")
        with pytest.raises(ConnectError, match="does not let"):
            await put(db, n=1)
        await outside.execute(f"alter role {role} login")
        assert await put(db, n=1) == 1
