"""The way to Redis: each call gets its own reply, in time or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import chain, count

import pytest
from redis.asyncio import Redis

from plainsql.errors import PlainsqlError, RedisUnavailableError, SettingsError
from plainsql.redis_connection import RedisConnection, Script
from tests.proxy import Proxy
from tests.redis_server import free_port, redis_server

ECHO = Script("return ARGV[1]")
SET = Script("return redis.call('SET', KEYS[1], ARGV[1])")
COUNT = Script("return redis.call('INCR', KEYS[1])")
# A client that is given may read replies as text and speak the newer protocol.
CLIENTS = {"2": {"protocol": 2}, "3": {"protocol": 3}, "text": {"decode_responses": True}}


@pytest.fixture
async def link(redis_url: str) -> AsyncIterator[RedisConnection]:
    """A link with one connection: a reply left on it would reach the next call."""
    async with RedisConnection(redis_url, max_connections=1) as link:
        yield link


@pytest.fixture
async def slow_link(redis_proxy: Proxy) -> AsyncIterator[RedisConnection]:
    async with RedisConnection(f"redis://127.0.0.1:{redis_proxy.port}/0", max_connections=1) as link:
        yield link


async def echo(link: RedisConnection, text: str, *, deadline: float = 10) -> str:
    reply: bytes = await link.run(ECHO, [], [text], deadline=deadline)
    return reply.decode()


async def cancel_at_every_step(link: RedisConnection) -> None:
    """Cancel a call after one turn of the loop, after two, and so on, until one is too fast for that.

    Most turns are spent waiting for the reply, the more the slower the machine: from fifty on they are not
    tried one by one.
    """
    for turns in chain(range(50), (50 * 2**power for power in count())):
        call = asyncio.ensure_future(echo(link, f"cancelled {turns}"))
        for _ in range(turns):
            await asyncio.sleep(0)
        finished = call.done()
        call.cancel()
        await asyncio.wait([call])
        assert await echo(link, f"own {turns}") == f"own {turns}"
        if finished:
            return


async def test_a_cancelled_call_leaves_no_reply_behind_at_whatever_step(link: RedisConnection) -> None:
    await cancel_at_every_step(link)


async def test_nor_on_a_connection_that_is_being_opened(redis_url: str) -> None:
    for turns in range(25):
        async with RedisConnection(redis_url, max_connections=1) as link:
            call = asyncio.ensure_future(echo(link, "cancelled"))
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait([call])
            assert await echo(link, "own") == "own"


@pytest.mark.parametrize("options", CLIENTS.values(), ids=CLIENTS)
async def test_nor_on_a_client_that_is_given(redis_url: str, options: dict[str, bool]) -> None:
    async with Redis.from_url(redis_url, max_connections=1, **options) as client:
        await cancel_at_every_step(RedisConnection(client))
        assert await client.ping(), "the client stays open"


async def test_a_reply_that_comes_after_the_cancellation_reaches_nobody(
    slow_link: RedisConnection, redis_proxy: Proxy
) -> None:
    await echo(slow_link, "first")
    for number in range(5):
        redis_proxy.pause()
        sent = redis_proxy.to_server.bytes
        call = asyncio.ensure_future(echo(slow_link, f"cancelled {number}"))
        await redis_proxy.until(lambda sent=sent: redis_proxy.to_server.bytes > sent)  # type: ignore[misc]
        call.cancel()
        await asyncio.wait([call])
        redis_proxy.resume()
        assert await echo(slow_link, f"own {number}") == f"own {number}"


async def test_a_late_reply_is_an_error_in_time_and_reaches_nobody(
    slow_link: RedisConnection, redis_proxy: Proxy
) -> None:
    await echo(slow_link, "first")
    redis_proxy.pause()
    with pytest.raises(RedisUnavailableError, match=r"did not answer within 0\.05 s"):
        await echo(slow_link, "late", deadline=0.05)
    redis_proxy.resume()
    assert await echo(slow_link, "own") == "own"


async def test_the_wait_for_a_connection_counts(slow_link: RedisConnection, redis_proxy: Proxy) -> None:
    redis_proxy.pause()
    patient = asyncio.ensure_future(echo(slow_link, "patient"))
    await redis_proxy.until(lambda: redis_proxy.accepted > 0)
    with pytest.raises(RedisUnavailableError, match=r"did not answer within 0\.05 s"):
        await echo(slow_link, "waiter", deadline=0.05)
    redis_proxy.resume()
    assert await patient == "patient"


async def test_calls_that_are_cancelled_in_a_crowd_lose_no_connection(redis_url: str) -> None:
    async with RedisConnection(redis_url, max_connections=4) as link:
        for turns in range(40):
            calls = [asyncio.ensure_future(echo(link, str(number))) for number in range(32)]
            for _ in range(turns):
                await asyncio.sleep(0)
            for call in calls[::2]:
                call.cancel()
            await asyncio.wait(calls)
            assert [await call for call in calls[1::2]] == [str(number) for number in range(1, 32, 2)]
        # All four are free: as many calls as there are connections can run at the same time.
        assert await asyncio.gather(*(echo(link, str(number)) for number in range(4))) == list("0123")


async def test_a_restarted_server_is_found_by_the_first_call() -> None:
    # By TCP, where redis-py with RESP3 would not look whether the server has closed a connection.
    with redis_server(port=free_port()) as server:
        server.start()
        async with RedisConnection(server.url) as link:
            await asyncio.gather(*(echo(link, "x") for _ in range(8)))
            server.kill()
            with pytest.raises(RedisUnavailableError, match="cannot be reached"):
                await echo(link, "nobody")
            server.start()
            assert await asyncio.gather(*(echo(link, "x") for _ in range(8))) == ["x"] * 8


async def test_a_reply_that_is_lost_is_not_asked_for_again(redis_url: str, redis_proxy: Proxy) -> None:
    url = f"redis://127.0.0.1:{redis_proxy.port}/0"
    async with RedisConnection(url) as link, Redis.from_url(redis_url) as direct:
        await direct.delete("link:count")
        await link.run(COUNT, ["link:count"], [], deadline=10)
        redis_proxy.pause()
        seen = redis_proxy.to_server.bytes
        call = asyncio.ensure_future(link.run(COUNT, ["link:count"], [], deadline=10))
        await redis_proxy.until(lambda: redis_proxy.to_server.bytes > seen)
        redis_proxy.cut()
        redis_proxy.resume()
        with pytest.raises(RedisUnavailableError):
            await call
        assert int(await direct.get("link:count") or 0) <= 2


async def test_a_server_that_has_forgotten_the_script_is_told_it_again(
    link: RedisConnection, redis_url: str
) -> None:
    await echo(link, "first")
    async with Redis.from_url(redis_url) as direct:
        await direct.script_flush()
    assert await echo(link, "second") == "second"


async def test_errors_tell_neither_arguments_nor_passwords() -> None:
    with redis_server("--requirepass", "pass-word") as server:
        server.start()
        with pytest.raises(RedisUnavailableError, match="refuses the login") as wrong:
            async with RedisConnection(server.url.replace("unix://", "unix://:wrong-word@")) as link:
                await echo(link, "a-secret")
        async with RedisConnection(server.url.replace("unix://", "unix://:pass-word@")) as link:
            with pytest.raises(PlainsqlError, match="cannot run a script") as mistaken:
                await link.run(Script("return redis.call('HGET', ARGV[1])"), [], ["a-secret"], deadline=10)
            async with Redis.from_url(server.url, password="pass-word") as direct:
                await direct.config_set("maxmemory", 1)
            with pytest.raises(RedisUnavailableError, match="refused: OutOfMemoryError") as full:
                await link.run(SET, ["key"], ["a-secret"], deadline=10)
    assert not isinstance(mistaken.value, RedisUnavailableError), "a mistake is not an absence"
    for error in (wrong.value, mistaken.value, full.value):
        for secret in ("-word", "a-secret"):
            assert secret not in f"{error} {error.__cause__}"
    with pytest.raises(SettingsError) as unreadable:
        RedisConnection("http://user:pass-word@host")
    assert "-word" not in str(unreadable.value)
