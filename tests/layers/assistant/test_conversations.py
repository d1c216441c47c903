"""Conversations: the state of a dialogue, and its messages."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from asyncpg import CheckViolationError, ForeignKeyViolationError, UniqueViolationError

import plainsql
from plainsql.layers.assistant import conversations, message_history
from tests.layers.assistant.desk import Desk, blocked, pages, soon


async def talk_with(desk: Desk, session_id: str, **values: Any) -> conversations.Conversation:
    talk = await conversations.create(desk.db, user_id=desk.user.id, session_id=session_id)
    changed = await conversations.update(desk.db, id=talk.id, **values)
    assert changed is not None
    return changed


async def test_a_session_is_one_conversation(desk: Desk) -> None:
    found = await conversations.get_by_session_id(desk.db, session_id="session-1")
    assert found == desk.conversation
    with pytest.raises(UniqueViolationError):
        await conversations.create(desk.db, user_id=desk.user.id, session_id="session-1")
    assert await conversations.get_by_session_id(desk.db, session_id="none") is None


async def test_concurrent_starts_of_a_session_are_one_conversation(desk: Desk) -> None:
    begun = await asyncio.gather(
        *(
            conversations.get_or_start(desk.db, user_id=desk.user.id, session_id="session-2")
            for _ in range(30)
        )
    )
    assert len({talk.id for talk in begun}) == 1
    again = await conversations.get_or_start(desk.db, user_id=desk.user.id, session_id="session-2")
    # The calls that lost the race have updated the row in order to see it: it is as the last of them left it.
    # Its time does not show which call was last: it is the time at which a call began, not its turn.
    assert again in begun


async def test_update_changes_only_the_given_columns(desk: Desk) -> None:
    changed = await conversations.update(desk.db, id=desk.conversation.id, current_state="asked")
    assert changed is not None
    assert (changed.current_state, changed.session_id) == ("asked", "session-1")
    assert await conversations.update(desk.db, id=0) is None


async def test_a_state_is_left_only_if_it_is_the_expected_one(desk: Desk) -> None:
    id = desk.conversation.id
    moved = await conversations.update_state(
        desk.db, id=id, expected_state="idle", new_state="asked", context_data={"a": 1, "b": 1}
    )
    assert moved is not None
    assert (moved.current_state, moved.context_data) == ("asked", {"a": 1, "b": 1})
    assert moved.last_activity > desk.conversation.last_activity
    assert await conversations.update_state(desk.db, id=id, expected_state="idle", new_state="x") is None
    moved = await conversations.update_state(
        desk.db, id=id, expected_state="asked", new_state="done", context_data={"b": 2}
    )
    assert moved is not None
    assert moved.context_data == {"a": 1, "b": 2}


async def test_one_of_many_concurrent_moves_of_a_state_succeeds(desk: Desk) -> None:
    moved = await asyncio.gather(
        *(
            conversations.update_state(
                desk.db, id=desk.conversation.id, expected_state="idle", new_state=f"taken by {n}"
            )
            for n in range(20)
        )
    )
    (winner,) = [talk for talk in moved if talk is not None]
    assert await conversations.get_by_id(desk.db, id=desk.conversation.id) == winner


async def test_a_move_that_waited_sees_the_new_state(desk: Desk, owner_db: plainsql.Database) -> None:
    given: dict[str, Any] = {"id": desk.conversation.id, "expected_state": "idle"}
    async with desk.db.transaction() as tx:
        assert await conversations.update_state(tx, new_state="first", **given)
        second = asyncio.create_task(conversations.update_state(desk.db, new_state="second", **given))
        await blocked(owner_db)
    assert await second is None


async def test_a_closed_conversation_is_closed_once_and_keeps_its_state(desk: Desk) -> None:
    id = desk.conversation.id
    closed = await conversations.close(desk.db, id=id)
    assert closed is not None
    assert not closed.is_active
    assert await conversations.close(desk.db, id=id) is None
    assert await conversations.update_state(desk.db, id=id, expected_state="idle", new_state="x") is None
    assert await conversations.list_active(desk.db) == []


async def test_the_open_ones_come_last_active_first(desk: Desk) -> None:
    talks = [await talk_with(desk, f"s{n}", last_activity=soon(minutes=-n % 3)) for n in range(7)]
    expected = sorted([desk.conversation, *talks], key=lambda row: (row.last_activity, row.id), reverse=True)
    found = [row.id async for row in pages(conversations.list_active, desk.db, "last_activity", "id")]
    assert found == [row.id for row in expected]
    mine = await conversations.list_active(desk.db, user_id=desk.user.id)
    assert [row.id for row in mine] == found


async def test_the_idle_are_closed_in_batches(desk: Desk) -> None:
    busy = await talk_with(desk, "busy", last_activity=soon(minutes=-29))
    for n in range(7):
        await talk_with(desk, f"s{n}", last_activity=soon(hours=-3 - n))
    batches = []
    while batch := await conversations.expire_idle(desk.db, limit=3):
        batches.append(batch)
    assert [len(batch) for batch in batches] == [3, 3, 2]
    assert all(not talk.is_active for batch in batches for talk in batch)
    assert {talk.session_id for talk in batches[0]} == {"s4", "s5", "s6"}
    assert [talk.id for talk in await conversations.list_active(desk.db)] == [busy.id]


async def test_one_that_is_at_work_is_not_closed_as_idle(desk: Desk) -> None:
    async with desk.db.transaction() as tx:
        await conversations.update_state(tx, id=desk.conversation.id, expected_state="idle", new_state="x")
        assert await conversations.expire_idle(desk.db) == []
    assert await conversations.expire_idle(desk.db) == []


async def test_a_message_moves_its_conversation(desk: Desk) -> None:
    message = await message_history.add_message(
        desk.db, conversation_id=desk.conversation.id, message_id="m-2", user_message="¿Qué hora es?"
    )
    talk = await conversations.get_by_id(desk.db, id=desk.conversation.id)
    assert talk is not None
    assert (talk.last_activity, talk.last_message_id) == (message.created_at, "m-2")
    await message_history.add_message(desk.db, conversation_id=talk.id, bot_response="Las tres")
    talk = await conversations.get_by_id(desk.db, id=talk.id)
    assert talk is not None
    assert talk.last_message_id == "m-2"


async def test_concurrent_messages_do_not_deadlock(desk: Desk) -> None:
    id = desk.conversation.id
    await asyncio.gather(
        *(message_history.add_message(desk.db, conversation_id=id, user_message=f"{n}") for n in range(20))
    )
    talk = await conversations.get_by_id(desk.db, id=id)
    newest = await message_history.recent(desk.db, conversation_id=id, limit=1)
    assert talk is not None
    assert talk.last_activity == newest[0].created_at


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"user_message": "x", "confidence_score": 1.5},
        {"user_message": "x", "processing_time_ms": -1},
    ],
)
async def test_invalid_values_are_refused(desk: Desk, values: dict[str, Any]) -> None:
    with pytest.raises(CheckViolationError):
        await message_history.add_message(desk.db, conversation_id=desk.conversation.id, **values)
    with pytest.raises(ForeignKeyViolationError, match="there is no conversation"):
        await message_history.add_message(desk.db, conversation_id=0, user_message="x")


async def test_recent_is_the_end_of_the_history_oldest_first(desk: Desk) -> None:
    id = desk.conversation.id
    async with desk.db.transaction() as tx:
        for n in range(7):
            await message_history.add_message(tx, conversation_id=id, user_message=f"{n}")
    recent = await message_history.recent(desk.db, conversation_id=id, limit=3)
    assert [row.user_message for row in recent] == ["4", "5", "6"]
    history = [
        row
        async for row in pages(
            message_history.conversation_history, desk.db, "created_at", "id", conversation_id=id
        )
    ]
    assert [row.user_message for row in history] == ["6", "5", "4", "3", "2", "1", "0", "Hola"]


async def test_messages_are_found_by_their_intent(desk: Desk) -> None:
    id = desk.conversation.id
    for confidence in (0.2, 0.8):
        await message_history.add_message(
            desk.db,
            conversation_id=id,
            user_message="mañana a las 8",
            intent_detected="remind",
            confidence_score=confidence,
            entities_extracted={"time": ["08:00"]},
        )
    found = await message_history.by_intent(desk.db, intent="remind")
    assert [row.confidence_score for row in found] == [0.8, 0.2]
    assert found[0].entities_extracted == {"time": ["08:00"]}
    sure = await message_history.by_intent(desk.db, intent="remind", min_confidence=0.5)
    assert [row.id for row in sure] == [found[0].id]
    since = found[0].created_at
    assert [row.id for row in await message_history.by_intent(desk.db, intent="remind", since=since)] == [
        found[0].id
    ]


async def test_statistics_count_each_intent_and_measure_it(desk: Desk) -> None:
    id = desk.conversation.id
    for n in range(1, 101):
        await message_history.add_message(
            desk.db,
            conversation_id=id,
            user_message="x",
            intent_detected="remind",
            confidence_score=0.5 if n % 2 else 1.0,
            processing_time_ms=n,
        )
    await message_history.add_message(desk.db, conversation_id=id, user_message="¿?")
    greeting = desk.message
    remind, hello, nothing = await message_history.intent_statistics(desk.db)
    assert (remind.intent, remind.messages) == ("remind", 100)
    assert remind.mean_confidence == pytest.approx(0.75)
    assert remind.p50_processing_time_ms == pytest.approx(50.5)
    assert remind.p95_processing_time_ms == pytest.approx(95.05)
    assert (hello.intent, hello.messages, hello.mean_confidence) == ("greeting", 1, 0.9)
    assert (nothing.intent, nothing.messages, nothing.p95_processing_time_ms) == (None, 1, None)
    until = greeting.created_at + timedelta(microseconds=1)
    assert [row.intent for row in await message_history.intent_statistics(desk.db, until=until)] == [
        "greeting"
    ]
