"""One soak, from new servers to the verdict."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cache_soak.soak import CLOCKS, SCHEMA, Report, judge, keep_running
from benchmarks.cache_soak.worker import Orders
from benchmarks.redis_failover.faults import ClusterFaults, Faults, SentinelFaults
from benchmarks.redis_failover.proxies import Proxies
from plainsql import embedded
from tests.redis_groups import cluster_group, sentinel_group

__all__ = ["Plan", "soak"]

_KEYS = ["plainsql:soak:{~}", *(f"plainsql:soak:{{soak.registers_{part}}}" for part in range(8))]
"""The keys of the names and the tables of the soak, whose braces are their slots."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of a soak."""

    kind: str = "sentinel"
    """``sentinel`` or ``cluster``."""
    seconds: float = 120.0
    readers: int = 2
    writers: int = 2
    registers: int = 200
    faults: float = 6.0
    """Seconds between faults, on average. A new master stores nothing in its first 3 s."""
    only: str = ""
    """The name of the only kind of fault."""
    deaths: float = 0.002
    lost: float = 0.02
    broken: str = ""
    seed: int = 1


async def soak(plan: Plan) -> Report:
    """Run the processes and the faults, then check what was read."""
    report = Report()
    began = time.monotonic()
    with ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory(prefix="plainsql-soak-"))
        folder = Path(place)
        server = stack.enter_context(embedded.start(scratch=True, settings={"max_connections": "200"}))
        server.create_database("soak")
        server.execute(SCHEMA, "soak", registers=str(plan.registers))
        proxies = stack.enter_context(Proxies())
        faults: Faults
        if plan.kind == "sentinel":
            servers = stack.enter_context(sentinel_group(2, announce=proxies.announce))
            url = servers.url
            faults = SentinelFaults(servers, proxies, plan.seed, plan.only)
        else:
            # A master without a majority goes on with answering reads: the worst that a cluster allows.
            settings = ("--cluster-allow-reads-when-down", "yes")
            cluster = stack.enter_context(cluster_group(options=settings, announce=proxies.announce_node))
            url = cluster.url
            faults = ClusterFaults(cluster, proxies, _KEYS, plan.seed, plan.only)
        jobs = []
        for number in range(plan.readers + plan.writers):
            orders = Orders(
                role="reader" if number < plan.readers else "writer",
                database=server.url("soak"),
                redis=url,
                history=str(folder / str(number)),
                seconds=plan.seconds,
                seed=plan.seed * 1000 + number,
                registers=plan.registers,
                broken=plan.broken,
                clock_shift=CLOCKS[number % len(CLOCKS)],
                deaths=plan.deaths,
                lost=plan.lost,
                quarantine=1.0,
                # Of each role every second process.
                second=proxies.second if number % 2 else {},
            )
            jobs.append(keep_running(orders, faults.counts, report))
        with faults.going_on(plan.faults):
            await asyncio.gather(*jobs)
        report.faults = dict(faults.counts)
        judge(report, folder)
    report.seconds = time.monotonic() - began
    return report
