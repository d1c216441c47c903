"""The check of a replica: its role, its version, and how far it is behind the primary."""

from __future__ import annotations

from typing import Final, NamedTuple

from plainsql.health.results import Check
from plainsql.health.steps import RefusedStepError, Rows, Steps

__all__ = ["PrimaryPosition", "primary_position", "replica_check"]

_POSITION: Final = """
select
  (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint,
  ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint,
  (select c.system_identifier from pg_control_system() as c)
"""

_REPLICA: Final = """
select
  current_setting('server_version'),
  r.in_recovery,
  (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint,
  case when r.in_recovery then pg_is_wal_replay_paused() end,
  case
    when r.in_recovery
    then coalesce(
      (select w.received_tli from pg_stat_wal_receiver as w),
      (select c.min_recovery_end_timeline from pg_control_recovery() as c)
    )
    else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint
  end,
  (select c.system_identifier from pg_control_system() as c)
from (select pg_is_in_recovery()) as r (in_recovery)
"""


class PrimaryPosition(NamedTuple):
    """The end of the primary's log, and what it is the log of."""

    lsn: int
    timeline: int
    system: int

    @classmethod
    def of(cls, rows: Rows) -> PrimaryPosition:
        """Return the position from the rows of ``primary_position()``."""
        lsn, timeline, system = rows[0]
        return cls(lsn, timeline, system)


def primary_position() -> str:
    """Return the SQL that reads the position of the primary."""
    return _POSITION


def replica_check(name: str, address: str, primary: PrimaryPosition | None) -> Steps:
    """Yield the steps of the check of a replica.

    ``address`` is its URL without its password; ``primary`` is None if the primary was not reached.
    """
    try:
        [(version, is_standby, lsn, is_paused, timeline, system)] = yield _REPLICA
    except RefusedStepError as error:
        yield Check(name, "warning", f"{address}: its state cannot be read: {error.reason}", error.hint)
        return
    version = version.split()[0]
    behind = None if primary is None or lsn is None else max(primary.lsn - lsn, 0)
    found = {"version": version, "address": address, "standby": is_standby, "bytes_behind": behind}
    found |= {"timeline": timeline, "paused": is_paused}
    text = f"{version} at {address}"
    hint = None
    if not is_standby and primary is not None and (system, timeline) == (primary.system, primary.timeline):
        text = f"{text}, the primary"
    elif not is_standby:
        text, hint = (
            f"{text}, no standby",
            "it was promoted, or it is another primary: remove it",
        )
    elif primary is not None and system != primary.system:
        text, hint = f"{text}, a standby of another cluster", "name a replica of this database's primary"
    elif is_paused:
        text, hint = f"{text}, a standby whose replay is paused", "run select pg_wal_replay_resume() there"
    elif primary is not None and timeline != primary.timeline:
        text = f"{text}, a standby on timeline {timeline}, and the primary is on {primary.timeline}"
        hint = "let it follow the primary, or grant pg_read_all_stats to the role, which shows its timeline"
    elif behind is None:
        text = f"{text}, a standby on timeline {timeline}"
    else:
        text = f"{text}, a standby on timeline {timeline}, {behind:,} bytes behind"
    yield Check(name, "ok" if hint is None else "warning", text, hint, found)
