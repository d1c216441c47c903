"""A link to Redis in a forked child: replies of the parent's calls reach the parent alone."""

from __future__ import annotations

import asyncio
import os
import threading
import uuid

import pytest
import redis
from redis.asyncio import Redis

import plainsql
from plainsql.limits import SyncLimits, SyncTokenBucket
from plainsql.redis_connection import RedisConnection, Script
from plainsql.sync_redis_connection import SyncRedisConnection
from plainsql.values import SyncValues

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]

ECHO = Script("return ARGV[1]")
CALLS = 200


async def _ask(link: RedisConnection, who: str) -> int:
    """Return how many replies are another's."""
    wrong = 0
    for number in range(CALLS):
        token = f"{who}-{number}"
        wrong += await link.run(ECHO, [], [token], deadline=30) != token.encode()
    return wrong


def _in_child(work: object) -> int:
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = work()  # type: ignore[operator]
        finally:
            os._exit(code)
    return pid


def test_the_same_loop_in_both_processes(redis_url: str) -> None:
    """The processes of a server that loads the application, uses it once, and forks."""
    loop = asyncio.new_event_loop()
    link = RedisConnection(redis_url)
    assert loop.run_until_complete(_ask(link, "before")) == 0

    def child() -> int:
        # The child's event loop must be its own: the parent's selector is shared with it.
        return asyncio.run(_ask(link, "child"))

    pid = _in_child(child)
    assert loop.run_until_complete(_ask(link, "parent")) == 0
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert loop.run_until_complete(_ask(link, "after")) == 0
    loop.run_until_complete(link.aclose())
    loop.close()


def test_a_client_that_was_given_is_the_parents(redis_url: str) -> None:
    loop = asyncio.new_event_loop()
    client = Redis.from_url(redis_url)
    link = RedisConnection(client)
    assert loop.run_until_complete(_ask(link, "before")) == 0

    def child() -> int:
        try:
            asyncio.run(_ask(link, "child"))
        except plainsql.PlainsqlError as error:
            return 0 if "was made before a fork" in str(error) else 2
        return 1

    pid = _in_child(child)
    assert loop.run_until_complete(_ask(link, "parent")) == 0
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    loop.run_until_complete(client.aclose())
    loop.close()


def test_threads_wait_in_the_parent_and_the_child_begins_anew(redis_url: str) -> None:
    """A server that forks its workers while threads of it load a value, and wait for a limit."""
    prefix = f"fork-{uuid.uuid4().hex[:12]}"
    connection = SyncRedisConnection(redis_url)
    values = SyncValues(connection, int, prefix=prefix, deadline=30)
    limits = SyncLimits(connection, prefix=prefix, deadline=30)
    bucket = limits.bucket("b", rate=1, per=3600)
    assert bucket.consume("ana")
    values.set("a", 1)
    loading, go_on = threading.Event(), threading.Event()

    def load() -> int:
        loading.set()
        assert go_on.wait(60)
        return 2

    loader = threading.Thread(target=lambda: values.get_or_load("b", load))
    # It gives up when the connection is closed.
    waiter = threading.Thread(target=lambda: _wait_in_vain(bucket))
    loader.start()
    waiter.start()
    assert loading.wait(60)
    while not limits._limits._queue._queues:
        pass

    def child() -> int:
        with redis.Redis.from_url(redis_url) as client:
            client.delete(f"{prefix}:b:{{ana}}")  # it is full again; the parent's thread sleeps on
        if not bucket.wait("ana", timeout=10):
            return 1
        values.set("c", 3)
        return 0 if (values.get("a"), values.get("c")) == (1, 3) else 2

    pid = _in_child(child)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    go_on.set()
    loader.join()
    assert (values.get("b"), values.get("c")) == (2, 3)
    connection.close()
    waiter.join()


def _wait_in_vain(bucket: SyncTokenBucket) -> None:
    with pytest.raises(plainsql.PlainsqlError, match="closed during the call"):
        bucket.wait("ana")
