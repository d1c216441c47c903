"""The wait of calls for a primary while there is none, with ``failover_timeout`` only."""

from __future__ import annotations

import random
import time
from typing import Final

import psycopg

from plainsql.connect_errors import is_starting, is_unsuitable
from plainsql.outcome_notes import NOT_COMMITTED
from plainsql.sync.driver_errors import is_refusal

__all__ = ["PrimaryWait"]

_PAUSE_S: Final = 0.1
"""The shortest pause between two attempts; the longest is three times as long."""


class PrimaryWait:
    """The time that the attempts of one call may take; no time if they do not wait."""

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout
        self._ends: float | None = None

    def pause(self) -> bool:
        """Wait for the next attempt; return False if the time is up. It begins with the first pause."""
        if self._timeout is None:
            return False
        now = time.monotonic()
        if self._ends is None:
            self._ends = now + self._timeout
        if now >= self._ends:
            return False
        time.sleep(random.uniform(_PAUSE_S, 3 * _PAUSE_S))
        return True

    def after_opening(self, error: BaseException) -> bool:
        """Wait after a connection could not be opened, if one may be opened soon."""
        return (is_starting(error) or is_unsuitable(error)) and self.pause()

    def after_transaction(self, error: psycopg.Error) -> bool:
        """Wait after a transaction that was not committed, if the server refused it or is gone."""
        not_committed = is_refusal(error) or NOT_COMMITTED in getattr(error, "__notes__", ())
        return not_committed and self.pause()
