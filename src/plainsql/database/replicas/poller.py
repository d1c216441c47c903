"""A task that reads the state of a server at intervals, and immediately if a call waits for news."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import Any, Final, NamedTuple

__all__ = ["ANSWER_S", "FRESH_S", "POLL_S", "Pace", "Poller"]

_log = logging.getLogger("plainsql")

POLL_S: Final = 0.1
"""Seconds between two polls while reads use replicas."""
ANSWER_S: Final = 0.5
"""Seconds that a server may take to answer a poll."""
FRESH_S: Final = 0.75
"""Seconds for which an answer counts: a server that disappears gets no read after that."""

_IDLE_POLL_S: Final = 2.0
_IDLE_AFTER_S: Final = 10.0
"""Without reads for so many seconds, polls are rare. The next read starts one by itself."""
_HURRY_S: Final = 0.001
"""Seconds between two polls while a read waits."""
_RETRY_S: Final = 0.25
"""Seconds between two attempts to reach a server that does not answer. The first one follows immediately."""
_RECONNECT_S: Final = 0.5
_RECONNECT_FACTOR: Final = 3.0
"""A new connection may take so many times what the last one took, and half a second at least. What the
network has swallowed is sent again after seconds, so a new attempt finds a server that is back sooner."""


class Pace(NamedTuple):
    """The seconds of a poller: between its polls, and for an answer."""

    poll: float = POLL_S
    idle: float = _IDLE_POLL_S
    """Between two polls while no read uses what they find."""
    retry: float = _RETRY_S
    """Between two attempts to reach what does not answer."""
    answer: float = ANSWER_S
    hurry: float = _HURRY_S
    """Between two polls while a call waits for what they find."""


class Poller:
    """Polls one server on a connection of its own."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Any]],
        poll: Callable[[Any, float], Awaitable[object]],
        failed: Callable[[Exception], object],
        pace: Pace = Pace(),  # noqa: B008 (immutable)
    ) -> None:
        self._connect = connect
        """Opens the connection."""
        self._poll = poll
        """Polls the server on the connection; the second argument is the time of the beginning."""
        self._failed = failed
        """Called with the error of each poll that failed."""
        self._pace = pace
        self._hurry = asyncio.Event()
        self._used_at = monotonic()
        self._news: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._connection: Any = None
        self.connect_s = 0.0
        """Seconds that the last connection took; 0 until there was one."""
        self._has_failed = False
        self._is_former = False
        """True if the connection may be to a server that was replaced."""

    def start(self) -> None:
        """Begin to poll."""
        task: Any = asyncio.get_running_loop().create_task(self._run())
        task._log_destroy_pending = False  # a task that the end of the event loop leaves over is no error
        self._task = task

    def used(self) -> None:
        """Record that a read uses what the polls find."""
        self._used_at = monotonic()

    def news(self) -> asyncio.Future[None]:
        """Poll now, and return a future that is done after the next poll, successful or not."""
        self._used_at = monotonic()
        self._hurry.set()
        if self._news is None:
            self._news = asyncio.get_running_loop().create_future()
        return self._news

    def reconnect(self) -> None:
        """Make the next poll on a new connection, which may be to another server."""
        self._is_former = True
        self._hurry.set()

    async def stop(self) -> None:
        """Stop polling, and close the connection."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _run(self) -> None:
        try:
            while True:
                pause = await self._once()
                news, self._news = self._news, None
                if news is not None and not news.done():
                    news.set_result(None)
                if self._hurry.is_set():
                    self._hurry.clear()
                    await asyncio.sleep(pause if self._has_failed else self._pace.hurry)
                else:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(pause):
                            await self._hurry.wait()
        finally:
            self._drop()
            if self._news is not None:
                self._news.cancel()

    async def _once(self) -> float:
        """Poll, and return the seconds until the next poll."""
        try:
            if self._is_former or self._connection is None or self._connection.is_closed():
                self._is_former = False
                self._drop()
                self._connection = await self._reconnect()
            async with asyncio.timeout(self._pace.answer):
                await self._poll(self._connection, monotonic())
        except Exception as error:  # noqa: BLE001 (a server may fail in any way, and the next poll finds out)
            self._drop()
            self._failed(error)
            pause, self._has_failed = self._pace.retry if self._has_failed else 0.0, True
            return pause
        self._has_failed = False
        is_idle = monotonic() - self._used_at > _IDLE_AFTER_S
        return self._pace.idle if is_idle else self._pace.poll

    async def _reconnect(self) -> Any:
        began, known = monotonic(), self.connect_s
        limit = max(_RECONNECT_S, _RECONNECT_FACTOR * known) if known else None
        async with asyncio.timeout(limit):
            connection = await self._connect()
        taken = monotonic() - began
        # One may have waited for the server's return.
        self.connect_s = min(taken, 2 * known) if known else taken
        return connection
