"""The reads and writes of a program, or of a session, in any of its threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Final

import psycopg

from plainsql.replication import visibility
from plainsql.replication.positions import NEWEST, PRIMARY_SQL, Position, PrimaryReport
from plainsql.replication.read_scope import ReadScope
from plainsql.sync.connection import SharedConnection
from plainsql.sync.replicas.log_questions import ReadFlight, ask_primary, running_transactions
from plainsql.sync.replicas.primary_log import PrimaryLog

__all__ = ["TrackedScope"]

_NO_EVENT: Final = float("-inf")
_CONTROL_S: Final = 10.0
"""Seconds that the primary may take to name a position after a write."""


class TrackedScope:
    """A scope that threads share. What is done on the primary learns its position on its own connection:
    another one may be to another server since a failover.
    """

    def __init__(self, scope: ReadScope, log: PrimaryLog | None) -> None:
        self._scope = scope
        self.log = log
        self._lock = threading.Lock()
        self._is_open = False
        self._is_of_replica = scope.is_monotonic and scope.floor is not None
        """True if a replica may have shown what the primary shows a moment later."""
        self._open_blocks = 0
        """Blocks whose statements may see or write more at any time."""

    @property
    def has_written(self) -> bool:
        """True if a call may have written."""
        return self._scope.has_written

    @property
    def is_monotonic(self) -> bool:
        """True if reads count as well as writes."""
        return self._scope.is_monotonic

    def token(self) -> bytes:
        """Return the token of all that was seen so far."""
        with self._lock:
            return NEWEST if self._open_blocks else self._scope.token()

    def copy(self) -> TrackedScope:
        """Return a scope of writes alone that begins with what this one has seen."""
        with self._lock:
            copied = TrackedScope(self._scope.copy(), self.log)
            copied._is_open = self._is_open
            return copied

    def resolve(self, report: PrimaryReport | None) -> bool:
        """Take a position for what is unresolved, if it is known. Return whether all is resolved now."""
        with self._lock:
            return self._scope.resolve(report) and not self._open_blocks

    def floor(self) -> Position | None:
        """Return the position that a replica must have replayed; None if nothing was seen."""
        with self._lock:
            return self._scope.floor

    def saw(self, position: Position) -> None:
        """Record a read that has seen no more than a position."""
        with self._lock:
            # It says nothing about events without a position.
            self._scope.reach(position, _NO_EVENT)
            self._is_of_replica = True

    def saw_primary(self) -> None:
        """Record what was done on the primary, at a position that is not known."""
        with self._lock:
            self._scope.saw_primary()

    def stays_open(self) -> None:
        """Record that the program has the driver's connection: it may write at any time from now on."""
        self._is_open = True

    def reopen(self) -> None:
        """Begin a read: what the program has written on the driver's connection counts."""
        if self._is_open:
            self.saw_primary()

    @contextmanager
    def recorded(
        self,
        shared: SharedConnection,
        *,
        read_only: bool,
        in_flight: bool = False,
        autocommits: bool = False,
    ) -> Iterator[None]:
        """Run a block of work on the primary, and record what it may have written or seen.

        Args:
            shared: the connection.
            read_only: whether it is proved to change nothing.
            in_flight: whether the work is one statement, with which the position can come.
            autocommits: whether its statements commit before it ends.
        """
        if read_only and not self.is_monotonic:
            yield
            return
        self._scope.has_written |= not read_only
        flight = self._take_off(shared) if read_only and in_flight else None
        is_known = False
        is_open = autocommits or (self.is_monotonic and not in_flight)
        with self._lock:
            self._open_blocks += is_open
        try:
            self._wait_until_visible(shared)
            yield
            is_known = self._learn(shared, flight)
        finally:
            shared.flight = None
            with self._lock:
                self._open_blocks -= is_open
            if not is_known:
                self.saw_primary()

    def _take_off(self, shared: SharedConnection) -> ReadFlight | None:
        """Have the statement of a read bring the position with it."""
        if shared.local_settings is not None:
            return None
        try:
            flight = ReadFlight(shared, PRIMARY_SQL, before=False, after=True, first_s=_CONTROL_S)
        except (psycopg.Error, OSError):
            return None  # the read finds out why
        shared.flight = flight
        return flight

    def _learn(self, shared: SharedConnection, flight: ReadFlight | None) -> bool:
        """Record the position of what was committed on a connection. Return whether it is known."""
        shared.flight = None
        report = None if flight is None else flight.primary
        if report is None:
            if shared.is_lost or not shared.is_own:
                return False
            try:
                with shared.lock:
                    report = ask_primary(shared, _CONTROL_S)
            except (psycopg.Error, OSError):
                return False  # the work is done all the same
        if report.position is None:
            return False
        if self.log is not None:
            self.log.take(report)
        with self._lock:
            self._scope.reach(report.position, report.sent_at)
            self._is_of_replica = False
        return True

    def _wait_until_visible(self, shared: SharedConnection) -> None:
        """Wait until the primary shows what a replica has shown.

        See ``plainsql.replication.visibility``.
        """
        if self.log is None or not self._is_of_replica or shared.is_lost or not shared.is_own:
            return
        began = monotonic()
        if self.log.history.has_shown(self.floor(), began):
            return
        pending: set[bytes] | None = None
        while pending is None or (pending and monotonic() < began + visibility.VISIBLE_S):
            if pending is not None:
                sleep(visibility.PAUSE_S)
            try:
                running = running_transactions(shared, _CONTROL_S)
            except (psycopg.Error, OSError):
                return  # the call itself finds out why
            pending = running if pending is None else pending & running
