"""A link to Redis in a forked child: replies of the parent's calls reach the parent alone."""

from __future__ import annotations

import asyncio
import os

import pytest
from redis.asyncio import Redis

import plainsql
from plainsql.redis_connection import RedisConnection, Script

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
