"""The reads and writes of one user, request or program, and what a replica must have replayed for the next.

A scope knows a position that replicas must have reached. What it has written or seen at a position that it
does not know is *unresolved*: no replica is proved to have it, until the primary has named a position later.
Such a position covers all that any server had before, because a replica has nothing that its primary has not.
"""

from __future__ import annotations

from time import monotonic
from typing import Any, Final, Protocol

from plainsql.replication.positions import (
    NEWEST,
    NOTHING,
    Position,
    PrimaryReport,
    is_newer_timeline,
    merged,
)

__all__ = ["Home", "ReadScope"]

_RESOLVED: Final = float("-inf")
_NEVER: Final = float("-inf")


class Home(Protocol):
    """A replica that polls read the position of."""

    generation: int
    seen: Position | None
    """A position that covers what reads have seen there before the last poll."""
    polled_at: float


class ReadScope:
    """The reads and writes that later reads must not be older than."""

    __slots__ = (
        "_blocks",
        "_claimed_at",
        "_home",
        "_home_generation",
        "_unresolved_at",
        "floor",
        "has_written",
        "is_monotonic",
        "shown_at",
    )

    def __init__(self, floor: Position | None = None, *, is_monotonic: bool = False) -> None:
        self.floor = floor
        """The position that a replica must have replayed; None if nothing was seen."""
        self.is_monotonic = is_monotonic
        """True if reads count as well as writes."""
        self.has_written = False
        """True if a call may have written."""
        self.shown_at = _NEVER
        """The time of the last read on a replica, which may show a commit before the primary does."""
        self._blocks = 0
        """The number of blocks that are open: each of their statements may see more."""
        self._unresolved_at = _RESOLVED
        """The time of the last event at an unknown position."""
        self._home: Any = None
        """The replica that all unresolved events are reads on: it is never older than its own reads."""
        self._home_generation = 0
        self._claimed_at: float | None = None
        """The time at which the floor was taken from a token, until a later position of the primary limits
        it: a token may come from anywhere, and no true one is ahead of its primary."""

    @classmethod
    def of_token(cls, token: bytes | None) -> ReadScope:
        """Return the scope that continues another by its token."""
        if token is None or token == NOTHING:
            return cls(is_monotonic=True)
        if token == NEWEST:
            scope = cls(is_monotonic=True)
            scope.saw_primary()
        else:
            scope = cls(Position.of_token(token), is_monotonic=True)
            scope._claimed_at = monotonic()
        scope.shown_at = monotonic()  # perhaps a replica has shown it
        return scope

    def token(self) -> bytes:
        """Return the token of all that was seen so far."""
        if not self.is_resolved:
            return NEWEST
        return NOTHING if self.floor is None else self.floor.token()

    @property
    def is_resolved(self) -> bool:
        """True if the position of all that was seen is known."""
        return self._unresolved_at == _RESOLVED and not self._blocks

    @property
    def is_in_block(self) -> bool:
        """True while a transaction, a stream or another block is open, which may see more at any time."""
        return self._blocks > 0

    @property
    def home(self) -> Any:
        """The replica that needs no proof for the next read; None if there is none."""
        home = None if self._blocks else self._home
        return home if home is not None and home.generation == self._home_generation else None

    def copy(self) -> ReadScope:
        """Return a scope of writes alone that begins with what this one has seen."""
        scope = ReadScope(self.floor)
        scope._unresolved_at = self._unresolved_at
        return scope

    def reach(self, position: Position, sent_at: float) -> bool:
        """Record all that a server had when its position was read. Return whether all is resolved now."""
        if self.floor is not None and is_newer_timeline(self.floor.timeline, position.timeline):
            return False  # of a former primary, which does not know yet that it is one
        self.floor = merged(self.floor, position)
        if self._claimed_at is not None:
            self._claimed_at = monotonic()  # only a later position of the primary may limit this one
        if sent_at >= self._unresolved_at:
            self._unresolved_at = _RESOLVED
            self._home = None
        return self._unresolved_at == _RESOLVED

    def begin_block(self) -> None:
        """Begin a block on one server."""
        self._blocks += 1

    def end_block(self) -> None:
        """End a block. Record what it saw as well."""
        self._blocks -= 1

    def saw_primary(self) -> None:
        """Record a read or a write on the primary, at a position that is not known."""
        self._unresolved_at = monotonic()
        self._home = None

    def saw_replica(self, replica: Home, generation: int) -> None:
        """Record a read on a replica. ``generation``: that of the replica when the read began."""
        is_first = self._unresolved_at == _RESOLVED
        if is_first or (self._home is replica and self._home_generation == generation):
            self._home, self._home_generation = replica, generation
        else:
            self._home = None  # another call of this scope was elsewhere in the meantime
        self._unresolved_at = self.shown_at = monotonic()

    @property
    def may_be_ahead(self) -> bool:
        """True if a replica may have shown what the primary shows a moment later."""
        return self.shown_at != _NEVER

    def saw_all(self) -> None:
        """Record that the primary shows what replicas have shown."""
        self.shown_at = _NEVER

    def resolve(self, report: PrimaryReport | None) -> bool:
        """Take a position for what is unresolved, if one is known. Return whether all is resolved now.

        What was read on one replica alone is covered by what it has replayed since, else by what the primary
        has written since.
        """
        if self._claimed_at is not None:
            self._limit(self._claimed_at, report)
        if self._blocks:
            return False
        if self._unresolved_at == _RESOLVED:
            return True
        home = self.home
        if home is not None and home.polled_at >= self._unresolved_at and home.seen is not None:
            return self.reach(home.seen, home.polled_at)
        if report is None or report.position is None or report.sent_at < self._unresolved_at:
            return False
        return self.reach(report.position, report.sent_at)

    def _limit(self, claimed_at: float, report: PrimaryReport | None) -> None:
        if report is None or report.position is None or report.sent_at < claimed_at:
            return
        self._claimed_at = None
        floor, position = self.floor, report.position
        if floor is not None and floor.timeline == position.timeline and floor.lsn > position.lsn:
            self.floor = position
