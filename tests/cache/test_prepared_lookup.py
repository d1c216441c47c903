"""A lookup whose command is prepared finds what the general one finds, and reads a hit in as few commands as
there are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from redis.asyncio import Redis

from plainsql import UNSET
from plainsql.cache import CachedQuery, Lookup, Touched
from plainsql.cache.redis_store import RedisStore
from plainsql.dependencies import CachedRead, Dependency

_ANY = Dependency("*")
_BY_ID = Dependency("shop.orders", "id", "id")
POLICIES = {
    "no tag": (),
    "a table": (_ANY,),
    "a column": (_BY_ID,),
    "the usual": (_BY_ID, _ANY),
    "two of a table": (_BY_ID, Dependency("shop.orders", "größe %", "size"), Dependency("shop.orders")),
    "names with signs": (Dependency("Añb {%s}.t%", "a%b", "size"), _ANY),
    "one column twice": (_BY_ID, Dependency("shop.orders", "id", "size")),
    "very many": (_BY_ID, *(Dependency(f"shop.t{number}") for number in range(40))),
}
ARGUMENTS = (UUID(int=7), "large")


def query(*dependencies: Dependency, name: str = "shop.orders.get") -> CachedQuery[int]:
    return CachedQuery(name, CachedRead(60, dependencies), ("id", "size"), int)


@pytest.fixture
async def store(redis_url: str, namespace: str) -> AsyncIterator[RedisStore]:
    store = RedisStore(redis_url, namespace=namespace, deadline=10, write_deadline=10, quarantine=0)
    yield store
    await store.aclose()


@pytest.mark.parametrize("refresh_below", [0.0, 5.0])
@pytest.mark.parametrize("dependencies", POLICIES.values(), ids=POLICIES)
async def test_it_finds_what_the_general_one_finds(
    store: RedisStore, dependencies: tuple[Dependency, ...], refresh_below: float
) -> None:
    one = query(*dependencies)
    call = one.call(one.key(ARGUMENTS, ()), ARGUMENTS)
    general = call._replace(shape=None)

    async def find(which: str) -> Lookup:
        call_ = call if which == "prepared" else general
        return await store.lookup(call_, "own", keep=60, lease=60, refresh_below=refresh_below)

    async def fill() -> None:
        found = await find("prepared")
        assert found.state == "fill"
        assert await store.fill(call, "own", found.versions, b"\0value\n|", 60)
        for which in ("prepared", "general"):
            assert await find(which) == Lookup("hit", b"\0value\n|")

    await fill()
    for prefix in call.prefixes:
        await store.clear(prefix, f"cleared{prefix}")
        await fill()
    for tag in call.tags:
        whole: Touched = {tag.table: {}}
        await store.begin("writer", whole, 60)
        assert [(await find(which)).state for which in ("prepared", "general")] == ["pending"] * 2
        await store.publish("writer", whole)
        await fill()
        if tag.column:
            await store.publish("", {tag.table: {tag.column: frozenset({tag.partition})}})
            await fill()
            await store.publish("", {tag.table: {tag.column: frozenset({f"{tag.column}=another"})}})
            if all(one.column == tag.column for one in call.tags if one.table == tag.table):
                assert await find("prepared") == Lookup("hit", b"\0value\n|")
            else:
                await fill()  # the other tag may be touched: nothing is known of its column
    await store.forget(call)
    await fill()
    await store.forget(call)
    assert (await find("prepared")).state == "fill"
    assert [(await find(which)).state for which in ("prepared", "general")] == ["busy"] * 2


@pytest.mark.parametrize("size", ["large", 7, UNSET, 1.5], ids=str)
async def test_an_argument_without_a_digest_gives_a_call_another_shape(
    store: RedisStore, size: object
) -> None:
    one = query(*POLICIES["two of a table"])
    arguments = (UUID(int=7), size)
    call = one.call(one.key(arguments, ()), arguments)
    assert (call.shape is None) == (size is UNSET or isinstance(size, float))
    found = await store.lookup(call, "own", keep=60, lease=60)
    assert await store.fill(call, "own", found.versions, b"\0value", 60)
    assert await store.lookup(call, "own", keep=60, lease=60) == Lookup("hit", b"\0value")


async def test_an_entry_is_due_at_the_end_of_its_life(store: RedisStore) -> None:
    one = query(_BY_ID, _ANY)
    call = one.call(one.key(ARGUMENTS, ()), ARGUMENTS)
    found = await store.lookup(call, "own", keep=60, lease=60)
    assert await store.fill(call, "own", found.versions, b"\0value", 60)
    for below, state in ((50.0, "hit"), (70.0, "refresh"), (70.0, "hit"), (0.0, "hit")):
        look = await store.lookup(call, "own", keep=60, lease=60, refresh_below=below)
        assert (look.state, look.data) == (state, b"\0value")


async def test_a_hit_reads_nothing_twice(store: RedisStore, redis_url: str) -> None:
    one = query(_BY_ID, _ANY)
    call = one.call(one.key(ARGUMENTS, ()), ARGUMENTS)
    found = await store.lookup(call, "own", keep=60, lease=60)
    assert await store.fill(call, "own", found.versions, b"\0value", 60)
    await store.lookup(call, "own", keep=60, lease=60)
    async with Redis.from_url(redis_url) as direct:
        await direct.config_resetstat()
        for _ in range(10):
            assert (await store.lookup(call, "own", keep=60, lease=60)).state == "hit"
        counted, looked = await direct.info("commandstats"), await direct.info("stats")
    calls = {name.removeprefix("cmdstat_"): each["calls"] for name, each in counted.items()}
    own = {name: count for name, count in calls.items() if "config" not in name and "client" not in name}
    assert own == {"evalsha": 10, "mget": 10, "hmget": 10, "hget": 20}
    # The entry, the names, two tables and a partition; not the lease.
    assert (looked["keyspace_hits"], looked["keyspace_misses"]) == (50, 0)
