"""A replica: its pool and its chain, what it has replayed, and whether reads may go there.

What a poll finds counts for all connections of the pool. A connection that was opened before the poll is on
the same server, which answers both, and a server that restarts ends all of its connections. A connection that
is opened later reports its own position before it serves a call. If that is less than what is known, or
another server's, the *epoch* changes: the older connections are closed, and reads in progress that relied on
what was known run again elsewhere.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from plainsql.connect_errors import cannot_connect
from plainsql.database.execution.link import Executes
from plainsql.database.pool.tenant_pool import DatabasePool
from plainsql.database.replicas.poller import FRESH_S, Poller
from plainsql.database.replicas.positions import Position, ReplicaReport, read_replica, read_system
from plainsql.errors import PlainsqlError

if TYPE_CHECKING:
    from plainsql.database.replicas.primary_watch import PrimaryWatch

__all__ = ["Replica", "ReplicaServer", "ReplicaStats"]

_log = logging.getLogger("plainsql")

_CUT_S: Final = 3.0
"""Seconds of silence after which the calls on a replica are cut, and run elsewhere."""
_WEIGHT: Final = 0.2
"""The weight of the newest duration in the mean."""
_SERVERS_IN_TURN: Final = 5
_TURNS_S: Final = 10.0
"""So many changes of the server in so many seconds mean that an address leads to several."""


_PROMOTED: Final = "it is no standby: it was promoted, or its URL is that of a primary"


class ReplicaServer(NamedTuple):
    """The connections of a replica, and the chain of the calls on them."""

    pool: DatabasePool
    chain: Executes


class ReplicaStats(NamedTuple):
    """The state of a replica, and the number of its connections and reads."""

    name: str
    """Its URL without its password."""
    state: str
    """``ok``, or why no read goes there."""
    lag: float | None
    """Seconds that it is behind the primary at most; None if that is not known."""
    reads: int
    """Reads that it answered."""
    failed: int
    """Reads that ran on another server in the end."""
    latency: float
    """The mean of the last reads, in seconds."""
    open: int
    in_use: int
    idle: int
    waiting: int
    max_size: int


class Replica:
    """One replica of a database."""

    def __init__(
        self, name: str, open_pool: Callable[[Replica], Awaitable[ReplicaServer]], primary: PrimaryWatch
    ) -> None:
        self.name = name
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
        self.polled_at = float("-inf")
        """The time at which the last poll began: reads that ended before saw no more than the position."""
        self.in_flight = 0
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
        self._changes: list[float] = []
        self._reads_at_poll = 0

    # What is known ------------------------------------------------------------------------------------

    @property
    def is_fresh(self) -> bool:
        """True if it has answered not long ago, well or not."""
        return monotonic() - self._answered_at < FRESH_S

    def is_well(self, now: float) -> bool:
        """Return whether reads may go there, as far as it is known."""
        return not self._why and now - self._answered_at < FRESH_S

    @property
    def may_get_well(self) -> bool:
        """True if the next poll may find that reads can go there."""
        return not self._why

    def covers(self, floor: Position | None) -> bool:
        """Return whether it is proved to have replayed a position."""
        if floor is None:
            return True
        position = self.position
        return position is not None and position.timeline == floor.timeline and position.lsn >= floor.lsn

    @property
    def expected_wait(self) -> float:
        """The time that one more read is expected to take there, in seconds."""
        return (self.in_flight + 1) * self.latency

    def stats(self) -> ReplicaStats:
        now = monotonic()
        connections = None if self.server is None else self.server.pool.connections
        in_use, idle = (0, 0) if connections is None else (connections.in_use, connections.idle)
        return ReplicaStats(
            self.name,
            self._why or ("ok" if now - self._answered_at < FRESH_S else "it does not answer"),
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
        if self.epoch != epoch or self.server is None or generation not in (None, self.generation):
            return False
        for connection in self.server.pool.connections.drivers_connections:
            if not connection.is_closed() and _standby_report(connection) != "on":
                self._why = _PROMOTED
                self._warn()
                return False
        return True

    def answered(self, seconds: float) -> None:
        """Record a read that it has answered."""
        self.reads += 1
        self.latency += _WEIGHT * (seconds - self.latency)

    def served(self) -> None:
        """Record a transaction or another use whose duration is its caller's."""
        self.reads += 1
        self._reads_at_poll += 1

    def read_failed(self, *, was_lost: bool) -> None:
        """Record a read that runs elsewhere. After a lost connection the next poll has to succeed first."""
        self.failed += 1
        if was_lost:
            self._answered_at = float("-inf")
            self.poller.news()

    # Polls --------------------------------------------------------------------------------------------

    async def identify(self, connection: Any) -> None:
        """Find out the server and the position of a connection of the pool, before it serves a call."""
        # A poll that was sent before may be the answer of a server that has restarted since: see `_take`.
        self._identified_at = sent_at = monotonic()
        self.generation += 1
        known = self.position
        report = await read_replica(connection)
        if known is not None and (report.position is None or report.position.lsn < known.lsn):
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
        self._take(report, sent_at, connection)
        self._answered_at, self._silent_since = now, None
        if sent_at >= self._identified_at:
            self.polled_at = sent_at
        if self.reads == self._reads_at_poll:  # its mean would stay as it was, and so would the choice
            self.latency += _WEIGHT * (now - sent_at - self.latency)
        self._reads_at_poll = self.reads
        self._why = self._fault(report, connection)
        self._warn()

    def _fault(self, report: ReplicaReport, connection: Any) -> str:
        """Return why no read may go to a replica that answers; empty if reads may."""
        last, system = self._primary.last, self._primary.system
        if not report.is_standby:
            return _PROMOTED
        if _standby_report(connection) is None:
            return "a pooler keeps its report of a promotion back: name the server itself"
        if system is not None and system != self._system:
            return "it belongs to another cluster than the primary"
        if report.position is None:
            return "its timeline is not known: grant pg_read_all_stats to the role"
        if report.is_paused:
            return "its replay is paused"
        position = None if last is None else last.position
        if position is not None and position.timeline != report.position.timeline:
            return "it is on another timeline than the primary"
        return ""

    def _poll_failed(self, error: Exception) -> None:
        now = monotonic()
        if self._silent_since is None:
            self._silent_since = now
        self._answered_at = float("-inf")
        self._why = self._reason(error)
        self._warn()
        if self.server is not None and now - self._silent_since > _CUT_S:
            self.server.pool.connections.cut_before(now)

    def _take(self, report: ReplicaReport, sent_at: float, connection: Any) -> None:
        """Take the answer of a server: it counts for all connections if none was opened since it was sent."""
        if self._started is not None and report.started != self._started:
            self._begin_epoch(report, connection)
        elif sent_at >= self._identified_at:
            known, found = self.position, report.position
            if known is None or found is None or found.timeline != known.timeline or found.lsn > known.lsn:
                self.position = found
        self._started = report.started

    def _begin_epoch(self, report: ReplicaReport, connection: Any) -> None:
        """Forget what was known: the connection is on a server that has less, or on another server."""
        now = monotonic()
        self.epoch += 1
        is_other = report.started != self._started
        self.position, self._started, self._system = report.position, report.started, None
        if self.server is not None:
            self.server.pool.connections.cut_before(now, keep=connection)
        if not is_other:
            return
        self._changes = [*(at for at in self._changes if now - at < _TURNS_S), now]
        if len(self._changes) >= _SERVERS_IN_TURN:
            self._changes.clear()
            _log.warning(
                "the replica %s is another server again and again: name each server by a URL of its own",
                self.name,
            )

    def _warn(self) -> None:
        """Log, once for each outage, that no read goes to the replica; and that reads do again."""
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
        state: str | None = getattr(error, "sqlstate", None)
        if state == "42501":
            return "the role may not execute pg_control_system() or pg_control_recovery()"
        said = error if isinstance(error, PlainsqlError) else cannot_connect(self.name, error, state)
        return said.message.removeprefix(f"cannot connect to {self.name}: ")


def _standby_report(connection: Any) -> str | None:
    """Return what the server has reported last: ``on`` for a standby. None: it has reported nothing."""
    report: str | None = getattr(connection.get_settings(), "in_hot_standby", None)
    return report
