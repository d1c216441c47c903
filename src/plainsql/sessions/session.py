"""What a session is, and the two ways in which a write to it can come too late."""

from __future__ import annotations

from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from plainsql.errors import PlainsqlError

__all__ = ["Session", "SessionConflictError", "SessionOverError"]

T = TypeVar("T")


class Session(msgspec.Struct, Generic[T], frozen=True):
    """A session as it was read or written: what it holds may have changed since."""

    id: str
    """What its holder shows to be let in: a secret, but for a session with a name."""
    user: str
    value: T
    version: str
    """Another one after every write; ``Sessions.update`` compares it."""
    created_at: datetime
    """UTC, to the millisecond, by the server's clock; so is ``expires_at``."""
    expires_at: datetime

    def __repr__(self) -> str:
        # The id lets whoever reads a log in.
        return f"<Session of {type(self.value).__name__} until {self.expires_at:%Y-%m-%d %H:%M:%S}Z>"


class SessionConflictError(PlainsqlError):
    """A session was written by somebody else since it was read, or one of that name is there. Nothing
    changed.
    """


class SessionOverError(PlainsqlError, LookupError):
    """A session has ended, or all of its user's have, since it was read or begun. Nothing was written."""
