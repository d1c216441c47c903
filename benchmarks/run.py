"""One run, from an empty server to the results."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg

from benchmarks import contenders, streams
from benchmarks.cases import Case, make_cases
from benchmarks.cases.base import Loop
from benchmarks.contenders.base import POOL_SIZE, PREFETCH, Contender, NotOfferedError
from benchmarks.database import SETTINGS, Place, open_database
from benchmarks.loops import new_loop
from benchmarks.machine import describe_machine
from benchmarks.results import Measured, Results
from benchmarks.rounds import Plan, measure

__all__ = ["Extent", "FULL", "QUICK", "Told", "run"]


@dataclass(frozen=True, slots=True)
class Extent:
    """How much a run does."""

    leads: int
    bulk_rows: int
    slice: float
    rounds: int
    heavy_slice: float
    heavy_rounds: int
    stream_seconds: float
    stream_rounds: int
    seconds: float
    """That the whole may take: after these, every case ends with its third round, every stream with its first."""


FULL = Extent(
    leads=1_000_000,
    bulk_rows=100_000,
    slice=0.12,
    rounds=9,
    heavy_slice=1.0,
    heavy_rounds=5,
    stream_seconds=4.0,
    stream_rounds=3,
    seconds=450.0,
)
QUICK = Extent(
    leads=200_000,
    bulk_rows=20_000,
    slice=0.03,
    rounds=3,
    heavy_slice=0.15,
    heavy_rounds=3,
    stream_seconds=0.6,
    stream_rounds=1,
    seconds=60.0,
)


@dataclass(frozen=True, slots=True)
class Told:
    """Who is told of what, as it happens."""

    start: Callable[[Results], None]
    case: Callable[[Measured, Mapping[str, str]], None]


def run(names: Sequence[str], only: Sequence[str], loops: Sequence[Loop], extent: Extent, quick: bool, told: Told) -> Results:
    """Run the cases whose names begin with one of ``only`` (all, where it is empty), on these loops."""
    began = time.monotonic()
    deadline = began + extent.seconds
    made, missing = contenders.make(names)
    plan = Plan(extent.slice, extent.rounds, extent.heavy_slice, extent.heavy_rounds, deadline)
    with open_database(extent.leads) as place:
        distributions = [name for contender in made.values() for name in contender.distributions]
        results = Results(
            machine=describe_machine(place.version, distributions),
            date=datetime.now(UTC).date().isoformat(),
            quick=quick,
            leads=extent.leads,
            pool_size=POOL_SIZE,
            server_settings=SETTINGS,
            conditions=_conditions(extent),
            names={name: contender.name for name, contender in made.items()},
            measured=[],
            missing=missing,
            took=0.0,
        )
        told.start(results)

        def tell(one: Measured) -> None:
            results.measured.append(one)
            told.case(one, results.names)

        for loop in loops:
            cases = [
                case
                for case in make_cases(extent.leads, extent.bulk_rows)
                if _is_wanted(case.name, only) and (case.on_asyncio or loop == loops[0])
            ]
            if cases:
                with asyncio.Runner(loop_factory=new_loop(loop)) as runner:
                    runner.run(_run_cases(cases, made, place, loop, plan, tell))
            if loop == loops[0] and _is_wanted(streams.NAME, only):
                tell(
                    streams.measure_streams(
                        made,
                        place,
                        seconds=extent.stream_seconds,
                        rounds=extent.stream_rounds,
                        deadline=deadline,
                    )
                )
    results.took = time.monotonic() - began
    return results


async def _run_cases(
    cases: Sequence[Case],
    made: Mapping[str, Contender],
    place: Place,
    loop: Loop,
    plan: Plan,
    tell: Callable[[Measured], None],
) -> None:
    async with AsyncExitStack() as stack:
        admin: Any = await asyncpg.connect(place.url)
        stack.push_async_callback(admin.close)
        opened: dict[str, Contender] = {}
        skipped: dict[str, str] = {}
        failed: dict[str, str] = {}
        for name, contender in made.items():
            try:
                await contender.open(place)
            except NotOfferedError as error:
                skipped[name] = str(error)
            except Exception as error:  # noqa: BLE001 (whatever a contender raises, the others go on)
                failed[name] = f"{type(error).__name__}: {error}".partition("\n")[0]
            else:
                stack.push_async_callback(contender.close)
                opened[name] = contender
        for case in cases:
            one = await measure(case, opened, admin, loop, plan)
            one.skipped |= skipped
            one.failed |= failed
            tell(one)


def _is_wanted(case: str, only: Sequence[str]) -> bool:
    return not only or any(case.startswith(name) for name in only)


def _conditions(extent: Extent) -> list[str]:
    return [
        f"one server and one set of data for all, on a Unix socket of the same machine; {extent.leads:,} rows to read",
        f"every contender has {POOL_SIZE} connections, streams read {PREFETCH} rows ahead, statements are prepared by default",
        "a scratch server without fsync: what is compared are clients, not disks",
        "answers are compared before anything is timed; the warm-up is dropped; contenders take turns in every round",
        "garbage collection is on, with Python's thresholds; it runs before every slice, and does not look at what is older",
    ]
