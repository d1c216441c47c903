"""A session, and the two errors of a write that comes too late."""

from __future__ import annotations

from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from plainsql.errors import PlainsqlError

__all__ = ["Session", "SessionConflictError", "SessionOverError"]

T = TypeVar("T")


class Session(msgspec.Struct, Generic[T], frozen=True):
    """A session as it was read or written; its value may have changed since."""

    id: str
    """The credential of its holder: a secret, except for a session with a name."""
    user: str
    value: T
    version: str
    """A new one after every write; ``Sessions.update`` compares it."""
    created_at: datetime
    """UTC, to the millisecond, by the server's clock; so is ``expires_at``."""
    expires_at: datetime

    def __repr__(self) -> str:
        # The id would let a reader of the log in.
        return f"<Session of {type(self.value).__name__} until {self.expires_at:%Y-%m-%d %H:%M:%S}Z>"


class SessionConflictError(PlainsqlError):
    """Another call has written the session since it was read, or a session of that name exists. Nothing
    changed.
    """


class SessionOverError(PlainsqlError, LookupError):
    """The session has ended, or all sessions of its user, since it was read or begun. Nothing was written."""
