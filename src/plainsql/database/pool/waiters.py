"""The queue of calls that wait for a connection: first come, first served, each with a time limit."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

__all__ = ["Waiters"]

_TIMER_PRECISION_S = 0.001
"""Seconds: no event loop's clock is more precise."""


class Waiters:
    """A fair queue of futures with one time limit for all."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, timeout: float | None, expired: Callable[[], Exception]
    ) -> None:
        self._loop = loop
        self._timeout = timeout
        self._expired = expired
        """Returns the error of a call whose time is up."""
        self.futures: OrderedDict[asyncio.Future[Any], float] = OrderedDict()
        """The waiting calls and their deadlines, in the order of both, as all wait equally long."""
        self._clock: asyncio.TimerHandle | None = None
        """One timer for all waiting calls: one for each would cost more than the rest of the waiting."""

    def add(self) -> asyncio.Future[Any]:
        """Add a call. The future gets what it waits for, or its error."""
        future: asyncio.Future[Any] = self._loop.create_future()
        deadline = 0.0
        if self._timeout is not None:
            deadline = self._loop.time() + self._timeout
            if self._clock is None:
                self._clock = self._loop.call_at(deadline, self._expire)
        self.futures[future] = deadline
        return future

    def withdraw(self, future: asyncio.Future[Any]) -> Any | None:
        """Remove a call that was cancelled. Return what it got in the same moment, if anything."""
        self.futures.pop(future, None)
        if future.done() and not future.cancelled() and future.exception() is None:
            return future.result()
        return None

    def hand_over(self, given: Any) -> bool:
        """Give something to the call that has waited longest, if there is one."""
        while self.futures:
            future, _ = self.futures.popitem(last=False)
            if not future.done():
                future.set_result(given)
                return True
        return False

    def fail(self, error: Callable[[], Exception]) -> None:
        """Fail all waiting calls, each with an error of its own: a traceback and notes belong to one call."""
        while self.futures:
            future, _ = self.futures.popitem(last=False)
            if not future.done():
                future.set_exception(error())

    def fail_first(self, error: Exception) -> None:
        """Fail the call that has waited longest."""
        while self.futures:
            future, _ = self.futures.popitem(last=False)
            if not future.done():
                future.set_exception(error)
                return

    def stop(self) -> None:
        """Cancel the timer."""
        if self._clock is not None:
            self._clock.cancel()

    def _expire(self) -> None:
        self._clock = None
        now = self._loop.time()
        while self.futures:
            future, deadline = next(iter(self.futures.items()))
            # An event loop's timer may fire a moment early.
            if deadline > now + _TIMER_PRECISION_S:
                self._clock = self._loop.call_at(deadline, self._expire)
                return
            del self.futures[future]
            if not future.done():
                future.set_exception(self._expired())
