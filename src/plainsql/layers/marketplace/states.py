"""The states of the bot between two messages, in Redis.

A state is small, changes with every message and may be lost: a bot without a state begins again from the rows
in PostgreSQL. Two workers that change one state at the same time do not undo each other.
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
    """The state of a bot session. Change it with ``msgspec.structs.replace``."""

    step: str = ""
    """The current step."""
    conversation_id: int | None = None
    """The current conversation."""
    actions: int = 0
    """The number of actions since the last heartbeat."""
    errors: int = 0
    """The number of errors since the last heartbeat."""
    details: dict[str, str] = {}


class ConversationState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a conversation. Change it with ``msgspec.structs.replace``."""

    stage: Literal["greeting", "haggling", "agreed", "meeting"] = "greeting"
    offered: Decimal | None = None
    """The buyer's last offer, in the product's currency."""
    asked: Decimal | None = None
    """Our last price."""
    rounds: int = 0
    """The number of prices that were named."""
    notes: dict[str, str] = {}


class _States(Generic[T]):
    """The states by their keys, each in a named session of one user."""

    _NAME = "state"

    def __init__(self, redis: RedisSource, type: type[T], prefix: str, ttl: float, deadline: float) -> None:
        self._type = type
        prefix = redis_prefix(None, prefix)
        self._sessions = Sessions(redis, type, prefix=prefix, ttl=ttl, sliding=True, deadline=deadline)

    async def _open(self, key: str) -> Session[T]:
        """Return the session of this key; create one if there is none. Concurrent calls get the same one."""
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
        """Close the connection to Redis, unless a client or a link was given."""
        await self._sessions.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class BotSessions(_States[BotState]):
    """The states of the bot's runs, by the session key of ``bot_sessions.open``.

    Each expires 24 hours, or ``ttl`` seconds, after its last read or write.

    All methods raise ``RedisUnavailableError`` if Redis does not answer within ``deadline`` seconds.
    """

    def __init__(self, redis: RedisSource = None, *, ttl: float = _DAY, deadline: float = 0.5) -> None:
        super().__init__(redis, BotState, "marketplace:bots", ttl, deadline)

    async def open(self, session_key: str) -> BotState:
        """Return the state of this session; create one if there is none."""
        return (await self._open(session_key)).value

    async def get(self, session_key: str) -> BotState | None:
        """Return the state, None if there is none or if it has expired."""
        found = await self._sessions.get_named(session_key, self._NAME)
        return None if found is None else found.value

    async def change(self, session_key: str, change: Callable[[BotState], BotState]) -> BotState | None:
        """Replace the state by the result of ``change``, and return it; None if there is none.

        If another call changes the state meanwhile, ``change`` is called again with the newer state.
        """
        return await self._change(session_key, change)

    async def close(self, session_key: str) -> bool:
        """Delete the state, and return True if there was one. No late write restores it."""
        return await self._end(session_key)


class ConversationStates(_States[ConversationState]):
    """The states of conversations while these are ACTIVE.

    Each expires a week, or ``ttl`` seconds, after its last read or write.

    All methods raise ``RedisUnavailableError`` if Redis does not answer within ``deadline`` seconds.
    """

    def __init__(self, redis: RedisSource = None, *, ttl: float = 7 * _DAY, deadline: float = 0.5) -> None:
        super().__init__(redis, ConversationState, "marketplace:conversations", ttl, deadline)

    async def of(self, db: AsyncExecutor, conversation_id: int) -> ConversationState | None:
        """Return the state of a conversation; create one if there is none.

        If the conversation is not ACTIVE or does not exist, delete its state and return None.
        """
        conversation = await conversations.get_by_id(db, id=conversation_id)
        if conversation is None or conversation.status != "ACTIVE":
            await self.end(conversation_id)
            return None
        return (await self._open(str(conversation_id))).value

    async def change(
        self, conversation_id: int, change: Callable[[ConversationState], ConversationState]
    ) -> ConversationState | None:
        """Replace the state by the result of ``change``, and return it; None if there is none.

        If another call changes the state meanwhile, ``change`` is called again with the newer state. ``of``
        creates the state.
        """
        return await self._change(str(conversation_id), change)

    async def end(self, conversation_id: int) -> bool:
        """Delete the state, and return True if there was one. No late write restores it.

        Call it after ``conversations.complete`` or ``cancel``.
        """
        return await self._end(str(conversation_id))
