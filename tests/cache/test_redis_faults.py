"""With every fault of Redis, reads are right and raise nothing, and writes do as their option says."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from plainsql.cache import Cache, OnFailure
from plainsql.cache.redis_store import RedisStore
from plainsql.errors import CacheError
from tests.cache.conftest import Open
from tests.cache.model import ANY, Table, eventually, reading, touched
from tests.proxy import Proxy
from tests.redis_server import free_port, redis_server


@asynccontextmanager
async def opened(
    url: str, *, on_failure: OnFailure = "commit", deadline: float = 5.0
) -> AsyncIterator[Cache]:
    store = RedisStore(url, deadline=deadline, write_deadline=deadline, quarantine=0)
    async with Cache(store, on_failure=on_failure) as cache:
        yield cache


async def test_whatever_is_evicted_nothing_old_is_served(
    open_redis_cache: Open, table: Table, direct: Redis, namespace: str
) -> None:
    reader, writer = open_redis_cache(), open_redis_cache()
    rng = random.Random(7)
    seen: set[str] = set()

    async def evict() -> None:
        keys = [bytes(key) async for key in direct.scan_iter(f"plainsql:{namespace}:*")]
        if not keys:
            return
        gone = rng.sample(keys, rng.randint(1, len(keys)))
        seen.update(key.decode().rpartition("}")[2][:3] for key in gone)
        await direct.delete(*gone)

    for version in range(2, 60):
        for query in (ANY, reading("conversation_id")):
            await table.read(reader, query)
            if rng.random() < 0.7:
                await evict()
            await table.read(reader, query)
        mark = await writer.begin(touched(1))
        if rng.random() < 0.5:
            await evict()
        table.versions[1] = version
        await writer.publish(mark)
        if rng.random() < 0.3:
            await evict()
        assert await table.read(reader, ANY) == version
        assert await table.read(reader) == version
    assert {"", ":e:", ":co"} <= seen, "tables, entries and partitions were among them"


async def test_a_marker_that_was_evicted_keeps_readers_from_storing_for_a_while(
    open_redis_cache: Open, table: Table, direct: Redis, namespace: str
) -> None:
    # The writer dies right after its commit, and Redis has lost its marker right before: both together.
    reader, writer = open_redis_cache(quarantine=60.0), open_redis_cache(quarantine=60.0)
    await table.read(reader)
    mark = await writer.begin(touched(1))
    assert mark.renewal is not None
    mark.renewal.cancel()
    assert await direct.delete(f"plainsql:{namespace}:{{shop.messages}}") == 1
    await table.read(reader)
    table.versions[1] = 2
    assert await table.read(reader) == 2
    assert reader.stats().fills == 0


async def test_a_partition_that_was_evicted_does_not_hide_a_marker(
    open_redis_cache: Open, table: Table, direct: Redis, namespace: str
) -> None:
    reader, writer = open_redis_cache(), open_redis_cache()
    await table.read(reader)
    mark = await writer.begin(touched(1))
    async for key in direct.scan_iter(f"plainsql:{namespace}:*:conversation_id=*"):
        await direct.delete(key)
    await table.read(reader)
    table.versions[1] = 2
    assert await table.read(reader) == 2
    await writer.publish(mark)


async def test_a_redis_that_restarts_empty_is_a_miss() -> None:
    table = Table()
    with redis_server(port=free_port()) as server:
        server.start()
        async with opened(server.url) as cache:
            for version in range(1, 4):
                table.versions[1] = version
                await cache.invalidate("shop.messages")
                assert [await table.read(cache) for _ in range(2)] == [version] * 2
                server.kill()
                server.start()
                table.versions[1] = version + 10
                await eventually(lambda: not cache.stats().unsettled)
                assert await table.read(cache) == version + 10


async def test_without_redis_reads_go_to_the_database_and_the_breaker_opens(table: Table) -> None:
    with redis_server(port=free_port()) as server:
        async with opened(server.url) as cache:
            assert [await table.read(cache) for _ in range(50)] == [1] * 50
            assert table.loads == 50
            stats = cache.stats()
            assert stats.errors < 10
            assert stats.breaker != "closed"
            server.start()
            async with asyncio.timeout(30):
                while not cache.stats().hits:
                    assert await table.read(cache) == 1
                    await asyncio.sleep(0.01)
            assert cache.stats().breaker == "closed"


async def test_a_redis_that_does_not_answer_costs_a_deadline_and_not_an_error(
    redis_proxy: Proxy, table: Table
) -> None:
    async with opened(f"redis://127.0.0.1:{redis_proxy.port}/0", deadline=0.1) as cache:
        query = reading("conversation_id", name="shop.slow")
        await table.read(cache, query)
        redis_proxy.pause()
        assert [await table.read(cache, query) for _ in range(20)] == [1] * 20
        assert cache.stats().errors <= 5
        redis_proxy.resume()


async def test_a_connection_that_is_cut_is_not_an_error(redis_proxy: Proxy, table: Table) -> None:
    async with opened(f"redis://127.0.0.1:{redis_proxy.port}/0") as cache:
        query = reading("conversation_id", name="shop.cut")
        for version in range(2, 10):
            reads = [asyncio.ensure_future(table.read(cache, query)) for _ in range(20)]
            await asyncio.sleep(0)
            redis_proxy.cut()
            assert set(await asyncio.gather(*reads)) <= {version - 1}
            await table.write(cache, version)
            await eventually(lambda: not cache.stats().unsettled)
            assert await table.read(cache, query) == version


async def test_what_answers_but_is_not_redis_is_not_an_error(table: Table) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with opened(f"redis://127.0.0.1:{port}") as cache:
            assert [await table.read(cache) for _ in range(5)] == [1] * 5
            await table.write(cache, 2)
            assert await table.read(cache) == 2


async def test_replies_of_another_form_are_not_an_error(
    open_redis_cache: Open, table: Table, direct: Redis, namespace: str
) -> None:
    cache = open_redis_cache()
    await table.read(cache)
    keys = [key async for key in direct.scan_iter(f"plainsql:{namespace}:*")]
    for key in keys:
        # Another program has written there.
        await direct.delete(key)
        await direct.rpush(key, "nonsense")
        assert [await table.read(cache) for _ in range(2)] == [1, 1]
        await direct.delete(key)


async def test_an_entry_that_is_none_of_ours_is_a_miss(
    open_redis_cache: Open, table: Table, direct: Redis, namespace: str
) -> None:
    cache = open_redis_cache()
    await table.read(cache)
    [key] = [key async for key in direct.scan_iter(f"plainsql:{namespace}:*:e:*")]
    entry = await direct.get(key)
    assert isinstance(entry, bytes)
    versions, _, value = entry.rpartition(b"\n")
    for broken in (b"", value[:1], value[:-1], b"\1" + value[1:], b"\0\xc1", b"\7", b"x" * 1000):
        await direct.set(key, versions + b"\n" + broken)
        assert await table.read(cache) == 1
    assert cache.stats().undecodable > 0
    assert cache.stats().breaker == "closed"


async def test_a_redis_without_memory_stores_nothing_and_forgets_what_is_written(table: Table) -> None:
    with redis_server("--maxmemory-policy", "noeviction", port=free_port()) as server:
        server.start()
        async with opened(server.url) as cache, Redis.from_url(server.url) as direct:
            await table.read(cache)
            await direct.config_set("maxmemory", 1)
            assert await table.read(cache) == 1
            assert table.loads == 1, "what is there is served"
            await table.write(cache, 2)
            await eventually(lambda: not cache.stats().unsettled)
            assert await table.read(cache) == 2
            await direct.config_set("maxmemory", 0)
            async with asyncio.timeout(30):
                while cache.stats().fills < 2:
                    assert await table.read(cache) == 2
                    await asyncio.sleep(0.01)


async def test_writes_commit_and_invalidate_as_soon_as_redis_answers(table: Table) -> None:
    with redis_server(port=free_port()) as server:
        server.start()
        async with opened(server.url) as writer, opened(server.url) as reader:
            await table.read(reader)
            server.freeze()
            store = writer._store
            assert isinstance(store, RedisStore)
            store._write_deadline = 0.1
            await table.write(writer, 2)
            assert await table.read(writer) == 2, "an own write is seen, whatever Redis knows"
            assert writer.stats().unsettled == 1
            server.thaw()
            await eventually(lambda: not writer.stats().unsettled)
            assert await table.read(reader) == 2


async def test_strict_writes_fail_before_the_commit(table: Table) -> None:
    with redis_server(port=free_port()) as server:
        server.start()
        async with opened(server.url, on_failure="fail") as cache:
            await table.read(cache)
            server.kill()
            with pytest.raises(CacheError, match="this write was not made"):
                await table.write(cache, 2)
            assert table.versions[1] == 1
            server.start()
            async with asyncio.timeout(30):
                while table.versions[1] == 1:
                    try:
                        await table.write(cache, 2)
                    except CacheError:
                        await asyncio.sleep(0.01)
            assert await table.read(cache) == 2


async def test_a_strict_write_whose_end_is_not_heard_keeps_its_marker(table: Table) -> None:
    with redis_server(port=free_port()) as server:
        server.start()
        async with opened(server.url, on_failure="fail") as writer, opened(server.url) as reader:
            await table.read(reader)
            store = writer._store
            assert isinstance(store, RedisStore)
            mark = await writer.begin(touched(1))
            table.versions[1] = 2
            store._write_deadline = 0.05
            server.freeze()
            await writer.publish(mark)
            server.thaw()
            assert await table.read(reader) == 2
            await eventually(lambda: not writer.stats().unsettled)
            assert await table.read(reader) == 2


async def test_closing_tells_what_was_not_told(table: Table) -> None:
    with redis_server(port=free_port()) as server:
        server.start()
        async with opened(server.url) as reader:
            await table.read(reader)
            async with opened(server.url) as writer:
                mark = await writer.begin(touched(1))
                table.versions[1] = 2
                settling = asyncio.ensure_future(writer.publish(mark))
                await asyncio.sleep(0)
                settling.cancel()
                await asyncio.wait([settling])
            assert await table.read(reader) == 2
            assert reader.stats().hits == 0
