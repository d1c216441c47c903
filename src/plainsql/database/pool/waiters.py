"""The calls that wait for a connection: first come, first served, each for a limited time."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

__all__ = ["Waiters"]

_MOMENT_S = 0.001
"""Seconds: finer is no loop's clock."""


class Waiters:
    """A fair queue of futures with one time limit for all."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, timeout: float | None, expired: Callable[[], Exception]
    ) -> None:
        self._loop = loop
        self._timeout = timeout
        self._expired = expired
        """Makes the error of a call whose time is up."""
        self.futures: OrderedDict[asyncio.Future[Any], float] = OrderedDict()
        """Those who wait, and until when: in the order of both, as all wait equally long."""
        self._clock: asyncio.TimerHandle | None = None
        """One clock for all who wait: one for each would cost more than the rest of the waiting."""

    def add(self) -> asyncio.Future[Any]:
        """Add a call; the future brings what it waits for, or its error."""
        future: asyncio.Future[Any] = self._loop.create_future()
        deadline = 0.0
        if self._timeout is not None:
            deadline = self._loop.time() + self._timeout
            if self._clock is None:
                self._clock = self._loop.call_at(deadline, self._expire)
        self.futures[future] = deadline
        return future

    def withdraw(self, future: asyncio.Future[Any]) -> Any | None:
        """Take out a call that was cancelled; return what it was given in the very same moment."""
        self.futures.pop(future, None)
        if future.done() and not future.cancelled() and future.exception() is None:
            return future.result()
        return None

    def hand_over(self, given: Any) -> bool:
        """Give something to the call that waits longest, if there is one."""
        while self.futures:
            future, _ = self.futures.popitem(last=False)
            if not future.done():
                future.set_result(given)
                return True
        return False

    def fail(self, error: Callable[[], Exception]) -> None:
        """End all waits, each with an error of its own: a traceback and notes belong to one call."""
        while self.futures:
            future, _ = self.futures.popitem(last=False)
            if not future.done():
                future.set_exception(error())

    def fail_first(self, error: Exception) -> None:
        """End the longest wait."""
        while self.futures:
            future, _ = self.futures.popitem(last=False)
            if not future.done():
                future.set_exception(error)
                return

    def stop(self) -> None:
        """Stop the clock."""
        if self._clock is not None:
            self._clock.cancel()

    def _expire(self) -> None:
        self._clock = None
        now = self._loop.time()
        while self.futures:
            future, deadline = next(iter(self.futures.items()))
            # The clock may go off a moment early, as all of a loop's do.
            if deadline > now + _MOMENT_S:
                self._clock = self._loop.call_at(deadline, self._expire)
                return
            del self.futures[future]
            if not future.done():
                future.set_exception(self._expired())
