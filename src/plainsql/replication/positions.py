"""Positions in the write-ahead log: of a write on the primary, and of what a replica has replayed.

A position holds its timeline. After a failover the former primary and the new one write different records at
the same positions, so positions of two timelines prove nothing about each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

__all__ = [
    "NEWEST",
    "NOTHING",
    "POSITION_SQL",
    "PRIMARY_SQL",
    "REPLICA_SQL",
    "SYSTEM_SQL",
    "TOKEN_BYTES",
    "Position",
    "PrimaryReport",
    "ReplicaReport",
    "covers",
    "is_newer_timeline",
    "merged",
    "position_of",
    "read_position",
    "read_primary",
    "read_replica",
    "read_system",
]

TOKEN_BYTES: Final = 8
NOTHING: Final = bytes(TOKEN_BYTES)
"""The token of a session that has seen nothing yet."""
NEWEST: Final = b"\xff" * TOKEN_BYTES
"""The token of a position that is not known yet: all that the primary has when the token is used."""

_LSN_BITS: Final = 56
"""64 PiB of write-ahead log; the other 8 bits of a token are the timeline's."""
_TIMELINES: Final = 256
_PAGE_HEADER: Final = 24
_SEGMENT_HEADER: Final = 40

POSITION_SQL: Final = """
select
  (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint,
  ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::bigint,
  current_setting('wal_block_size')::integer,
  pg_size_bytes(current_setting('wal_segment_size'))
"""

PRIMARY_SQL: Final = """
select
  (extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint,
  r.in_recovery,
  case when not r.in_recovery then (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint end,
  case
    when not r.in_recovery
    then ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::bigint
  end,
  current_setting('wal_block_size')::integer,
  pg_size_bytes(current_setting('wal_segment_size'))
from (select pg_is_in_recovery()) as r (in_recovery)
"""

# The position comes before the timeline. A standby that moves to a new timeline in between has replayed
# nothing of another one: it cannot follow a timeline that left its own before this position.
# Only members of pg_read_all_stats see what the receiver of the log is on. The control file lags behind it.
# A server that was promoted has a timeline as well.
# The functions are volatile, so the server evaluates the inner query first and as a whole.
REPLICA_SQL: Final = """
select answer.*, (pg_last_wal_receive_lsn() - '0/0'::pg_lsn)::bigint
from (
  select
    (extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint,
    r.in_recovery,
    (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint,
    coalesce(
      case
        when not r.in_recovery
        then ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::bigint
      end,
      (select w.received_tli from pg_stat_wal_receiver as w),
      (select c.min_recovery_end_timeline from pg_control_recovery() as c)
    ),
    case when r.in_recovery then pg_is_wal_replay_paused() end
  from (select pg_is_in_recovery()) as r (in_recovery)
) as answer
"""

SYSTEM_SQL: Final = "select system_identifier from pg_control_system()"


class Position(NamedTuple):
    """A position in the write-ahead log of a timeline."""

    timeline: int
    """The timeline, modulo 256."""
    lsn: int

    @classmethod
    def of(cls, timeline: int, lsn: int) -> Position:
        """Return a position on a timeline of any number."""
        return cls(timeline % _TIMELINES, lsn)

    @classmethod
    def of_insertion(cls, timeline: int, lsn: int, block_size: int, segment_size: int) -> Position:
        """Return the end of the last record before an insert position.

        The insert position is behind the header of a page that has no record yet, and replay ends before it.
        So it is after a switch to a new segment, which each base backup makes.
        """
        if lsn % segment_size == _SEGMENT_HEADER:
            lsn -= _SEGMENT_HEADER
        elif lsn % block_size == _PAGE_HEADER and lsn % segment_size > block_size:
            lsn -= _PAGE_HEADER
        return cls.of(timeline, lsn)

    def next(self) -> Position:
        """Return the position that only one more record covers."""
        return self._replace(lsn=self.lsn + 1)

    def token(self) -> bytes:
        """Return the position as the 8 bytes of a token."""
        if self.lsn >> _LSN_BITS:
            return NEWEST
        return (self.timeline << _LSN_BITS | self.lsn).to_bytes(TOKEN_BYTES, "big")

    @classmethod
    def of_token(cls, token: bytes) -> Position:
        """Return the position in a token that is neither ``NOTHING`` nor ``NEWEST``."""
        number = int.from_bytes(token, "big")
        return cls(number >> _LSN_BITS, number & (1 << _LSN_BITS) - 1)

    def __str__(self) -> str:
        return f"{self.timeline}:{self.lsn >> 32:X}/{self.lsn & 0xFFFFFFFF:X}"


def is_newer_timeline(timeline: int, other: int) -> bool:
    """Return whether a timeline began after another; both are modulo 256."""
    return 0 < (timeline - other) % _TIMELINES < _TIMELINES // 2


def covers(position: Position | None, floor: Position | None) -> bool:
    """Return whether a server that has a position has another one as well."""
    if floor is None or position is None:
        return floor is None
    return position.timeline == floor.timeline and position.lsn >= floor.lsn


def merged(known: Position | None, found: Position) -> Position:
    """Return the position that covers both, for positions of one primary.

    A newer timeline has all of the older one that any server has still.
    """
    if known is None or is_newer_timeline(found.timeline, known.timeline):
        return found
    if known.timeline == found.timeline and found.lsn > known.lsn:
        return found
    return known


class PrimaryReport(NamedTuple):
    """The state of the primary at a time."""

    sent_at: float
    """The time, by ``time.monotonic``, at which the poll was sent: commits that ended before are covered."""
    started: int
    position: Position | None
    """The end of its log; None if the server is a standby."""

    @classmethod
    def of_row(cls, row: Sequence[Any], sent_at: float) -> PrimaryReport:
        """Return the answer to ``PRIMARY_SQL``."""
        started, in_recovery, lsn, timeline, *sizes = row
        if in_recovery or lsn is None or timeline is None:
            return cls(sent_at, started, None)
        return cls(sent_at, started, Position.of_insertion(timeline, lsn, *sizes))


class ReplicaReport(NamedTuple):
    """The state of a replica at a time."""

    started: int
    """The start of the server, in microseconds since 1970."""
    is_standby: bool
    position: Position | None
    """The end of what it has replayed."""
    is_paused: bool
    seen: Position | None
    """A position that covers what statements have seen there before."""

    @classmethod
    def of_row(cls, row: Sequence[Any]) -> ReplicaReport:
        """Return the answer to ``REPLICA_SQL``."""
        started, in_recovery, lsn, timeline, paused, received = row
        if lsn is None or not timeline:
            return cls(started, in_recovery, None, bool(paused), None)
        position = Position.of(timeline, lsn)
        # A server that is replaying makes a commit visible a moment before it counts it as replayed, so a
        # statement may have seen one record more. The end of that record is behind the next byte.
        seen = position.next() if in_recovery and received != lsn else position
        return cls(started, in_recovery, position, bool(paused), seen)


async def read_position(connection: Any) -> Position:
    """Return a position behind all commits that a primary has made so far."""
    return position_of(await connection.fetchrow(POSITION_SQL))


def position_of(row: Any) -> Position:
    """Return the position in the row of ``POSITION_SQL``."""
    lsn, timeline, *sizes = row
    return Position.of_insertion(timeline, lsn, *sizes)


async def read_primary(connection: Any, sent_at: float) -> PrimaryReport:
    """Return the state of the server of a connection, which should be the primary."""
    return PrimaryReport.of_row(await connection.fetchrow(PRIMARY_SQL), sent_at)


async def read_replica(connection: Any) -> ReplicaReport:
    """Return the state of the server of a connection, which should be a standby."""
    return ReplicaReport.of_row(await connection.fetchrow(REPLICA_SQL))


async def read_system(connection: Any) -> int:
    """Return the identity of the cluster, which the primary and its replicas share."""
    return int(await connection.fetchval(SYSTEM_SQL))
