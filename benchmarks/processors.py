"""The processors of the clients and of the server.

Left alone, the system runs a client and the server's process for its connection on one processor or on two,
at random, and leaves them there for a while. A round trip then takes half or twice the time, and with one
call at a time that is most of a slice's difference. Kept apart from each other, they give the same time
again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

__all__ = ["Mode", "allowed", "are_enough", "divided"]

Mode = Literal["auto", "apart", "together"]
"""``auto``: apart where one call is made at a time, together where many are."""


def allowed(process: int = 0) -> frozenset[int]:
    """Return the processors that a process, or this one, may run on."""
    return frozenset(os.sched_getaffinity(process))


def are_enough() -> bool:
    """Report whether the system has two processors to divide, and allows it."""
    return hasattr(os, "sched_getaffinity") and len(allowed()) > 1


@contextmanager
def divided(postmaster: int) -> Iterator[None]:
    """Give this process the first processor, and a server and its children the others; then all have all."""
    everything = allowed()
    first = frozenset((min(everything),))
    try:
        _move(_server(postmaster), everything - first)
        _move((0,), first)
        yield
    finally:
        _move((0,), everything)
        _move(_server(postmaster), everything)


def _server(postmaster: int) -> list[int]:
    # First the one that starts all others, which inherit what it has.
    running = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [postmaster, *(process for process in running if _parent(process) == postmaster)]


def _move(processes: Iterable[int], to: frozenset[int]) -> None:
    for process in processes:
        with suppress(ProcessLookupError):  # ended meanwhile
            os.sched_setaffinity(process, to)


def _parent(process: int) -> int:
    try:
        status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
        return 0
    return int(status.rpartition(")")[2].split()[1])
