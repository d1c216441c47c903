"""One contender's stream, alone in a process: ``python -m benchmarks.stream_worker``, started by ``streams``.

What it is to do comes as JSON on standard input, what it found goes as JSON to standard output.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import sys
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import contenders, data
from benchmarks.cases.base import expect
from benchmarks.contenders.base import Contender, NotOfferedError
from benchmarks.database import Place
from benchmarks.loops import new_loop

__all__ = ["Found", "Task", "read"]

_ROWS_BETWEEN_SAMPLES = 5_000
_WARM_UP_ROWS = 2_000


class Task(msgspec.Struct):
    contender: str
    place: Place
    seconds: float
    """After so many, it stops where it is."""


class Found(msgspec.Struct):
    rows: int = 0
    seconds: float = 0.0
    memory_mb: float = 0.0
    """The most by which the process grew beyond what it was after a first, short stream."""
    skipped: str = ""


async def _run(task: Task, contender: Contender) -> Found:
    await contender.open(task.place)
    try:
        await read(contender, _WARM_UP_ROWS, 60.0)
        gc.collect()
        rows, seconds, memory_mb, last = await read(contender, task.place.leads, task.seconds)
        expect(data.values(last), data.lead(rows), f"row {rows} of the stream")
        return Found(rows, seconds, memory_mb)
    finally:
        await contender.close()


async def read(contender: Contender, most: int, limit: float) -> tuple[int, float, float, Any]:
    """Read until there are enough, or the time is up.

    Returns the number of rows, the seconds, by how many MB the process grew, and the last row.
    """
    rows, last = 0, None
    before = highest = _resident_mb()
    began = time.perf_counter()
    async with aclosing(_closable(contender)) as stream:
        async for last in stream:  # noqa: B007 (used after the loop)
            rows += 1
            if not rows % _ROWS_BETWEEN_SAMPLES:
                highest = max(highest, _resident_mb())
                if time.perf_counter() - began > limit:
                    break
            if rows == most:
                break
        took = time.perf_counter() - began
    return rows, took, highest - before, last


def _closable(contender: Contender) -> Any:
    """The contender's stream, as the asynchronous generator that it is."""
    return contender.stream()


def _resident_mb() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:  # not Linux: the most that it has ever been, in bytes on macOS
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return pages * resource.getpagesize() / 2**20


def main() -> None:
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    made, missing = contenders.make([task.contender])
    found = Found(skipped=missing.get(task.contender, ""))
    for contender in made.values():
        try:
            with asyncio.Runner(loop_factory=new_loop("uvloop")) as runner:
                found = runner.run(_run(task, contender))
        except NotOfferedError as error:
            found = Found(skipped=str(error))
    sys.stdout.buffer.write(msgspec.json.encode(found))


if __name__ == "__main__":
    main()
