"""Reads that fail on a replica one after another, while it answers polls: it is left out for a while.

Such a read runs on the primary, and costs its caller the time on the replica as well. It ends soon, so its
replica would look like the fastest one.
"""

from __future__ import annotations

from typing import Final

from asyncpg import exceptions

from plainsql.errors import ContractError

__all__ = ["ReadFailures"]

_IN_A_ROW: Final = 5
"""So many failures without an answer in between are the replica's."""
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 30.0

_PASSING: Final = frozenset({"40001", "40P01", "57014"})
"""Errors of a replica that is well: conflicts with the changes that it applies."""


class ReadFailures:
    """The failures of a replica's reads in a row."""

    __slots__ = ("_count", "_ends", "_pause_s", "_why")

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._count = 0
        self._pause_s = _FIRST_PAUSE_S
        self._ends = float("-inf")
        self._why = ""

    def record(self, error: Exception | None, now: float) -> bool:
        """Record a read that has failed. Return whether the replica is left out because of it, for the first
        time since a read was answered.
        """
        state: str | None = getattr(error, "sqlstate", None)
        if not isinstance(error, exceptions.PostgresError | ContractError) or state in _PASSING:
            return False
        self._count += 1
        if self._count < _IN_A_ROW or now < self._ends:
            return False
        is_first = not self._why
        self._why = f"its last reads failed ({type(error).__name__}{f', SQLSTATE {state}' if state else ''})"
        self._ends = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        return is_first

    def clear(self) -> bool:
        """Record a read that was answered. Return whether the replica had been left out."""
        had = bool(self._why)
        if self._count:
            self._forget()
        return had

    def why(self, now: float) -> str:
        """Return why the replica is left out; empty if it is not. After each pause reads try it."""
        return self._why if now < self._ends else ""
