"""An object that cannot lead to Redis is refused when it is given, by name; each event loop has its own
connection.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest
import redis
from redis.asyncio import Redis

import plainsql
from plainsql.errors import PlainsqlError, SettingsError
from plainsql.limits import Limits
from plainsql.redis_connection import RedisConnection
from plainsql.sessions import Sessions

_SYNC = redis.Redis()
_ODD = Redis(host="127.0.0.1")
_ODD.connection_pool.connection_kwargs["foo"] = 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("redis://127.0.0.1?foo=1", "there is no parameter 'foo'"),
        ("redis://127.0.0.1/0?socket_timeout=soon", "not the URL"),
        ("redis://127.0.0.1/0?protocol=9", "not the URL"),
        ("http://127.0.0.1", "not the URL"),
        ("127.0.0.1:6379", "not the URL"),
        ("redis://:Pa@Secret1/x@127.0.0.1", "password with characters that end it"),
        ("redis://:p@ss:/?#Secret1@127.0.0.1:6379/0", "password with characters that end it"),
        (_SYNC, "got redis.client.Redis"),
        (redis.ConnectionPool(), "got redis.connection.ConnectionPool"),
        (5, "got builtins.int"),
        (b"redis://", "got builtins.bytes"),
        (_ODD, "there is no option 'foo'"),
    ],
)
def test_what_is_no_redis_is_refused_at_once(given: Any, message: str) -> None:
    for make in (
        lambda: RedisConnection(given),
        lambda: Limits(given, prefix="x"),
        lambda: Sessions(given, int, prefix="x"),
        lambda: plainsql.connect("postgresql://127.0.0.1:1/x", redis=given),
    ):
        with pytest.raises(SettingsError) as raised:
            make()
        assert message in str(raised.value)
        assert "Secret1" not in str(raised.value)


async def test_a_password_that_is_written_well_is_none_of_these() -> None:
    link = RedisConnection("redis://me:p%40ss%3A%2F%3F%23@127.0.0.1:6379/0")
    assert link.address == "127.0.0.1:6379"
    await link.aclose()


def test_limits_and_sessions_work_in_one_event_loop_after_another(redis_url: str) -> None:
    """Tests that run each in a loop of its own, with one object of the module for all."""
    limits = Limits(redis_url, prefix="loops:limits", deadline=30)
    sessions = Sessions(redis_url, int, prefix="loops:sessions", deadline=30)

    async def use() -> None:
        async with asyncio.TaskGroup() as tasks:
            for number in range(5):
                tasks.create_task(_both(number))

    async def _both(number: int) -> None:
        assert await limits.bucket("b", rate=10_000).consume("x")
        session = await sessions.create("ana", number)
        assert await sessions.get(session.id) == session

    for _ in range(3):
        asyncio.run(use())

    async def end() -> None:
        await use()
        await limits.aclose()
        await sessions.aclose()

    asyncio.run(end())


def test_and_in_two_event_loops_at_once(redis_url: str) -> None:
    limits = Limits(redis_url, prefix="loops:two", deadline=30)
    both = threading.Barrier(2, timeout=30)
    failures: list[BaseException] = []

    async def use() -> None:
        for _ in range(20):
            await asyncio.to_thread(both.wait)
            assert await limits.bucket("b", rate=10_000).consume("x")

    def run() -> None:
        try:
            asyncio.run(use())
        except BaseException as error:  # noqa: BLE001
            failures.append(error)
            both.abort()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    asyncio.run(limits.aclose())


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_client_that_is_given_works_in_a_second_event_loop_or_is_named(redis_url: str) -> None:
    refused = _refused_in_each_loop(redis_url)
    gc.collect()  # what the first loops have left open is warned of here, and not in another test
    assert all("belongs to another event loop" in text for text in refused)


def _refused_in_each_loop(redis_url: str) -> list[str]:
    limits = Limits(Redis.from_url(redis_url), prefix="loops:given", deadline=30)
    refused = []

    async def use() -> None:
        try:
            await limits.bucket("b", rate=10_000).consume("x")
        except PlainsqlError as error:
            refused.append(str(error))

    for _ in range(4):
        asyncio.run(use())
    return refused
