"""Redis by the URL of its Sentinels: a failover is a burst of misses, and never an old result."""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest
import redis

from plainsql.cache.scripts import cache_script
from plainsql.errors import PlainsqlError, RedisUnavailableError
from plainsql.health.redis_check import check_redis
from plainsql.limits import Limits, SyncLimits
from plainsql.redis_address import Node
from plainsql.redis_connection import RedisConnection, Script
from plainsql.redis_majority import TRUST_S
from plainsql.redis_sentinel import SentinelRoute
from plainsql.sessions import Sessions
from plainsql.values import Values
from tests.cache.model import TABLE, Table
from tests.cache.opened_caches import OpenCache, opened_caches
from tests.redis_groups import SERVICE, SentinelGroup, sentinel_group, until
from tests.redis_server import free_port, redis_server

COUNT = Script("return redis.call('INCR', KEYS[1])")
WORD = "pass-word"
RIGHTS = re.findall(r"acl setuser shop (.*)\n", Path("docs/cache.md").read_text(encoding="utf-8"))[0]


@pytest.fixture(scope="module")
def group() -> Generator[SentinelGroup]:
    """A master, two replicas and three Sentinels; tests leave them with a master and a replica at least."""
    with sentinel_group(2, down_after_ms=800, password=WORD) as group:
        yield group


@pytest.fixture(autouse=True)
def settled(group: SentinelGroup) -> None:
    """Waits for the end of what the test before has begun."""
    until(group.are_agreed, "the Sentinels agree on a master")


@pytest.fixture
def namespace(group: SentinelGroup) -> str:
    """A namespace whose tables are known to the master: no wait is left of its beginning."""
    found = uuid.uuid4().hex
    enter(group, found)
    return found


def enter(group: SentinelGroup, namespace: str) -> None:
    with group.client(group.master) as client:
        term = client.info("replication")["master_replid"][:20]
        client.hset(f"plainsql:{namespace}:{{{TABLE}}}", "=", f"0@{term}")


@pytest.fixture
async def open_cache(group: SentinelGroup, namespace: str) -> AsyncIterator[OpenCache]:
    """Opens caches as processes would, of a protocol with a hole if one is named."""
    async with opened_caches(group.url, namespace) as opened:
        yield opened


@pytest.fixture
def table() -> Table:
    table = Table()
    table.versions[1] = 1
    return table


def replicas(group: SentinelGroup) -> list[int]:
    """The ports of the replicas; a former master may still be one."""
    return [server.port for server in group.servers if group.role(server) == "slave"]


async def test_all_services_use_the_master(group: SentinelGroup) -> None:
    async with RedisConnection(group.url) as link:
        assert await Limits(link, prefix="s:limits").bucket("b", rate=10).consume("x")
        session = await Sessions(link, int, prefix="s:sessions").create("ana", 1)
        assert (await Sessions(link, int, prefix="s:sessions").get(session.id)) == session
        assert await Values(link, int, prefix="s:values").get_or_load("a", lambda: 5) == 5
        assert await asyncio.gather(*[link.run(COUNT, ["s:n"], [], deadline=5) for _ in range(50)]) == [
            *range(1, 51)
        ]
        assert WORD not in f"{link!r}{link.address}{await link.topology()}"
        assert f"the master 127.0.0.1:{group.master.port}" in await link.topology()


def test_threads_and_several_event_loops_use_it_too(group: SentinelGroup) -> None:
    with SyncLimits(group.url, prefix="s:sync") as limits:
        assert limits.bucket("b", rate=10).consume("x")
    link = RedisConnection(group.url)
    counts = [asyncio.run(link.run(COUNT, ["s:loops"], [], deadline=5, trusted=True)) for _ in range(3)]
    assert counts == [1, 2, 3]
    asyncio.run(link.aclose())


async def test_the_cache_hits_there_and_a_write_is_seen(
    open_cache: OpenCache, table: Table, group: SentinelGroup
) -> None:
    reader, writer = open_cache(), open_cache()
    assert [await table.read(reader) for _ in range(3)] == [1, 1, 1]
    await table.write(writer, 2)
    assert [await table.read(reader) for _ in range(3)] == [2, 2, 2]
    assert (reader.stats().hits, reader.stats().fills, reader.stats().errors) == (4, 2, 0)


async def test_a_former_master_is_left_before_a_write_returns(
    open_cache: OpenCache, table: Table, group: SentinelGroup, namespace: str
) -> None:
    """The former master answers for seconds after a failover. It has the entry, and no writer reaches it."""
    reader, trusting = open_cache(), open_cache("trust")
    for cache in (reader, trusting):
        assert [await table.read(cache) for _ in range(2)] == [1, 1]
    route = reader.store.link._state_of_loop().connections  # type: ignore[attr-defined]
    assert isinstance(route, SentinelRoute)
    assert route._renewal is not None
    route._renewal.cancel()
    former = await asyncio.to_thread(group.fail_over)
    assert group.role(former) == "master"
    # As if the Sentinels had named the former master right now, for the last time.
    route.trusted_until = asyncio.get_running_loop().time() + TRUST_S
    assert await table.read(reader) == 1
    writer = open_cache()
    await table.write(writer, 2)
    assert await table.read(trusting) == 1, "the former master is no danger: the test shows nothing"
    assert await table.read(reader) == 2


async def test_a_promoted_replica_brings_nothing_back(
    open_cache: OpenCache, table: Table, group: SentinelGroup, caplog: pytest.LogCaptureFixture
) -> None:
    """The replica lacks the invalidation, and has the entry with the versions of before."""
    reader, trusting, writer = open_cache(), open_cache("term"), open_cache()
    for cache in (reader, trusting):
        assert [await table.read(cache) for _ in range(2)] == [1, 1]
    master = group.master
    with group.client(master) as client:
        assert client.wait(1, 5000) >= 1
    others = [server for server in group.servers if server is not master]
    group.keep_behind(master, others)
    await table.write(writer, 2)
    master.kill()
    for server in others:
        server.thaw()
    for _ in range(5):
        assert await table.read(reader) == 2
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert WORD not in caplog.text
    until(lambda: group.master is not master and group.are_agreed(), "a replica is promoted")
    async with asyncio.timeout(20):
        while await table.read(trusting) != 1:  # noqa: ASYNC110 (the breaker lets a call through)
            await asyncio.sleep(0.02)
    until(lambda: reader._breaker.state != "open", "the breaker lets a call through")
    assert await table.read(reader) == 2
    assert reader.stats().pending + reader.stats().misses > 1
    master.start()


async def test_one_sentinel_is_not_believed(group: SentinelGroup) -> None:
    away = group.sentinels[1:]
    for sentinel in away:
        sentinel.kill()
    try:
        async with RedisConnection(group.url) as link:
            with pytest.raises(RedisUnavailableError, match="no majority") as raised:
                await link.run(COUNT, ["s:one"], [], deadline=5, trusted=True)
            assert "1 of 3" in str(raised.value)
            # Limits and sessions prefer a master that may be the former one to none.
            assert await link.run(COUNT, ["s:one"], [], deadline=5) == 1
    finally:
        for sentinel in away:
            sentinel.start()
    until(group.are_agreed, "the Sentinels are back")
    async with RedisConnection(group.url) as link:
        assert await link.run(COUNT, ["s:one"], [], deadline=5, trusted=True) == 2


async def test_a_newer_word_of_one_sentinel_ends_the_trust(group: SentinelGroup) -> None:
    """The word of one is used where no majority is needed. It must not get the trust of the majority."""
    async with RedisConnection(group.url) as link:
        await link.run(COUNT, ["s:newer"], [], deadline=5, trusted=True)
        route = link._state_of_loop().connections
        assert isinstance(route, SentinelRoute)
        view = await route._view_of(next(iter(route._seeds)))
        other = Node("127.0.0.1", replicas(group)[0])
        assert route.trusted_until > asyncio.get_running_loop().time()
        with pytest.raises(redis.RedisError, match="1 of 3"):
            route._without_majority([view._replace(choice=other, epoch=view.epoch + 1)], [])
        assert route.master == other
        assert route.trusted_until < 0


async def test_no_script_of_the_cache_runs_on_a_replica(group: SentinelGroup) -> None:
    script = cache_script("forget.lua", may_fail_over=True)
    with group.client(group.by_port(replicas(group)[0])) as client, pytest.raises(redis.ReadOnlyError):
        client.eval(script.text, 1, "a")


async def test_users_with_the_documented_rights_can_use_all(
    group: SentinelGroup, open_cache: OpenCache, table: Table
) -> None:
    for server in group.servers:
        group.ask(server, "ACL", "SETUSER", "shop", *RIGHTS.split())
    for sentinel in group.sentinels:
        group.ask(sentinel, "ACL", "SETUSER", "watch", "on", f">{WORD}", "+info", "+sentinel")
    url = group.url.replace(f":{WORD}", f"shop:{WORD}")
    url += f"?sentinel_username=watch&sentinel_password={WORD}"
    reader, writer = open_cache(url=url), open_cache(url=url)
    assert [await table.read(reader) for _ in range(2)] == [1, 1]
    await table.write(writer, 2)
    assert await table.read(reader) == 2
    assert (reader.stats().hits, reader.stats().errors, writer.stats().errors) == (1, 0, 0)
    async with RedisConnection(url) as link:
        assert await Limits(link, prefix="plainsql:l").bucket("b", rate=10).consume("x")


async def test_wrong_sentinels_are_named_with_what_to_do(group: SentinelGroup, tmp_path: Path) -> None:
    config = tmp_path / "sentinel.conf"
    config.write_text(f"sentinel monitor {SERVICE} 127.0.0.1 {group.master.port} 1\n")
    port = free_port()
    with redis_server("--sentinel", "--requirepass", WORD, port=port, config=config) as guarded:
        guarded.start()
        place = f"127.0.0.1:{port}"
        sentinel, server = f"127.0.0.1:{group.sentinels[0].port}", f"127.0.0.1:{group.master.port}"
        cases = [
            (f"redis+sentinel://{place}/shop", "Sentinel at .* refuses", "sentinel_password"),
            (f"redis+sentinel://{place}/shop?sentinel_password=wrong-word", "refuses", "sentinel_password"),
            (f"redis+sentinel://{sentinel}/shoop", "knows no service 'shoop'", "check the service"),
            (f"redis+sentinel://{sentinel}/{SERVICE}", "refuses the login", "user and the password"),
            (f"redis+sentinel://:{WORD}@{server}/shop?sentinel_password={WORD}", "no Sentinel", "redis://"),
            (f"redis+sentinel://127.0.0.1:{free_port()}/shop", "cannot be reached", "check that"),
            (f"redis+cluster://:{WORD}@{server}", "no node of a cluster", "redis://"),
            (f"redis://{sentinel}", "cannot run a script", "redis\\+sentinel://"),
        ]
        for url, message, hint in cases:
            async with RedisConnection(url) as link:
                with pytest.raises(PlainsqlError, match=message) as raised:
                    await link.run(COUNT, ["n"], [], deadline=5, trusted=True)
            assert raised.value.hint is not None
            assert hint.replace("\\", "") in raised.value.hint, url
            assert "-word" not in f"{raised.value!r}{raised.value}"


def test_the_check_names_the_master_and_the_sentinels(group: SentinelGroup) -> None:
    found = check_redis(group.url, required=True)
    assert (found.state, WORD in f"{found.text}{found.found}") == ("ok", False)
    assert f"the master 127.0.0.1:{group.master.port}, by the majority of 3 Sentinels" in found.text
    to_one = check_redis(f"redis://127.0.0.1:{group.sentinels[0].port}", required=True)
    assert (to_one.state, to_one.text) == ("failed", "it is a Sentinel")
    wrong = check_redis(group.url.replace(WORD, "wrong"), required=True)
    assert wrong.state == "failed"
    assert "refuses the login" in wrong.text
