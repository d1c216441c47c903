"""The extent of a run: the full one, and the quick one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["FULL", "QUICK", "Extent"]


@dataclass(frozen=True, slots=True)
class Extent:
    """Seconds, rounds and rows."""

    quick: bool
    leads: int
    """Rows of the table that is read, by key and as a stream."""
    bulk_rows: int
    vectors: int
    """Rows of the table whose vectors are read as one matrix."""
    slice: float
    """Seconds that a contender is timed for in a round."""
    rounds: int
    crowded_rounds: int
    """The same for the cases of many tasks, whose slices are longer, as each task has some calls in them."""
    latency_rounds: int
    """Rounds whose calls are timed one by one."""
    calls_per_task: int
    """At the least, so that a slice's start and end, where not all tasks are at work, do not weigh."""
    heavy_slice: float
    """For cases whose slice is one long piece of work."""
    heavy_rounds: int
    stream_seconds: float
    """A stream that takes longer stops where it is."""
    stream_rounds: int
    import_rounds: int
    seconds: float
    """After these, no further case begins, and the one that runs ends as soon as it has three rounds."""


FULL: Final = Extent(
    quick=False,
    leads=1_000_000,
    bulk_rows=100_000,
    vectors=20_000,
    slice=0.07,
    rounds=15,
    crowded_rounds=5,
    latency_rounds=2,
    calls_per_task=4,
    heavy_slice=0.6,
    heavy_rounds=8,
    stream_seconds=3.0,
    stream_rounds=2,
    import_rounds=7,
    seconds=840.0,
)

QUICK: Final = Extent(
    quick=True,
    leads=200_000,
    bulk_rows=10_000,
    vectors=2_000,
    slice=0.03,
    rounds=5,
    crowded_rounds=3,
    latency_rounds=1,
    calls_per_task=2,
    heavy_slice=0.1,
    heavy_rounds=3,
    stream_seconds=0.5,
    stream_rounds=1,
    import_rounds=1,
    seconds=75.0,
)
