"""The log of the primary, as reads on replicas learn it when they need it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from time import monotonic
from typing import Final

import psycopg

from plainsql.errors import PlainsqlError, PoolTimeoutError, TransactionError
from plainsql.replication.log_history import LogHistory
from plainsql.replication.positions import PrimaryReport, is_newer_timeline
from plainsql.sync.connection import SharedConnection
from plainsql.sync.replicas.log_questions import ask_primary

__all__ = ["LendPrimary", "PrimaryLog"]

_log = logging.getLogger("plainsql")

LendPrimary = Callable[[], AbstractContextManager[SharedConnection]]
"""Lends a connection to the primary for a block, in a moment or not at all."""

_ANSWER_S: Final = 2.0
"""Seconds that the primary may take to answer: its connection is closed then."""
_RETRY_S: Final = 1.0
"""Seconds between two questions to a primary that does not answer."""
_BUSY_S: Final = 0.1
"""Seconds between two questions while calls use all connections."""
_NEWEST_S: Final = 1.0
"""The age of an answer after which the next read polls the primary."""


class PrimaryLog:
    """The ends of the primary's log, and the times of the questions. Threads share it."""

    def __init__(self, lend: LendPrimary) -> None:
        self._lend = lend
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._retry_at = float("-inf")
        self._is_warned = False
        self.history = LogHistory()

    def ask(self) -> PrimaryReport | None:
        """Return the end of the log now; None if the primary does not answer."""
        if monotonic() < self._retry_at:
            return None
        try:
            with self._lend() as shared:
                report = ask_primary(shared, _ANSWER_S)
        except (PoolTimeoutError, TransactionError):
            self._retry_at = monotonic() + _BUSY_S
            return None
        except (PlainsqlError, psycopg.Error, OSError) as error:
            self._failed(error)
            return None
        self._is_warned = False
        self.take(report)
        return report

    def refresh(self, max_lag: float) -> None:
        """Poll the primary if its last answer is too old for reads with a limit, in one thread at a time."""
        last = self.history.last
        if last is not None and monotonic() - last.sent_at < min(_NEWEST_S, max_lag / 4):
            return
        if self._asking.acquire(blocking=False):
            try:
                self.ask()
            finally:
                self._asking.release()

    def take(self, report: PrimaryReport) -> None:
        """Add an answer of a connection to the primary.

        A connection may be to the former primary of a failover, which may not know that it is one.
        """
        if report.position is None:
            return
        with self._lock:
            last = self.history.last
            if last is not None and last.position is not None:
                if is_newer_timeline(last.position.timeline, report.position.timeline):
                    return
                is_same = last.position.timeline == report.position.timeline
                if is_same and report.sent_at <= last.sent_at:
                    return  # another thread was faster
            self.history.take(report)

    def _failed(self, error: BaseException) -> None:
        """Keep the last answer: what a replica has reached of it does not change."""
        self._retry_at = monotonic() + _RETRY_S
        if not self._is_warned:
            self._is_warned = True
            state: str | None = getattr(error, "sqlstate", None)
            _log.warning(
                "the position of the primary is not known: reads go to replicas as long as their max_lag "
                "allows (%s%s)",
                type(error).__name__,
                f", SQLSTATE {state}" if state else "",
            )
