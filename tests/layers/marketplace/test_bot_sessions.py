"""Bot sessions: opened, alive, closed."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from asyncpg import CheckViolationError

import plainsql
from plainsql.layers.marketplace import bot_sessions
from tests.layers.marketplace.stall import pages

NEVER = "never"


async def test_open_begins_a_session_and_goes_on_with_it(marketplace_db: plainsql.Database) -> None:
    key = uuid.uuid4().hex
    first = await bot_sessions.open(marketplace_db, session_key=key, details={"host": "a"})
    assert first is not None
    await bot_sessions.heartbeat(marketplace_db, session_key=key, actions=3)
    again = await bot_sessions.open(marketplace_db, session_key=key, details={"pid": 7})
    assert again is not None
    assert (again.id, again.actions_count, again.details) == (first.id, 3, {"host": "a", "pid": 7})
    assert await bot_sessions.get_by_session_key(marketplace_db, session_key=key) == again
    assert await bot_sessions.get_by_id(marketplace_db, id=first.id) == again


async def test_concurrent_opens_begin_one_session(marketplace_db: plainsql.Database) -> None:
    key = uuid.uuid4().hex
    rows = await asyncio.gather(*(bot_sessions.open(marketplace_db, session_key=key) for _ in range(20)))
    assert len({row.id for row in rows if row is not None}) == 1


async def test_heartbeats_add_up(marketplace_db: plainsql.Database) -> None:
    key = uuid.uuid4().hex
    first = await bot_sessions.open(marketplace_db, session_key=key)
    assert first is not None
    await asyncio.gather(
        *(bot_sessions.heartbeat(marketplace_db, session_key=key, actions=2, errors=1) for _ in range(10))
    )
    beat = await bot_sessions.heartbeat(marketplace_db, session_key=key, details={"step": "x"})
    assert beat is not None
    assert (beat.actions_count, beat.errors_count, beat.details) == (20, 10, {"step": "x"})
    assert beat.last_activity_at > first.last_activity_at
    assert await bot_sessions.heartbeat(marketplace_db, session_key=NEVER) is None
    with pytest.raises(plainsql.BindError):
        await bot_sessions.heartbeat(marketplace_db, session_key=key, actions=-1)


async def test_a_closed_session_stays_closed(marketplace_db: plainsql.Database) -> None:
    key = uuid.uuid4().hex
    await bot_sessions.open(marketplace_db, session_key=key)
    closed = await bot_sessions.close(marketplace_db, session_key=key)
    assert closed is not None
    assert closed.ended_at is not None
    assert await bot_sessions.close(marketplace_db, session_key=key) is None
    assert await bot_sessions.heartbeat(marketplace_db, session_key=key) is None
    assert await bot_sessions.open(marketplace_db, session_key=key) is None
    assert await bot_sessions.get_by_session_key(marketplace_db, session_key=key) == closed


async def test_the_open_ones_are_shown_longest_silent_first(fresh_db: plainsql.Database) -> None:
    now = datetime.now(UTC)
    for hours in (3, 9, 1, 7, 5):
        at = now - timedelta(hours=hours)
        await bot_sessions.create(fresh_db, session_key=str(hours), started_at=at, last_activity_at=at)
    await bot_sessions.close(fresh_db, session_key="7")
    rows = [row async for row in pages(bot_sessions.list_open, fresh_db, "last_activity_at", "id")]
    assert [row.session_key for row in rows] == ["9", "5", "3", "1"]
    silent = await bot_sessions.list_open(fresh_db, silent_since=now - timedelta(hours=4))
    assert [row.session_key for row in silent] == ["9", "5"]


async def test_update_and_delete(marketplace_db: plainsql.Database) -> None:
    session = await bot_sessions.create(marketplace_db, session_key=uuid.uuid4().hex, actions_count=2)
    changed = await bot_sessions.update(marketplace_db, id=session.id, errors_count=4, details={"a": 1})
    assert changed is not None
    assert (changed.actions_count, changed.errors_count, changed.details) == (2, 4, {"a": 1})
    with pytest.raises(CheckViolationError):
        await bot_sessions.update(
            marketplace_db, id=session.id, ended_at=session.started_at - timedelta(hours=1)
        )
    assert await bot_sessions.delete(marketplace_db, id=session.id) == 1
