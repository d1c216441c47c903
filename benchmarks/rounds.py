"""The measurement of a case: all contenders in turn, round after round.

::

    check       every contender answers, and the answers are compared with what is in the table
    warm up     every connection runs the statement, more often than drivers wait before they prepare it
    calibrate   how many units make a slice of the wanted length
    round 1     A B C D          each a slice of the same length, after a garbage collection
    round 2     D C B A          in reverse, so that no contender always comes after the same neighbour
    …
    latency     A B C D          slices whose calls are timed one by one, which no other slice's are

A slice is a number of calls that was fixed beforehand, never a sleep, so that a case takes about
contenders * (rounds + 2) * slice seconds.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping

from benchmarks.cases.base import Admin, Case, Loop
from benchmarks.contenders.base import Contender, NotOfferedError
from benchmarks.elsewhere import Elsewhere, ElsewhereError, Job
from benchmarks.extent import Extent
from benchmarks.results import Measured, Series
from benchmarks.slices import Slice, run_slice, set_aside, warm_up

__all__ = ["measure"]

_FEWEST_ROUNDS = 3
_MANY_TASKS = 64


async def measure(
    case: Case, contenders: Mapping[str, Contender], admin: Admin, loop: Loop, extent: Extent, deadline: float
) -> Measured:
    """Measure one case on the loop that runs. A contender that cannot take part is left out by name.

    After ``deadline`` (of `time.monotonic`), it ends with its third round.
    """
    began = time.monotonic()
    length = extent.heavy_slice if case.heavy else extent.slice
    least = max(case.least, extent.calls_per_task * case.tasks if case.tasks > 1 else 0)
    await _set_aside(contenders)
    skipped: dict[str, str] = {}
    failed: dict[str, str] = {}
    series: dict[str, Series] = {}
    for name, contender in contenders.items():
        try:
            await case.before(admin)
            note = await _check(case, contender, admin)
            units = await _calibrate(case, contender, admin, length, least)
        except NotOfferedError as error:
            skipped[name] = str(error)
        except Exception as error:  # noqa: BLE001 (whatever a contender raises, the others go on)
            failed[name] = _in_a_line(error)
        else:
            series[name] = Series(name, [], units, note=note)
    await _set_aside(contenders)  # and what the warm-up left, rows to insert above all
    rounds = _rounds(case, extent)
    for number in range(1, rounds + (0 if case.heavy else extent.latency_rounds) + 1):
        if number > _FEWEST_ROUNDS and number <= rounds and time.monotonic() > deadline:
            continue
        for name in list(series) if number % 2 else list(reversed(series)):
            await case.before(admin)
            try:
                found = await _run(
                    case, contenders[name], series[name].units, seed=number, latencies=number > rounds
                )
            except Exception as error:  # noqa: BLE001 (as above)
                failed[name] = _in_a_line(error)
                del series[name]
                continue
            if number > rounds:
                series[name].p50_ms.append(found.p50_ms)
                if found.p99_ms:
                    series[name].p99_ms.append(found.p99_ms)
            else:
                series[name].rates.append(found.units / found.seconds)
                series[name].cpu_us.append(1e6 * found.cpu_seconds / found.units)
    gc.unfreeze()
    return Measured(
        case=case.name,
        title=case.title,
        unit=case.unit,
        loop=loop,
        tasks=case.tasks,
        took=time.monotonic() - began,
        series=list(series.values()),
        skipped=skipped,
        failed=failed,
    )


def _in_a_line(error: Exception) -> str:
    while isinstance(error, ExceptionGroup):  # of the tasks
        error = error.exceptions[0]
    if isinstance(error, ElsewhereError):
        return str(error)
    return f"{type(error).__name__}: {error}".partition("\n")[0]


def _rounds(case: Case, extent: Extent) -> int:
    if case.heavy:
        return extent.heavy_rounds
    return extent.crowded_rounds if case.tasks >= _MANY_TASKS else extent.rounds


async def _calibrate(case: Case, contender: Contender, admin: Admin, length: float, least: int) -> int:
    """Warm up, then find how many units take ``length`` seconds."""
    if isinstance(contender, Elsewhere):
        await contender.ask(Job("warm-up", case.name, length=length))
    else:
        await warm_up(case, contender, admin, length)
    if case.heavy:
        # Of a few rows, most of the time is that of the call.
        length *= 2
    units = least
    while True:
        await case.before(admin)
        took = (await _run(case, contender, units, seed=0)).seconds
        wanted = int(units * length / took)
        if took >= (length if case.heavy else length / 4) or wanted <= units or units >= case.most:
            return max(least, min(wanted, case.most))
        # Not straight to the number that the first few calls suggest: these are the slow ones.
        units = min(wanted, units * 8, case.most)


# -- Here or in another process


async def _set_aside(contenders: Mapping[str, Contender]) -> None:
    set_aside()
    for contender in contenders.values():
        if isinstance(contender, Elsewhere):
            await contender.ask(Job("set-aside"))


async def _check(case: Case, contender: Contender, admin: Admin) -> str:
    if isinstance(contender, Elsewhere):
        return (await contender.ask(Job("check", case.name))).text
    return await case.check(contender, admin) or ""


async def _run(case: Case, contender: Contender, units: int, seed: int, *, latencies: bool = False) -> Slice:
    if not isinstance(contender, Elsewhere):
        return await run_slice(case, contender, units, seed, latencies=latencies)
    reply = await contender.ask(Job("slice", case.name, units, seed, latencies))
    assert reply.slice is not None
    return reply.slice
