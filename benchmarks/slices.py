"""A slice: calls that were fixed beforehand, made by some tasks and timed as one.

The same code runs in this process and in that of a contender that has one of its own (`elsewhere`).
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec

from benchmarks.cases.base import Admin, Case, Work
from benchmarks.contenders.base import POOL_SIZE, Contender

__all__ = ["Slice", "run_slice", "set_aside", "warm_up"]

_WARM_UP_CALLS = 12 * POOL_SIZE
"""PostgreSQL and psycopg both look at a statement's first five executions on a connection before they choose.
Long calls get fewer: these few do not count."""

_FEWEST_FOR_P99 = 100


class Slice(msgspec.Struct):
    """The times of one slice."""

    units: int
    seconds: float
    cpu_seconds: float = 0.0
    """Processor time of the client's process; the load of other processes changes it little."""
    p50_ms: float = 0.0
    """The median time of a call; zero if the calls were not timed one by one."""
    p99_ms: float = 0.0
    """The 99th percentile; zero, too, if there were too few calls."""


async def run_slice(
    case: Case, contender: Contender, units: int, seed: int, *, latencies: bool = False
) -> Slice:
    """Time so many units; with ``latencies``, each call as well, which costs the fastest some per cent."""
    work = case.work(contender, units, seed)
    times: list[float] | None = [] if latencies else None
    cpu_began = time.process_time()
    seconds = await _time(work, case.tasks, times)
    cpu_seconds = time.process_time() - cpu_began
    if not times:
        return Slice(work.units, seconds, cpu_seconds)
    times.sort()
    p99_ms = 1000 * times[len(times) * 99 // 100] if len(times) >= _FEWEST_FOR_P99 else 0.0
    return Slice(work.units, seconds, cpu_seconds, 1000 * times[len(times) // 2], p99_ms)


async def warm_up(case: Case, contender: Contender, admin: Admin, length: float) -> None:
    """Run the case's calls on every connection, until drivers have prepared their statements."""
    await case.before(admin)
    if case.heavy:
        await run_slice(case, contender, case.least, seed=0)
        return
    began = time.perf_counter()
    for _ in range(0, _WARM_UP_CALLS, 2 * POOL_SIZE):
        # As many at a time as there are connections, so that each has its share.
        await _time(case.work(contender, 2 * POOL_SIZE, seed=0), POOL_SIZE)
        if time.perf_counter() - began > 4 * length:
            break


def set_aside() -> None:
    """Exclude the objects that live now from garbage collection.

    A collection then costs what it would in a process that runs the contender alone.
    """
    gc.collect()
    gc.freeze()


async def _time(work: Work, tasks: int, times: list[float] | None = None) -> float:
    calls = iter(work.arguments)
    gc.collect()
    began = time.perf_counter()
    if tasks == 1:
        await _call_all(work.call, calls, times)
    else:
        async with asyncio.TaskGroup() as group:
            for _ in range(tasks):
                group.create_task(_call_all(work.call, calls, times))
    return time.perf_counter() - began


async def _call_all(
    call: Callable[..., Awaitable[object]],
    arguments: Iterator[tuple[Any, ...]],
    times: list[float] | None,
) -> None:
    if times is None:
        for values in arguments:
            await call(*values)
        return
    clock = time.perf_counter
    for values in arguments:
        began = clock()
        await call(*values)
        times.append(clock() - began)
