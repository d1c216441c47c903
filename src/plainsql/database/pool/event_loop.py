"""Whether a call runs in the event loop that a pool belongs to, for the price of a comparison.

``asyncio.get_running_loop`` asks the system for the process's id, up to Python 3.13: that costs more than the
rest of taking a connection. asyncio's loops have the thread that runs them as ``_thread_id``; and a thread
runs one loop at a time. So ``loop._thread_id == get_ident()`` says it.
"""

from __future__ import annotations

import asyncio
from _thread import get_ident
from typing import Any

__all__ = ["NOWHERE", "whereabouts"]


class _Nowhere:
    """Stands for the event loop of connections that this process may not use: no thread runs it."""

    _thread_id = None


class _OtherLoop:
    """An event loop of another kind than asyncio's."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    @property
    def _thread_id(self) -> int | None:
        return get_ident() if asyncio._get_running_loop() is self._loop else None


NOWHERE: Any = _Nowhere()


def whereabouts(loop: asyncio.AbstractEventLoop) -> Any:
    """Return what has a ``_thread_id``, of the thread in which this event loop runs now."""
    return loop if hasattr(loop, "_thread_id") else _OtherLoop(loop)
