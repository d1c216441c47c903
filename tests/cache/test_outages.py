"""A Redis that cannot be used: reads and writes go on, one warning says why, and one line that it is over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from plainsql.cache import Cache, CachedQuery, PendingInvalidation
from plainsql.cache.breaker import Breaker
from plainsql.cache.redis_store import RedisStore
from plainsql.dependencies import CachedRead, Dependency
from plainsql.errors import RedisUnavailableError
from tests.cache.conftest import Open
from tests.cache.model import BY_CONVERSATION, TABLE, Message, Table, eventually, reading
from tests.redis_server import RedisServer, free_port, redis_server


@asynccontextmanager
async def opened(url: str, deadline: float = 10) -> AsyncIterator[Cache]:
    store = RedisStore(url, deadline=deadline, write_deadline=deadline, quarantine=0)
    async with Cache(store, jitter=0.0) as cache:
        yield cache


async def _use(cache: Cache, table: Table, times: int = 12) -> None:
    for number in range(times):
        await table.write(cache, number)
        assert await table.read(cache) == number
        await cache.invalidate(TABLE)


def _of(caplog: pytest.LogCaptureFixture, level: str) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if (record.name, record.levelname) == ("plainsql.cache", level)
    ]


async def _deny_writes(server: RedisServer) -> str:
    async with Redis.from_url(server.url) as admin:
        await admin.acl_setuser(
            "app", enabled=True, passwords=["+w"], keys=["*"], commands=["+@all", "-eval", "-evalsha"]
        )
    return f"redis://app:w@127.0.0.1:{server.port}/0"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("nothing listens", "cannot be reached"),
        ("password", "refuses the login"),
        ("acl", "NoPermissionError"),
        ("database", "refuses an option of the URL"),
        ("tls", "did not answer"),
        ("no redis", "not Redis"),
    ],
)
async def test_it_is_said_once_and_nothing_fails(
    kind: str, message: str, table: Table, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "plainsql.cache")
    options = ("--requirepass", "pass-word") if kind == "password" else ()
    with redis_server(*options, port=free_port()) as server:
        server.start()
        place = f"127.0.0.1:{server.port}"
        async with asyncio.timeout(60):
            other = await asyncio.start_server(_answer, "127.0.0.1", 0)
            urls = {
                "nothing listens": f"redis://127.0.0.1:{free_port()}/0",
                "password": f"redis://:wrong-word@{place}/0",
                "database": f"redis://{place}/99",
                "tls": f"rediss://{place}/0",
                "no redis": f"redis://127.0.0.1:{other.sockets[0].getsockname()[1]}/0",
            }
            url = await _deny_writes(server) if kind == "acl" else urls[kind]
            # A server without TLS waits for more of what it takes for a command.
            async with opened(url, 0.05 if kind == "tls" else 10) as cache:
                await _use(cache, table)
                with pytest.raises(RedisUnavailableError):
                    await cache.clear()
                with pytest.raises(RedisUnavailableError):
                    await cache.forget(BY_CONVERSATION, (1,))
                assert cache.stats().errors > 0
            other.close()
    (warning,) = _of(caplog, "WARNING")
    assert message in warning or (kind == "no redis" and "cannot be reached" in warning)
    assert "-word" not in caplog.text
    assert _of(caplog, "INFO") == []


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


async def test_a_replica_is_said_once(table: Table, caplog: pytest.LogCaptureFixture) -> None:
    with redis_server() as server:
        server.start()
        async with opened(server.url) as cache, Redis.from_url(server.url) as admin:
            await table.write(cache, 1)
            assert await table.read(cache) == 1
            await admin.replicaof("127.0.0.1", free_port())
            for number in range(30):
                assert await table.read(cache, conversation=number) == (1 if number == 1 else None)
    (warning,) = _of(caplog, "WARNING")
    assert "ReadOnlyError; this is a replica: connect to the primary" in warning


async def test_the_end_is_said_once_as_well(table: Table, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "plainsql.cache")
    with redis_server() as server:
        async with opened(server.url) as cache:
            for _ in range(2):
                await _use(cache, table)
                server.start()
                ends = len(_of(caplog, "INFO"))
                async with asyncio.timeout(60):
                    while len(_of(caplog, "INFO")) == ends:
                        await table.read(cache)
                        await asyncio.sleep(0.01)
                await _use(cache, table)
                server.kill()
    assert len(_of(caplog, "WARNING")) == len(_of(caplog, "INFO")) == 2


def test_failures_among_successes_are_an_outage_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "plainsql.cache")
    now = 0.0
    breaker = Breaker(clock=lambda: now)
    for _ in range(30):
        breaker.failed()
        breaker.succeeded()
        now += 0.5
    assert (len(_of(caplog, "WARNING")), len(_of(caplog, "INFO"))) == (1, 0)
    now += 1.1
    breaker.succeeded()
    breaker.succeeded()
    assert (len(_of(caplog, "WARNING")), len(_of(caplog, "INFO"))) == (1, 1)


async def test_a_key_of_another_type_is_in_nobodys_way(
    open_redis_cache: Open, table: Table, direct: Redis, namespace: str
) -> None:
    reader, writer = open_redis_cache(), open_redis_cache()
    table.versions[2] = 1

    async def keys() -> list[bytes]:
        return sorted([bytes(key) async for key in direct.scan_iter(f"plainsql:{namespace}:*")])

    any_reading = reading(name="shop.messages.newest")
    version = 1
    await table.read(reader)
    await table.read(reader, any_reading)
    found = await keys()
    assert len(found) >= 4, "names, a table, a partition, entries"
    home = f"plainsql:{namespace}:{{{TABLE}}}"
    leases = [key.replace(b":e:", b":l:") for key in found if b":e:" in key]
    for key in [*found, *leases, home.encode()]:
        await direct.delete(key)
        await direct.rpush(key, "another program's")
        for query in (BY_CONVERSATION, any_reading):
            for _ in range(3):
                assert await table.read(reader, query) == version
        await direct.delete(key)
        await direct.rpush(key, "another program's")
        version += 1
        await table.write(writer, version)
        for query in (BY_CONVERSATION, any_reading):
            assert await table.read(reader, query) == version
    hits = reader.stats().hits
    assert await table.read(reader) == version
    assert reader.stats().hits == hits + 1
    assert (reader.stats().errors, writer.stats().errors, reader.stats().breaker) == (0, 0, "closed")


async def test_all_tables_of_a_new_redis_begin_their_quarantine_together(
    open_redis_cache: Open, table: Table, direct: Redis, namespace: str
) -> None:
    tables = ("shop.messages", "shop.people", "*")
    cache = open_redis_cache(quarantine=3600.0)
    policy = CachedRead(60, tuple(Dependency(name) for name in tables))
    query: CachedQuery[Message | None] = CachedQuery("shop.all", policy, ("conversation_id",), Message | None)
    await table.read(cache, query)
    for name in ("shop.messages", "shop.people", "%2A"):
        assert await direct.hexists(f"plainsql:{namespace}:{{{name}}}", "!")
    assert cache.stats().pending == 1


async def test_one_shard_that_is_away_does_not_hold_up_what_the_others_are_told(
    redis_url: str, namespace: str, table: Table
) -> None:
    """Writes that could not be made known are tried in turn, not the first one for ever."""

    class Half(RedisStore):
        async def publish(self, token: str, touched: object) -> None:
            if "shop.away" in touched:  # type: ignore[operator]
                raise RedisUnavailableError("this shard does not answer")
            await super().publish(token, touched)  # type: ignore[arg-type]

    async with Cache(Half(redis_url, namespace=namespace, deadline=10, quarantine=0), jitter=0.0) as cache:
        await cache.invalidate("shop.away")
        cache._invalidation._publish_later(PendingInvalidation("", {TABLE: {}}))
        await eventually(lambda: TABLE not in +cache._invalidation.unreachable_tables)
        assert "shop.away" in cache._invalidation.unreachable_tables
