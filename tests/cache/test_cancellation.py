"""A call that is cancelled at whatever step leaves no lease, no marker and no wrong reply behind."""

from __future__ import annotations

import asyncio
from itertools import chain, count

from redis.asyncio import Redis

from tests.cache.conftest import Open
from tests.cache.model import Table, eventually, touched


async def settled(direct: Redis, pattern: str) -> None:
    """Wait until no such key is there, far less long than it would live by itself."""
    async with asyncio.timeout(30):
        while [key async for key in direct.scan_iter(pattern)]:  # noqa: ASYNC110 (Redis sets no event)
            await asyncio.sleep(0.005)


async def test_a_read(open_redis_cache: Open, table: Table, direct: Redis, namespace: str) -> None:
    cache = open_redis_cache(lease=600.0, lease_wait=600.0)
    for turns in chain(range(40), (40 * 2**power for power in count())):
        await cache.invalidate("shop.messages")
        table.versions[1] = turns
        read = asyncio.ensure_future(table.read(cache))
        for _ in range(turns):
            await asyncio.sleep(0)
        finished = read.done()
        read.cancel()
        await asyncio.wait([read])
        await settled(direct, f"plainsql:{namespace}:*:l:*")
        async with asyncio.timeout(10):
            assert await table.read(cache) == turns
        assert not len(cache._reads._single_flight)
        if finished:
            return


async def test_one_of_several_reads_does_not_disturb_the_others(open_redis_cache: Open, table: Table) -> None:
    cache = open_redis_cache(lease=600.0, lease_wait=600.0)
    for turns in range(60):
        await cache.invalidate("shop.messages")
        table.versions[1] = turns
        reads = [asyncio.ensure_future(table.read(cache)) for _ in range(9)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for read in reads[turns % 3 :: 3]:
            read.cancel()
        await asyncio.wait(reads)
        rest = [read for read in reads if not read.cancelled()]
        assert [read.result() for read in rest] == [turns] * len(rest)
        assert len(rest) >= 6
    await eventually(lambda: not len(cache._reads._single_flight))


async def test_a_read_that_all_have_left_is_ended(open_cache: Open, table: Table) -> None:
    cache = open_cache()
    table.gate.clear()
    reads = [asyncio.ensure_future(table.read(cache)) for _ in range(5)]
    await table.seen.wait()
    for read in reads:
        read.cancel()
    await asyncio.wait(reads)
    await eventually(lambda: not len(cache._reads._single_flight) and not cache._reads._background)
    table.gate.set()
    assert await table.read(cache) == 1
    assert table.loads == 2


async def test_a_write(open_redis_cache: Open, table: Table, direct: Redis, namespace: str) -> None:
    reader, writer = open_redis_cache(), open_redis_cache(marker_ttl=600.0)
    for turns in chain(range(40), (40 * 2**power for power in count())):
        await table.read(reader)
        write = asyncio.ensure_future(table.write(writer, turns))
        for _ in range(turns):
            await asyncio.sleep(0)
        finished = write.done()
        write.cancel()
        await asyncio.wait([write])
        # Committed or not: what is read afterwards is what is there, and soon stored again.
        assert await table.read(reader) == table.versions[1]
        await eventually(lambda: not writer.stats().unsettled)
        fields = await direct.hkeys(f"plainsql:{namespace}:{{shop.messages}}")
        assert [name for name in fields if isinstance(name, bytes) and name.startswith(b"!")] == []
        assert await table.read(reader) == table.versions[1]
        await writer.publish(await writer.begin(touched(1)))
        if finished:
            return
