"""Where a bot is in its talk with a contact: typed, in Redis, and over when WhatsApp's window closes."""

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
    """What is known of a talk between two messages. ``data`` is the bot's own."""

    channel_id: UUID
    phone_number: str
    contact_id: UUID | None = None
    step: str = ""
    data: dict[str, Any] = {}


class ChatSessions:
    """One session for each tenant, channel and number; over 24 hours after it was last read or written.

    A write names the version that it read: of two workers with messages of one contact none overwrites the
    other's step. All methods raise ``RedisUnavailableError`` where Redis does not answer.
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
        """Return the session of a talk, or None where there is none, or not any more."""
        return await self._sessions.get_named(_user(tenant_id, phone_number), str(channel_id))

    async def get_or_begin(
        self, tenant_id: UUID, channel_id: UUID, phone_number: str, *, contact_id: UUID | None = None
    ) -> Session[Chat]:
        """Return the session of a talk, begun now if there is none. Safe when several calls race."""
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
                pass  # Another call was faster: its session is there, or already over.

    async def update(self, session: Session[Chat], chat: Chat) -> Session[Chat]:
        """Replace what is known, unless somebody has since it was read; see ``Sessions.update``."""
        return await self._sessions.update(session, chat)

    async def modify(self, session: Session[Chat], change: Callable[[Chat], Chat]) -> Session[Chat]:
        """Replace what is known by what ``change`` makes of it; see ``Sessions.modify``."""
        return await self._sessions.modify(session, change)

    async def end(self, session: Session[Chat]) -> bool:
        """End a talk. Return whether it was there. No write that is under way can bring it back."""
        return await self._sessions.delete(session)

    async def end_all(self, tenant_id: UUID, phone_number: str) -> int:
        """End the talks with a number on all channels of a tenant. Return how many there were."""
        return await self._sessions.expire_all(_user(tenant_id, phone_number))

    async def aclose(self) -> None:
        """Close the way to Redis, unless a client or a link was given."""
        await self._sessions.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _user(tenant_id: UUID, phone_number: str) -> str:
    return f"{tenant_id}:{phone_number}"
