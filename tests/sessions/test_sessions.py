"""Sessions: begun, read, written, listed and ended."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from redis.asyncio import Redis

from plainsql.errors import BindError, DecodeError, OptionError
from plainsql.sessions import Session, SessionConflictError, SessionOverError, Sessions
from tests.sessions.conftest import Login

DAY = timedelta(days=1)


async def keys(redis: Redis, prefix: str) -> list[str]:
    return [str(key, "ascii") for key in await redis.keys(f"{prefix}*") if isinstance(key, bytes)]


async def test_a_session_is_read_as_it_was_begun_and_written(sessions: Sessions[Login]) -> None:
    session = await sessions.create("ana", Login(["admin"]))
    assert (session.user, session.value) == ("ana", Login(["admin"]))
    assert session.expires_at - session.created_at == DAY
    assert abs(datetime.now(UTC) - session.created_at) < timedelta(minutes=1)
    assert await sessions.get(session.id) == session
    written = await sessions.update(session, Login(["admin"], 1))
    assert written.version != session.version
    assert await sessions.get(session.id) == written


async def test_a_write_from_an_older_reading_is_refused(sessions: Sessions[Login]) -> None:
    old = await sessions.create("ana", Login())
    new = await sessions.update(old, Login(visits=1))
    with pytest.raises(SessionConflictError, match="another call has written"):
        await sessions.update(old, Login(visits=2))
    assert await sessions.get(old.id) == new


async def test_modify_loses_no_change_of_many_at_once(sessions: Sessions[Login]) -> None:
    session = await sessions.create("ana", Login())

    async def visit() -> None:
        await sessions.modify(session, lambda login: Login(login.roles, login.visits + 1), attempts=100)

    await asyncio.gather(*(visit() for _ in range(20)))
    now = await sessions.get(session.id)
    assert now is not None
    assert now.value.visits == 20


async def test_nothing_is_written_to_a_session_that_is_over(sessions: Sessions[Login]) -> None:
    session = await sessions.create("ana", Login())
    assert await sessions.delete(session)
    assert not await sessions.delete(session)
    assert await sessions.get(session.id) is None
    with pytest.raises(SessionOverError):
        await sessions.update(session, Login())
    with pytest.raises(SessionOverError):
        await sessions.modify(session, lambda login: login)
    assert await sessions.list_by_user("ana") == []


async def test_the_sessions_of_a_user_are_listed_newest_first(sessions: Sessions[Login]) -> None:
    made = [await sessions.create("ana", Login(visits=number)) for number in range(3)]
    await sessions.create("bea", Login())
    found = await sessions.list_by_user("ana")
    assert found == sorted(made, key=lambda one: (one.created_at, one.id), reverse=True)
    await sessions.delete(made[1].id)
    assert {one.value.visits for one in await sessions.list_by_user("ana")} == {0, 2}


async def test_all_sessions_of_a_user_end_but_for_the_one_kept(
    sessions: Sessions[Login], redis: Redis, prefix: str
) -> None:
    made = [await sessions.create("ana", Login()) for _ in range(4)]
    other = await sessions.create("bea", Login())
    assert await sessions.expire_all("ana", keep=made[2]) == 3
    assert [await sessions.get(one.id) for one in made] == [None, None, made[2], None]
    assert await sessions.list_by_user("ana") == [made[2]]
    assert await sessions.expire_all("ana") == 1
    assert await sessions.get(other.id) == other
    assert len(await keys(redis, prefix)) == 3, "what is left is the index, the session and the fence of bea"
    assert await sessions.expire_all("nobody") == 0
    with pytest.raises(BindError, match="session of the user"):
        await sessions.expire_all("ana", keep=other)


async def test_a_named_session_is_the_only_one_of_its_name(sessions: Sessions[Login]) -> None:
    bot = await sessions.create("ana", Login(), name="bot")
    assert await sessions.get_named("ana", "bot") == bot
    assert await sessions.get_named("bea", "bot") is None
    with pytest.raises(SessionConflictError, match="has a session of this name"):
        await sessions.create("ana", Login(), name="bot")
    assert await sessions.delete(bot)
    again = await sessions.create("ana", Login(visits=9), name="bot")
    with pytest.raises(SessionConflictError):
        await sessions.update(bot, Login())  # read in the life before
    assert await sessions.get_named("ana", "bot") == again


async def test_the_id_of_a_named_session_lets_nobody_in(sessions: Sessions[Login]) -> None:
    bot = await sessions.create("ana", Login(), name="bot")
    assert await sessions.get(bot.id) is None
    assert not await sessions.delete(bot.id)
    assert await sessions.get_named("ana", "bot") == bot


@pytest.mark.parametrize(
    "forged",
    [
        "",
        ".",
        "x" * 100_000,
        "AAAAAAAAAAAAAAAA.",
        "AAAAAAAAAAAAAAA{.}",
        "é" * 49,
        "A" * 16 + "." + "B" * 32 + "\n",
    ],
)
async def test_an_id_that_is_none_is_no_session(sessions: Sessions[Login], forged: str) -> None:
    assert await sessions.get(forged) is None
    assert not await sessions.delete(forged)


async def test_a_session_ends_after_its_time(sessions: Sessions[Login], redis: Redis, prefix: str) -> None:
    session = await sessions.create("ana", Login(), ttl=0.05)
    longer = await sessions.create("ana", Login())
    # The index alone decides, so that a hash that outlives its time changes nothing.
    (key,) = [key for key in await keys(redis, prefix) if key.endswith(session.id.partition(".")[2])]
    await redis.persist(key)
    async with asyncio.timeout(10):
        while await sessions.get(session.id):
            pass
    assert datetime.now(UTC) - session.created_at >= timedelta(milliseconds=50)
    with pytest.raises(SessionOverError):
        await sessions.update(session, Login())
    assert await sessions.list_by_user("ana") == [longer]
    await sessions.delete(longer)
    assert [key for key in await keys(redis, prefix) if not key.endswith(":fence")] == []


async def test_a_session_stays_as_it_is_unless_it_slides(
    sessions: Sessions[Login], redis_url: str, prefix: str
) -> None:
    session = await sessions.create("ana", Login(), ttl=60)
    async with Sessions(redis_url, Login, prefix=prefix, sliding=True) as sliding:
        # The server's clock counts milliseconds.
        while (slid := await sliding.get(session.id)) and slid.expires_at == session.expires_at:
            pass
        assert slid is not None
        assert slid.expires_at > session.expires_at
        while (written := await sliding.update(slid, Login())).expires_at == slid.expires_at:
            slid = written
        assert await sessions.get(session.id) == written, "reading without sliding leaves it"
        assert [one.expires_at for one in await sliding.list_by_user("ana")] == [written.expires_at]


async def test_every_key_of_a_session_goes_with_it(redis: Redis, redis_url: str, prefix: str) -> None:
    async with Sessions(redis_url, Login, prefix=prefix, ttl=100) as sessions:
        await sessions.create("ana", Login(), ttl=200)
        await sessions.create("ana", Login())
    lives = {key: await redis.pttl(key) for key in await keys(redis, prefix)}
    assert len(lives) == 4
    assert 199_000 < next(life for key, life in lives.items() if key.endswith(":index")) <= 200_000
    assert all(0 < life <= 3_600_000 for life in lives.values())


async def test_no_key_that_an_eviction_takes_makes_a_session_valid(
    sessions: Sessions[Login], redis: Redis, prefix: str
) -> None:
    for pattern in ("index", "s.*", "fence"):
        session = await sessions.create("ana", Login())
        fence = await sessions.fence("ana")
        (key,) = await redis.keys(f"{prefix}:*:{pattern}")
        await redis.delete(key)
        if pattern == "fence":
            with pytest.raises(SessionOverError, match="were ended while"):
                await sessions.create("ana", Login(), fence=fence)
        else:
            assert await sessions.get(session.id) is None
            with pytest.raises(SessionOverError):
                await sessions.update(session, Login())
            assert await sessions.list_by_user("ana") == []
        await sessions.expire_all("ana")
        await redis.delete(*await redis.keys(f"{prefix}*"), "none")


class Older(msgspec.Struct):
    roles: list[str] = []


class Other(msgspec.Struct):
    roles: dict[str, int]


async def test_a_session_of_another_type_is_read_if_it_fits_and_refused_if_not(
    sessions: Sessions[Login], redis_url: str, prefix: str
) -> None:
    session = await sessions.create("ana", Login(["secret-role"]))
    async with (
        Sessions(redis_url, Older, prefix=prefix) as older,
        Sessions(redis_url, Other, prefix=prefix) as other,
    ):
        known = await older.get(session.id)
        assert known is not None
        assert known.value == Older(["secret-role"])
        for read in (other.get(session.id), other.list_by_user("ana")):
            with pytest.raises(DecodeError) as error:
                await read
            assert str(error.value).startswith("a session does not fit Other at `$.roles`\nHINT: ")
        assert await sessions.get(session.id) == session, "it is not the reader's to end"
        assert await other.delete(session.id)


async def test_a_session_does_not_show_what_would_let_a_reader_of_logs_in(sessions: Sessions[Login]) -> None:
    session = await sessions.create("ana", Login(["secret-role"]))
    assert repr(session) == f"<Session of Login until {session.expires_at:%Y-%m-%d %H:%M:%S}Z>"
    assert "ana" not in repr(sessions)


async def test_ids_are_not_alike(sessions: Sessions[Login]) -> None:
    made = [await sessions.create("ana", Login()) for _ in range(10)]
    assert len({one.id for one in made}) == len({one.version for one in made}) == 10
    assert all(len(one.id.partition(".")[2]) == 32 for one in made)


def test_what_is_out_of_range_is_told() -> None:
    for make, message in [
        (
            lambda: Sessions("redis://", Login, ttl=0),
            "Sessions(): ttl: expected seconds from 0.001",
        ),
        (
            lambda: Sessions("redis://", Login, deadline=0),
            "Sessions(): deadline: expected seconds above 0",
        ),
    ]:
        with pytest.raises(OptionError) as error:
            make()  # type: ignore[no-untyped-call]
        assert str(error.value).startswith(message)


async def test_neither_a_user_nor_a_name_may_be_empty(sessions: Sessions[Login]) -> None:
    with pytest.raises(BindError, match="user: expected"):
        await sessions.create("", Login())
    with pytest.raises(BindError, match="name: expected 1 to 64"):
        await sessions.create("ana", Login(), name="a b")


async def test_a_client_that_decodes_replies_and_repeats_commands_will_do(
    redis_url: str, prefix: str
) -> None:
    async with Redis.from_url(redis_url, decode_responses=True) as client:
        sessions = Sessions(client, bytes, prefix=prefix)
        session = await sessions.create("ana", b"\xff\x00")
        assert await sessions.get(session.id) == session
        again: Session[bytes] = await sessions.update(session, b"\xfe")
        assert await sessions.list_by_user("ana") == [again]
