"""The answers of limits while Redis is away, and when it is back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from plainsql.errors import RedisUnavailableError
from plainsql.limits import Decision, Limits, WithoutRedis
from plainsql.limits import limits as limits_module
from tests.redis_server import RedisServer, redis_server

HOUR = 3600


@pytest.fixture
async def own_redis() -> AsyncIterator[RedisServer]:
    with redis_server() as server:
        server.start()
        yield server


async def without_redis(server: RedisServer, choice: WithoutRedis) -> list[Decision]:
    """Call five times for one of a burst of three, on a server that is dead."""
    async with Limits(server.url, without_redis=choice, local_share=0.5) as limits:
        bucket = limits.bucket("b", rate=1, per=HOUR, burst=6)
        assert not (await bucket.consume("x")).without_redis
        server.kill()
        return [await bucket.consume("x") for _ in range(5)]


async def test_allow_lets_all_through(own_redis: RedisServer) -> None:
    assert await without_redis(own_redis, "allow") == [Decision(True, 6, without_redis=True)] * 5


async def test_deny_lets_nothing_through(own_redis: RedisServer) -> None:
    assert await without_redis(own_redis, "deny") == [Decision(False, 0, 1.0, ("b",), without_redis=True)] * 5


async def test_local_counts_in_the_process_its_share_of_the_limit(own_redis: RedisServer) -> None:
    answers = await without_redis(own_redis, "local")
    assert [answer.allowed for answer in answers] == [True, True, True, False, False]
    assert 2 * HOUR - 10 < answers[-1].retry_after <= 2 * HOUR
    assert all(answer.without_redis for answer in answers)


async def test_raise_tells_the_caller(own_redis: RedisServer) -> None:
    with pytest.raises(RedisUnavailableError, match="cannot be reached"):
        await without_redis(own_redis, "raise")


async def test_a_frozen_server_costs_one_deadline_and_not_one_a_call(own_redis: RedisServer) -> None:
    async with Limits(own_redis.url, without_redis="local", deadline=0.2) as limits:
        bucket = limits.bucket("b", rate=1, per=HOUR, burst=100)
        assert await bucket.consume("x")
        own_redis.freeze()
        start = asyncio.get_running_loop().time()
        for _ in range(50):
            assert (await bucket.consume("x")).without_redis
        assert 0.19 < asyncio.get_running_loop().time() - start < 5
        own_redis.thaw()


async def test_redis_counts_again_when_it_is_back_and_an_empty_one_starts_full(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits_module, "_REDIS_RETRY_S", 0.01)
    async with Limits(own_redis.url, without_redis="deny") as limits:
        bucket = limits.bucket("b", rate=1, per=HOUR, burst=6)
        assert await bucket.consume("x", 6)
        own_redis.kill()
        assert (await bucket.consume("x")).without_redis
        own_redis.start()
        # A waiting call continues as soon as there is a server, without a notification.
        assert await bucket.wait("x", 4, timeout=10) == Decision(True, 2)


async def test_a_wait_for_a_server_that_is_away_ends_in_time(own_redis: RedisServer) -> None:
    own_redis.kill()
    async with Limits(own_redis.url, without_redis="deny") as limits:
        assert (await limits.bucket("b", rate=80).wait("x", timeout=0.1)).without_redis
