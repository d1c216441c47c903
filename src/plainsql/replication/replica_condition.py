"""The reasons why no read may go to a replica that answers."""

from __future__ import annotations

from typing import Final

from plainsql.replication.positions import PrimaryReport, ReplicaReport

__all__ = ["IS_PRIMARY", "PROMOTED", "fault_of"]

PROMOTED: Final = "it is no standby: it was promoted, or its URL is that of a primary"

IS_PRIMARY: Final = "it is the primary"
"""The state of a server that was found as one of several, and takes the writes now."""


def fault_of(
    report: ReplicaReport,
    standby_report: str | None,
    system: int | None,
    primary: PrimaryReport | None,
    primary_system: int | None,
) -> str:
    """Return why no read may go to a replica that answers; empty if reads may.

    Args:
        report: its answer.
        standby_report: the ``in_hot_standby`` that its connection has received last; None without one.
        system: the identity of its cluster.
        primary: the last answer of the primary.
        primary_system: the identity of the primary's cluster; None if it is not known.
    """
    if not report.is_standby:
        return PROMOTED
    if standby_report is None:
        return "a pooler keeps its report of a promotion back: name the server itself"
    if primary_system is not None and primary_system != system:
        return "it belongs to another cluster than the primary"
    if report.position is None:
        return "its timeline is not known: grant pg_read_all_stats to the role"
    if report.is_paused:
        return "its replay is paused"
    position = None if primary is None else primary.position
    if position is not None and position.timeline != report.position.timeline:
        return "it is on another timeline than the primary"
    return ""
