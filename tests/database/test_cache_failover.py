"""After a failover nothing that was read on the old primary, or on a standby, is served as the new one's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

import plainsql
from plainsql.dependencies import CachedRead, Change, Dependency
from plainsql.query import Args, count, one
from tests.failover import Node, failover_pair
from tests.pgbouncer import pgbouncer, url_through
from tests.proxy import Proxy, open_proxy


@one[int](
    "f.get",
    "f.sql",
    1,
    "select n from f where id = :id",
    read_only=True,
    session_clean=True,
    cache=CachedRead(300, (Dependency("public.f", "id", "id"),)),
)
def get(*, id: int) -> Args:
    return (id,)


@count(
    "f.set",
    "f.sql",
    1,
    "update f set n = :n where id = :id",
    session_clean=True,
    changes=(Change("public.f", (("id", "parameter", "id"),)),),
)
def put(*, n: int, id: int) -> Args:
    return (n, id)


@pytest.fixture
def pair() -> Iterator[tuple[Node, Node]]:
    """A primary with a table of one row, and its standby."""
    with failover_pair() as (primary, standby):
        primary.execute("create table f (id integer primary key, n integer not null)")
        primary.execute("insert into f values (1, 0), (2, 0)")
        standby.wait_for(primary)
        yield primary, standby


@pytest.fixture
async def address(pair: tuple[Node, Node]) -> AsyncIterator[Proxy]:
    """The address of the service: at first the primary's."""
    async with open_proxy(pair[0].socket) as proxy:
        yield proxy


@pytest.fixture
async def redis(redis_url: str) -> str:
    """An empty Redis whose quarantine is over: what may be stored is stored immediately."""
    async with Redis.from_url(redis_url) as client:
        await client.flushdb()
        await client.hset("plainsql:{public.f}", "=", "1")
        await client.hset("plainsql:{%2A}", "=", "1")
    return redis_url


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


def fail_over(pair: tuple[Node, Node], address: Proxy) -> None:
    """Promote the standby, and move the address to it; the old primary lives on and refuses writes."""
    old, new = pair
    new.wait_for(old)
    old.read_only()
    new.promote()
    address.retarget(new.socket)


async def test_a_result_of_the_old_primary_is_not_served_on_the_new_one(
    pair: tuple[Node, Node], address: Proxy, redis: str, stack: AsyncExitStack
) -> None:
    old = await stack.enter_async_context(plainsql.connect(address.url(), redis=redis))
    assert await get(old, id=1) == 0
    fail_over(pair, address)
    new = await stack.enter_async_context(plainsql.connect(address.url(), redis=redis))
    assert await put(new, id=1, n=3) == 1
    for _ in range(3):
        assert await get(old, id=1) == 0, "its server has no more"
        assert await get(new, id=1) == 3
    assert new.cache.stats().hits >= 1, "and the cache is in use"
    assert old.cache.stats().hits >= 1


async def test_a_pool_with_connections_to_both_goes_around_the_cache(
    pair: tuple[Node, Node], address: Proxy, redis: str, stack: AsyncExitStack
) -> None:
    db = await stack.enter_async_context(plainsql.connect(address.url(), redis=redis, max_size=2))
    assert [await get(db, id=1) for _ in range(2)] == [0, 0]
    fail_over(pair, address)
    other = await stack.enter_async_context(plainsql.connect(address.url(), redis=redis))
    assert await put(other, id=1, n=3) == 1
    async with db.acquire() as one, db.acquire() as two:
        pids = [await each.fetchval("select pg_backend_pid()") for each in (one, two)]
        ours = (
            await one.fetchval("select n from f where id = 1"),
            await two.fetchval("select n from f where id = 1"),
        )
        assert sorted(ours) == [0, 3], "one connection to each"
    stats = db.cache.stats()
    for _ in range(4):
        await get(db, id=1)
    assert db.cache.stats().bypassed == stats.bypassed + 4
    assert (db.cache.stats().hits, db.cache.stats().fills) == (stats.hits, stats.fills)
    pair[0].execute("select pg_terminate_backend(%s, 60000)", pids[ours.index(0)])
    while await get(db, id=2) != 0 or db.cache.stats().fills == stats.fills:
        pass  # until it is seen to be closed
    assert [await get(db, id=1) for _ in range(3)] == [3, 3, 3]


async def test_a_read_is_not_stored_if_the_new_primary_appears_meanwhile(
    pair: tuple[Node, Node], address: Proxy, redis: str, stack: AsyncExitStack
) -> None:
    db = await stack.enter_async_context(plainsql.connect(address.url(), redis=redis, max_size=2))
    assert await get(db, id=1) == 0
    blocker = await asyncpg.connect(address.url())
    fail_over_lock = blocker.transaction()
    await fail_over_lock.start()
    await blocker.execute("lock table f in access exclusive mode")
    reading = asyncio.create_task(_value(db))
    await asyncio.to_thread(_until_blocked, pair[0])
    fills = db.cache.stats().fills
    pair[1].promote()
    address.retarget(pair[1].socket)
    async with db.acquire() as connection:
        assert (
            await connection.fetchval("select left(pg_walfile_name(pg_current_wal_lsn()), 8)") == "00000002"
        )
        await fail_over_lock.rollback()
        assert await reading == 0
    assert db.cache.stats().fills == fills
    await blocker.close()


def _until_blocked(node: Node) -> None:
    while not node.execute("select 1 from pg_locks where not granted and relation = 'f'::regclass"):
        time.sleep(0.01)


async def _value(db: Any) -> int:
    found: int = await get(db, id=2)
    return found


async def test_a_standby_stores_nothing_until_it_is_promoted(
    pair: tuple[Node, Node], redis: str, stack: AsyncExitStack
) -> None:
    primary, standby = pair
    db = await stack.enter_async_context(plainsql.connect(standby.url(), redis=redis))
    assert [await get(db, id=1) for _ in range(3)] == [0, 0, 0]
    stats = db.cache.stats()
    assert (stats.bypassed, stats.misses, stats.fills, stats.hits) == (3, 0, 0, 0)
    primary.execute("update f set n = 7 where id = 1")
    standby.wait_for(primary)
    primary.stop(immediately=True)
    standby.promote()
    # The connection is the same; its server says with its next answer that it is a primary now.
    for _ in range(4):
        assert await get(db, id=1) == 7
    assert await put(db, id=1, n=8) == 1
    assert [await get(db, id=1) for _ in range(2)] == [8, 8]
    assert db.cache.stats().hits >= 1
    assert db.stats().open == 1


async def test_a_database_that_was_made_again_shares_nothing_with_the_one_before(
    pair: tuple[Node, Node], redis: str, stack: AsyncExitStack
) -> None:
    primary, _ = pair
    for n in (1, 2):
        primary.execute("create database again")
        primary.execute("create table f (id integer primary key, n integer not null)", database="again")
        primary.execute(f"insert into f values (1, {n})", database="again")
        async with plainsql.connect(primary.url("again"), redis=redis) as db:
            assert [await get(db, id=1) for _ in range(2)] == [n, n]
        primary.execute("drop database again with (force)")


async def test_hits_cost_no_statement_and_misses_only_their_own(
    pair: tuple[Node, Node], address: Proxy, redis: str, stack: AsyncExitStack
) -> None:
    db = await stack.enter_async_context(plainsql.connect(address.url(), redis=redis, max_size=1))
    await get(db, id=1)
    messages = address.to_server.messages
    before = (messages["E"], messages["Q"], messages["P"])
    for _ in range(5):
        await get(db, id=1)
    assert (messages["E"], messages["Q"], messages["P"]) == before
    await put(db, id=2, n=1)
    written = messages["E"]
    await get(db, id=2)
    assert (messages["E"], messages["Q"]) == (written + 1, before[1])
    assert db.cache.stats().fills == 2


async def test_behind_a_pooler_a_result_is_stored_for_its_own_server_only(
    pair: tuple[Node, Node], redis: str, stack: AsyncExitStack
) -> None:
    """A pooler in transaction mode may lead each transaction of one connection to another server: here to the
    one that was started again, and has lost what it had not kept.
    """
    primary, standby = pair
    standby.stop()
    with pgbouncer(primary, "transaction") as folder:  # type: ignore[arg-type]
        url = url_through(folder, "postgres")
        db = await stack.enter_async_context(plainsql.connect(url, redis=redis, max_size=1))
        assert [await get(db, id=1) for _ in range(2)] == [0, 0]
        assert (db.cache.stats().fills, db.cache.stats().hits) == (1, 1)
        assert [await get(db.tenant("a"), id=1) for _ in range(2)] == [0, 0]
        stats = db.cache.stats()
        primary.stop()
        primary.start()
        for _ in range(20):
            try:
                assert await get(db, id=2) == 0
            except asyncpg.exceptions.PostgresError:  # the pooler reports the connection that it has lost
                continue
            break
        assert db.cache.stats().fills == stats.fills, "the server is another one"
        primary.execute("update f set n = 5 where id = 1")
        assert [await get(db, id=1) for _ in range(2)] == [5, 5], "nobody has told: it is another server's"
        assert db.cache.stats().fills > stats.fills
