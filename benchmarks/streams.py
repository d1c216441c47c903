"""The whole table as a stream: rows a second, and by how much the process grows.

Each contender runs in a process of its own, started again for each round, so that no contender's memory holds
the remains of another. The start of the process is not timed; its first stream, a short one, is its warm-up.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from benchmarks.contenders.base import Contender
from benchmarks.database import Place
from benchmarks.extent import Extent
from benchmarks.loops import available_loops
from benchmarks.results import Measured, Series
from benchmarks.stream_worker import Found, Task

__all__ = ["NAME", "measure_streams"]

NAME = "stream"


def measure_streams(
    contenders: Mapping[str, Contender], place: Place, extent: Extent, deadline: float
) -> Measured:
    """Measure all contenders in turn, round after round.

    Args:
        contenders: by their short names.
        place: where the table is.
        extent: how often, and how long a stream may take: one that is slower stops where it is.
        deadline: of `time.monotonic`; after it, no further round begins.
    """
    began = time.monotonic()
    skipped: dict[str, str] = {}
    failed: dict[str, str] = {}
    able = [name for name, one in contenders.items() if type(one).stream is not Contender.stream]
    skipped |= {name: "no stream" for name in contenders if name not in able}
    series = {name: Series(name, [], 0) for name in able}
    for number in range(1, extent.stream_rounds + 1):
        if number > 1 and time.monotonic() > deadline:
            break
        for name in list(series) if number % 2 else list(reversed(series)):
            found = _stream(Task(name, place, extent.stream_seconds), contenders[name].environment)
            if isinstance(found, str):
                failed[name] = found
                del series[name]
            elif found.skipped:
                skipped[name] = found.skipped
                del series[name]
            else:
                series[name].rates.append(found.rows / found.seconds)
                series[name].memory_mb.append(found.memory_mb)
                series[name].units = found.rows
    return Measured(
        case=NAME,
        title=f"stream of {place.leads:,} rows",
        unit="rows",
        loop=available_loops()[0],
        tasks=1,
        took=time.monotonic() - began,
        series=list(series.values()),
        skipped=skipped,
        failed=failed,
    )


def _stream(task: Task, environment: Mapping[str, str]) -> Found | str:
    """Run one stream; return what it found, or the last line of what it said when it failed."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.stream_worker"],
        input=msgspec.json.encode(task),
        capture_output=True,
        cwd=Path(__file__).parents[1],
        env=os.environ | environment,
        timeout=task.seconds + 60,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"the process ended with status {done.returncode}"
    return msgspec.json.decode(done.stdout, type=Found)
