"""Which processors the clients and the server run on.

Left alone, the system has a client and the server's process for its connection meet on one processor or on
two, as it comes, and a round trip takes half or twice the time; with one connection at work that is most of
what a slice shows. Apart from each other they give the same again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

__all__ = ["TOGETHER", "Sides", "allowed", "apart", "take_part"]


class Sides(NamedTuple):
    """The processors of each side, by their numbers; both empty where nothing is divided."""

    client: frozenset[int]
    server: frozenset[int]


TOGETHER = Sides(frozenset(), frozenset())


def allowed(process: int = 0) -> frozenset[int]:
    """Return the processors that a process, or this one, may run on."""
    return frozenset(os.sched_getaffinity(process))


def apart() -> Sides | None:
    """Give the clients one processor and the server the others; None where that cannot be."""
    if not hasattr(os, "sched_getaffinity"):  # Linux only
        return None
    first, *others = sorted(allowed())
    return Sides(frozenset((first,)), frozenset(others)) if others else None


@contextmanager
def take_part(processors: frozenset[int]) -> Iterator[None]:
    """Run this process, and those that it starts meanwhile, on some processors alone."""
    if not processors:
        yield
        return
    before = allowed()
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
