"""Cached reads compared with other caches: ``python -m benchmarks.cache_reads --json``.

The times are of a hit in the process; a hit in Redis, next to a bare ``GET`` and its decoding with redis-py,
on a client as ``Redis.from_url`` makes it and on that of the link, which has no timeouts of its own; 1,000
concurrent misses of one key, and how many reads of the database they are; and how many round trips to Redis a
write pays. A package that is missing is skipped by name.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any

import msgspec
from redis.asyncio import Redis

from plainsql.cache import Cache, CachedQuery, touched_rows
from plainsql.cache.redis_store import RedisStore
from plainsql.dependencies import CachedRead, Dependency
from plainsql.redis_connection import RedisConnection, Script
from tests.redis_server import RedisServer, free_port, redis_server

__all__ = ["measure"]

Read = Callable[[], Awaitable[Any]]
TABLE = "realty.leads"


class Lead(msgspec.Struct, frozen=True):
    """A row of a usual width."""

    id: uuid.UUID
    name: str
    email: str | None
    phone: str | None
    telegram_chat_id: str | None
    created_at: datetime
    updated_at: datetime


LEAD = Lead(
    uuid.UUID(int=7),
    "Ana García",
    "ana@example.com",
    "+34 600 000 000",
    None,
    datetime.now(UTC),
    datetime.now(UTC),
)


def reading(local: float | None = None) -> CachedQuery[Lead | None]:
    """The cached query, with or without a tier in the process."""
    policy = CachedRead(300.0, (Dependency(TABLE, "id", "id"),), local=local)
    return CachedQuery("realty.leads.get_by_id", policy, ("id",), Lead | None)


class CountingLink(RedisConnection):
    """Counts round trips."""

    trips = 0

    async def run(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[bytes | str | int],
        *,
        deadline: float,
        trusted: bool = False,
    ) -> Any:
        self.trips += 1
        return await super().run(script, keys, arguments, deadline=deadline, trusted=trusted)


async def _time(read: Read, times: int) -> float:
    """Microseconds of one read."""
    began = time.perf_counter()
    for _ in range(times):
        await read()
    return (time.perf_counter() - began) / times * 1e6


class Database:
    """Replaces the database: counts the reads, and takes a millisecond."""

    def __init__(self) -> None:
        self.reads = 0

    async def load(self) -> Lead:
        self.reads += 1
        await asyncio.sleep(0.001)
        return LEAD


async def _plainsql(server: RedisServer, rounds: int, times: int) -> dict[str, Any]:
    one, near = reading(), reading(local=3600.0)
    database, arguments = Database(), (LEAD.id,)
    link = CountingLink(server.url)
    async with link, Cache(RedisStore(link, quarantine=0, deadline=10)) as cache:
        started = time.perf_counter()
        await asyncio.gather(*(cache.read(one, arguments, database.load) for _ in range(1000)))
        misses = {"seconds": time.perf_counter() - started, "database_reads": database.reads}
        await cache.read(near, arguments, database.load)

        own, plain = link._client, Redis.from_url(server.url)
        await own.set("bare", one.codec.encode(LEAD))

        async def bare() -> None:
            one.decode(await plain.get("bare"))

        async def bare_on_own() -> None:
            one.decode(await own.get("bare"))

        async def hit() -> None:
            await cache.read(one, arguments, database.load)

        # In turns, so that other work of the machine slows all three.
        turns = [
            (await _time(bare, times), await _time(bare_on_own, times), await _time(hit, times))
            for _ in range(rounds)
        ]
        await plain.aclose()
        probes = []
        for _ in range(rounds):
            began = time.perf_counter()
            for _ in range(times * 10):
                cache.probe(near, arguments)
            probes.append((time.perf_counter() - began) / (times * 10) * 1e6)
        before = link.trips
        async with cache.writing(touched_rows(TABLE, {"id": LEAD.id})):
            pass
        return {
            "local_hit_us": min(probes),
            "redis_hit_us": min(found for *_, found in turns),
            "bare_get_us": min(found for found, *_ in turns),
            "bare_get_own_client_us": min(found for _, found, _ in turns),
            "ratio": median(found / bare for bare, _, found in turns),
            "ratio_own_client": median(found / bare for _, bare, found in turns),
            "misses_1000": misses,
            "write_round_trips": link.trips - before,
        }


async def _of_peer(
    read: Read, near: Read | None, database: Database, rounds: int, times: int
) -> dict[str, Any]:
    started = time.perf_counter()
    answers = await asyncio.gather(*(read() for _ in range(1000)), return_exceptions=True)
    misses: dict[str, Any] = {
        "seconds": time.perf_counter() - started,
        "database_reads": database.reads,
    }
    if errors := Counter(type(one).__name__ for one in answers if isinstance(one, BaseException)):
        misses["errors"] = dict(errors)
    await read()
    found: dict[str, Any] = {"redis_hit_us": min([await _time(read, times) for _ in range(rounds)])}
    if near is not None:
        await near()
        found["local_hit_us"] = min([await _time(near, times * 5) for _ in range(rounds)])
    return {**found, "misses_1000": misses}


async def _cashews(server: RedisServer, rounds: int, times: int) -> dict[str, Any]:
    import cashews

    database = Database()
    remote, process = cashews.Cache(), cashews.Cache()
    remote.setup(f"redis://127.0.0.1:{server.port}/1", client_side=False)
    process.setup("mem://")

    @remote(ttl="5m", key="lead:{id}", lock=True)
    async def read(id: str) -> Lead:
        return await database.load()

    @process(ttl="5m", key="lead:{id}")
    async def near(id: str) -> Lead:
        return LEAD

    try:
        return await _of_peer(
            lambda: read(id=str(LEAD.id)), lambda: near(id=str(LEAD.id)), database, rounds, times
        )
    finally:
        await remote.close()
        await process.close()


async def _aiocache(server: RedisServer, rounds: int, times: int) -> dict[str, Any]:
    import aiocache
    from aiocache.serializers import PickleSerializer

    database = Database()
    key = f"lead:{LEAD.id}"
    caches: dict[str, Any] = {
        "redis": aiocache.Cache(
            aiocache.Cache.REDIS, endpoint="127.0.0.1", port=server.port, db=2, serializer=PickleSerializer()
        ),
        "memory": aiocache.Cache(aiocache.Cache.MEMORY),
    }

    def reader(name: str) -> Read:
        async def read() -> Any:
            found = await caches[name].get(key)
            if found is None:
                found = await database.load()
                await caches[name].set(key, found, ttl=300)
            return found

        return read

    try:
        return await _of_peer(reader("redis"), reader("memory"), database, rounds, times)
    finally:
        for one in caches.values():
            await one.close()


async def _dogpile(server: RedisServer, rounds: int, times: int) -> dict[str, Any]:
    from dogpile.cache import make_region

    url = f"redis://127.0.0.1:{server.port}/3"
    region = make_region().configure(
        "dogpile.cache.redis", expiration_time=300, arguments={"url": url, "distributed_lock": True}
    )
    near = make_region().configure("dogpile.cache.memory", expiration_time=300)
    key = f"lead:{LEAD.id}"

    def timed(one: Any) -> float:
        one.get_or_create(key, lambda: LEAD)
        began = time.perf_counter()
        for _ in range(times):
            one.get_or_create(key, lambda: LEAD)
        return (time.perf_counter() - began) / times * 1e6

    # It has no asynchronous interface: a thousand concurrent misses would be a thousand threads.
    return {
        "redis_hit_us": min([timed(region) for _ in range(rounds)]),
        "local_hit_us": min([timed(near) for _ in range(rounds)]),
    }


_CONTENDERS: dict[str, Callable[[RedisServer, int, int], Awaitable[dict[str, Any]]]] = {
    "plainsql": _plainsql,
    "cashews": _cashews,
    "aiocache": _aiocache,
    "dogpile.cache": _dogpile,
}


async def measure(*, rounds: int = 9, times: int = 2000) -> dict[str, Any]:
    """Measure all that are installed; the others' names are under ``skipped``."""
    results: dict[str, Any] = {}
    skipped: list[str] = []
    with redis_server(port=free_port()) as server:
        server.start()
        async with Redis.from_url(server.url) as client:
            await client.ping()
        for name, run in _CONTENDERS.items():
            try:
                known = version(name)
            except PackageNotFoundError:
                skipped.append(name)
                continue
            results[name] = {"version": known, **(await run(server, rounds, times))}
    return {"results": results, "skipped": skipped}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cache_reads", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--times", type=int, default=2000, help="reads in a round")
    parser.add_argument("--json", action="store_true", help="only one line, of JSON")
    options = parser.parse_args()
    found = asyncio.run(measure(rounds=options.rounds, times=options.times))
    if options.json:
        print(json.dumps(found))
        return 0
    for name, result in found["results"].items():
        print(f"{name} {result.pop('version')}")
        for what, value in result.items():
            print(f"  {what:<18} {value if not isinstance(value, float) else round(value, 2)}")
    for name in found["skipped"]:
        print(f"{name}: not installed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
