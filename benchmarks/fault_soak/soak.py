"""One soak, from two empty servers to the verdict."""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

import plainsql
from benchmarks.fault_soak.broken import broken
from benchmarks.fault_soak.calls import Caller, Limits, Observed, listen, notify, outcome_of
from benchmarks.fault_soak.faults import Faults
from benchmarks.fault_soak.history import ACKNOWLEDGED, Found, History, Verdict, judge
from benchmarks.fault_soak.network import Network, open_network
from benchmarks.fault_soak.queries import soak as queries
from benchmarks.fault_soak.scripts import run_scripts
from plainsql import migrate
from tests.failover import Node, failover_pair

__all__ = ["Plan", "Report", "soak"]

_HERE = Path(__file__).parent
_MB = 1024 * 1024
_QUIET_S = 10.0
"""At most so long after the last call everything is given back."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of a soak."""

    seconds: float = 60.0
    callers: int = 24
    """Tasks, over all pools."""
    pools: tuple[int, ...] = (2, 4, 8)
    """The sizes of the pools: the callers of the first wait for one another nearly always."""
    faults: float = 0.5
    """Seconds between faults, on average; 0: none."""
    promote: bool = True
    broken: str = ""
    seed: int = 1
    limits: Limits = field(default_factory=Limits)
    growth: float = 24.0
    """MB that the process may grow by between the second quarter of the time and the last one."""


@dataclass(slots=True)
class Report:
    """The result of a soak."""

    seconds: float = 0.0
    calls: dict[str, int] = field(default_factory=dict)
    """Answered, by kind."""
    cancelled: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    written: dict[str, int] = field(default_factory=dict)
    """Sets of tokens by what their caller knows; how many were lost, duplicated, torn or undone."""
    wrong_answers: int = 0
    unexpected_errors: int = 0
    late: int = 0
    longest_over_limit_s: float = 0.0
    hung: int = 0
    """Callers that never came back."""
    overlapping_locks: int = 0
    left_open: list[str] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    """The process's memory in each quarter of the time."""
    growth_mb: float = 0.0
    too_much_growth: bool = False
    examples: list[str] = field(default_factory=list)

    @property
    def answered(self) -> int:
        return sum(self.calls.values())

    @property
    def violations(self) -> int:
        written = sum(self.written[name] for name in ("lost", "duplicated", "torn", "undone", "foreign"))
        return (
            written
            + self.wrong_answers
            + self.unexpected_errors
            + self.late
            + self.hung
            + self.overlapping_locks
            + len(self.left_open)
            + self.too_much_growth
        )


async def soak(plan: Plan) -> Report:
    """Run the calls and the faults, then check what the callers saw."""
    began = time.monotonic()
    report = Report()
    with (
        tempfile.TemporaryDirectory(prefix="plainsql-soak-") as folder,
        failover_pair({"max_connections": "100"}) as (primary, standby),
    ):
        await asyncio.to_thread(_set_up, primary, standby)
        observed = Observed(History(Path(folder) / "written"))
        async with open_network(primary.socket) as network:
            faults = Faults(network, primary, standby, plan.seed)
            memory = _Memory()
            open_files = _open_files()
            with broken(plan.broken):
                hung = await _run(plan, network, faults, observed, memory, report)
            report.hung = hung
            report.left_open += await _left_open(network, primary, standby, open_files)
            report.faults = dict(faults.counts)
        verdict = judge(observed.history, _found(faults.primary))
    _fill(report, plan, observed, verdict, memory)
    report.seconds = time.monotonic() - began
    return report


def _set_up(primary: Node, standby: Node) -> None:
    primary.execute("create role soak_app login")
    migrate.apply(primary.url(), _HERE / "migrations")
    primary.execute("grant usage on schema soak to soak_app")
    primary.execute("grant select, insert on all tables in schema soak to soak_app")
    standby.wait_for(primary)


async def _run(
    plan: Plan, network: Network, faults: Faults, observed: Observed, memory: _Memory, report: Report
) -> int:
    """Run all tasks; return how many callers did not end."""
    loop = asyncio.get_running_loop()
    watches = [
        loop.create_task(observed.watch_loop()),
        loop.create_task(memory.watch()),
    ]
    try:
        async with AsyncExitStack() as stack:
            pools = [
                await stack.enter_async_context(
                    plainsql.connect(
                        network.url("postgres", "soak_app"),
                        max_size=size,
                        acquire_timeout=plan.limits.acquire,
                        connect_timeout=plan.limits.connect,
                        statement_timeout=plan.limits.statement,
                        # Of the largest pool connections grow old; the others must find out by themselves
                        # that their server is the primary no more.
                        max_lifetime=plan.seconds / 4 if size == max(plan.pools) else 3600.0,
                        application_name="soak",
                    )
                )
                for size in plan.pools
            ]
            ends_at = loop.time() + plan.seconds
            callers = [
                loop.create_task(
                    Caller(pools[n % len(pools)], observed, plan.limits, plan.seed * 1000 + n).run(ends_at)
                )
                for n in range(plan.callers)
            ]
            callers.append(loop.create_task(listen(pools[-1], observed, ends_at)))
            callers.append(loop.create_task(notify(pools[-1], observed, ends_at)))
            scripts = loop.create_task(
                asyncio.to_thread(
                    run_scripts,
                    network.url("postgres", "soak_app"),
                    observed,
                    plan.limits,
                    plan.seed,
                    # They end after the faults.
                    plan.seconds + 1.0,
                )
            )
            making = loop.create_task(_fault(plan, faults, observed))
            await asyncio.sleep(plan.seconds)
            making.cancel()
            with suppress(asyncio.CancelledError):
                await making
            await faults.heal()
            longest = plan.limits.of(10) + observed.lag_s / 10
            _, pending = await asyncio.wait(callers, timeout=longest)
            for task in pending:
                observed.note(f"hangs: {task.get_stack(limit=1)}")
                task.cancel()
            for task in callers:
                if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                    raise error
            report.left_open += [*await scripts, *await _books(pools), *await _unwell(pools, observed)]
            return len(pending)
    finally:
        for task in watches:
            task.cancel()
        await asyncio.wait(watches)


async def _fault(plan: Plan, faults: Faults, observed: Observed) -> None:
    if not plan.faults:
        return
    loop = asyncio.get_running_loop()
    making = loop.create_task(
        faults.run(plan.faults, plan.seconds / 2 if plan.promote else plan.seconds + 3600)
    )
    try:
        while not making.done():
            if faults.promotions and not observed.moved:
                # Locks that were held on the old server until now overlap with those of the new one.
                observed.moved = time.perf_counter() + 5.0
            await asyncio.wait([making], timeout=0.1)
        making.result()
    finally:
        making.cancel()
        await asyncio.wait([making])


async def _books(pools: list[plainsql.Database]) -> list[str]:
    """Say where a pool still counts a connection as in use though no call runs."""
    deadline = time.monotonic() + _QUIET_S
    while time.monotonic() < deadline and any(pool.stats().in_use for pool in pools):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    return [
        f"the pool of {stats.max_size} counts {stats.in_use} connections in use"
        for stats in (pool.stats() for pool in pools)
        if stats.in_use or stats.waiting
    ]


async def _unwell(pools: list[plainsql.Database], observed: Observed) -> list[str]:
    """Say which pool cannot write though all faults are over: it may fail once or twice before."""
    unwell = []
    for pool in pools:
        for attempt in range(4):
            set_id = observed.next_set(1)
            try:
                await queries.put(pool, token=set_id, set_id=set_id, set_size=1)
            except Exception as error:  # noqa: BLE001 (it is reported)
                observed.history.add(outcome_of(error), set_id, 1)
                if attempt == 3:
                    unwell.append(f"the pool of {pool.stats().max_size} does not write: {error}")
            else:
                observed.history.add(ACKNOWLEDGED, set_id, 1)
                break
    return unwell


async def _left_open(network: Network, primary: Node, standby: Node, open_files: int) -> list[str]:
    """Say what is still there when everything is closed."""
    left: list[str] = []
    deadline = time.monotonic() + _QUIET_S
    while True:
        left = []
        for name, node in (("first", primary), ("second", standby)):
            ((sessions,),) = await asyncio.to_thread(
                node.execute, "select count(*) from pg_stat_activity where application_name = 'soak'"
            )
            if sessions:
                left.append(f"{sessions} sessions on the {name} server")
        if network.connections:
            left.append(f"{network.connections} connections through the network")
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        if not network.connections and tasks:
            left.append(f"{len(tasks)} tasks: {tasks[0]!r}")
        if not network.connections and _open_files() > open_files:
            left.append(f"{_open_files() - open_files} open files")
        if not left or time.monotonic() > deadline:
            return left
        await asyncio.sleep(0.1)


def _found(node: Node) -> Iterator[Found]:
    rows = node.execute(
        "select set_id, max(set_size), count(*), count(distinct token) from soak.tokens group by set_id"
    )
    return (Found(*row) for row in rows)


def _open_files() -> int:
    try:
        return len([*Path("/proc/self/fd").iterdir()])
    except FileNotFoundError:  # not Linux
        return 0


class _Memory:
    """The process's memory, seen now and then."""

    def __init__(self) -> None:
        self._seen: list[float] = []

    async def watch(self) -> None:
        while True:
            gc.collect()
            self._seen.append(_resident_mb())
            await asyncio.sleep(0.5)

    def quarters(self) -> list[float]:
        """Return the median of each quarter of the time, in MB."""
        size = max(len(self._seen) // 4, 1)
        return [round(median(self._seen[i * size : (i + 1) * size] or [0.0]), 1) for i in range(4)]


def _resident_mb() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except FileNotFoundError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / _MB


def _fill(report: Report, plan: Plan, observed: Observed, verdict: Verdict, memory: _Memory) -> None:
    report.calls = dict(observed.calls.most_common())
    report.errors = dict(observed.errors.most_common())
    report.cancelled = observed.cancelled
    report.written = asdict(verdict)
    report.wrong_answers = observed.wrong_answers
    report.unexpected_errors = observed.unexpected_errors
    report.late = observed.late
    report.longest_over_limit_s = round(observed.longest_over_limit_s, 3)
    report.overlapping_locks = observed.overlapping_locks
    report.memory_mb = memory.quarters()
    report.growth_mb = round(report.memory_mb[3] - report.memory_mb[1], 1)
    report.too_much_growth = report.growth_mb > plan.growth
    report.examples = observed.examples
