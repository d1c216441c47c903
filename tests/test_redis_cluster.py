"""Limits, sessions, values and the way to Redis on a Redis Cluster: the keys of a call lie in one slot."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Generator

import pytest
import redis
from redis.asyncio import RedisCluster

from plainsql.errors import BindError
from plainsql.limits import Limits
from plainsql.redis_connection import RedisConnection
from plainsql.sessions import Sessions, SyncSessions
from plainsql.sync_redis_connection import SyncRedisConnection
from plainsql.values import Key, SyncValues, Values
from tests.redis_server import free_port, redis_server
from tests.test_redis_connection import cancel_at_every_step


@pytest.fixture(scope="module")
def port() -> Generator[int]:
    """The port of a cluster of one node: it has all slots, and refuses calls whose keys lie in several."""
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
async def cluster(port: int) -> AsyncIterator[RedisCluster]:
    async with RedisCluster(host="127.0.0.1", port=port, max_connections=1) as client:
        yield client


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


def test_threads_have_a_client_of_the_cluster_to_themselves(port: int) -> None:
    with SyncRedisConnection(RedisCluster(host="127.0.0.1", port=port)) as connection:
        sessions = SyncSessions(connection, int)
        session = sessions.create("ana", 1)
        assert sessions.get(session.id) == session
        values = SyncValues(connection, int)
        assert values.get_or_load("a", lambda: 1) == 1
        assert values.get("a") == 1
