"""What the cache has done so far."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Stats", "Violation"]


@dataclass(slots=True)
class Stats:
    """Counters of one process since its start, to be read at any time."""

    local_hits: int = 0
    """From the process, without asking the store."""
    hits: int = 0
    """From the store."""
    misses: int = 0
    """Nothing valid was there."""
    shared: int = 0
    """Reads that had the result of another one that ran at that moment."""
    fills: int = 0
    """Results stored."""
    refreshes: int = 0
    """Fills made in the background, while the caller had the stored result."""
    pending: int = 0
    """Reads that met a writer between its marker and its end: they went to PostgreSQL."""
    bypassed: int = 0
    """Reads that went to PostgreSQL because the store was away, or had not heard of an own write yet."""
    uncacheable: int = 0
    """Reads whose arguments or results cannot be stored, or are too large."""
    undecodable: int = 0
    """Stored results that were none of ours."""
    errors: int = 0
    """Calls that the store did not answer."""
    writes: int = 0
    """Writes that were made known, and touches."""
    drained: int = 0
    """Writes by others that this process has found in the outbox, and told."""
    unsettled: int = 0
    """Writes that the store has not heard the end of, now."""
    audited: int = 0
    """Hits that were read again from PostgreSQL."""
    violations: int = 0
    """Hits that were not what PostgreSQL had, and nothing had changed."""
    breaker: str = "closed"
    """``closed``: the store is asked. ``open``: it is left alone. ``half-open``: the next call decides."""
    entries: int = 0
    """Values in the process."""
    found: list[Violation] = field(default_factory=list)
    """The last violations."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A hit that PostgreSQL did not confirm. No values: they may be anybody's."""

    query: str
    tables: tuple[str, ...]
    at: float
    """Seconds since 1970."""
