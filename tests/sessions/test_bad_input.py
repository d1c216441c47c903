"""Values that are no user, id, value or key: one clear error. Keys of others: none at all."""

from __future__ import annotations

from typing import Any, cast

import pytest
from redis.asyncio import Redis

from plainsql.errors import BindError, DecodeError
from plainsql.sessions import Sessions
from tests.sessions.conftest import Login

_HALF = "\ud800"


@pytest.mark.parametrize("user", [None, 5, b"ana", "", _HALF, "x" * 1025])
async def test_what_is_no_user_is_refused(sessions: Sessions[Login], user: Any) -> None:
    for call in (
        sessions.create(user, Login()),
        sessions.create(user, Login(), name="bot"),
        sessions.get_named(user, "bot"),
        sessions.fence(user),
        sessions.list_by_user(user),
        sessions.expire_all(user),
    ):
        with pytest.raises(BindError, match=r"^user: expected"):
            await call


@pytest.mark.parametrize("given", [None, 5, b"x"])
async def test_what_is_no_id_is_refused(sessions: Sessions[Login], given: Any) -> None:
    with pytest.raises(BindError, match=r"^session id: expected a str"):
        await sessions.get(given)
    for call in (sessions.delete(given), sessions.update(given, Login())):
        with pytest.raises(BindError, match="expected a session"):
            await call
    with pytest.raises(BindError, match=r"^name: expected"):
        await sessions.get_named("ana", cast("str", given or 0))


@pytest.mark.parametrize("given", ["", _HALF, "x" * 100_000, "a.b", "\0"])
async def test_an_id_of_anyones_is_none(sessions: Sessions[Login], given: str) -> None:
    assert await sessions.get(given) is None
    assert not await sessions.delete(given)


@pytest.mark.parametrize("value", [[_HALF], [2**70], [object()]])
async def test_a_value_that_cannot_be_stored_is_refused(redis_url: str, prefix: str, value: Any) -> None:
    async with Sessions(redis_url, list[Any], prefix=prefix, deadline=30) as sessions:
        session = await sessions.create("ana", [])
        for call in (sessions.create("ana", value), sessions.update(session, value)):
            with pytest.raises(BindError, match=r"^value: list cannot be stored"):
                await call
        assert await sessions.get(session.id) == session


async def _spoil(redis: Redis, key: str) -> None:
    await redis.delete(key)
    await redis.rpush(key, "another program's")


async def _keys(redis: Redis, prefix: str, end: str) -> list[str]:
    return [key.decode() async for key in redis.scan_iter(f"{prefix}:*{end}")]


async def test_one_key_of_another_type_ends_its_session_and_no_other(
    sessions: Sessions[Login], redis: Redis, prefix: str
) -> None:
    one = await sessions.create("ana", Login(["one"]))
    two = await sessions.create("ana", Login(["two"]))
    await _spoil(redis, f"{prefix}:{{{one.id[:16]}}}:s{one.id[16:]}")
    assert await sessions.list_by_user("ana") == [two]
    assert await sessions.get(one.id) is None
    await _spoil(redis, f"{prefix}:{{{two.id[:16]}}}:s{two.id[16:]}")
    three = await sessions.create("ana", Login(["three"]))
    assert await sessions.expire_all("ana") == 1
    assert await sessions.get(three.id) is None


@pytest.mark.parametrize("end", [":index", ":fence"])
async def test_a_users_own_keys_of_another_type_are_lost_and_not_in_the_way(
    sessions: Sessions[Login], redis: Redis, prefix: str, end: str
) -> None:
    await sessions.create("ana", Login())
    for key in await _keys(redis, prefix, end):
        await _spoil(redis, key)
    assert await sessions.expire_all("ana") == (0 if end == ":index" else 1)
    again = await sessions.create("ana", Login(["again"]))
    assert await sessions.list_by_user("ana") == [again]
    assert await sessions.expire_all("ana") == 1


async def test_a_session_without_a_field_is_over(
    sessions: Sessions[Login], redis: Redis, prefix: str
) -> None:
    for field in "vduct":
        session = await sessions.create("ana", Login())
        await redis.hdel(f"{prefix}:{{{session.id[:16]}}}:s{session.id[16:]}", field)
        assert await sessions.get(session.id) is None
        assert await sessions.list_by_user("ana") == []
    session = await sessions.create("ana", Login())
    await redis.hset(f"{prefix}:{{{session.id[:16]}}}:s{session.id[16:]}", "u", b"\xff")
    with pytest.raises(DecodeError):
        await sessions.get(session.id)
