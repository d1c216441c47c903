"""With ``failover_timeout`` calls wait for the next primary, and run again what was proved not executed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Generator
from urllib.parse import quote

import pytest
from asyncpg import exceptions

import plainsql
from plainsql.embedded import EmbeddedServer
from plainsql.query import Args, count
from tests.failover import Node, failover_pair
from tests.proxy import Proxy, open_proxy

PATIENCE_S = 60.0


@count("w.put", "w.sql", 1, "insert into waited values (:n)", session_clean=True)
def put(*, n: int) -> Args:
    return (n,)


@pytest.fixture(scope="module")
def pair() -> Generator[tuple[Node, Node]]:
    with failover_pair() as (a, b):
        a.execute("create table waited (n int)")
        b.wait_for(a)
        yield a, b


@pytest.fixture
async def moving(pair: tuple[Node, Node]) -> AsyncIterator[Proxy]:
    async with open_proxy(pair[0].socket) as proxy:
        yield proxy


async def test_a_call_is_run_until_the_address_leads_to_a_primary(
    moving: Proxy, pair: tuple[Node, Node]
) -> None:
    moving.retarget(pair[1].socket)
    async with plainsql.connect(moving.url(), max_size=1, failover_timeout=PATIENCE_S) as db:
        call = asyncio.ensure_future(put(db, n=1))
        await moving.until(lambda: moving.accepted >= 3)  # also the second attempt was refused
        assert not call.done()
        moving.retarget(pair[0].socket)
        await call
    assert pair[0].execute("select count(*) from waited where n = 1") == [(1,)]


async def test_a_retry_does_not_count_the_attempts_that_a_failover_ends(
    moving: Proxy, pair: tuple[Node, Node]
) -> None:
    moving.retarget(pair[1].socket)
    failed: list[int] = []

    def on_retry(attempt: int, _: BaseException) -> None:
        failed.append(attempt)
        if attempt == 2:
            moving.retarget(pair[0].socket)

    async with plainsql.connect(moving.url(), max_size=1, failover_timeout=PATIENCE_S) as db:
        await db.retry(lambda tx: put(tx, n=2), attempts=1, on_retry=on_retry)
    assert failed[:2] == [1, 2]
    assert pair[0].execute("select count(*) from waited where n = 2") == [(1,)]


@pytest.mark.parametrize("patience", [PATIENCE_S, None])
async def test_a_transaction_that_is_lost_before_its_commit_runs_again(
    moving: Proxy, pair: tuple[Node, Node], patience: float | None
) -> None:
    attempts = []

    async def work(tx: plainsql.Transaction) -> None:
        attempts.append(1)
        await put(tx, n=3)
        if len(attempts) == 1:
            moving.cut()
            await put(tx, n=4)

    pair[0].execute("delete from waited")
    async with plainsql.connect(moving.url(), max_size=1, failover_timeout=patience) as db:
        if patience:
            await db.retry(work)
            assert pair[0].execute("select n from waited") == [(3,)]
        else:
            with pytest.raises(plainsql.ConnectionLostError):
                await db.retry(work)
            assert pair[0].execute("select n from waited") == []


@pytest.mark.parametrize("kind", ["connect", "Pool"])
async def test_scripts_wait_as_well(moving: Proxy, pair: tuple[Node, Node], kind: str) -> None:
    moving.retarget(pair[1].socket)
    failed: list[int] = []

    def on_retry(attempt: int, _: BaseException) -> None:
        failed.append(attempt)
        if attempt == 2:
            moving.retarget(pair[0].socket)

    db = await asyncio.to_thread(getattr(plainsql.sync, kind), moving.url(), failover_timeout=PATIENCE_S)
    try:
        await asyncio.to_thread(db.retry, lambda tx: put(tx, n=5), attempts=1, on_retry=on_retry)
        moving.retarget(pair[1].socket)
        moving.cut()
        before = moving.accepted
        call = asyncio.ensure_future(asyncio.to_thread(lambda: put(db, n=6)))
        await moving.until(lambda: moving.accepted >= before + 2)
        moving.retarget(pair[0].socket)
        await call
    finally:
        await asyncio.to_thread(db.close)
    assert failed[:2] == [1, 2]
    assert pair[0].execute("select count(*) from waited where n in (5, 6)") == [(2,)]
    pair[0].execute("delete from waited")


async def test_calls_wait_for_a_promotion_and_lose_no_acknowledged_write() -> None:
    """The whole of it: the primary is killed, no server takes writes, the standby is promoted."""
    with failover_pair() as (old, new):
        old.execute("create table waited (n int)")
        folders = quote(f"{old.folder},{new.folder}", safe="")
        url = f"postgresql://postgres@/postgres?host={folders}&port=5432&target_session_attrs=read-write"
        async with (
            plainsql.connect(url) as impatient,
            plainsql.connect(url, failover_timeout=PATIENCE_S) as db,
        ):
            with (
                plainsql.sync.connect(url, failover_timeout=PATIENCE_S) as script,
                plainsql.sync.Pool(url, failover_timeout=PATIENCE_S) as pool,
            ):
                put(script, n=0)
                put(pool, n=1)
                await put(db, n=2)
                await put(impatient, n=3)
                new.wait_for(old)
                await asyncio.to_thread(old.stop, immediately=True)
                with pytest.raises(plainsql.ConnectError, match="no reachable server is read-write"):
                    await put(impatient, n=4)
                calls = [
                    asyncio.ensure_future(put(db, n=5)),
                    asyncio.ensure_future(db.retry(lambda tx: put(tx, n=6))),
                    asyncio.ensure_future(asyncio.to_thread(put, script, n=7)),
                    asyncio.ensure_future(asyncio.to_thread(put, pool, n=8)),
                ]
                with pytest.raises(plainsql.ConnectError):
                    await put(impatient, n=9)
                assert not any(call.done() for call in calls)
                await asyncio.to_thread(new.promote)
                await asyncio.gather(*calls)
        found = new.execute("select array_agg(n order by n) from waited")
        assert found == [([0, 1, 2, 3, 5, 6, 7, 8],)]


async def test_a_wait_ends_with_the_error_of_the_last_attempt(moving: Proxy, pair: tuple[Node, Node]) -> None:
    moving.retarget(pair[1].socket)
    async with plainsql.connect(moving.url(), max_size=1, failover_timeout=0.2) as db:
        with pytest.raises(exceptions.ReadOnlySQLTransactionError):
            await put(db, n=9)


async def test_a_primary_is_found_beside_servers_that_are_silent(
    server: EmbeddedServer, proxy: Proxy
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        hosts = f"127.0.0.1:{silent.getsockname()[1]},127.0.0.1:{proxy.port}"
        url = f"postgresql://postgres@{hosts}/postgres?sslmode=disable&target_session_attrs=primary"
        # The servers in turn, each with its share of the time, would take half an hour.
        async with plainsql.connect(url, connect_timeout=3600, min_size=4) as db:
            assert db.stats().open == 4
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):  # the server that was the primary was tried first
            silent.accept()
