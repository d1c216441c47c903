"""The state of a replica, as ``db.stats()`` has it."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ReplicaStats"]


class ReplicaStats(NamedTuple):
    """The state of a replica, and the number of its connections and reads."""

    name: str
    """Its URL without its password."""
    state: str
    """``ok``, or why no read goes there."""
    lag: float | None
    """Seconds that it is behind the primary at most; None if that is not known."""
    reads: int
    """Reads that it answered."""
    failed: int
    """Reads that ran on another server in the end."""
    latency: float
    """The mean of the last reads, in seconds."""
    open: int
    in_use: int
    idle: int
    waiting: int
    max_size: int
