"""How a case is measured: all contenders in turn, round after round.

::

    check       every contender answers, and the answers are compared
    calibrate   how many units make a slice of the wanted length: this is the warm-up, and dropped
    round 1     A B C D          each a slice of the same length, after a garbage collection
    round 2     D C B A          the other way round, so that nobody always comes after the same neighbour
    …

A slice is a number of calls that was fixed beforehand, never a sleep, so that a case takes about
``contenders × (rounds + 1) × slice`` seconds.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.cases.base import Admin, Case, Loop, Work
from benchmarks.contenders.base import Contender, NotOfferedError
from benchmarks.results import Measured, Series

__all__ = ["Plan", "measure"]

_FEWEST_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, and how often."""

    slice: float
    """Seconds that a contender is timed for in a round."""
    rounds: int
    heavy_slice: float
    heavy_rounds: int
    deadline: float
    """Of `time.monotonic`: after it, a case ends with its third round."""

    def of(self, case: Case) -> tuple[float, int]:
        return (self.heavy_slice, self.heavy_rounds) if case.heavy else (self.slice, self.rounds)


async def measure(case: Case, contenders: Mapping[str, Contender], admin: Admin, loop: Loop, plan: Plan) -> Measured:
    """Measure one case on the loop that runs. A contender that cannot take part is left out by name."""
    began = time.monotonic()
    length, rounds = plan.of(case)
    skipped: dict[str, str] = {}
    failed: dict[str, str] = {}
    units: dict[str, int] = {}
    for name, contender in contenders.items():
        try:
            await case.before(admin)
            await case.check(contender, admin)
            units[name] = await _calibrate(case, contender, admin, length)
        except NotOfferedError as error:
            skipped[name] = str(error)
        except Exception as error:  # noqa: BLE001 (whatever a contender raises, the others go on)
            failed[name] = f"{type(error).__name__}: {error}".partition("\n")[0]
    # What lives now is not looked at again: the collector costs what it would cost in a contender's own small process.
    gc.collect()
    gc.freeze()
    rates: dict[str, list[float]] = {name: [] for name in units}
    for number in range(1, rounds + 1):
        if number > _FEWEST_ROUNDS and time.monotonic() > plan.deadline:
            break
        for name in units if number % 2 else reversed(units):
            work = case.work(contenders[name], units[name], seed=number)
            await case.before(admin)
            rates[name].append(work.units / await _time(work, case.tasks))
    gc.unfreeze()
    return Measured(
        case=case.name,
        title=case.title,
        unit=case.unit,
        loop=loop,
        tasks=case.tasks,
        took=time.monotonic() - began,
        series=[Series(name, rates[name], units[name]) for name in units],
        skipped=skipped,
        failed=failed,
    )


async def _calibrate(case: Case, contender: Contender, admin: Admin, length: float) -> int:
    """Find how many units take ``length`` seconds; on the way, every connection has met every statement."""
    units = case.least
    while True:
        await case.before(admin)
        took = await _time(case.work(contender, units, seed=0), case.tasks)
        wanted = int(units * length / took)
        if took >= length / 4 or wanted <= units or units >= case.most:
            return max(case.least, min(wanted, case.most))
        # Not at once to what the first few calls promise: these are the slow ones.
        units = min(wanted, units * 8, case.most)


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
