"""A breaker: who does not answer is left alone for a while, and then asked by one caller first.

It logs each outage once, and its end once.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import Literal

from plainsql.errors import PlainsqlError

__all__ = ["Breaker"]

_log = logging.getLogger("plainsql.cache")

_MANY = 10
"""So many failures are an outage also if other calls succeed in between, such as reads on a replica."""

_QUIET_S = 1.0
"""An outage is over when a call succeeds that long after the last failure."""


class Breaker:
    """Opens after ``failures`` failures in a row, for ``pause`` seconds, twice as long each time up to
    ``longest``; then lets one call try.
    """

    def __init__(
        self,
        *,
        failures: int = 3,
        pause: float = 0.1,
        longest: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._threshold, self._first, self._longest = failures, pause, longest
        self._clock = clock
        self._failed = 0
        self._pause = pause
        self._until = 0.0
        # Until when one call may try and others must not; it may never say what came of it.
        self._tried_until = 0.0
        self._failures = 0
        """Since the last outage, or since a while without one."""
        self._failed_at = 0.0
        self._is_logged = False

    @property
    def state(self) -> Literal["closed", "open", "half-open"]:
        """``half-open``: the next call, or one that is under way, decides."""
        if self._failed < self._threshold:
            return "closed"
        return "open" if self._clock() < self._until else "half-open"

    @property
    def wait(self) -> float:
        """Seconds until a call may be let through."""
        return 0.0 if self._failed < self._threshold else max(self._until - self._clock(), 0.0)

    def allows(self) -> bool:
        """Whether a call may be made; who is told so says afterwards what came of it."""
        if self._failed < self._threshold:
            return True
        now = self._clock()
        if now < self._until or now < self._tried_until:
            return False
        self._tried_until = now + self._longest
        return True

    def succeeded(self) -> None:
        """Tell that a call was answered."""
        self._failed, self._pause, self._tried_until = 0, self._first, 0.0
        if self._failures and self._clock() - self._failed_at > _QUIET_S:
            self._failures = 0
            if self._is_logged:
                self._is_logged = False
                _log.info("the cache is in use again: Redis answers")

    def failed(self, error: BaseException | None = None) -> None:
        """Tell that a call was not answered, and what was raised."""
        self._failed += 1
        self._failures += 1
        self._failed_at = self._clock()
        self._tried_until = 0.0
        if not self._is_logged and (self._failed >= self._threshold or self._failures >= _MANY):
            self._is_logged = True
            _log.warning("the cache is not in use: %s", _reason(error))
        if self._failed >= self._threshold:
            # Spread, so that processes do not come back together.
            self._until = self._clock() + self._pause * random.uniform(0.75, 1.25)
            self._pause = min(self._pause * 2, self._longest)

    def abandoned(self) -> None:
        """Tell that the caller has gone before an answer."""
        self._tried_until = 0.0


def _reason(error: BaseException | None) -> str:
    if not isinstance(error, PlainsqlError):
        return "Redis does not answer" if error is None else type(error).__name__
    return f"{error.message}; {error.hint}" if error.hint else error.message
