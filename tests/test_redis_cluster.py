"""A Redis Cluster: by URL its nodes are found, slots that move are followed, and no old result comes back.

A client of redis-py serves limits, sessions and values too: the keys of a call lie in one slot.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Generator
from contextlib import suppress
from pathlib import Path

import pytest
from redis.asyncio import RedisCluster
from redis.crc import key_slot

from plainsql.cache import CachedQuery, touched_rows
from plainsql.dependencies import CachedRead, Dependency
from plainsql.errors import BindError, PlainsqlError, RedisUnavailableError
from plainsql.health.redis_check import check_redis
from plainsql.limits import Limits
from plainsql.redis_cluster import ClusterRoute
from plainsql.redis_connection import RedisConnection, Script
from plainsql.sessions import Sessions, SyncSessions
from plainsql.sync_redis_connection import SyncRedisConnection
from plainsql.values import Key, SyncValues, Values
from tests.cache.model import BY_CONVERSATION, TABLE, Message, Table
from tests.cache.opened_caches import OpenCache, opened_caches
from tests.redis_groups import ClusterGroup, cluster_group, until
from tests.redis_server import tls_options
from tests.test_redis_connection import cancel_at_every_step
from tests.tls import Authority

COUNT = Script("return redis.call('INCR', KEYS[1])")
BOTH = Script("return redis.call('INCR', KEYS[1]) + redis.call('INCR', KEYS[2])")
TABLES = (TABLE, "shop.people", "shop.leads", "shop.visits")
ALL = CachedQuery[Message | None](
    "shop.all",
    CachedRead(60, tuple(Dependency(name) for name in TABLES)),
    ("id",),
    Message | None,
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def group(authority: Authority) -> Generator[ClusterGroup]:
    """Three masters with a replica each, which use TLS; programs may do without."""
    with cluster_group(tls=tls_options(authority, "localhost")) as group:
        yield group


@pytest.fixture(autouse=True)
def settled(group: ClusterGroup) -> None:
    """Waits for the end of what the test before has begun."""
    until(group.are_agreed, "the nodes agree on the masters")


@pytest.fixture
async def link(group: ClusterGroup) -> AsyncIterator[RedisConnection]:
    async with RedisConnection(group.url) as link:
        yield link


@pytest.fixture
async def cluster(group: ClusterGroup) -> AsyncIterator[RedisCluster]:
    async with RedisCluster(host="127.0.0.1", port=group.servers[0].port, max_connections=1) as client:
        yield client


@pytest.fixture
def namespace(group: ClusterGroup) -> str:
    """A namespace whose tables are known to their masters: no wait is left of their beginning."""
    found = uuid.uuid4().hex
    for table in TABLES:
        home = f"plainsql:{found}:{{{table}}}"
        master = group.by_port(group.masters_of(key_slot(home.encode())).pop())
        with group.client(master) as client:
            term = client.info("replication")["master_replid"][:20]
            client.hset(home, "=", f"0@{term}")
    return found


@pytest.fixture
async def open_cache(group: ClusterGroup, namespace: str) -> AsyncIterator[OpenCache]:
    """Opens caches as processes would, of a protocol with a hole if one is named."""
    async with opened_caches(group.url, namespace) as opened:
        yield opened


@pytest.fixture
def table() -> Table:
    table = Table()
    table.versions[1] = 1
    return table


async def count_soon(link: RedisConnection, key: str) -> int:
    """Call until the connection has found the master, without trust."""
    async with asyncio.timeout(5):
        while True:
            with suppress(RedisUnavailableError):
                found: int = await link.run(COUNT, [key], [], deadline=0.1)
                return found
            await asyncio.sleep(0.01)


def stop_renewal(link: RedisConnection) -> None:
    """Have the connection query no node by itself, as after a pause between calls."""
    route = link._state_of_loop().connections
    assert isinstance(route, ClusterRoute)
    assert route._renewal is not None
    route._renewal.cancel()


async def test_all_services_find_the_nodes(group: ClusterGroup, link: RedisConnection) -> None:
    keys = [f"n{number}" for number in range(60)]
    assert await asyncio.gather(*[link.run(COUNT, [key], [], deadline=5) for key in keys]) == [1] * 60
    assert sum(bool(group.ask(server, "DBSIZE")) for server in group.servers[:3]) == 3
    assert await Limits(link, prefix="c:limits").bucket("b", rate=10).consume("x")
    assert await Values(link, int, prefix="c:values").get_or_load("a", lambda: 5) == 5
    assert link.is_cluster
    with pytest.raises(RedisUnavailableError):
        await link.run(BOTH, ["n1", "n2"], [], deadline=5)


async def test_tls_goes_by_the_names_that_the_nodes_announce(
    group: ClusterGroup, authority: Authority
) -> None:
    """Their certificate is for a name; a redirection gives the address."""
    port = group.by_tls[group.servers[0].port]
    url = f"rediss+cluster://{{}}:{port}?ssl_ca_certs={authority.file}"
    async with RedisConnection(url.format("localhost")) as link:
        keys = [f"tls{number}" for number in range(30)]
        assert await asyncio.gather(*[link.run(COUNT, [key], [], deadline=5) for key in keys]) == [1] * 30
        route = link._state_of_loop().connections
        assert isinstance(route, ClusterRoute)
        assert {node.host for node in route._by_slot if node} == {"localhost"}
        route._by_slot.reverse()
        assert await asyncio.gather(*[link.run(COUNT, [key], [], deadline=5) for key in keys]) == [2] * 30
        assert all(protocol.writer.get_extra_info("sslcontext") for protocol in route.open)
    async with RedisConnection(url.format("127.0.0.1")) as link:
        with pytest.raises(RedisUnavailableError, match="a certificate for another name") as raised:
            await link.run(COUNT, ["n"], [], deadline=5)
        assert "cluster-announce-hostname" in str(raised.value.hint)


def test_threads_find_them_too(group: ClusterGroup) -> None:
    with SyncSessions(group.url, int, prefix="c:sessions") as sessions:
        session = sessions.create("ana", 1)
        assert sessions.get(session.id) == session


async def test_a_read_of_tables_of_several_nodes_ends_with_each(open_cache: OpenCache, table: Table) -> None:
    reader, writer = open_cache(), open_cache()
    for version, name in enumerate(TABLES, 2):
        assert [await table.read(reader, ALL) for _ in range(3)] == [version - 1] * 3
        async with writer.writing(touched_rows(name, {})):
            table.versions[1] = version
        assert await table.read(reader, ALL) == version
    assert (reader.stats().errors, reader.stats().hits) == (0, 11)


async def test_a_slot_that_moves_is_followed_and_no_call_is_lost(
    group: ClusterGroup, link: RedisConnection
) -> None:
    key, other = "{moves}a", "{moves}b"
    slot = key_slot(key.encode())
    source = group.by_port(group.masters_of(slot).pop())
    target = next(
        server for server in group.servers if server is not source and group.role(server) == "master"
    )

    async def both() -> list[int]:
        return [await link.run(COUNT, [key], [], deadline=5, trusted=trusted) for trusted in (False, True)]

    counts = await both()
    group.ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", group.id_of(source))
    group.ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", group.id_of(target))
    counts += await both()
    # The target does not know the script yet, and takes one command of the redirection.
    assert await link.run(Script("return redis.call('INCR', KEYS[1]) + 0"), [other], [], deadline=5) == 1
    with pytest.raises(RedisUnavailableError, match="a slot moves"):
        await link.run(BOTH, [key, other], [], deadline=5)
    group.ask(source, "MIGRATE", "127.0.0.1", group.by_tls[target.port], key, 0, 1000)
    counts += await both()
    for server in (target, source):
        group.ask(server, "CLUSTER", "SETSLOT", slot, "NODE", group.id_of(target))
    counts += await both()
    until(group.are_agreed, "all nodes know the new master")
    counts += await both()
    assert counts == [*range(1, 11)]
    assert group.ask(target, "GET", key) == b"10"


async def test_a_replica_that_takes_over_brings_nothing_back(
    group: ClusterGroup, open_cache: OpenCache, table: Table, namespace: str
) -> None:
    """The replica lacks the invalidation. The former master is paused, and then goes on."""
    reader, trusting, writer = open_cache(), open_cache("term"), open_cache()
    for cache in (reader, trusting):
        assert [await table.read(cache, BY_CONVERSATION) for _ in range(2)] == [1, 1]
    slot = key_slot(f"plainsql:{namespace}:{{{TABLE}}}".encode())
    master = group.by_port(group.masters_of(slot).pop())
    replica = group.replica_of(master)
    with group.client(master) as client:
        assert client.wait(1, 5000) == 1
    group.keep_behind(master, [replica])
    await table.write(writer, 2)
    master.freeze()
    replica.thaw()
    group.ask(replica, "CLUSTER", "FAILOVER", "TAKEOVER")
    others = [server for server in group.servers if server is not master]
    until(lambda: group.masters_of(slot, others) == {replica.port}, "the others know the new master")
    master.thaw()
    assert [await table.read(reader) for _ in range(3)] == [2] * 3
    async with asyncio.timeout(20):
        while await table.read(trusting) != 1:  # noqa: ASYNC110 (the breaker lets a call through)
            await asyncio.sleep(0.02)
    assert await table.read(reader) == 2
    until(group.are_agreed, "the former master knows its successor")


async def test_a_silent_master_is_left_without_the_cache(group: ClusterGroup, link: RedisConnection) -> None:
    """Limits need no trust, and no error names the successor."""
    key = "{silent}"
    slot = key_slot(key.encode())
    assert await link.run(COUNT, [key], [], deadline=5) == 1
    stop_renewal(link)
    master = group.by_port(group.masters_of(slot).pop())
    replica = group.replica_of(master)
    with group.client(master) as client:
        assert client.wait(1, 5000) == 1
    master.freeze()
    try:
        group.ask(replica, "CLUSTER", "FAILOVER", "TAKEOVER")
        others = [server for server in group.servers if server is not master]
        until(lambda: group.masters_of(slot, others) == {replica.port}, "the others know the new master")
        with pytest.raises(RedisUnavailableError, match="did not answer"):
            await link.run(COUNT, [key], [], deadline=0.05)
        assert await count_soon(link, key) >= 2
    finally:
        master.thaw()


async def test_a_plain_url_to_a_node_is_explained(group: ClusterGroup) -> None:
    async with RedisConnection(f"redis://127.0.0.1:{group.servers[0].port}") as link:
        for keys in (["n1", "n2"], ["n1"], ["n2"], ["n3"]):
            try:
                await link.run(COUNT, keys, [], deadline=5)
            except RedisUnavailableError as error:
                assert "is a node of a cluster" in str(error)  # noqa: PT017
                assert "write redis+cluster://" in str(error.hint)  # noqa: PT017
                break
        else:
            pytest.fail("the node has all slots")
    found = check_redis(f"redis://127.0.0.1:{group.servers[0].port}", required=True)
    assert (found.state, found.text) == ("failed", "it is a node of a cluster")


def test_the_check_names_the_nodes(group: ClusterGroup) -> None:
    found = check_redis(group.url, required=True)
    assert found.state == "ok"
    assert "a cluster of 6 nodes, 3 of them masters, by the majority" in found.text


async def test_a_slot_without_a_master_is_no_outage_of_the_others(
    group: ClusterGroup, link: RedisConnection
) -> None:
    slot = key_slot(b"{missing}")
    owner = group.by_port(group.masters_of(slot).pop())
    for server in group.servers:
        group.ask(server, "CONFIG", "SET", "cluster-require-full-coverage", "no")
        group.ask(server, "CLUSTER", "DELSLOTS", slot)
    try:
        assert await link.run(COUNT, ["{found}"], [], deadline=5, trusted=True) == 1
        with pytest.raises(RedisUnavailableError, match="a part of the keys has no master"):
            await link.run(COUNT, ["{missing}"], [], deadline=5, trusted=True)
    finally:
        group.ask(owner, "CLUSTER", "ADDSLOTS", slot)
        until(group.are_agreed, "all nodes know the slot again")
    stop_renewal(link)
    assert await count_soon(link, "{missing}") == 1


async def test_names_in_the_url_lead_to_the_names_that_nodes_announce(group: ClusterGroup) -> None:
    async with RedisConnection(group.url.replace("127.0.0.1", "localhost")) as link:
        assert await link.run(COUNT, ["{names}"], [], deadline=5, trusted=True) == 1
        route = link._state_of_loop().connections
        assert isinstance(route, ClusterRoute)
        assert {node.host for node in route._by_slot if node} == {"localhost"}


RIGHTS = re.findall(r"acl setuser shop (.*)\n", Path("docs/cache.md").read_text(encoding="utf-8"))[1]


async def test_a_user_with_the_documented_rights_can_use_all(
    group: ClusterGroup, open_cache: OpenCache, table: Table, namespace: str
) -> None:
    for server in group.servers:
        group.ask(server, "ACL", "SETUSER", "shop", *RIGHTS.split())
    url = group.url.replace("//", "//shop:pass-word@")
    reader, writer = open_cache(url=url), open_cache(url=url)
    assert [await table.read(reader) for _ in range(2)] == [1, 1]
    await table.write(writer, 2)
    assert await table.read(reader) == 2
    assert (reader.stats().hits, reader.stats().errors, writer.stats().errors) == (1, 0, 0)
    async with RedisConnection(url) as link:
        assert await Limits(link, prefix="plainsql:l").bucket("b", rate=10).consume("x")
        assert await Values(link, int, prefix="plainsql:v").get_or_load("a", lambda: 5) == 5
        session = await Sessions(link, int, prefix="plainsql:s").create("ana", 1)
        assert await Sessions(link, int, prefix="plainsql:s").get(session.id) == session
        with pytest.raises(PlainsqlError, match="NoPermissionError"):
            await link.run(COUNT, ["other"], [], deadline=5)
    wrong = group.url.replace("//", "//shop:wrong-word@")
    async with RedisConnection(wrong) as link:
        with pytest.raises(RedisUnavailableError, match="refuses the login"):
            await link.run(COUNT, ["plainsql:n"], [], deadline=5)


async def test_a_cancelled_call_leaves_no_reply_behind(cluster: RedisCluster) -> None:
    await cancel_at_every_step(RedisConnection(cluster))


async def test_several_limits_of_one_subject_are_decided_together(cluster: RedisCluster) -> None:
    limits = Limits(cluster)
    per_second, per_day = limits.bucket("second", rate=80), limits.bucket("day", rate=100, per=86_400)
    calls = limits.window("calls")
    charges = [per_second.charge("}7", 30), per_day.charge("}7", 30), calls.charge("}7", 50, 60.0, 30)]
    assert await limits.consume(*charges)
    refused = await limits.consume(*charges)
    assert refused.refused_by == ("calls",)
    assert await per_day.remaining("}7") == 70


async def test_limits_of_several_subjects_need_a_tag(cluster: RedisCluster) -> None:
    limits = Limits(cluster)
    bucket = limits.bucket("sending", rate=80)
    with pytest.raises(BindError, match="several slots"):
        await limits.consume(bucket.charge("7"), bucket.charge("8"))
    tagged = Limits(cluster, tag="whatsapp")
    bucket = tagged.bucket("sending", rate=80)
    assert await tagged.consume(bucket.charge("7"), bucket.charge("8"))


async def test_everything_about_a_session_lies_in_the_slot_of_its_user(cluster: RedisCluster) -> None:
    sessions = Sessions(cluster, dict[str, int])
    for user in ("ana", "bea", "{carla}"):
        first = await sessions.create(user, {"n": 1}, fence=await sessions.fence(user))
        await sessions.create(user, {"n": 2}, name="bot")
        assert await sessions.get(first.id) == first
        await sessions.update(first, {"n": 3})
        assert len(await sessions.list_by_user(user)) == 2
        assert await sessions.delete(first)
        assert await sessions.expire_all(user) == 1


async def test_a_value_and_its_lease_lie_in_the_slot_of_its_key(cluster: RedisCluster) -> None:
    values = Values(cluster, dict[str, int])
    keys: list[Key] = ["a", "{b}", ("tenant", "}7")]
    for key in keys:
        assert await values.get_or_load(key, lambda: {"n": 1}) == {"n": 1}
        await values.set(key, {"n": 2})
        assert await values.get(key) == {"n": 2}
        assert await values.delete(key)


def test_threads_have_a_client_of_the_cluster_to_themselves(group: ClusterGroup) -> None:
    with SyncRedisConnection(RedisCluster(host="127.0.0.1", port=group.servers[0].port)) as connection:
        sessions = SyncSessions(connection, int)
        session = sessions.create("ana", 1)
        assert sessions.get(session.id) == session
        values = SyncValues(connection, int)
        assert values.get_or_load("a", lambda: 1) == 1
        assert values.get("a") == 1
