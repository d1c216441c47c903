"""The history of writes and reads, and the check that no read is older than a write before it."""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["Event", "Stale", "check", "pack", "read_events"]

_RECORD = struct.Struct("<BIQQQ")

READ, WRITE, READ_TOO = 0, 1, 2
"""``READ_TOO``: another register that the same read has returned."""


class Event(NamedTuple):
    """One read, or one write that was acknowledged, of a register whose versions only grow."""

    kind: int
    register: int
    version: int
    began_ns: int
    """On the machine's monotonic clock, which all processes share."""
    ended_ns: int


class Stale(NamedTuple):
    """A read that returned less than what had been acknowledged before it began."""

    read: Event
    acknowledged: int
    late_ns: int
    """The time between the acknowledgement of the write and the read."""


def pack(event: Event) -> bytes:
    """Return an event as bytes of a fixed length."""
    return _RECORD.pack(*event)


def read_events(path: Path) -> Iterator[Event]:
    """Iterate over what a process has recorded; a record that it was killed in is left out."""
    content = path.read_bytes()
    whole = len(content) - len(content) % _RECORD.size
    return map(Event._make, _RECORD.iter_unpack(content[:whole]))


def check(events: Iterable[Event]) -> list[Stale]:
    """Find every read that returned an older version than one acknowledged before the read began."""
    acknowledged: dict[int, list[tuple[int, int]]] = {}
    reads: list[Event] = []
    for event in events:
        if event.kind == WRITE:
            acknowledged.setdefault(event.register, []).append((event.ended_ns, event.version))
        else:
            reads.append(event)
    times: dict[int, tuple[list[int], list[int]]] = {}
    for register, found in acknowledged.items():
        found.sort()
        newest, newests = 0, []
        for _, version in found:
            newest = max(newest, version)
            newests.append(newest)
        times[register] = ([time for time, _ in found], newests)
    stale = []
    for read in reads:
        if (known := times.get(read.register)) is None:
            continue
        before = bisect_left(known[0], read.began_ns)
        if before and known[1][before - 1] > read.version:
            newest = known[1][before - 1]
            first = known[1].index(newest)
            stale.append(Stale(read, newest, read.began_ns - known[0][first]))
    return stale
