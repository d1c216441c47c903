"""One soak, from an empty server to the verdict."""

from __future__ import annotations

import asyncio
import signal
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.cache_soak.faults import Faults
from benchmarks.cache_soak.history import READ, WRITE, check, read_events
from benchmarks.cache_soak.worker import Orders, command
from plainsql import embedded
from tests.proxy import open_proxy
from tests.redis_server import redis_server

__all__ = ["CLOCKS", "SCHEMA", "Plan", "Report", "judge", "keep_running", "soak"]

SCHEMA = """
create schema soak;
create table soak.registers (id integer primary key, version bigint not null);
insert into soak.registers (id, version) select n, 1 from generate_series(0, :'registers'::integer - 1) as n;
"""
# Half of the processes have a wall clock that is wrong, by up to a day.
CLOCKS = (0.0, 86_400.0, 0.0, -86_400.0)


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of a soak."""

    seconds: float = 60.0
    readers: int = 2
    writers: int = 2
    registers: int = 200
    faults: float = 0.7
    """Seconds between faults, on average; 0: none."""
    deaths: float = 0.002
    lost: float = 0.02
    broken: str = ""
    seed: int = 1


@dataclass(slots=True)
class Report:
    """The result of a soak."""

    seconds: float = 0.0
    reads: int = 0
    writes: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    violations: int = 0
    """Reads that returned an older value than one acknowledged before they began."""
    audited: int = 0
    audit_violations: int = 0
    hits: int = 0
    shared: int = 0
    fills: int = 0
    pending: int = 0
    bypassed: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def operations(self) -> int:
        return self.reads + self.writes


async def soak(plan: Plan) -> Report:
    """Run the processes and the faults, then check what was read."""
    report = Report()
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="plainsql-soak-") as place,
        embedded.start(scratch=True, settings={"max_connections": "200"}) as server,
        # Little memory: Redis evicts all the time by itself as well.
        redis_server("--maxmemory", "4mb", "--maxmemory-policy", "allkeys-random") as redis,
    ):
        folder = Path(place)
        server.create_database("soak")
        server.execute(SCHEMA, "soak", registers=str(plan.registers))
        redis.start()
        async with open_proxy(redis.socket, postgres=False) as proxy:
            faults = Faults(redis, proxy, plan.seed)
            through_proxy = f"redis://127.0.0.1:{proxy.port}"
            jobs = []
            for number in range(plan.readers + plan.writers):
                role = "reader" if number < plan.readers else "writer"
                orders = Orders(
                    role=role,
                    database=server.url("soak"),
                    # Of each role every second process: the proxy takes its time.
                    redis=through_proxy if number % 2 else redis.url,
                    history=str(folder / str(number)),
                    seconds=plan.seconds,
                    seed=plan.seed * 1000 + number,
                    registers=plan.registers,
                    broken=plan.broken,
                    clock_shift=CLOCKS[number % len(CLOCKS)],
                    deaths=plan.deaths,
                    lost=plan.lost,
                )
                jobs.append(keep_running(orders, faults.counts, report))
            async with _going_on(faults, plan.faults):
                await asyncio.gather(*jobs)
            report.faults = dict(faults.counts)
        judge(report, folder)
    report.seconds = time.monotonic() - began
    return report


@asynccontextmanager
async def _going_on(faults: Faults, pause: float) -> AsyncIterator[None]:
    if not pause:
        yield
        return
    task = asyncio.ensure_future(faults.run(pause))
    try:
        yield
    finally:
        # Again and again: redis-py loses a cancellation that comes while it closes a connection.
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=1)
        if not task.cancelled():
            task.result()


async def keep_running(orders: Orders, faults: Counter[str], report: Report) -> None:
    """Run a process to the end, and another one in its place whenever it dies."""
    end = time.monotonic() + orders.seconds
    while (rest := end - time.monotonic()) > 0:
        orders = msgspec.structs.replace(orders, seconds=rest, seed=orders.seed + 1)
        process: Process = await asyncio.create_subprocess_exec(*command(orders), stdout=PIPE)
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode == -signal.SIGKILL:
            faults["writers killed"] += 1
            continue
        if process.returncode:
            raise RuntimeError(f"a {orders.role} ended with {process.returncode}")
        stats = msgspec.json.decode(output)
        report.audited += stats["audited"]
        report.audit_violations += stats["violations"]
        report.hits += stats["hits"]
        report.shared += stats["shared"]
        report.fills += stats["fills"]
        report.pending += stats["pending"]
        report.bypassed += stats["bypassed"]


def judge(report: Report, folder: Path) -> None:
    """Check the histories of a folder, and report the reads that were too old."""
    events = list(chain.from_iterable(read_events(path) for path in sorted(folder.iterdir())))
    report.reads = sum(event.kind == READ for event in events)
    report.writes = sum(event.kind == WRITE for event in events)
    stale = check(events)
    report.violations = len(stale)
    report.examples = [
        {
            "register": one.read.register,
            "read": one.read.version,
            "acknowledged": one.acknowledged,
            "late_ms": round(one.late_ns / 1e6, 3),
            "at": round(one.read.began_ns / 1e9, 3),
        }
        for one in (stale[:10] + stale[-10:])
    ]
