"""The replicas of a synchronous database: a read goes to one of them and proves there that it is new enough.

No thread polls. A read polls the replica on its own connection, before its statement and in the same round
trip, and the primary if that one's last answer is too old. So no restart, no promotion and no other server
behind the same address can come between the proof and the read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from time import monotonic, perf_counter, sleep
from typing import Any, Final, NamedTuple, TypeVar

import psycopg

from plainsql.errors import ConnectError, ContractError, PlainsqlError, PoolTimeoutError
from plainsql.replication.demand import Demand
from plainsql.replication.positions import Position, ReplicaReport, covers
from plainsql.sync.connection import GRACE_S
from plainsql.sync.pooled_connections import PooledConnection
from plainsql.sync.replicas.log_questions import ReadFlight
from plainsql.sync.replicas.primary_log import PrimaryLog
from plainsql.sync.replicas.replica_connections import ANSWER_S, ReplicaConnections
from plainsql.sync.replicas.tracked_scope import TrackedScope
from plainsql.sync.wire import SilenceError

__all__ = ["Replicas"]

R = TypeVar("R")
T = TypeVar("T")

_PAUSE_S: Final = 0.001
"""Seconds between two questions to a replica while a read waits."""
_NO_WAIT_S: Final = 1.0
"""Seconds without waiting, after a wait in which no replica became new enough."""
_LATE_PAUSE_S: Final = 0.1
"""Seconds between two questions to a replica that is late, while no read waits for it."""
_OF_THE_SERVER: Final = ConnectError | ContractError | PoolTimeoutError
"""plainsql's own errors that another server may not have: a replica may lag behind a migration."""
_END: Final[Any] = object()


class Replicas:
    """The replicas of a database, and the log of its primary. Threads share it."""

    def __init__(self, log: PrimaryLog, replicas: Sequence[ReplicaConnections]) -> None:
        self.log = log
        self.replicas = replicas
        self._process = os.getpid()
        self._no_wait_before = float("-inf")

    def close(self, timeout: float | None) -> None:
        """Close the connections to the replicas."""
        for replica in self.replicas:
            replica.close(timeout)

    def resolve(self, scope: TrackedScope) -> bool:
        """Have the primary name a position for what a scope has seen without one. Return whether it has."""
        if os.getpid() != self._process:
            return False  # the primary's connections refuse the call
        scope.reopen()
        return scope.resolve(self.log.history.last) or scope.resolve(self.log.ask())

    def read(
        self,
        scope: TrackedScope,
        demand: Demand,
        work: Callable[[PooledConnection], R],
        *,
        in_flight: bool,
    ) -> tuple[R] | None:
        """Run a read on a replica, and return its result; None if it has to run on the primary.

        ``in_flight``: the work is one statement outside of a transaction.
        """
        ends = monotonic() + demand.max_wait
        while (lease := self._lease(scope, demand, ends, in_flight=in_flight)) is not None:
            with lease.stack:
                done: tuple[R] | None = self._read_on(lease, scope, demand, work)
            if done is not _AGAIN:
                return done
            in_flight = False
        return None

    def stream(
        self, scope: TrackedScope, demand: Demand, rows_on: Callable[[PooledConnection], Iterator[T]]
    ) -> Iterator[T] | None:
        """Return the rows of a read on a replica; None if it has to run on the primary."""
        lease = self._lease(scope, demand, monotonic() + demand.max_wait, in_flight=False)
        if lease is None:
            return None
        with ExitStack() as stack:
            stack.push(lease.stack)
            rows = rows_on(lease.shared)
            if (close := getattr(rows, "close", None)) is not None:
                stack.callback(close)
            try:
                first = next(rows, _END)
            except Exception as error:
                if not _may_run_elsewhere(error, lease, 0.0):
                    raise
                lease.replica.read_failed()
                return None
            if not self._has_seen(lease, scope, None):
                lease.replica.read_failed()
                return None
            lease.replica.answered(lease.replica.latency)
            return _rest(first, rows, stack.pop_all())

    def _read_on(
        self, lease: _Lease, scope: TrackedScope, demand: Demand, work: Callable[[PooledConnection], R]
    ) -> Any:
        """Return the result of a read in a tuple, None if it runs on the primary, or ``_AGAIN``."""
        replica, shared = lease.replica, lease.shared
        failure: Exception | None = None
        done: tuple[R] | None = None
        began = perf_counter()
        try:
            shared.flight = lease.flight
            done = (work(shared),)
        except Exception as error:  # noqa: BLE001 (each kind is looked at)
            failure = error
        finally:
            shared.flight = None
        seconds = perf_counter() - began
        if failure is not None and _may_run_elsewhere(failure, lease, seconds):
            if isinstance(failure, psycopg.Error | OSError) and shared.is_lost:
                replica.lost(shared, failure)
            replica.read_failed()
            return None
        if lease.flight is not None:
            before = lease.flight.before
            if before is None:
                replica.read_failed()
                return None
            replica.take(shared, before)
            if not self._is_new_enough(replica, before, scope, demand):
                return _AGAIN
        if not self._has_seen(lease, scope, lease.flight):
            replica.read_failed()
            return None
        if failure is not None:  # the caller's call is wrong, or the data are
            raise failure
        replica.answered(seconds)
        return done

    def _has_seen(self, lease: _Lease, scope: TrackedScope, flight: ReadFlight | None) -> bool:
        """Record what a read has seen. Return False if that is not known, or no replica's."""
        replica, shared = lease.replica, lease.shared
        if not replica.is_standby(shared):
            return False
        if not scope.is_monotonic:
            return True
        after = None if flight is None else flight.after
        if after is None:
            after = replica.ask(shared)
        if after is None or after.seen is None or not after.is_standby:
            return False
        scope.saw(after.seen)
        return True

    def _lease(self, scope: TrackedScope, demand: Demand, ends: float, *, in_flight: bool) -> _Lease | None:
        """Borrow a connection to a replica that is new enough, or is expected to be if the statement brings
        the proof with it. Wait until then. None: there is none.
        """
        self.log.refresh(demand.max_lag)
        if not scope.resolve(self.log.history.last):
            return None
        has_waited = False
        while True:
            now = monotonic()
            may_wait = now < ends and now >= self._no_wait_before
            is_late = False
            pause_s = _PAUSE_S if may_wait else _LATE_PAUSE_S
            for replica in sorted(self.replicas, key=lambda one: one.expected_wait):
                if not replica.may_be_asked(now) or not self._may_reach(scope):
                    continue
                lease = self._try(replica, scope, demand, pause_s, in_flight=in_flight)
                if lease is not None:
                    return lease
                is_late = is_late or replica.is_well()
            if not is_late or not may_wait:
                break
            has_waited = True
            sleep(_PAUSE_S)
        if has_waited and is_late:
            # Each read would wait in vain until they have caught up.
            self._no_wait_before = monotonic() + _NO_WAIT_S
        return None

    def _try(
        self,
        replica: ReplicaConnections,
        scope: TrackedScope,
        demand: Demand,
        pause_s: float,
        *,
        in_flight: bool,
    ) -> _Lease | None:
        """Borrow a connection to a replica if it is new enough."""
        now = monotonic()
        is_expected = replica.is_well() and self._covers(replica.position, scope, demand, now)
        if not is_expected and replica.is_well() and replica.was_asked(now, pause_s):
            return None
        with ExitStack() as stack:
            shared = stack.enter_context(replica.borrow())
            if shared is None:
                return None
            replica.begins()
            stack.callback(replica.ends)
            flight: ReadFlight | None = None
            if in_flight and is_expected:
                try:
                    flight = ReadFlight(shared, before=True, after=scope.is_monotonic, first_s=ANSWER_S)
                except (psycopg.Error, OSError) as error:
                    replica.lost(shared, error)
                    return None
            else:
                answer = replica.ask(shared)
                if answer is None or not self._is_new_enough(replica, answer, scope, demand):
                    return None
            return _Lease(replica, shared, flight, stack.pop_all())

    def _is_new_enough(
        self, replica: ReplicaConnections, report: ReplicaReport, scope: TrackedScope, demand: Demand
    ) -> bool:
        """Return whether reads may go to a replica that has answered so, and it has what a read requires."""
        return replica.is_well() and self._covers(report.position, scope, demand, monotonic())

    def _covers(self, position: Position | None, scope: TrackedScope, demand: Demand, now: float) -> bool:
        if not covers(position, scope.floor()):
            return False
        behind = self.log.history.behind(position, now)
        return behind is not None and behind <= demand.max_lag

    def _may_reach(self, scope: TrackedScope) -> bool:
        """Return whether replicas may replay what a scope requires: not on another timeline."""
        last, floor = self.log.history.last, scope.floor()
        position = None if last is None else last.position
        return floor is None or position is None or floor.timeline == position.timeline


class _Lease(NamedTuple):
    """A connection to a replica that was selected for a read."""

    replica: ReplicaConnections
    shared: PooledConnection
    flight: ReadFlight | None
    """Brings the proof with the statement; None if the replica has proved already that it is new enough."""
    stack: ExitStack


_AGAIN: Final[Any] = object()
"""The replica was not new enough after all: the read waits for one that is."""


def _rest(first: Any, rows: Iterator[T], stack: ExitStack) -> Iterator[T]:
    with stack:
        if first is not _END:
            yield first
            yield from rows


def _may_run_elsewhere(error: Exception, lease: _Lease, seconds: float) -> bool:
    """Return whether a read that failed on a replica runs on the primary: unless the caller's time is up, or
    its call or its data are wrong.
    """
    if isinstance(error, SilenceError | _OF_THE_SERVER):
        return True
    limit_s = lease.shared.limit_s
    if isinstance(error, psycopg.errors.QueryCanceled) and limit_s is not None:
        return seconds < limit_s - GRACE_S  # a conflict with recovery has the same SQLSTATE
    if isinstance(error, TimeoutError):
        return False
    return isinstance(error, psycopg.Error | OSError) or not isinstance(error, PlainsqlError)
