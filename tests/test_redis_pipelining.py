"""Calls to Redis on one connection: each gets its own reply, whatever happens to the others or the server."""

from __future__ import annotations

import asyncio
import select
import socket
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import uvloop
from redis.asyncio import Redis

from plainsql.errors import RedisUnavailableError
from plainsql.redis_connection import RedisConnection, Script
from plainsql.redis_protocol import Connections, RedisProtocol
from tests.proxy import Proxy, open_proxy
from tests.redis_server import free_port, redis_server, tls_options
from tests.tls import Authority

ECHO = Script("return ARGV[1]")
SLOW = Script("for _ = 1, 400000 do end; return ARGV[1]")
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}

Scenario = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Scenario:
    """Runs a scenario in an event loop of each kind: their transports differ."""

    def run(scenario: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(asyncio.wait_for(scenario, 60))

    return run


async def echo(link: RedisConnection, text: str, *, deadline: float = 10) -> str:
    reply: bytes = await link.run(ECHO, [], [text], deadline=deadline)
    return reply.decode()


def sent(link: RedisConnection, text: str, *, deadline: float = 10) -> asyncio.Task[str]:
    return asyncio.ensure_future(echo(link, text, deadline=deadline))


def proxied(redis_url: str) -> Any:
    return open_proxy(Path(unquote(urlsplit(redis_url).path)), postgres=False)


async def arrived(proxy: Proxy, work: Callable[[], asyncio.Task[str]]) -> asyncio.Task[str]:
    """Begin a call, and wait until it has reached the proxy, which passes nothing on."""
    before = proxy.to_server.bytes
    task = work()
    await proxy.until(lambda: proxy.to_server.bytes > before)
    return task


def test_a_crowd_shares_one_connection(run: Scenario, redis_url: str) -> None:
    async def scenario() -> None:
        async with proxied(redis_url) as proxy, RedisConnection(f"redis://127.0.0.1:{proxy.port}/0") as link:
            # Some replies come in several parts, and some parts have several replies.
            texts = [f"{number}" * (1 + 40_000 * (number % 50 == 7)) for number in range(500)]
            for _ in range(3):
                assert await asyncio.gather(*(echo(link, text) for text in texts)) == texts
            assert proxy.accepted == 1

    run(scenario())


def test_a_cut_connection_ends_its_calls_and_no_later_one(run: Scenario, redis_url: str) -> None:
    async def scenario() -> None:
        async with proxied(redis_url) as proxy, RedisConnection(f"redis://127.0.0.1:{proxy.port}/0") as link:
            for _ in range(5):
                await echo(link, "before")
                proxy.pause()
                tasks = [await arrived(proxy, lambda: sent(link, "first"))]
                tasks += [sent(link, str(number)) for number in range(20)]
                await asyncio.sleep(0)
                tasks[7].cancel()
                proxy.cut()
                ends = await asyncio.gather(*tasks, return_exceptions=True)
                assert {type(end) for end in ends} == {RedisUnavailableError, asyncio.CancelledError}
                assert len({id(end) for end in ends}) == len(ends), "each has an error of its own"
                proxy.resume()
                assert await asyncio.gather(*(echo(link, str(n)) for n in range(9))) == list("012345678")

    run(scenario())


def test_a_late_reply_costs_no_other_call_its_own(run: Scenario, redis_url: str) -> None:
    async def scenario() -> None:
        async with proxied(redis_url) as proxy, RedisConnection(f"redis://127.0.0.1:{proxy.port}/0") as link:
            await echo(link, "before")
            proxy.pause()
            patient = await arrived(proxy, lambda: sent(link, "patient"))
            with pytest.raises(RedisUnavailableError, match=r"did not answer within 0\.02 s"):
                await echo(link, "late", deadline=0.02)
            assert proxy.accepted == 1
            later = sent(link, "later")
            await asyncio.sleep(0)
            assert not patient.done()
            proxy.resume()
            assert [await patient, await later] == ["patient", "later"]
            assert proxy.accepted == 2, "a call after the late one goes by another connection"
            await proxy.until(lambda: proxy.connections == 1)

    run(scenario())


def test_a_silent_server_is_left_though_all_calls_were_cancelled(run: Scenario, redis_url: str) -> None:
    async def scenario() -> None:
        async with proxied(redis_url) as proxy, RedisConnection(f"redis://127.0.0.1:{proxy.port}/0") as link:
            await echo(link, "before")
            proxy.silence()
            for _ in range(3):
                task = await arrived(proxy, lambda: sent(link, "cancelled", deadline=0.03))
                task.cancel()
                await asyncio.wait([task])
            await proxy.until(lambda: proxy.connections == 0)
            assert await echo(link, "own") == "own"

    run(scenario())


def test_the_limit_of_connections_counts_those_that_are_late(run: Scenario, redis_url: str) -> None:
    async def scenario() -> None:
        async with (
            proxied(redis_url) as proxy,
            RedisConnection(f"redis://127.0.0.1:{proxy.port}/0", max_connections=1) as link,
        ):
            await echo(link, "before")
            proxy.pause()
            patient = await arrived(proxy, lambda: sent(link, "patient"))
            with pytest.raises(RedisUnavailableError, match="did not answer"):
                await echo(link, "late", deadline=0.02)
            with pytest.raises(RedisUnavailableError, match=r"no connection to Redis .* within 0\.03 s"):
                await echo(link, "waiter", deadline=0.03)
            cancelled, waiter = sent(link, "cancelled"), sent(link, "waiter")
            await asyncio.sleep(0)
            cancelled.cancel()
            proxy.resume()
            assert [await patient, await waiter] == ["patient", "waiter"]
            assert proxy.accepted == 2

    run(scenario())


def test_a_reply_that_the_loop_was_too_busy_to_read_is_not_late(run: Scenario, redis_url: str) -> None:
    class Busy(asyncio.Protocol):
        redis: RedisProtocol

        def data_received(self, data: bytes) -> None:
            time.sleep(0.1)  # longer than the call may take
            if Busy.redis._waiting:  # else the reply was read just before
                assert select.select([Busy.redis.transport.get_extra_info("socket")], [], [], 60)[0]

    async def scenario() -> None:
        ours, theirs = socket.socketpair()
        # uvloop looks at its timers after this, and before it reads the reply.
        transport, _ = await asyncio.get_running_loop().create_connection(Busy, sock=theirs)
        with ours:
            async with RedisConnection(redis_url) as link:
                await link.run(SLOW, [], ["before"], deadline=10)
                assert link._state is not None
                assert isinstance(link._state.connections, Connections)
                assert link._state.connections.current is not None
                Busy.redis = link._state.connections.current
                for _ in range(3):
                    call = asyncio.ensure_future(link.run(SLOW, [], ["own"], deadline=0.05))
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)  # uvloop sends at the end of a turn
                    ours.send(b"x")
                    assert await call == b"own"
        transport.close()

    run(scenario())


@pytest.mark.parametrize(
    ("answer", "is_trusted"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False),
        (b"$3\r\nown\r\n$7\r\nanother\r\n", False),
        (b">2\r\n$6\r\nMOVING\r\n:1\r\n$3\r\nown\r\n", True),
    ],
    ids=["not Redis", "one too many", "a message and the reply"],
)
def test_a_reply_that_no_call_waits_for_reaches_none(run: Scenario, answer: bytes, is_trusted: bool) -> None:
    accepted = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted
        accepted += 1
        with suppress(ConnectionError):
            while data := await reader.read(10_000):
                # The commands of the handshake get good replies.
                writer.write(answer if b"EVALSHA" in data else b"+OK\r\n" * data.count(b"*"))
        writer.close()

    async def scenario() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, RedisConnection(f"redis://127.0.0.1:{port}") as link:
            for number in range(1, 4):
                if b"own" in answer:
                    assert await echo(link, "own") == "own"
                else:
                    with pytest.raises(RedisUnavailableError, match="is not Redis"):
                        await echo(link, "own")
                assert accepted == (1 if is_trusted else number)

    run(scenario())


def test_a_connection_with_tls(run: Scenario, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    port = free_port()
    options = (*tls_options(authority, "127.0.0.1"), "--tls-port", str(port))

    async def scenario() -> None:
        url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={authority.file}"
        async with RedisConnection(url) as link:
            texts = [str(number) * 1000 for number in range(100)]
            assert await asyncio.gather(*(echo(link, text) for text in texts)) == texts
            async with Redis.from_url(server.url) as direct:
                await direct.client_kill_filter(skipme=True)
            await asyncio.gather(echo(link, "x"), return_exceptions=True)
            assert await echo(link, "own") == "own"
        async with RedisConnection(f"rediss://127.0.0.1:{port}/0") as link:
            with pytest.raises(RedisUnavailableError, match="a certificate that is not trusted"):
                await echo(link, "x")

    with redis_server(*options) as server:
        server.start()
        run(scenario())


@pytest.mark.parametrize("options", ["protocol=3", "decode_responses=true", "socket_timeout=0.05"])
def test_options_of_the_url(run: Scenario, redis_url: str, options: str) -> None:
    async def scenario() -> None:
        async with proxied(redis_url) as proxy:
            url = f"redis://127.0.0.1:{proxy.port}/0?{options}"
            async with RedisConnection(url) as link, Redis.from_url(redis_url) as direct:
                assert await echo(link, "own") == "own"
                await direct.script_flush()
                reply = await link.run(Script("return {1, ARGV[1], '', false}"), [], [b"\xff"], deadline=10)
                assert reply == [1, b"\xff", b"", None]
                if "timeout" in options:
                    proxy.pause()
                    with pytest.raises(RedisUnavailableError, match=r"did not answer within 0\.05 s"):
                        await echo(link, "late")

    run(scenario())


def test_closing_ends_calls_and_a_later_call_leaves_nothing_open(run: Scenario, redis_url: str) -> None:
    async def scenario() -> None:
        async with proxied(redis_url) as proxy:
            link = RedisConnection(f"redis://127.0.0.1:{proxy.port}/0")
            await echo(link, "before")
            proxy.pause()
            call = await arrived(proxy, lambda: sent(link, "in progress"))
            await link.aclose()
            with pytest.raises(RedisUnavailableError, match="cannot be reached"):
                await call
            proxy.resume()
            assert await asyncio.gather(*(echo(link, text) for text in "ab")) == ["a", "b"]
            await proxy.until(lambda: proxy.connections == 0)

    run(scenario())
