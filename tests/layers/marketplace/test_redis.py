"""The bot's data in Redis: limits for each user, states of conversations and of its own runs."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from redis.asyncio import Redis

from plainsql.errors import RedisUnavailableError
from plainsql.layers.marketplace import conversations
from plainsql.layers.marketplace.limits import RateLimits
from plainsql.layers.marketplace.states import BotSessions, BotState, ConversationState, ConversationStates
from tests.layers.marketplace.stall import Stall


@pytest.fixture
async def states(redis_url: str) -> AsyncGenerator[ConversationStates]:
    async with Redis.from_url(redis_url) as client:  # the conversations of other databases have the same ids
        async for key in client.scan_iter("*marketplace:conversations*"):
            await client.delete(key)
    async with ConversationStates(redis_url, deadline=60) as states:
        yield states


@pytest.fixture
async def bots(redis_url: str) -> AsyncGenerator[BotSessions]:
    async with BotSessions(redis_url, deadline=60) as bots:
        yield bots


async def test_a_user_is_limited_within_the_window(redis_url: str) -> None:
    ana, eva = uuid.uuid4(), uuid.uuid4()
    async with RateLimits(redis_url, deadline=60) as limits:
        assert [await limits.is_rate_limited(ana, 3, 60) for _ in range(5)] == [False] * 3 + [True] * 2
        assert await limits.is_rate_limited(eva, 3, 60) is False
        decision = await limits.check(ana, 3, 60)
        assert (decision.allowed, decision.remaining) == (False, 0)
        assert 0 < decision.retry_after <= 60


async def test_concurrent_calls_never_exceed_the_limit(redis_url: str) -> None:
    user = uuid.uuid4().hex
    exact = {"without_redis": "raise", "deadline": 60.0}
    async with RateLimits(redis_url, **exact) as limits, RateLimits(redis_url, **exact) as others:  # type: ignore[arg-type]
        limited = await asyncio.gather(
            *((limits, others)[n % 2].is_rate_limited(user, 10, 60) for n in range(50))
        )
    assert limited.count(False) == 10


async def test_without_redis_the_process_counts_by_itself(tmp_path: Path) -> None:
    async with RateLimits(f"unix://{tmp_path}/none.sock") as limits:
        assert [await limits.is_rate_limited("ana", 2, 60) for _ in range(4)] == [False, False, True, True]
    async with RateLimits(f"unix://{tmp_path}/none.sock", without_redis="raise") as limits:
        with pytest.raises(RedisUnavailableError):
            await limits.is_rate_limited("ana", 2, 60)


async def test_a_state_lives_as_long_as_its_conversation_is_active(
    stall: Stall, states: ConversationStates
) -> None:
    db, id = stall.db, stall.talk.id
    assert await states.change(id, lambda state: state) is None
    assert await states.of(db, id) == ConversationState()
    changed = await states.change(
        id, lambda state: msgspec.structs.replace(state, stage="haggling", offered=Decimal("80.50"))
    )
    assert changed == ConversationState(stage="haggling", offered=Decimal("80.50"))
    assert await states.of(db, id) == changed
    await conversations.complete(db, id=id)
    assert await states.of(db, id) is None
    assert await states.change(id, lambda state: state) is None
    assert await states.of(db, 2**40) is None


async def test_concurrent_changes_are_all_kept(stall: Stall, states: ConversationStates) -> None:
    await states.of(stall.db, stall.talk.id)

    def one_more(state: ConversationState) -> ConversationState:
        return msgspec.structs.replace(state, rounds=state.rounds + 1)

    await asyncio.gather(*(states.change(stall.talk.id, one_more) for _ in range(10)))
    found = await states.of(stall.db, stall.talk.id)
    assert found is not None
    assert found.rounds == 10


async def test_no_late_change_brings_a_state_back(stall: Stall, states: ConversationStates) -> None:
    await states.of(stall.db, stall.talk.id)
    read, ended = asyncio.Event(), asyncio.Event()

    def late(state: ConversationState) -> ConversationState:
        read.set()
        return msgspec.structs.replace(state, stage="agreed")

    async def end() -> None:
        await read.wait()
        assert await states.end(stall.talk.id) is True
        ended.set()

    # The change is made from a state read before the end, and written after it.
    original = states._sessions.update

    async def update(*args: object) -> object:
        await ended.wait()
        return await original(*args)  # type: ignore[arg-type]

    states._sessions.update = update  # type: ignore[assignment, method-assign]
    changed, _ = await asyncio.gather(states.change(stall.talk.id, late), end())
    assert changed is None
    states._sessions.update = original  # type: ignore[method-assign]
    assert await states.end(stall.talk.id) is False


async def test_a_bot_session_is_begun_once_and_kept(bots: BotSessions) -> None:
    key = uuid.uuid4().hex
    assert await bots.get(key) is None
    opened = await asyncio.gather(*(bots.open(key) for _ in range(10)))
    assert set(map(repr, opened)) == {repr(BotState())}
    changed = await bots.change(
        key, lambda state: msgspec.structs.replace(state, step="answering", actions=3)
    )
    assert await bots.get(key) == await bots.open(key) == changed
    assert await bots.close(key) is True
    assert await bots.close(key) is False
    assert await bots.get(key) is None


async def test_a_bot_session_ends_a_day_after_it_was_last_used(bots: BotSessions, redis_url: str) -> None:
    key = uuid.uuid4().hex
    await bots.open(key)
    found = await bots._sessions.get_named(key, "state")
    assert found is not None
    left = (found.expires_at - found.created_at).total_seconds()
    assert 86_400 <= left < 86_460


async def test_without_redis_states_raise(stall: Stall, tmp_path: Path) -> None:
    async with ConversationStates(f"unix://{tmp_path}/none.sock") as states:
        with pytest.raises(RedisUnavailableError):
            await states.of(stall.db, stall.talk.id)
