"""Writes that reach Redis late: after a logout, after a newer write, or twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from redis.asyncio import Redis

from plainsql.errors import RedisUnavailableError
from plainsql.redis_connection import RedisConnection, Script
from plainsql.sessions import Session, SessionConflictError, SessionOverError, Sessions
from tests.proxy import Proxy
from tests.redis_server import redis_server
from tests.sessions.conftest import Login


@pytest.fixture
async def far(redis_proxy: Proxy, prefix: str) -> AsyncIterator[Sessions[Login]]:
    """The same sessions over a network that can be held up."""
    async with Sessions(f"redis://127.0.0.1:{redis_proxy.port}", Login, prefix=prefix, deadline=10) as far:
        yield far


async def sent(proxy: Proxy, call: asyncio.Task[Session[Login]]) -> None:
    """Wait until the request has left us; it does not reach Redis before ``proxy.resume()``."""
    before = proxy.to_server.bytes
    await proxy.until(lambda: proxy.to_server.bytes > before or call.done())
    assert not call.done()


async def test_a_late_write_does_not_undo_a_logout(
    sessions: Sessions[Login], far: Sessions[Login], redis_proxy: Proxy
) -> None:
    session = await far.create("ana", Login())
    redis_proxy.pause()
    write = asyncio.create_task(far.update(session, Login(["late"])))
    await sent(redis_proxy, write)
    assert await sessions.delete(session)
    redis_proxy.resume()
    with pytest.raises(SessionOverError):
        await write
    assert await sessions.get(session.id) is None
    assert await sessions.list_by_user("ana") == []


async def test_a_late_write_does_not_undo_a_newer_one(
    sessions: Sessions[Login], far: Sessions[Login], redis_proxy: Proxy
) -> None:
    session = await far.create("ana", Login())
    redis_proxy.pause()
    write = asyncio.create_task(far.update(session, Login(["late"])))
    await sent(redis_proxy, write)
    newer = await sessions.update(session, Login(["newer"]))
    redis_proxy.resume()
    with pytest.raises(SessionConflictError):
        await write
    assert await sessions.get(session.id) == newer


async def test_a_write_that_was_given_up_does_not_undo_a_logout_either(
    sessions: Sessions[Login], far: Sessions[Login], redis_proxy: Proxy
) -> None:
    session = await far.create("ana", Login())
    redis_proxy.pause()
    write = asyncio.create_task(far.update(session, Login(["late"])))
    await sent(redis_proxy, write)
    write.cancel()
    await asyncio.wait([write])
    await sessions.expire_all("ana")
    redis_proxy.resume()
    # What the proxy held has passed when a later connection has had its answer.
    assert await far.get(session.id) is None
    assert await sessions.list_by_user("ana") == []


class Late(Sessions[Login]):
    """Sessions whose `create` stops between its two requests."""

    async def _fences(self, *keys: str) -> list[bytes]:
        tokens = await super()._fences(*keys)
        self.stopped.set()
        await self.go_on.wait()
        return tokens

    def __init__(self, redis: Redis, prefix: str) -> None:
        super().__init__(redis, Login, prefix=prefix, deadline=10)
        self.stopped, self.go_on = asyncio.Event(), asyncio.Event()


@pytest.mark.parametrize("name", [None, "bot"])
async def test_a_session_that_is_being_begun_ends_with_all_others(
    sessions: Sessions[Login], redis: Redis, prefix: str, name: str | None
) -> None:
    late = Late(redis, prefix)
    begun = asyncio.create_task(late.create("ana", Login(), name=name))
    await late.stopped.wait()
    await sessions.create("ana", Login())
    assert await sessions.expire_all("ana") == 1
    late.go_on.set()
    with pytest.raises(SessionOverError, match="ended while this one was begun"):
        await begun
    assert await sessions.list_by_user("ana") == []


async def test_a_named_session_that_is_being_begun_does_not_undo_its_end(
    sessions: Sessions[Login], redis: Redis, prefix: str
) -> None:
    late = Late(redis, prefix)
    begun = asyncio.create_task(late.create("ana", Login(["late"]), name="bot"))
    await late.stopped.wait()
    assert await sessions.delete(await sessions.create("ana", Login(), name="bot"))
    late.go_on.set()
    with pytest.raises(SessionOverError):
        await begun
    assert await sessions.get_named("ana", "bot") is None


async def test_a_request_that_is_held_up_does_not_outlive_the_end_of_all(
    sessions: Sessions[Login], far: Sessions[Login], redis_proxy: Proxy
) -> None:
    fence = await far.fence("ana")
    redis_proxy.pause()
    begun = asyncio.create_task(far.create("ana", Login(), fence=fence))
    await sent(redis_proxy, begun)
    await sessions.expire_all("ana")
    redis_proxy.resume()
    with pytest.raises(SessionOverError):
        await begun


async def test_a_login_that_began_before_a_password_change_is_refused(sessions: Sessions[Login]) -> None:
    fence = await sessions.fence("ana")
    # Here the old password is accepted, and another request changes it.
    assert await sessions.expire_all("ana") == 0
    with pytest.raises(SessionOverError):
        await sessions.create("ana", Login(), fence=fence)
    again = await sessions.create("ana", Login(), fence=await sessions.fence("ana"))
    assert await sessions.get(again.id) == again


class Twice(RedisConnection):
    """Sends every command again, as redis-py does where a reply was lost."""

    async def run(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[bytes | str | int],
        *,
        deadline: float,
        trusted: bool = False,
    ) -> Any:
        await super().run(script, keys, arguments, deadline=deadline, trusted=trusted)
        return await super().run(script, keys, arguments, deadline=deadline, trusted=trusted)


async def test_a_client_that_repeats_a_write_does_not_take_itself_for_another(
    sessions: Sessions[Login], redis: Redis, prefix: str
) -> None:
    twice = Sessions(Twice(redis), Login, prefix=prefix, deadline=10)
    bot = await twice.create("ana", Login(), name="bot")
    written = await twice.update(bot, Login(["once"]))
    assert await twice.list_by_user("ana") == [written]
    assert await sessions.get_named("ana", "bot") == written


async def test_a_server_that_comes_back_empty_has_no_sessions() -> None:
    with redis_server() as server:
        server.start()
        async with Sessions(server.url, Login) as sessions:
            session = await sessions.create("ana", Login())
            fence = await sessions.fence("ana")
            server.kill()
            for call in (sessions.get(session.id), sessions.delete(session), sessions.expire_all("ana")):
                with pytest.raises(RedisUnavailableError):
                    await call
            server.start()
            assert await sessions.get(session.id) is None
            with pytest.raises(SessionOverError):
                await sessions.update(session, Login())
            with pytest.raises(SessionOverError):
                await sessions.create("ana", Login(), fence=fence)
            assert await sessions.list_by_user("ana") == []
            await sessions.create("ana", Login())


async def test_a_frozen_server_costs_the_deadline() -> None:
    with redis_server() as server:
        server.start()
        async with Sessions(server.url, Login, deadline=0.1) as sessions:
            session = await sessions.create("ana", Login())
            server.freeze()
            with pytest.raises(RedisUnavailableError, match=r"did not answer within 0\.1 s"):
                await sessions.get(session.id)
            server.thaw()
            async with asyncio.timeout(10):
                assert await sessions.get(session.id) == session
