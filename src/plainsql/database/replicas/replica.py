"""A replica: its pool and its chain, what it has replayed, and whether reads may go there.

What a poll finds counts for all connections of the pool. A connection that was opened before the poll is on
the same server, which answers both, and a server that restarts ends all of its connections. A connection that
is opened later reports its own position before it serves a call. If that is less than what is known, or
another server's, the *epoch* changes: the older connections are closed, and reads in progress that relied on
what was known run again elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from asyncpg import exceptions

from plainsql.connect_errors import cannot_connect
from plainsql.database.execution.link import Executes
from plainsql.database.pool.pooled_connection import PooledConnection
from plainsql.database.pool.tenant_pool import DatabasePool
from plainsql.database.replicas.poller import FRESH_S, Poller
from plainsql.database.replicas.read_failures import ReadFailures
from plainsql.database.replicas.unanswered import cut_unanswered
from plainsql.errors import ConnectError, PlainsqlError
from plainsql.replication.positions import Position, ReplicaReport, covers, read_replica, read_system
from plainsql.replication.replica_condition import IS_PRIMARY, PROMOTED, fault_of
from plainsql.replication.replica_stats import ReplicaStats

if TYPE_CHECKING:
    from plainsql.database.replicas.primary_watch import PrimaryWatch

__all__ = ["Replica", "ReplicaServer"]

_log = logging.getLogger("plainsql")

_CUT_S: Final = 0.5
"""Seconds without an answer after the first poll that failed. Then the calls on a replica are cut, and run
elsewhere. It is longer if connecting takes longer."""
_WEIGHT: Final = 0.2
"""The weight of the newest duration in the mean."""
_FAILED_S: Final = 0.5
"""The duration that a failed read counts with: a replica that refuses reads does so fast."""
_SERVERS_IN_TURN: Final = 5
_TURNS_S: Final = 10.0
"""So many changes of the server in so many seconds mean that an address leads to several."""


_NO_REPORT: Final = "a pooler keeps the server's reports back, or passes on those of the server before"


class ReplicaServer(NamedTuple):
    """The connections of a replica, and the chain of the calls on them."""

    pool: DatabasePool
    chain: Executes


class Replica:
    """One replica of a database."""

    def __init__(
        self,
        name: str,
        open_pool: Callable[[Replica], Awaitable[ReplicaServer]],
        primary: PrimaryWatch,
        *,
        may_be_primary: bool = False,
    ) -> None:
        """``may_be_primary``: it is one of several servers whose roles change, so a promotion is no fault."""
        self.name = name
        self._may_be_primary = may_be_primary
        self._open_pool = open_pool
        self._primary = primary
        self.server: ReplicaServer | None = None
        """Its connections and its chain; None until it was reached for the first time."""
        self.poller = Poller(self._connect, self._poll, self._poll_failed)
        self.epoch = 0
        self.generation = 0
        """The number of connections that were opened: what was read before is proved for the others only."""
        self.position: Position | None = None
        """The end of what it has replayed, for all of its connections."""
        self.seen: Position | None = None
        """A position that covers what reads have seen there before the last poll."""
        self.polled_at = float("-inf")
        """The time at which the last poll began: reads that ended before saw no more than the position."""
        self._in_flight = 0
        self._drained: asyncio.Event | None = None
        """Set when the last read of a replica that was removed has ended."""
        self.reads = 0
        self.failed = 0
        self.latency = 0.001
        self._started: int | None = None
        self._system: int | None = None
        self._identified_at = float("-inf")
        self._answered_at = float("-inf")
        self._silent_since: float | None = None
        self._why = "it was not reached yet"
        """The reason why no read goes there; empty if reads may."""
        self._is_warned = False
        self._failures = ReadFailures()
        self._changes: list[float] = []
        self._reads_at_poll = 0
        self._reports: dict[Any, Any] = {}
        """The settings that the server has reported on each connection, also on one that has ended since."""
        self._suspects: list[PooledConnection] = []
        """Connections that calls hold since a poll was not answered: their own may be swallowed as well."""

    # What is known ------------------------------------------------------------------------------------

    @property
    def is_fresh(self) -> bool:
        """True if it has answered not long ago, well or not."""
        return monotonic() - self._answered_at < FRESH_S

    def is_well(self, now: float) -> bool:
        """Return whether reads may go there, as far as it is known."""
        is_fresh = now - self._answered_at < FRESH_S
        return not self._why and self._drained is None and is_fresh and not self._failures.why(now)

    @property
    def may_get_well(self) -> bool:
        """True if the next poll may find that reads can go there."""
        return not self._why and self._drained is None and not self._failures.why(monotonic())

    @property
    def in_flight(self) -> int:
        """The number of reads in progress."""
        return self._in_flight

    @in_flight.setter
    def in_flight(self, reads: int) -> None:
        self._in_flight = reads
        if reads == 0 and self._drained is not None:
            self._drained.set()

    def covers(self, floor: Position | None) -> bool:
        """Return whether it is proved to have replayed a position."""
        return covers(self.position, floor)

    @property
    def expected_wait(self) -> float:
        """The time that one more read is expected to take there, in seconds."""
        return (self._in_flight + 1) * self.latency

    def stats(self) -> ReplicaStats:
        now = monotonic()
        connections = None if self.server is None else self.server.pool.connections
        in_use, idle = (0, 0) if connections is None else (connections.in_use, connections.idle)
        state = self._why or ("" if now - self._answered_at < FRESH_S else "it does not answer")
        return ReplicaStats(
            self.name,
            state or self._failures.why(now) or self._primary.fault or "ok",
            self._primary.behind(self.position, now),
            self.reads,
            self.failed,
            self.latency,
            in_use + idle,
            in_use,
            idle,
            0 if connections is None else connections.waiting,
            0 if connections is None else connections.max_size,
        )

    # Reads --------------------------------------------------------------------------------------------

    def has_kept(self, epoch: int, generation: int | None) -> bool:
        """Return whether what was known of it in an epoch holds for a read that has ended now.

        ``generation``: if it was selected because earlier reads were there. These may have seen more than the
        position that was known, so a server that crashed may have less, and still that position. Its
        connections are new.

        A server that is promoted reports that to each session before the end of its next statement.
        """
        if self.epoch != epoch or generation not in (None, self.generation):
            return False
        for connection, settings in list(self._reports.items()):
            if _standby_report(settings) != "on":
                # Its connection may be gone when the next read ends: the epoch keeps what is known.
                self._why = self._promoted(self._started)
                self._warn()
                self._end_epoch(None)
                return False
            if connection.is_closed():
                del self._reports[connection]
        return True

    def answered(self, seconds: float) -> None:
        """Record a read that it has answered."""
        self.reads += 1
        self.latency += _WEIGHT * (seconds - self.latency)
        self._has_answered()

    def served(self) -> None:
        """Record a transaction or another use whose duration is its caller's."""
        self.reads += 1
        self._reads_at_poll += 1
        self._has_answered()

    def _has_answered(self) -> None:
        if self._failures.clear():
            _log.info("reads go to the replica %s again", self.name)

    def read_failed(self, error: Exception | None, *, was_lost: bool) -> None:
        """Record a read that runs elsewhere. After a lost connection the next poll has to succeed first."""
        self.failed += 1
        self.latency += _WEIGHT * (max(_FAILED_S, self.latency) - self.latency)
        if was_lost:
            self._answered_at = float("-inf")
            self.poller.news()
        elif self._failures.record(error, now := monotonic()):
            _log.warning("no read goes to the replica %s: %s", self.name, self._failures.why(now))

    async def leave(self) -> None:
        """Take no more reads, and close the connections when those in progress have ended.

        Polls go on until then: a server that is silent has its reads cut.
        """
        self._drained = asyncio.Event()
        self.generation += 1  # no session has it for its home any more
        while self._in_flight:  # a use may begin where another has just ended
            self._drained.clear()
            await self._drained.wait()
        await self.poller.stop()
        if self.server is not None:
            await self.server.pool.connections.close()

    # Polls --------------------------------------------------------------------------------------------

    async def identify(self, connection: Any) -> None:
        """Find out the server and the position of a connection of the pool, before it serves a call."""
        # A poll that was sent before may be the answer of a server that has restarted since: see `_take`.
        self._identified_at = sent_at = monotonic()
        self.generation += 1
        known = self.position
        report = await read_replica(connection)
        for old, settings in list(self._reports.items()):
            if old.is_closed() and _standby_report(settings) == "on":
                del self._reports[old]
        settings = self._reports[connection] = connection.get_settings()
        if report.is_standby and _standby_report(settings) != "on":
            raise ConnectError(_NO_REPORT, hint="name the server itself, or have the pooler reconnect")
        if not report.is_standby:  # also if a pooler passes on the report of the server that it had before
            self._why = self._promoted(report.started)
            self._begin_epoch(report, connection)
        elif known is not None and (report.position is None or report.position.lsn < known.lsn):
            self._begin_epoch(report, connection)  # it has restarted, or was made from an older backup
        else:
            self._take(report, sent_at, connection)

    async def _connect(self) -> Any:
        if self.server is None:
            self.server = await self._open_pool(self)
        return await self.server.pool.connections.open_aside()

    async def _poll(self, connection: Any, sent_at: float) -> None:
        report = await read_replica(connection)
        now = monotonic()
        if self._system is None:
            self._system = await read_system(connection)
        if self._suspects and self.server is not None:
            self._suspects = await cut_unanswered(connection, self._suspects)
        self._take(report, sent_at, connection)
        self._answered_at, self._silent_since = now, None
        if sent_at >= self._identified_at:
            self.polled_at = sent_at
        if self.reads == self._reads_at_poll:  # its mean would stay as it was, and so would the choice
            self.latency += _WEIGHT * (now - sent_at - self.latency)
        self._reads_at_poll = self.reads
        why = fault_of(
            report,
            _standby_report(connection.get_settings()),
            self._system,
            self._primary.last,
            self._primary.system,
        )
        self._why = self._promoted(report.started) if why == PROMOTED else why
        self._warn()
        if not report.is_standby and report.position is not None:
            self._primary.was_replaced(report.position.timeline, self._system)

    def _promoted(self, started: int | None) -> str:
        """Return why no read may go to a server that is no standby."""
        last = self._primary.last
        is_primary = last is not None and last.started == started and self._primary.system == self._system
        return IS_PRIMARY if is_primary else PROMOTED

    def _poll_failed(self, error: Exception) -> None:
        now = monotonic()
        self._answered_at = float("-inf")
        self._why = self._reason(error)
        self._warn()
        if self._silent_since is not None or self.server is None:
            return
        self._silent_since = now
        connections = self.server.pool.connections
        # What has swallowed the poll may have swallowed reads on other connections, and answer on new ones.
        connections.discard_before(now)
        self._suspects = connections.in_calls()
        limit = max(_CUT_S, 2 * self.poller.connect_s)
        asyncio.get_running_loop().call_later(limit, self._cut_if_silent, now)

    def _cut_if_silent(self, since: float) -> None:
        if self._silent_since == since and self.server is not None:
            self.server.pool.connections.cut_before(monotonic(), waiting=True)

    def _take(self, report: ReplicaReport, sent_at: float, connection: Any) -> None:
        """Take the answer of a server: it counts for all connections if none was opened since it was sent."""
        if self._started is not None and report.started != self._started:
            self._begin_epoch(report, connection)
        elif sent_at >= self._identified_at:
            known, found = self.position, report.position
            if known is None or found is None or found.timeline != known.timeline or found.lsn > known.lsn:
                self.position = found
            if covers(report.seen, self.position):
                self.seen = report.seen
        self._started = report.started

    def _begin_epoch(self, report: ReplicaReport, connection: Any) -> None:
        """Forget what was known: the connection is on a server that has less, or on another server."""
        now = monotonic()
        is_other = report.started != self._started
        self.position, self.seen = report.position, report.seen
        self._started, self._system = report.started, None
        self._end_epoch(connection)
        if not is_other:
            return
        self._changes = [*(at for at in self._changes if now - at < _TURNS_S), now]
        if len(self._changes) >= _SERVERS_IN_TURN:
            self._changes.clear()
            _log.warning(
                "the replica %s is another server again and again: name each server by a URL of its own",
                self.name,
            )

    def _end_epoch(self, keep: Any) -> None:
        """Throw away the reads in progress, and end the connections but one."""
        self.epoch += 1
        self._reports = {one: self._reports[one] for one in (keep,) if one in self._reports}
        if self.server is not None:
            self.server.pool.connections.cut_before(monotonic(), keep=keep)

    def _warn(self) -> None:
        """Log, once for each outage, that no read goes to the replica; and that reads do again."""
        is_no_fault = self._why == IS_PRIMARY or (
            self._why == PROMOTED and (self._may_be_primary or self._primary.last is None)
        )
        if self._drained is not None or is_no_fault:
            self._is_warned = False  # the source has the last word, and roles change
            return
        if bool(self._why) == self._is_warned:
            return
        self._is_warned = bool(self._why)
        if self._why:
            _log.warning("no read goes to the replica %s: %s", self.name, self._why)
        else:
            _log.info("reads go to the replica %s again", self.name)

    def _reason(self, error: Exception) -> str:
        """Return why it cannot be reached, without anything that may be a secret."""
        if isinstance(error, TimeoutError) and not isinstance(error, PlainsqlError):
            return "it does not answer"
        if isinstance(error, exceptions.InternalClientError):  # it ended in the middle of its set-up
            return "the server there has closed the connection"
        state: str | None = getattr(error, "sqlstate", None)
        if state == "42501":
            return "the role may not execute pg_control_system() or pg_control_recovery()"
        said = error if isinstance(error, PlainsqlError) else cannot_connect(self.name, error, state)
        return said.message.removeprefix(f"cannot connect to {self.name}: ")


def _standby_report(settings: Any) -> str | None:
    """Return what the server has reported last: ``on`` for a standby. None: it has reported nothing."""
    report: str | None = getattr(settings, "in_hot_standby", None)
    return report
