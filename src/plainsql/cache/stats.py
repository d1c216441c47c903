"""The counters of the cache."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Stats", "Violation"]


@dataclass(slots=True)
class Stats:
    """Counters of one process since its start, which may be read at any time."""

    local_hits: int = 0
    """Hits in the process, which do not use the store."""
    hits: int = 0
    """Hits in the store."""
    misses: int = 0
    """Reads for which the store had no valid result."""
    shared: int = 0
    """Reads that got the result of another read in progress."""
    fills: int = 0
    """Results that were stored."""
    refreshes: int = 0
    """Fills made in the background, while the caller had the stored result."""
    pending: int = 0
    """Reads during a write, between its marker and its end, which went to PostgreSQL."""
    bypassed: int = 0
    """Reads that went to PostgreSQL because the store did not answer, or missed a write of this process."""
    uncacheable: int = 0
    """Reads whose arguments or results cannot be stored, or are too large."""
    undecodable: int = 0
    """Stored results that could not be decoded."""
    errors: int = 0
    """Calls that the store did not answer."""
    writes: int = 0
    """Writes, and external writes, that have invalidated."""
    drained: int = 0
    """External writes that this process has found in the outbox."""
    unsettled: int = 0
    """Writes whose end the store has not got yet, at present."""
    audited: int = 0
    """Hits that were read again from PostgreSQL."""
    violations: int = 0
    """Hits that differed from PostgreSQL although nothing had changed."""
    breaker: str = "closed"
    """``closed``: the store is used. ``open``: it is left alone. ``half-open``: the next call decides."""
    entries: int = 0
    """Values that the process holds."""
    found: list[Violation] = field(default_factory=list)
    """The last violations."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A hit that PostgreSQL did not confirm. It has no values, which may be personal data."""

    query: str
    tables: tuple[str, ...]
    at: float
    """Seconds since 1970."""
