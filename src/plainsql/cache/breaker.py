"""A breaker: who does not answer is left alone for a while, and then asked by one caller first."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Literal

__all__ = ["Breaker"]


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

    def failed(self) -> None:
        """Tell that a call was not answered."""
        self._failed += 1
        self._tried_until = 0.0
        if self._failed >= self._threshold:
            # Spread, so that processes do not come back together.
            self._until = self._clock() + self._pause * random.uniform(0.75, 1.25)
            self._pause = min(self._pause * 2, self._longest)

    def abandoned(self) -> None:
        """Tell that the caller has gone before an answer."""
        self._tried_until = 0.0
