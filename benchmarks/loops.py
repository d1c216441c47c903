"""The two event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.util import find_spec

from benchmarks.cases.base import Loop

__all__ = ["available_loops", "new_loop"]


def available_loops() -> tuple[Loop, ...]:
    """Return the loops that are there, uvloop first."""
    return ("uvloop", "asyncio") if find_spec("uvloop") else ("asyncio",)


def new_loop(loop: Loop) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes a loop of this kind; asyncio's own where uvloop is not installed."""
    if loop == "uvloop" and find_spec("uvloop"):
        import uvloop

        return uvloop.new_event_loop
    return asyncio.new_event_loop
