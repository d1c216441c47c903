"""The state of a bot's chat with a contact, typed and in Redis; it expires with WhatsApp's window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Self
from uuid import UUID

import msgspec

from plainsql.application import redis_prefix
from plainsql.redis_connection import RedisSource
from plainsql.sessions import Session, SessionConflictError, Sessions

__all__ = ["WINDOW", "Chat", "ChatSessions"]

WINDOW: Final = 86_400.0
"""Seconds for which WhatsApp lets a business answer freely after the contact's last message."""


class Chat(msgspec.Struct, frozen=True, omit_defaults=True):
    """The state of a chat between two messages; ``data`` is for the bot's own values."""

    channel_id: UUID
    phone_number: str
    contact_id: UUID | None = None
    step: str = ""
    data: dict[str, Any] = {}


class ChatSessions:
    """One session for each tenant, channel and number; it expires 24 hours after the last read or write.

    A write names the version that it read, so that two workers with messages of one contact never overwrite
    each other's step. All methods raise ``RedisUnavailableError`` if Redis does not answer.
    """

    def __init__(
        self,
        redis: RedisSource = None,
        *,
        prefix: str | None = None,
        ttl: float = WINDOW,
        deadline: float = 0.5,
    ) -> None:
        prefix = redis_prefix(prefix, "whatsapp.chats")
        self._sessions = Sessions(redis, Chat, prefix=prefix, ttl=ttl, sliding=True, deadline=deadline)

    async def get(self, tenant_id: UUID, channel_id: UUID, phone_number: str) -> Session[Chat] | None:
        """Return the session of a chat, or None if there is none or it has expired."""
        return await self._sessions.get_named(_user(tenant_id, phone_number), str(channel_id))

    async def get_or_begin(
        self, tenant_id: UUID, channel_id: UUID, phone_number: str, *, contact_id: UUID | None = None
    ) -> Session[Chat]:
        """Return the session of a chat; start one if there is none. Any number of calls can race."""
        user, name = _user(tenant_id, phone_number), str(channel_id)
        while True:
            session = await self._sessions.get_named(user, name)
            if session is not None:
                return session
            try:
                return await self._sessions.create(
                    user, Chat(channel_id, phone_number, contact_id), name=name
                )
            except SessionConflictError:
                pass  # Another call was faster: its session exists, or has already ended.

    async def update(self, session: Session[Chat], chat: Chat) -> Session[Chat]:
        """Replace the state, unless another write has since the read; see ``Sessions.update``."""
        return await self._sessions.update(session, chat)

    async def modify(self, session: Session[Chat], change: Callable[[Chat], Chat]) -> Session[Chat]:
        """Replace the state by the result of ``change``; see ``Sessions.modify``."""
        return await self._sessions.modify(session, change)

    async def end(self, session: Session[Chat]) -> bool:
        """End a chat; return False if there was none. No write in progress can bring it back."""
        return await self._sessions.delete(session)

    async def end_all(self, tenant_id: UUID, phone_number: str) -> int:
        """End the chats with a number on all channels of a tenant; return their number."""
        return await self._sessions.expire_all(_user(tenant_id, phone_number))

    async def aclose(self) -> None:
        """Close the connection to Redis, unless a client or a ``RedisConnection`` was given."""
        await self._sessions.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _user(tenant_id: UUID, phone_number: str) -> str:
    return f"{tenant_id}:{phone_number}"
