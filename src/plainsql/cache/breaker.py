"""A circuit breaker: a service that does not answer is left alone for a while, then tried by one caller.

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

_OUTAGE_FAILURES = 10
"""So many failures are an outage even if other calls succeed in between, such as reads on a replica."""

_QUIET_S = 1.0
"""An outage is over when a call succeeds so long after the last failure."""


class Breaker:
    """A circuit breaker: it opens after ``failures`` failures in a row, then lets one call try.

    It stays open for ``pause`` seconds, twice as long each time, up to ``longest``.
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
        # Until then one call may try and others must not. It may never report its outcome.
        self._tried_until = 0.0
        self._failures = 0
        """The failures since the last outage, or since a while without one."""
        self._failed_at = 0.0
        self._is_logged = False

    @property
    def state(self) -> Literal["closed", "open", "half-open"]:
        """``half-open``: the next call, or the one in progress, decides."""
        if self._failed < self._threshold:
            return "closed"
        return "open" if self._clock() < self._until else "half-open"

    @property
    def wait(self) -> float:
        """Seconds until a call may be let through."""
        return 0.0 if self._failed < self._threshold else max(self._until - self._clock(), 0.0)

    def allows(self) -> bool:
        """Return whether a call may be made. If so, the caller reports its outcome."""
        if self._failed < self._threshold:
            return True
        now = self._clock()
        if now < self._until or now < self._tried_until:
            return False
        self._tried_until = now + self._longest
        return True

    def succeeded(self) -> None:
        """Record that a call was answered."""
        if not self._failures:
            return  # nor was any since the last outage: all is as it was
        self._failed, self._pause, self._tried_until = 0, self._first, 0.0
        if self._failures and self._clock() - self._failed_at > _QUIET_S:
            self._failures = 0
            if self._is_logged:
                self._is_logged = False
                _log.info("the cache is in use again: Redis answers")

    def failed(self, error: BaseException | None = None) -> None:
        """Record that a call was not answered, with its error."""
        self._failed += 1
        self._failures += 1
        self._failed_at = self._clock()
        self._tried_until = 0.0
        if not self._is_logged and (self._failed >= self._threshold or self._failures >= _OUTAGE_FAILURES):
            self._is_logged = True
            _log.warning("the cache is not in use: %s", _reason(error))
        if self._failed >= self._threshold:
            # Jitter, so that processes do not come back together.
            self._until = self._clock() + self._pause * random.uniform(0.75, 1.25)
            self._pause = min(self._pause * 2, self._longest)

    def abandoned(self) -> None:
        """Record that the caller has gone before an answer."""
        self._tried_until = 0.0


def _reason(error: BaseException | None) -> str:
    if not isinstance(error, PlainsqlError):
        return "Redis does not answer" if error is None else type(error).__name__
    message = f"{error.message} ({error.detail})" if error.detail else error.message
    return f"{message}; {error.hint}" if error.hint else message
