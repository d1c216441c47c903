"""Conversations and their messages."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from asyncpg import DataError, ForeignKeyViolationError

import plainsql
from plainsql.layers.realty import conversations, leads, messages
from tests.layers.realty.agency import Agency, pages


async def test_append_moves_the_conversation_in_the_same_statement(agency: Agency) -> None:
    db, talk = agency.db, agency.conversation
    question = await messages.append(db, conversation_id=talk.id, type="human", content="¿Hay cochera?")
    moved = await conversations.get_by_id(db, id=talk.id)
    assert moved is not None
    assert (moved.last_message_at, moved.is_answered_by_lead) == (question.created_at, True)
    answer = await messages.append(db, conversation_id=talk.id, type="ai-assistant", content="Sí")
    moved = await conversations.get_by_id(db, id=talk.id)
    assert moved is not None
    assert (moved.last_message_at, moved.is_answered_by_lead) == (answer.created_at, False)


async def test_concurrent_appends_leave_the_time_of_the_last(agency: Agency) -> None:
    db, talk = agency.db, agency.conversation
    said = await asyncio.gather(
        *(
            messages.append(
                db, conversation_id=talk.id, type="human" if n % 2 else "ai-assistant", content=str(n)
            )
            for n in range(40)
        )
    )
    last = max(said, key=lambda message: message.created_at)
    moved = await conversations.get_by_id(db, id=talk.id)
    assert moved is not None
    assert (moved.last_message_at, moved.is_answered_by_lead) == (last.created_at, last.type == "human")


async def test_append_never_moves_a_conversation_back(agency: Agency) -> None:
    db, talk = agency.db, agency.conversation
    later = datetime.now(UTC) + timedelta(minutes=1)
    await conversations.update(db, id=talk.id, last_message_at=later)
    await messages.append(db, conversation_id=talk.id, type="human", content="hola")
    moved = await conversations.get_by_id(db, id=talk.id)
    assert moved is not None
    assert (moved.last_message_at, moved.is_answered_by_lead) == (later, False)


async def test_append_refuses_an_unknown_conversation_and_speaker(agency: Agency) -> None:
    with pytest.raises(ForeignKeyViolationError):
        await messages.append(agency.db, conversation_id=uuid.uuid4(), type="human", content="hola")
    with pytest.raises(DataError):
        await messages.append(agency.db, conversation_id=agency.conversation.id, type="robot", content="hola")  # type: ignore[call-overload]


async def test_messages_of_one_transaction_keep_their_order(agency: Agency) -> None:
    async with agency.db.transaction() as tx:
        for content in "abcdefgh":
            await messages.append(tx, conversation_id=agency.conversation.id, type="human", content=content)
    said = await messages.recent(agency.db, conversation_id=agency.conversation.id, limit=8)
    assert "".join(message.content for message in said) == "abcdefgh"


async def test_recent_is_the_last_five_oldest_first(agency: Agency) -> None:
    talk = agency.conversation
    for n in range(7):
        await messages.append(agency.db, conversation_id=talk.id, type="human", content=str(n))
    said = await messages.recent(agency.db, conversation_id=talk.id)
    assert [message.content for message in said] == ["2", "3", "4", "5", "6"]
    said = await messages.recent(agency.db, conversation_id=talk.id, limit=2)
    assert [message.content for message in said] == ["5", "6"]


async def test_history_is_all_messages_of_one_conversation_newest_first(agency: Agency) -> None:
    db, talk = agency.db, agency.conversation
    other = await conversations.create(db, lead_id=agency.lead.id)
    await messages.append(db, conversation_id=other.id, type="human", content="elsewhere")
    for n in range(7):
        await messages.append(db, conversation_id=talk.id, type="human", content=str(n))
    said = [m async for m in pages(messages.history, db, "created_at", "id", conversation_id=talk.id)]
    assert [message.content for message in said] == ["6", "5", "4", "3", "2", "1", "0"]


async def test_export_streams_from_a_time_on_oldest_first(agency: Agency) -> None:
    db, talk = agency.db, agency.conversation
    await messages.append(db, conversation_id=talk.id, type="human", content="before")
    first = await messages.append(db, conversation_id=talk.id, type="human", content="first")
    await messages.append(db, conversation_id=talk.id, type="human", content="second")
    said = [message.content async for message in messages.export.stream(db, since=first.created_at)]
    assert said == ["first", "second"]


async def test_create_and_update_of_a_message_leave_the_conversation(agency: Agency) -> None:
    db, talk = agency.db, agency.conversation
    message = await messages.create(db, conversation_id=talk.id, type="human", content="hloa")
    changed = await messages.update(db, id=message.id, content="hola")
    assert changed is not None
    assert (changed.content, changed.type, changed.created_at) == ("hola", "human", message.created_at)
    assert await messages.update(db, id=message.id) == changed
    assert await messages.get_by_id(db, id=message.id) == changed
    assert await conversations.get_by_id(db, id=talk.id) == talk
    assert await messages.delete(db, id=message.id) == 1


async def test_the_active_conversation_is_the_one_that_moved_last(agency: Agency) -> None:
    db, first = agency.db, agency.conversation
    second = await conversations.create(db, lead_id=agency.lead.id)
    assert await conversations.get_active_for_lead(db, lead_id=agency.lead.id) == second
    last = await messages.append(db, conversation_id=first.id, type="human", content="otra vez")
    active = await conversations.get_active_for_lead(db, lead_id=agency.lead.id)
    assert active is not None
    assert active.id == first.id
    since = last.created_at + timedelta(seconds=1)
    assert await conversations.get_active_for_lead(db, lead_id=agency.lead.id, since=since) is None


async def test_touch_notes_the_time_and_the_project(agency: Agency) -> None:
    db, talk = agency.db, agency.conversation
    touched = await conversations.touch(db, id=talk.id, most_recent_project_id=agency.project.id)
    assert touched is not None
    assert touched.most_recent_project_id == agency.project.id
    assert touched.last_message_at > talk.last_message_at
    again = await conversations.touch(db, id=talk.id, is_answered_by_lead=True)
    assert again is not None
    assert (again.most_recent_project_id, again.is_answered_by_lead) == (agency.project.id, True)
    assert await conversations.touch(db, id=uuid.uuid4()) is None


async def test_stale_are_those_whose_lead_owes_an_answer_longest_first(
    fresh_realty_db: plainsql.Database,
) -> None:
    db = fresh_realty_db
    lead = await leads.create(db, name="Ana")
    now = datetime.now(UTC)
    ages = {}
    for hours, answered in [(30, False), (50, False), (40, True), (1, False), (30, False), (60, False)]:
        talk = await conversations.create(db, lead_id=lead.id)
        at = now - timedelta(hours=hours)
        await conversations.update(db, id=talk.id, last_message_at=at, is_answered_by_lead=answered)
        ages[talk.id] = hours
    since = now - timedelta(hours=24)
    stale = [c async for c in pages(conversations.list_stale, db, "last_message_at", "id", since=since)]
    assert [ages[talk.id] for talk in stale] == [60, 50, 30, 30]
    assert len({talk.id for talk in stale}) == 4


async def test_a_conversation_outlives_its_project(agency: Agency) -> None:
    db, talk = agency.db, agency.conversation
    await conversations.touch(db, id=talk.id, most_recent_project_id=agency.project.id)
    async with db.transaction() as tx:
        await tx.connection.execute("delete from realty.projects where id = $1", agency.project.id)
    left = await conversations.get_by_id(db, id=talk.id)
    assert left is not None
    assert left.most_recent_project_id is None
