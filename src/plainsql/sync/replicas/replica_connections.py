"""A replica of a synchronous database: its connections, its answers, and whether reads may go there."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

import psycopg

from plainsql.connect_errors import cannot_connect
from plainsql.errors import ConnectError, PlainsqlError, PoolTimeoutError
from plainsql.replication.log_history import LogHistory
from plainsql.replication.positions import Position, ReplicaReport
from plainsql.replication.replica_condition import PROMOTED, fault_of
from plainsql.replication.replica_stats import ReplicaStats
from plainsql.sync.libpq_connector import Connector
from plainsql.sync.pooled_connections import PooledConnection, PooledConnections, PoolOptions
from plainsql.sync.replicas.log_questions import ask_replica, identify, standby_report

__all__ = ["ANSWER_S", "ReplicaConnections"]

_log = logging.getLogger("plainsql")

ANSWER_S: Final = 0.5
"""Seconds that a server may take to answer a question about its log."""
_REST_S: Final = 0.25
"""Seconds between two attempts to read from a replica that no read may go to."""
_OUTAGE_S: Final = 1.0
"""Seconds without a failure after which the next one is another outage."""
_RECONNECT_S: Final = 2.0
_POOL_NAME: Final = "plainsql replica"
_FIRST_S: Final = 0.001
"""The expected duration of a read before the first one."""
_WEIGHT: Final = 0.2
"""The weight of the newest duration in the mean."""


def _is_no_replica(record: logging.LogRecord) -> bool:
    """Return whether a record of psycopg_pool is about another pool than a replica's."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    shared = [getattr(argument, "shared", None) for argument in arguments]
    return _POOL_NAME not in arguments and all(getattr(one, "system", None) is None for one in shared)


# psycopg_pool logs each attempt to connect, and plainsql each outage.
logging.getLogger("psycopg.pool").addFilter(_is_no_replica)


class ReplicaConnections:
    """One replica of a database. Threads share it."""

    def __init__(
        self,
        name: str,
        connector: Connector,
        options: PoolOptions,
        limit_s: float | None,
        primary: LogHistory,
        system: int,
        *,
        is_named: bool = True,
    ) -> None:
        self.name = name
        self._connector = connector
        self._primary = primary
        self._system = system
        self._lock = threading.Lock()
        self._max_size = options.max_size
        self._connections = PooledConnections(
            connector,
            options,
            limit_s,
            prepare=self._prepare,
            name=_POOL_NAME,
            # Each read that finds no connection begins again.
            reconnect_timeout=_RECONNECT_S,
        )
        self.position: Position | None = None
        """The newest position of an answer: it is a guess, as another connection may be on another server."""
        self._lag: float | None = None
        self._asked_at = float("-inf")
        self._why = "it was not reached yet"
        """The reason why no read goes there; empty if reads may."""
        self._rests_until = float("-inf")
        self._failed_at = float("-inf")
        self._is_warned = False
        self._is_named = is_named
        """False if it may be the primary: one of the hosts of a URL is."""
        self.in_flight = 0
        self.reads = 0
        self.failed = 0
        self.latency = _FIRST_S
        self._used_at = monotonic()

    def open(self) -> None:
        """Begin to connect."""
        self._connections.open_aside()

    def wait(self, wait_s: float) -> None:
        """Wait for the first connection, or for the first failure."""
        if not self._connections.has_opened(wait_s):
            error = self._connections.failure
            self._found("it does not answer" if error is None else self._reason(error))
            return
        with self.borrow() as shared:
            if shared is not None:
                self.ask(shared)

    def close(self, timeout: float | None) -> None:
        """Close the connections, those in use when they are released."""
        self._connections.close(timeout)

    @property
    def expected_wait(self) -> float:
        """The time that one more read is expected to take there, in seconds."""
        return (self.in_flight + 1) * self._latency_at(monotonic())

    def may_be_asked(self, now: float) -> bool:
        """Return whether a read may try it: not for a moment after it has failed."""
        return not self._why or now >= self._rests_until

    def was_asked(self, now: float, pause_s: float) -> bool:
        """Return whether its last answer is younger than a pause."""
        return now - self._asked_at < pause_s

    @contextmanager
    def borrow(self) -> Iterator[PooledConnection | None]:
        """Lend a connection for a block; None if there is none now."""
        # A replica that cannot be reached is connected to by other threads, and no read waits for it.
        lent = self._connections.borrow(ANSWER_S if not self._why else 0.001)
        shared: PooledConnection | None = None
        try:
            shared = lent.__enter__()
        except (ConnectError, PoolTimeoutError):
            if (error := self._connections.failure) is not None:
                self._found(self._reason(error))
            elif self._why:
                self._rests_until = monotonic() + _REST_S
        try:
            yield shared
        finally:
            if shared is not None:
                lent.__exit__(None, None, None)

    def ask(self, shared: PooledConnection) -> ReplicaReport | None:
        """Return the state of the server of a connection; None if it does not answer."""
        try:
            answer = ask_replica(shared, ANSWER_S)
        except (psycopg.Error, OSError) as error:
            self.lost(shared, error)
            return None
        self.take(shared, answer)
        return answer

    def take(self, shared: PooledConnection, report: ReplicaReport) -> None:
        """Take the answer of a server."""
        last = self._primary.last
        why = fault_of(report, standby_report(shared), shared.system, last, self._system)
        if why == PROMOTED:
            self._connections.drain()  # the others may be to a server that its address led to before
        self._found(why, report.position)

    def is_well(self) -> bool:
        """Return whether reads may go there, by its last answer."""
        return not self._why

    def is_standby(self, shared: PooledConnection) -> bool:
        """Return whether the server of a connection has reported no promotion up to its last statement."""
        if standby_report(shared) == "on":
            return True
        self._found(PROMOTED)
        return False

    def lost(self, shared: PooledConnection, error: BaseException) -> None:
        """Record that a connection does not answer."""
        shared.psycopg.close()
        if isinstance(error, TimeoutError):
            self._connections.drain()  # the others are as silent
        self._found(self._reason(error))

    def answered(self, seconds: float) -> None:
        """Record a read that it has answered."""
        with self._lock:
            self.reads += 1
            self._lasted(seconds)

    def read_failed(self) -> None:
        """Record a read that runs elsewhere."""
        with self._lock:
            self.failed += 1
            if not self._why:
                self._lasted(ANSWER_S)  # a replica that fails soon must not look like a fast one

    def begins(self) -> None:
        """Record a read that begins."""
        with self._lock:
            self.in_flight += 1

    def ends(self) -> None:
        """Record a read that has ended, in any way."""
        with self._lock:
            self.in_flight -= 1

    def stats(self) -> ReplicaStats:
        """Return its state, and the number of its connections and reads."""
        size, idle, waiting = self._connections.stats()
        return ReplicaStats(
            self.name,
            self._why or "ok",
            self._lag,
            self.reads,
            self.failed,
            self.latency,
            size,
            size - idle,
            idle,
            waiting,
            self._max_size,
        )

    def _latency_at(self, now: float) -> float:
        """Return the mean of the last reads: it falls in time, so that a slow replica is tried again."""
        return self.latency * float(0.5 ** (now - self._used_at))

    def _lasted(self, seconds: float) -> None:
        now = monotonic()
        latency = self._latency_at(now)
        self.latency, self._used_at = latency + _WEIGHT * (seconds - latency), now

    def _prepare(self, shared: PooledConnection) -> None:
        """Find out the cluster of a new connection, before it serves a call. Raises ``ConnectError``."""
        if self._connector.local_settings is not None:
            raise ConnectError(
                "a replica behind a pooler in transaction mode cannot be read from: each of its "
                "transactions may be on another server",
                hint="name the server itself, or a pooler in session mode with pooler='session'",
            )
        shared.system = identify(shared, ANSWER_S)

    def _found(self, why: str, position: Position | None = None) -> None:
        """Record whether reads may go there, and log it once for each outage."""
        with self._lock:
            now = monotonic()
            self._asked_at = now
            if self._why and not why:
                self.latency = _FIRST_S  # what it was before counts no more
            if position is not None:
                self.position = position
            self._lag = self._primary.behind(position, now)
            self._why, self._rests_until = why, now + _REST_S
            if why:
                self._failed_at = now
                if self._is_warned or (why == PROMOTED and not self._is_named):
                    return
            elif not self._is_warned or now - self._failed_at < _OUTAGE_S:
                return  # the answers of two threads may come in another order
            self._is_warned = bool(why)
        if why:
            _log.warning("no read goes to the replica %s: %s", self.name, why)
        else:
            _log.info("reads go to the replica %s again", self.name)

    def _reason(self, error: BaseException) -> str:
        """Return why it cannot be reached, without anything that may be a secret."""
        if isinstance(error, TimeoutError) and not isinstance(error, PlainsqlError):
            return "it does not answer"
        state: str | None = getattr(error, "sqlstate", None)
        if state == "42501":
            return "the role may not execute pg_control_system() or pg_control_recovery()"
        said = error if isinstance(error, PlainsqlError) else cannot_connect(self.name, error, state)
        return said.message.removeprefix(f"cannot connect to {self.name}: ")
