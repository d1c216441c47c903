"""One run, from an empty server to the results."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg

from benchmarks import contenders, imports, streams
from benchmarks.cases import Case, make_cases
from benchmarks.cases.base import Loop
from benchmarks.contenders.base import POOL_SIZE, PREFETCH, Contender, NotOfferedError
from benchmarks.database import SETTINGS, Place, open_database
from benchmarks.extent import Extent
from benchmarks.loops import new_loop
from benchmarks.machine import describe_machine
from benchmarks.processors import Mode, are_enough, divided
from benchmarks.results import Measured, Results
from benchmarks.rounds import measure

__all__ = ["Listener", "run"]


@dataclass(frozen=True, slots=True)
class Listener:
    """The listener of a run, which is notified of its steps."""

    start: Callable[[Results], None]
    case: Callable[[Measured, Mapping[str, str]], None]


def run(
    names: Sequence[str],
    only: Sequence[str],
    loops: Sequence[Loop],
    extent: Extent,
    listener: Listener,
    mode: Mode = "together",
) -> Results:
    """Measure.

    Args:
        names: of the contenders.
        only: beginnings of the names of cases; all cases if it is empty.
        loops: the first one runs all cases, the second one some.
        extent: how much.
        listener: notified of the start, and of each case when it is measured.
        mode: whether the clients and the server share the processors; on a machine that cannot divide
            them, they do.

    Raises ``UnknownContenderError``.
    """
    began = time.monotonic()
    made, missing = contenders.make(names)
    mode = mode if are_enough() else "together"
    with open_database(extent.leads) as place:
        results = _begin(made, missing, place, extent, mode)
        listener.start(results)

        def tell(one: Measured) -> None:
            results.measured.append(one)
            listener.case(one, results.names)

        measuring = _Measuring(made, place, extent, mode, began + extent.seconds, tell, results.left_out)
        for loop in loops:
            measuring.cases(
                [
                    case
                    for case in make_cases(extent)
                    if _is_wanted(case.name, only) and (case.on_asyncio or loop == loops[0])
                ],
                loop,
            )
            if loop == loops[0] and _is_wanted(streams.NAME, only):
                measuring.streams()
        if _is_wanted(imports.NAME, only):
            measuring.imports()
            if not extent.quick:
                results.generated_queries = imports.generated_queries()
    results.took = time.monotonic() - began
    return results


def _begin(
    made: Mapping[str, Contender], missing: dict[str, str], place: Place, extent: Extent, mode: Mode
) -> Results:
    return Results(
        machine=describe_machine(
            place.version, [name for contender in made.values() for name in contender.distributions]
        ),
        date=datetime.now(UTC).date().isoformat(),
        quick=extent.quick,
        leads=extent.leads,
        pool_size=POOL_SIZE,
        server_settings=SETTINGS,
        conditions=[
            f"one server, one set of data, on a Unix socket of this machine; {extent.leads:,} rows to read",
            f"everybody has {POOL_SIZE} connections, and reads {PREFETCH} rows ahead in streams",
            _PROCESSORS[mode],
            "a scratch server without fsync: what is compared are clients, not disks",
            "answers are compared before anything is timed; contenders take turns; no warm-up counts",
            "garbage collection is on; it runs before every slice, and leaves out what is older",
        ],
        names={name: contender.name for name, contender in made.items()},
        measured=[],
        missing=missing,
        left_out=[],
        generated_queries=[],
        took=0.0,
    )


_PROCESSORS: Final[Mapping[Mode, str]] = {
    "auto": "one processor for the clients and the others for the server; many calls at once share them all",
    "apart": "one processor for the clients and the others for the server",
    "together": "the clients and the server share the processors",
}


def _is_wanted(case: str, only: Sequence[str]) -> bool:
    return not only or any(case.startswith(name) for name in only)


@dataclass(frozen=True, slots=True)
class _Measuring:
    """The three kinds of measuring, each within the time that is left."""

    made: Mapping[str, Contender]
    place: Place
    extent: Extent
    mode: Mode
    deadline: float
    tell: Callable[[Measured], None]
    left_out: list[str]

    def cases(self, cases: Sequence[Case], loop: Loop) -> None:
        if cases:
            with asyncio.Runner(loop_factory=new_loop(loop)) as runner:
                runner.run(self._run_cases(cases, loop))

    def streams(self) -> None:
        if not self._is_late(streams.NAME):
            with self._processors(tasks=1):
                one = streams.measure_streams(self.made, self.place, self.extent, self.deadline)
            self.tell(one)

    def imports(self) -> None:
        if not self._is_late(imports.NAME):
            self.tell(imports.measure_imports(self.made, self.extent, self.deadline))

    async def _run_cases(self, cases: Sequence[Case], loop: Loop) -> None:
        async with AsyncExitStack() as stack:
            admin: Any = await asyncpg.connect(self.place.url)
            stack.push_async_callback(admin.close)
            opened: dict[str, Contender] = {}
            skipped: dict[str, str] = {}
            failed: dict[str, str] = {}
            for name, contender in self.made.items():
                try:
                    await contender.open(self.place)
                except NotOfferedError as error:
                    skipped[name] = str(error)
                except Exception as error:  # noqa: BLE001 (whatever a contender raises, the others go on)
                    failed[name] = f"{type(error).__name__}: {error}".partition("\n")[0]
                else:
                    stack.push_async_callback(contender.close)
                    opened[name] = contender
            for case in cases:
                if not self._is_late(f"{case.name} ({loop})"):
                    with self._processors(case.tasks):
                        one = await measure(case, opened, admin, loop, self.extent, self.deadline)
                    one.skipped |= skipped
                    one.failed |= failed
                    self.tell(one)

    def _processors(self, tasks: int) -> AbstractContextManager[None]:
        apart = self.mode == "apart" or (self.mode == "auto" and tasks == 1)
        return divided(self.place.pid) if apart else nullcontext()

    def _is_late(self, name: str) -> bool:
        late = time.monotonic() > self.deadline
        if late:
            self.left_out.append(name)
        return late
