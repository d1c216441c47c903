"""The measurement of a case: all contenders in turn, round after round.

::

    check       every contender answers, and the answers are compared with what is in the table
    warm up     every connection runs the statement, more often than drivers wait before they prepare it
    calibrate   how many units make a slice of the wanted length
    round 1     A B C D          each a slice of the same length, after a garbage collection
    round 2     D C B A          in reverse, so that no contender always comes after the same neighbour
    …

A slice is a number of calls that was fixed beforehand, never a sleep, so that a case takes about
contenders * (rounds + 1) * slice seconds.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from benchmarks.cases.base import Admin, Case, Loop, Work
from benchmarks.contenders.base import POOL_SIZE, Contender, NotOfferedError
from benchmarks.extent import Extent
from benchmarks.results import Measured, Series

__all__ = ["measure"]

_FEWEST_ROUNDS = 3
_MANY_TASKS = 64

_WARM_UP_CALLS = 12 * POOL_SIZE
"""PostgreSQL and psycopg both look at a statement's first five executions on a connection before they choose.
Long calls get fewer: these few do not count."""


async def measure(
    case: Case, contenders: Mapping[str, Contender], admin: Admin, loop: Loop, extent: Extent, deadline: float
) -> Measured:
    """Measure one case on the loop that runs. A contender that cannot take part is left out by name.

    After ``deadline`` (of `time.monotonic`), it ends with its third round.
    """
    began = time.monotonic()
    length = extent.heavy_slice if case.heavy else extent.slice
    least = max(case.least, extent.calls_per_task * case.tasks if case.tasks > 1 else 0)
    _set_aside()
    skipped: dict[str, str] = {}
    failed: dict[str, str] = {}
    units: dict[str, int] = {}
    for name, contender in contenders.items():
        try:
            await case.before(admin)
            await case.check(contender, admin)
            units[name] = await _calibrate(case, contender, admin, length, least)
        except NotOfferedError as error:
            skipped[name] = str(error)
        except Exception as error:  # noqa: BLE001 (whatever a contender raises, the others go on)
            failed[name] = _in_a_line(error)
    _set_aside()  # and what the warm-up left, rows to insert above all
    rates: dict[str, list[float]] = {name: [] for name in units}
    for number in range(1, _rounds(case, extent) + 1):
        if number > _FEWEST_ROUNDS and time.monotonic() > deadline:
            break
        for name in units if number % 2 else reversed(units):
            if name in failed:
                continue
            work = case.work(contenders[name], units[name], seed=number)
            await case.before(admin)
            try:
                rates[name].append(work.units / await _time(work, case.tasks))
            except Exception as error:  # noqa: BLE001 (as above)
                failed[name] = _in_a_line(error)
    gc.unfreeze()
    return Measured(
        case=case.name,
        title=case.title,
        unit=case.unit,
        loop=loop,
        tasks=case.tasks,
        took=time.monotonic() - began,
        series=[Series(name, rates[name], units[name]) for name in units if name not in failed],
        skipped=skipped,
        failed=failed,
    )


def _in_a_line(error: Exception) -> str:
    while isinstance(error, ExceptionGroup):  # of the tasks
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}".partition("\n")[0]


def _set_aside() -> None:
    """Exclude the objects that live now from garbage collection.

    A collection then costs what it would in a process that runs the contender alone.
    """
    gc.collect()
    gc.freeze()


def _rounds(case: Case, extent: Extent) -> int:
    if case.heavy:
        return extent.heavy_rounds
    return extent.crowded_rounds if case.tasks >= _MANY_TASKS else extent.rounds


async def _calibrate(case: Case, contender: Contender, admin: Admin, length: float, least: int) -> int:
    """Warm up, then find how many units take ``length`` seconds."""
    await _warm_up(case, contender, admin, length)
    units = least
    while True:
        await case.before(admin)
        took = await _time(case.work(contender, units, seed=0), case.tasks)
        wanted = int(units * length / took)
        if took >= length / 4 or wanted <= units or units >= case.most:
            return max(least, min(wanted, case.most))
        # Not straight to the number that the first few calls suggest: these are the slow ones.
        units = min(wanted, units * 8, case.most)


async def _warm_up(case: Case, contender: Contender, admin: Admin, length: float) -> None:
    await case.before(admin)
    if case.heavy:
        await _time(case.work(contender, case.least, seed=0), 1)
        return
    began = time.perf_counter()
    for _ in range(0, _WARM_UP_CALLS, 2 * POOL_SIZE):
        # As many at a time as there are connections, so that each has its share.
        await _time(case.work(contender, 2 * POOL_SIZE, seed=0), POOL_SIZE)
        if time.perf_counter() - began > 4 * length:
            break


async def _time(work: Work, tasks: int) -> float:
    calls = iter(work.arguments)
    gc.collect()
    began = time.perf_counter()
    if tasks == 1:
        await _call_all(work.call, calls)
    else:
        async with asyncio.TaskGroup() as group:
            for _ in range(tasks):
                group.create_task(_call_all(work.call, calls))
    return time.perf_counter() - began


async def _call_all(call: Callable[..., Awaitable[object]], arguments: Iterator[tuple[Any, ...]]) -> None:
    for values in arguments:
        await call(*values)
