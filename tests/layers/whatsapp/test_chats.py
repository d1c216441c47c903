"""Chats: the state of a bot's chat with a contact."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator

import msgspec
import pytest

from plainsql.layers.whatsapp.chats import WINDOW, Chat, ChatSessions
from plainsql.sessions import SessionConflictError, SessionOverError

TENANT, CHANNEL = uuid.uuid4(), uuid.uuid4()
PHONE = "51987654321"


@pytest.fixture
async def chats(redis_url: str) -> AsyncGenerator[ChatSessions]:
    async with ChatSessions(redis_url, prefix=uuid.uuid4().hex) as chats:
        yield chats


async def test_concurrent_calls_begin_one_chat(chats: ChatSessions) -> None:
    assert await chats.get(TENANT, CHANNEL, PHONE) is None
    begun = await asyncio.gather(*(chats.get_or_begin(TENANT, CHANNEL, PHONE) for _ in range(10)))
    assert len({session.version for session in begun}) == 1
    session = begun[0]
    assert session.value == Chat(CHANNEL, PHONE)
    assert round((session.expires_at - session.created_at).total_seconds()) == WINDOW


async def test_the_state_of_a_chat_is_read_as_written(chats: ChatSessions) -> None:
    contact = uuid.uuid4()
    session = await chats.get_or_begin(TENANT, CHANNEL, PHONE, contact_id=contact)
    chat = msgspec.structs.replace(session.value, step="address", data={"order": [1, 2]})
    await chats.update(session, chat)
    found = await chats.get(TENANT, CHANNEL, PHONE)
    assert found is not None
    assert found.value == chat
    assert found.value.contact_id == contact


async def test_two_workers_never_overwrite_each_others_step(chats: ChatSessions) -> None:
    session = await chats.get_or_begin(TENANT, CHANNEL, PHONE)
    await chats.update(session, msgspec.structs.replace(session.value, step="one"))
    with pytest.raises(SessionConflictError):
        await chats.update(session, msgspec.structs.replace(session.value, step="two"))
    changed = await chats.modify(session, lambda chat: msgspec.structs.replace(chat, step=chat.step + "!"))
    assert changed.value.step == "one!"


async def test_a_talk_that_ended_does_not_come_back(chats: ChatSessions) -> None:
    session = await chats.get_or_begin(TENANT, CHANNEL, PHONE)
    assert await chats.end(session)
    assert not await chats.end(session)
    with pytest.raises(SessionOverError):
        await chats.update(session, session.value)
    assert await chats.get(TENANT, CHANNEL, PHONE) is None


async def test_tenants_and_channels_have_talks_of_their_own(chats: ChatSessions) -> None:
    session = await chats.get_or_begin(TENANT, CHANNEL, PHONE)
    await chats.get_or_begin(TENANT, uuid.uuid4(), PHONE)
    other = uuid.uuid4()
    assert await chats.get(other, CHANNEL, PHONE) is None
    theirs = await chats.get_or_begin(other, CHANNEL, PHONE)
    assert theirs.version != session.version
    assert await chats.end_all(TENANT, PHONE) == 2
    assert await chats.get(other, CHANNEL, PHONE) is not None
