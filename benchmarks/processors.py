"""The processors of the clients and of the server.

Left alone, the system runs a client and the server's process for its connection on one processor or on two,
at random, and leaves them there for a while. A round trip then takes half or twice the time, and with one
call at a time that is most of a slice's difference. Kept apart from each other, they give the same time
again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
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
def divided(postmaster: int, clients: Sequence[int] = (), network: Sequence[int] = ()) -> Iterator[None]:
    """Give the clients the first processor, and the server and its children the others; then all have all.

    The clients are this process, with all its threads, and those of the ids. The network's processes are on
    the server's side.
    """
    everything = allowed()
    first = frozenset((min(everything),))
    ours = (os.getpid(), *clients)
    try:
        _move((*_server(postmaster), *network), everything - first)
        _move(ours, first)
        yield
    finally:
        _move(ours, everything)
        _move((*_server(postmaster), *network), everything)


def _server(postmaster: int) -> list[int]:
    # First the one that starts all others, which inherit what it has.
    running = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [postmaster, *(process for process in running if _parent(process) == postmaster)]


def _move(processes: Iterable[int], to: frozenset[int]) -> None:
    for process in processes:
        for thread in _threads(process):
            with suppress(ProcessLookupError):  # ended meanwhile
                os.sched_setaffinity(thread, to)


def _threads(process: int) -> list[int]:
    # Drivers in Rust have threads of their own, which a process's affinity alone does not move.
    with suppress(FileNotFoundError, ProcessLookupError):
        return [int(entry.name) for entry in Path(f"/proc/{process}/task").iterdir()]
    return []


def _parent(process: int) -> int:
    try:
        status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
        return 0
    return int(status.rpartition(")")[2].split()[1])
