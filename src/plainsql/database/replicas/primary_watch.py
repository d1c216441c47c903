"""The positions of the primary over time: what a replica must have replayed, and how far it is behind."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, Final

from plainsql.database.caching.server_identity import ServerIdentity
from plainsql.database.replicas.poller import Poller
from plainsql.replication.log_history import LogHistory
from plainsql.replication.positions import (
    Position,
    PrimaryReport,
    is_newer_timeline,
    read_primary,
    read_system,
)

__all__ = ["PrimaryWatch"]

_log = logging.getLogger("plainsql")


_SEARCH_S: Final = 0.5
_MAX_SEARCH_S: Final = 60.0
"""The shortest and the longest pause between two searches for a primary that has replaced another."""


_NO_PRIMARY: Final = (
    "no read goes to replicas: the server of the database's URL is a standby, or a failover is in progress"
)


class PrimaryWatch:
    """Polls the primary's position, and keeps its history."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Any]],
        servers: ServerIdentity,
        *,
        by_transaction: bool,
        discard: Callable[[float], object] = lambda _: None,
    ) -> None:
        """``discard`` replaces the connections to the primary that began to open before a time."""
        self._servers = servers
        self._by_transaction = by_transaction
        self._discard = discard
        self.poller = Poller(connect, self._poll, self._failed)
        self.system: int | None = None
        """The identity of the cluster."""
        self._system_of: int | None = None
        self.fault = "the position of the primary is not known yet"
        """The reason why no replica is proved to be new enough; empty if the primary's position is known."""
        self._is_warned = False
        self._search_at = float("-inf")
        self._pause_s = _SEARCH_S
        self._history = LogHistory()

    @property
    def last(self) -> PrimaryReport | None:
        """The last answer, if all connections are on one primary."""
        return self._history.last

    def behind(self, position: Position | None, now: float) -> float | None:
        """Return how many seconds a replica is behind at most. See ``LogHistory.behind``."""
        return self._history.behind(position, now)

    def has_shown(self, position: Position | None) -> bool:
        """Return whether the primary shows all up to a position. See ``LogHistory.has_shown``."""
        return self._history.has_shown(position, monotonic())

    def was_replaced(self, timeline: int, system: int | None) -> None:
        """Look for the primary again, if a server of its cluster takes writes on a newer timeline.

        A former primary that lives on refuses writes, and answers reads as before.
        """
        last, now = self.last, monotonic()
        if last is None or last.position is None or system != self.system or now < self._search_at:
            return
        if not is_newer_timeline(timeline, last.position.timeline):
            return
        # The address may still lead to the former one. And a server may be promoted to go its own way.
        self._search_at, self._pause_s = now + self._pause_s, min(2 * self._pause_s, _MAX_SEARCH_S)
        self._history.last = None
        self._discard(now)
        self.poller.reconnect()

    async def _poll(self, connection: Any, sent_at: float) -> None:
        report = await read_primary(connection, sent_at)
        if not self._by_transaction:
            # Calls may have connections to another server since a failover: then none is the primary.
            self._servers.review()
            if self._servers.current is None:
                report = report._replace(position=None)
        if report.position is None:
            self._history.take(report)
            self.fault = _NO_PRIMARY
            self._warn(_NO_PRIMARY)
            return
        self.fault = ""
        if self.system is None or self._system_of != report.started:
            self.system, self._system_of = await read_system(connection), report.started
        if self._history.timeline != report.position.timeline:
            self._pause_s = _SEARCH_S
        self._history.take(report)
        self._is_warned = False

    def _failed(self, error: Exception) -> None:
        """Keep the last answer: what a replica has reached of it does not change."""
        state: str | None = getattr(error, "sqlstate", None)
        self._warn(
            "the position of the primary is not known: reads go to replicas as long as their max_lag allows "
            f"({type(error).__name__}{f', SQLSTATE {state}' if state else ''})"
        )

    def _warn(self, text: str) -> None:
        """Log it once for each outage."""
        if not self._is_warned:
            self._is_warned = True
            _log.warning("%s", text)
