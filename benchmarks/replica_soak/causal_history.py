"""The reads and writes as their callers saw them, and the verdict on their order.

Each counter has one writer, which only raises it. So a value shows how new the state is that a read was
served from.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

__all__ = ["Read", "Verdict", "Write", "judge"]


class Write(NamedTuple):
    """A write that was acknowledged."""

    chain: int
    """The session that wrote, and all that continue it by its token."""
    program: int
    """The ``Database`` that it went through."""
    key: int
    value: int
    ended: float


class Read(NamedTuple):
    """A read that returned a value; 0 is a counter that does not exist yet."""

    kind: Literal["causal", "own", "lag", "cached"]
    """The promise: to its session, to its program, to be no older than a time, or as new as the cache is."""
    chain: int
    program: int
    key: int
    value: int
    started: float
    server: str = ""
    max_lag: float = 0.0


Event: TypeAlias = Read | Write


@dataclass(slots=True)
class Verdict:
    """The number of reads, and those that were older than promised."""

    writes: int = 0
    reads: Counter[str] = field(default_factory=Counter)
    """By kind."""
    on_replicas: int = 0
    violations: Counter[str] = field(default_factory=Counter)
    """By kind."""
    early: int = 0
    """Reads on the primary that did not see what an earlier read saw on a replica, of a commit that was still
    in progress: PostgreSQL sends a commit to its replicas before it shows it itself."""
    lost: int = 0
    """Writes that were acknowledged and are gone since a failover."""
    examples: list[str] = field(default_factory=list)


def judge(
    events: Iterable[Event], primary: str = "", *, kept: Container[tuple[int, int]] | None = None
) -> Verdict:
    """Compare each read with what it had to see. The events of a chain are in their order.

    ``primary``: the name of the server whose reads are not counted as those on replicas. ``kept``: the values
    of the counters that no failover has lost; None for all. No read has to see a value that was lost.
    """
    verdict = Verdict()
    events = list(events)
    if kept is not None:
        verdict.lost = sum(
            isinstance(event, Write) and (event.key, event.value) not in kept for event in events
        )
    acknowledged = _Acknowledged(
        event
        for event in events
        if isinstance(event, Write) and (kept is None or (event.key, event.value) in kept)
    )
    seen: dict[tuple[int, int], int] = {}
    for event in events:
        at = (event.chain, event.key)
        is_kept = kept is None or (event.key, event.value) in kept
        if isinstance(event, Write):
            verdict.writes += 1
            if is_kept:
                seen[at] = max(seen.get(at, 0), event.value)
            continue
        verdict.reads[event.kind] += 1
        verdict.on_replicas += bool(event.server) and event.server != primary
        if event.kind == "causal":
            wanted = seen.get(at, 0)
            if is_kept:
                seen[at] = max(wanted, event.value)
        else:
            program = event.program if event.kind == "own" else None
            wanted = acknowledged.before(event.started - event.max_lag, event.key, program)
        if event.kind == "causal" and event.server == primary and event.value < wanted:
            due = min(wanted, acknowledged.before(event.started, event.key, None))
            if event.value >= due:
                verdict.early += 1
                continue
        if event.value < wanted:
            verdict.violations[event.kind] += 1
            if len(verdict.examples) < 10:
                verdict.examples.append(f"expected {wanted} or more, got {event}")
    return verdict


class _Acknowledged:
    """The newest acknowledged value of each counter at any time."""

    def __init__(self, writes: Iterable[Write]) -> None:
        self._times: dict[tuple[int, int | None], list[float]] = defaultdict(list)
        self._values: dict[tuple[int, int | None], list[int]] = defaultdict(list)
        for write in sorted(writes, key=lambda write: write.ended):
            for program in (write.program, None):
                at = (write.key, program)
                values = self._values[at]
                self._times[at].append(write.ended)
                values.append(max(write.value, values[-1] if values else 0))

    def before(self, time: float, key: int, program: int | None) -> int:
        """Return the value that was acknowledged before a time; through one program, or through any."""
        at = (key, program)
        count = bisect_right(self._times[at], time) if at in self._times else 0
        return self._values[at][count - 1] if count else 0
