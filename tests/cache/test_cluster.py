"""The protocol on a Redis Cluster: the scripts of a read of several tables go to several slots."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Generator

import pytest
import redis
from redis.asyncio import RedisCluster

from plainsql.cache import Cache, CachedQuery, merge, touched_rows
from plainsql.cache.redis_store import RedisStore
from plainsql.cache.stats import Violation
from plainsql.dependencies import CachedRead, Dependency
from tests.cache.model import BY_CONVERSATION, TABLE, Message, Table, eventually, reading, touched
from tests.redis_server import free_port, redis_server

LEADS = "shop.leads"
BOTH = CachedQuery[Message | None](
    "shop.both",
    CachedRead(60, (Dependency(TABLE, "conversation_id", "id"), Dependency(LEADS), Dependency(TABLE))),
    ("id",),
    Message | None,
)


@pytest.fixture(scope="module")
def port() -> Generator[int]:
    """The port of a cluster of one node: it has all slots, and refuses scripts whose keys lie in several."""
    with redis_server("--cluster-enabled", "yes", port=free_port()) as server:
        server.start()
        with redis.Redis.from_url(server.url) as node:
            node.cluster("addslotsrange", 0, 16383)
            deadline = time.monotonic() + 15
            while node.cluster("info")["cluster_state"] != "ok":
                assert time.monotonic() < deadline
                time.sleep(0.01)
        yield server.port


@pytest.fixture
async def caches(port: int) -> AsyncIterator[tuple[Cache, Cache]]:
    async with RedisCluster(host="127.0.0.1", port=port) as client:
        await client.flushall()
        stores = [RedisStore(client, deadline=10, write_deadline=10, quarantine=0) for _ in range(2)]
        async with Cache(stores[0], jitter=0) as reader, Cache(stores[1], jitter=0) as writer:
            yield reader, writer


async def test_a_read_of_several_tables_ends_with_each(caches: tuple[Cache, Cache], table: Table) -> None:
    reader, writer = caches
    for version, name in enumerate((TABLE, LEADS, TABLE), 2):
        assert [await table.read(reader, BOTH) for _ in range(3)] == [version - 1] * 3
        async with writer.writing(touched_rows(name, {})):
            table.versions[1] = version
        assert await table.read(reader, BOTH) == version
    assert reader.stats().errors == 0
    assert reader.stats().hits == 8


async def test_a_write_to_several_tables_ends_the_reads_of_each(
    caches: tuple[Cache, Cache], table: Table
) -> None:
    reader, writer = caches
    leads = reading("conversation_id", name="shop.leads.get", table=LEADS)
    for query in (BY_CONVERSATION, leads):
        await table.read(reader, query)
    mark = await writer.begin(merge([touched(1), touched_rows(LEADS, {"conversation_id": 1})]))
    table.versions[1] = 2
    assert [await table.read(reader, query) for query in (BY_CONVERSATION, leads)] == [2, 2]
    assert reader.stats().fills == 2
    await writer.publish(mark)
    assert [await table.read(reader, query) for query in (BY_CONVERSATION, leads)] == [2, 2]
    assert reader.stats().fills == 4


async def test_a_slow_fill_does_not_store_what_was_overwritten(
    caches: tuple[Cache, Cache], table: Table
) -> None:
    reader, writer = caches
    table.gate.clear()
    slow = asyncio.ensure_future(table.read(reader, BOTH))
    await table.seen.wait()
    async with writer.writing(touched_rows(LEADS, {})):
        table.versions[1] = 2
    late = asyncio.ensure_future(table.read(reader, BOTH))
    await asyncio.sleep(0)
    table.gate.set()
    assert [await slow, await late] == [1, 2]
    assert await table.read(writer, BOTH) == 2


async def test_misses_are_one_read_and_leases_go(caches: tuple[Cache, Cache], table: Table) -> None:
    reads = [table.read(cache, BOTH) for _ in range(50) for cache in caches]
    assert await asyncio.gather(*reads) == [1] * 100
    assert table.loads == 1


async def test_everything_else_works_there_too(caches: tuple[Cache, Cache], table: Table) -> None:
    reader, _ = caches
    query = reading("conversation_id", name="shop.due", ttl=0.001, stale=60)
    await table.read(reader, query)
    await asyncio.sleep(0.01)
    assert await table.read(reader, query) == 1
    await eventually(lambda: reader.stats().refreshes > 0)
    await table.read(reader, BOTH)
    for ended in (reader.clear("shop"), reader.forget(BOTH, (1,))):
        loads = table.loads
        await table.read(reader, BOTH)
        assert table.loads == loads
        await ended
        await table.read(reader, BOTH)
        assert table.loads == loads + 1
    audited = Cache(RedisStore(reader._store.link, quarantine=0), audit_rate=1.0)  # type: ignore[attr-defined]
    await table.read(audited, BOTH)
    await eventually(lambda: audited.stats().audited == 1)
    await audited.close()


async def test_an_audit_is_asked_for_and_answered(port: int) -> None:
    async with RedisCluster(host="127.0.0.1", port=port) as client:
        await client.flushall()
        audits = RedisStore(client, deadline=10).audits
        id = await audits.request(0.5, 60)
        found = [Violation("shop.get", (TABLE,), 0.0)]
        asked = await audits.report(id, {"processes": 1, "a shop.get": 2, "v shop.get": 1}, found)
        assert asked is not None
        assert (asked.id, asked.rate) == (id, 0.5)
        tally = await audits.result(id, remove=True)
        assert (tally.processes, tally.audited, tally.violations) == (1, 2, 1)
        assert tally.found == tuple(found)
