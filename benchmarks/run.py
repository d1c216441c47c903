"""One run, from an empty server to the results."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import asyncpg

from benchmarks import contenders, imports, streams
from benchmarks.cases import Case, make_cases, make_network_cases
from benchmarks.cases.base import Loop
from benchmarks.contenders import CLOSEST, plainsql_paths
from benchmarks.contenders.base import POOL_SIZE, PREFETCH, Contender, NotOfferedError
from benchmarks.contenders.plainsql_database import PlainsqlBefore
from benchmarks.data import PASSAGES
from benchmarks.database import SETTINGS, Place, open_database
from benchmarks.elsewhere import Elsewhere
from benchmarks.extent import Extent
from benchmarks.loops import new_loop
from benchmarks.machine import describe_checkout, describe_machine
from benchmarks.processors import Mode, are_enough, divided
from benchmarks.results import Measured, Results
from benchmarks.round_trip_proxy import ROUND_TRIP_S, open_network
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
    before: Path | None = None,
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
        before: another checkout, whose plainsql takes part as ``plainsql-before``.

    Raises ``UnknownContenderError``.
    """
    began = time.monotonic()
    made, missing = contenders.make(names)
    if "plainsql-not-compiled" in made and not plainsql_paths.is_compiled():
        del made["plainsql-not-compiled"]
        missing["plainsql-not-compiled"] = "plainsql itself is not compiled here"
    if before is not None:
        made["plainsql-before"] = PlainsqlBefore(before)
    mode = mode if are_enough() else "together"
    # What no case reads is not filled: the index over the passages takes longest of all.
    wanted = [case.name for case in make_cases(extent) if _is_wanted(case.name, only)]
    passages = PASSAGES if any(name.startswith("search") for name in wanted) else 0
    vectors = extent.vectors if "matrix" in wanted else 0
    with open_database(extent.leads, passages=passages, vectors=vectors) as place:
        results = _begin(made, missing, place, extent, mode)
        listener.start(results)

        def tell(one: Measured) -> None:
            results.measured.append(one)
            listener.case(one, results.names)

        # Who is named takes part in everything.
        closest = CLOSEST if list(names) == list(contenders.NAMES) else frozenset(made)
        deadline = began + extent.seconds
        measuring = _Measuring(made, closest, place, extent, mode, deadline, tell, results)
        for loop in loops:
            measuring.cases(
                [
                    case
                    for case in make_cases(extent)
                    if _is_wanted(case.name, only) and (case.on_asyncio or loop == loops[0])
                ],
                loop,
            )
            if loop == loops[0]:
                measuring.network_cases(
                    [case for case in make_network_cases(extent) if _is_wanted(case.name, only)], loop
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
    commit, dirty = describe_checkout()
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
            "calls are timed one by one (p50, p99) in rounds of their own, after those that count them",
        ],
        names={name: contender.name for name, contender in made.items()},
        measured=[],
        missing=missing,
        left_out=[],
        generated_queries=[],
        took=0.0,
        commit=commit,
        dirty=dirty,
        compiled={"plainsql": plainsql_paths.compiled()} if "plainsql" in made else {},
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
    """The four kinds of measuring, each within the time that is left."""

    made: Mapping[str, Contender]
    closest: frozenset[str]
    """Those that take part in every case."""
    place: Place
    extent: Extent
    mode: Mode
    deadline: float
    tell: Callable[[Measured], None]
    results: Results
    network: int = 0
    """The id of the process that is the network between the clients and the server."""

    def cases(self, cases: Sequence[Case], loop: Loop) -> None:
        if cases:
            with asyncio.Runner(loop_factory=new_loop(loop)) as runner:
                runner.run(self._run_cases(cases, loop))

    def network_cases(self, cases: Sequence[Case], loop: Loop) -> None:
        if cases:
            with open_network(self.place) as network:
                replace(self, place=network.place, network=network.pid).cases(cases, loop)

    def streams(self) -> None:
        if not self._is_late(streams.NAME):
            with self._processors(apart=self.mode != "together") as placement:
                # A process for each takes longest of all.
                left_out = set(self.made) - self.closest if self.extent.quick else set()
                able = {name: one for name, one in self.made.items() if name not in left_out}
                one = streams.measure_streams(able, self.place, self.extent, self.deadline)
            one.placement = placement
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
            for name, contender in self._needed(cases, loop).items():
                try:
                    await contender.open(self.place)
                except NotOfferedError as error:
                    skipped[name] = str(error)
                except Exception as error:  # noqa: BLE001 (whatever a contender raises, the others go on)
                    failed[name] = f"{type(error).__name__}: {error}".partition("\n")[0]
                else:
                    stack.push_async_callback(contender.close)
                    opened[name] = contender
                    if isinstance(contender, Elsewhere):
                        self.results.compiled[name] = contender.compiled
            note = await self._describe_network(admin)
            for case in cases:
                if not self._is_late(f"{case.name} ({loop})"):
                    able = {name: one for name, one in opened.items() if case.for_all or name in self.closest}
                    with self._processors(self._is_apart(case), opened) as placement:
                        one = await measure(case, able, admin, loop, self.extent, self.deadline)
                    one.placement = placement + note
                    one.skipped |= skipped
                    one.failed |= failed
                    self.tell(one)

    def _needed(self, cases: Sequence[Case], loop: Loop) -> dict[str, Contender]:
        """Return the contenders of any of the cases; in the place of some, those that run them elsewhere."""
        every = any(case.for_all for case in cases)
        return {
            name: Elsewhere(name, contender, self.extent, loop) if contender.environment else contender
            for name, contender in self.made.items()
            if every or name in self.closest
        }

    async def _describe_network(self, admin: Any) -> str:
        if not self.network:
            return ""
        times = []
        for _ in range(100):
            began = time.perf_counter()
            await admin.fetchval("select 1")
            times.append(time.perf_counter() - began)
        took = 1000 * sorted(times)[50]
        return (
            f"; a network of {1000 * ROUND_TRIP_S:g} ms on the server's side, with which"
            f" a bare round trip takes {took:.2f} ms"
        )

    def _is_apart(self, case: Case) -> bool:
        return self.mode == "apart" or (self.mode == "auto" and case.tasks == 1 and not case.at_once)

    @contextmanager
    def _processors(
        self, apart: bool, opened: Mapping[str, Contender] = MappingProxyType({})
    ) -> Iterator[str]:
        """Place the clients and the server, all contenders alike; yield how, in words."""
        if not apart:
            yield "clients and server share the processors"
            return
        clients = [contender.pid for contender in opened.values() if isinstance(contender, Elsewhere)]
        with divided(self.place.pid, clients, [self.network] if self.network else []):
            yield "clients on one processor, server on the others"

    def _is_late(self, name: str) -> bool:
        late = time.monotonic() > self.deadline
        if late:
            self.results.left_out.append(name)
        return late
