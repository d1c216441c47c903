"""The positions of the primary over time: how far a replica is behind."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import Final

from plainsql.replication import visibility
from plainsql.replication.positions import Position, PrimaryReport, covers

__all__ = ["LogHistory"]

_KEPT: Final = 6000
"""Positions in the history: ten minutes of them. A replica that is behind by more serves no read with a
limit."""
_APART_S: Final = 0.05
"""Seconds between two positions in the history."""


class LogHistory:
    """The answers of the primary, and the times of the questions."""

    def __init__(self) -> None:
        self.last: PrimaryReport | None = None
        """The last answer, if the server is the primary."""
        self.timeline: int | None = None
        """The timeline of the positions."""
        self._history: deque[tuple[int, float]] = deque(maxlen=_KEPT)
        """The ends of the log and the times at which their polls were sent, both ascending."""

    def behind(self, position: Position | None, now: float) -> float | None:
        """Return how many seconds a replica that has replayed a position is behind at most.

        It has all that was committed before the newest poll whose position it has reached. None: it is not
        known, or the position is of another timeline.
        """
        last = self.last
        if last is None or last.position is None or position is None:
            return None
        if position.timeline != last.position.timeline:
            return None
        if position.lsn >= last.position.lsn:
            return now - last.sent_at
        at = bisect_right(self._history, position.lsn, key=lambda known: known[0])
        return now - self._history[at - 1][1] if at else None

    def has_shown(self, position: Position | None, now: float) -> bool:
        """Return whether what is in the log up to a position has been visible on the primary for a while."""
        last = self.last
        is_old = last is not None and last.sent_at < now - visibility.VISIBLE_S
        return is_old and last is not None and position is not None and covers(last.position, position)

    def take(self, report: PrimaryReport) -> None:
        """Add an answer of the primary, which is newer than those before."""
        position = report.position
        if position is None:
            self.last = None
            return
        if self.timeline != position.timeline:
            self._history.clear()
            self.timeline = position.timeline
        history = self._history
        if not history or position.lsn < history[-1][0]:
            history.clear()
            history.append((position.lsn, report.sent_at))
        elif position.lsn == history[-1][0]:
            history[-1] = (position.lsn, report.sent_at)
        elif report.sent_at - history[-1][1] >= _APART_S:
            history.append((position.lsn, report.sent_at))
        self.last = report
