"""Connections that are being opened, in tasks of their own, with pauses while the server refuses."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable
from typing import Any

from asyncpg import exceptions

from plainsql.connect_errors import UnsuitableServerError
from plainsql.database.pool.connector import Connector

__all__ = ["Openings", "is_lasting"]

_MIN_PAUSE_S = 0.05
_MAX_PAUSE_S = 0.5
"""A server that takes connections again, or is promoted, is found within that time."""
_FINISH_S = 1.0
"""Seconds that openings in progress may take when the pool is closed."""

# The server is full (53), starting up or shutting down (57); the connection to it failed (08).
_TEMPORARY_CLASSES = ("53", "57", "08")


def is_lasting(error: Exception) -> bool:
    """Return whether opening a connection will fail until a setting is changed: a password, a certificate,
    the kind of server. A server or pooler that is full, and a network that fails, are temporary.
    """
    if isinstance(error, exceptions.PostgresError):
        state: str | None = getattr(error, "sqlstate", None)
        return state is None or not state.startswith(_TEMPORARY_CLASSES)
    return isinstance(error, ssl.SSLError | UnsuitableServerError) or not isinstance(error, OSError)


class Openings:
    """Opens connections for calls that wait."""

    def __init__(
        self,
        connector: Connector,
        loop: asyncio.AbstractEventLoop,
        *,
        opened: Callable[[Any], object],
        failed: Callable[[Exception | None], object],
        wanted: Callable[[], int],
    ) -> None:
        self._connector = connector
        self._loop = loop
        self._on_opened = opened
        self._on_failed = failed
        self._wanted = wanted
        """Returns how many more connections should be opened."""
        self.in_progress = 0
        self.refused: Exception | None = None
        """The error of the last opening. Until one succeeds, one at a time is tried."""
        self._pause_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    def open_wanted(self) -> None:
        """Open as many connections as are wanted; one at a time, with pauses, while the server refuses."""
        if self.refused is None:
            self._pause_s = 0.0
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            for _ in range(self._wanted()):
                self._start()
        elif self._timer is None and not self.in_progress and self._wanted() > 0:
            self._pause_s = min(self._pause_s * 2 or _MIN_PAUSE_S, _MAX_PAUSE_S)
            # Jitter: the pools of other processes are refused at the same moment.
            self._timer = self._loop.call_later(self._pause_s * random.uniform(0.5, 1.0), self._try_again)

    async def open(self, number: int) -> None:
        """Open so many connections, or as many of them as can be opened."""
        tasks = [self._start() for _ in range(number)]
        try:
            await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()

    def finish(self) -> None:
        """Open no more, and cancel the openings in progress if they are not done soon.

        Not immediately: asyncpg reports a connection that is cancelled while it connects as an exception that
        was never retrieved.
        """
        if self._timer is not None:
            self._timer.cancel()
        if self._tasks:
            self._loop.call_later(_FINISH_S, self.stop)

    def restart(self) -> None:
        """Cancel the openings in progress. The next call opens a connection without a pause."""
        self.stop()
        self._timer, self.refused = None, None

    def stop(self) -> None:
        """Cancel the openings in progress."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()

    def _try_again(self) -> None:
        self._timer = None
        if self._wanted() <= 0:
            self.refused = None  # no call waits: the next opening begins immediately
        elif not self.in_progress:
            self._start()

    def _start(self) -> Any:
        self.in_progress += 1
        task: Any = self._loop.create_task(self._open())
        task._log_destroy_pending = False  # a task that the end of the event loop leaves over is no error
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def _open(self) -> Any:
        return await self._connector.open()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self.in_progress -= 1
        if task.cancelled():
            self._on_failed(None)
        elif (error := task.exception()) is None:
            self.refused = None
            self._on_opened(task.result())
            self.open_wanted()
        elif isinstance(error, Exception):
            self.refused = error
            self._on_failed(error)
