"""A check, for the price of a comparison, that a call runs in the event loop of its pool.

Up to Python 3.13, ``asyncio.get_running_loop`` gets the process id from the system, which costs more than the
rest of acquiring a connection. asyncio's loops have the thread that runs them as ``_thread_id``, and a thread
runs one loop at a time. So ``loop._thread_id == get_ident()`` is the same check.
"""

from __future__ import annotations

import asyncio
from _thread import get_ident
from asyncio import _get_running_loop
from typing import Any

__all__ = ["NO_LOOP", "thread_of"]


class _NoLoop:
    """The event loop of connections that this process may not use: no thread runs it."""

    _thread_id = None


class _OtherLoop:
    """An event loop that is not asyncio's."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    @property
    def _thread_id(self) -> int | None:
        return get_ident() if _get_running_loop() is self._loop else None


NO_LOOP: Any = _NoLoop()


def thread_of(loop: asyncio.AbstractEventLoop) -> Any:
    """Return an object whose ``_thread_id`` is the thread that runs this event loop now."""
    return loop if hasattr(loop, "_thread_id") else _OtherLoop(loop)
