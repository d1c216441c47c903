"""What the bot keeps in mind between two messages, in Redis.

A state is small, changes with every message and may be lost: a bot that finds none begins anew from what
PostgreSQL has. Two workers that change one at once do not undo each other.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Generic, Literal, Self, TypeVar

import msgspec

from plainsql.application import redis_prefix
from plainsql.executors import AsyncExecutor
from plainsql.layers.marketplace import conversations
from plainsql.redis_connection import RedisSource
from plainsql.sessions import Session, SessionConflictError, SessionOverError, Sessions

__all__ = ["BotSessions", "BotState", "ConversationState", "ConversationStates"]

T = TypeVar("T")

_DAY = 86_400.0


class BotState(msgspec.Struct, frozen=True, kw_only=True):
    """What a bot session is at. To be changed with ``msgspec.structs.replace``."""

    step: str = ""
    """What it does right now."""
    conversation_id: int | None = None
    """The conversation it is busy with."""
    actions: int = 0
    """Since the last heartbeat."""
    errors: int = 0
    """Since the last heartbeat."""
    details: dict[str, str] = {}


class ConversationState(msgspec.Struct, frozen=True, kw_only=True):
    """Where a conversation has got to. To be changed with ``msgspec.structs.replace``."""

    stage: Literal["greeting", "haggling", "agreed", "meeting"] = "greeting"
    offered: Decimal | None = None
    """The buyer's last offer, in the product's currency."""
    asked: Decimal | None = None
    """What we asked for last."""
    rounds: int = 0
    """How many times a price was named."""
    notes: dict[str, str] = {}


class _States(Generic[T]):
    """One state for each key: a named session, of which there is one for each user."""

    _NAME = "state"

    def __init__(self, redis: RedisSource, type: type[T], prefix: str, ttl: float, deadline: float) -> None:
        self._type = type
        prefix = redis_prefix(None, prefix)
        self._sessions = Sessions(redis, type, prefix=prefix, ttl=ttl, sliding=True, deadline=deadline)

    async def _open(self, key: str) -> Session[T]:
        """Return the session of this key, begun now where there is none. Safe when two calls race."""
        while True:
            found = await self._sessions.get_named(key, self._NAME)
            if found is not None:
                return found
            try:
                return await self._sessions.create(key, self._type(), name=self._NAME)
            except (SessionConflictError, SessionOverError):
                continue  # Another call began or ended it in the meantime.

    async def _change(self, key: str, change: Callable[[T], T]) -> T | None:
        found = await self._sessions.get_named(key, self._NAME)
        if found is None:
            return None
        try:
            return (await self._sessions.modify(found, change)).value
        except SessionOverError:
            return None

    async def _end(self, key: str) -> bool:
        found = await self._sessions.get_named(key, self._NAME)
        return found is not None and await self._sessions.delete(found)

    async def aclose(self) -> None:
        """Close the way to Redis, unless a client or a link was given."""
        await self._sessions.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class BotSessions(_States[BotState]):
    """The states of the bot's runs, by the session key that ``bot_sessions.open`` has. Each is kept for 24
    hours after it was last read or written, or ``ttl`` seconds.

    All methods raise ``RedisUnavailableError`` where Redis does not answer within ``deadline`` seconds.
    """

    def __init__(self, redis: RedisSource = None, *, ttl: float = _DAY, deadline: float = 0.5) -> None:
        super().__init__(redis, BotState, "marketplace:bots", ttl, deadline)

    async def open(self, session_key: str) -> BotState:
        """Return the state of this session, begun now where there is none."""
        return (await self._open(session_key)).value

    async def get(self, session_key: str) -> BotState | None:
        """Return the state, or None where there is none or it has ended."""
        found = await self._sessions.get_named(session_key, self._NAME)
        return None if found is None else found.value

    async def change(self, session_key: str, change: Callable[[BotState], BotState]) -> BotState | None:
        """Replace the state by what ``change`` makes of it, or of the newer one whenever another was faster.
        Return it, or None where there is none.
        """
        return await self._change(session_key, change)

    async def close(self, session_key: str) -> bool:
        """Forget the state; no late write brings it back. Return whether it was there."""
        return await self._end(session_key)


class ConversationStates(_States[ConversationState]):
    """The states of conversations, for as long as these are ACTIVE; of one that nobody reads or writes, for a
    week, or ``ttl`` seconds.

    All methods raise ``RedisUnavailableError`` where Redis does not answer within ``deadline`` seconds.
    """

    def __init__(self, redis: RedisSource = None, *, ttl: float = 7 * _DAY, deadline: float = 0.5) -> None:
        super().__init__(redis, ConversationState, "marketplace:conversations", ttl, deadline)

    async def of(self, db: AsyncExecutor, conversation_id: int) -> ConversationState | None:
        """Return the state of a conversation, begun now where there is none. Where the conversation is not
        ACTIVE, or not there, its state is forgotten and None is returned.
        """
        conversation = await conversations.get_by_id(db, id=conversation_id)
        if conversation is None or conversation.status != "ACTIVE":
            await self.end(conversation_id)
            return None
        return (await self._open(str(conversation_id))).value

    async def change(
        self, conversation_id: int, change: Callable[[ConversationState], ConversationState]
    ) -> ConversationState | None:
        """Replace the state by what ``change`` makes of it, or of the newer one whenever another was faster.
        Return it, or None where there is none: ``of`` begins it.
        """
        return await self._change(str(conversation_id), change)

    async def end(self, conversation_id: int) -> bool:
        """Forget the state, after ``conversations.complete`` or ``cancel``; no late write brings it back.
        Return whether it was there.
        """
        return await self._end(str(conversation_id))
