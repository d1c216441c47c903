"""The failovers, one after the other, under load, and the times until writes succeed again."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.failover.cluster import Cluster, Node, open_cluster
from benchmarks.failover.load import Load, Verdict
from benchmarks.failover.readers import Readers, Reading

__all__ = ["SCENARIOS", "Failover", "Plan", "Report", "run"]

_CALM_S: Final = 2.0
"""Seconds of undisturbed writes before and after each failover."""
_LIMIT_S: Final = 1.0
"""The promise: seconds from the promotion to the first write that succeeds."""
_JOINED_S: Final = 10.0
"""Seconds in which a former primary is found, and serves reads as a replica. There is a request to Patroni
every five."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of a run."""

    scenarios: Sequence[str] = ()
    rounds: int = 1
    tasks: int = 8
    threads: int = 2
    readers: int = 4
    synchronous: bool = True
    """False to try the checks: what only the former primary has is lost, and must be found."""


@dataclass(slots=True)
class Failover:
    """One failover, in seconds."""

    scenario: str
    former: str
    promoted: str
    until_promotion: float
    """From the fault to the promotion: Patroni's time."""
    first_write: float
    """From the promotion to the first write of the asynchronous side."""
    first_write_sync: float
    """The same, of the synchronous side."""
    first_read: float
    """From the time at which the cluster is whole again to the first read on the former primary."""


@dataclass(slots=True)
class Report:
    """The result of a run."""

    failovers: list[Failover] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)
    reading: Reading = field(default_factory=Reading)
    limit: float = _LIMIT_S

    @property
    def late(self) -> list[str]:
        """The failovers after which the asynchronous side wrote too late, or did not read from the former
        primary.
        """
        return [
            one.scenario
            for one in self.failovers
            if one.first_write > self.limit or one.first_read > _JOINED_S
        ]


async def _switchover(cluster: Cluster, leader: Node) -> None:
    await cluster.switch_over(leader)


async def _kill(_: Cluster, leader: Node) -> None:
    leader.kill()


async def _split(_: Cluster, leader: Node) -> None:
    leader.split(from_clients=False)


async def _isolate(_: Cluster, leader: Node) -> None:
    leader.split(from_clients=True)


SCENARIOS: Final[dict[str, Callable[[Cluster, Node], Awaitable[None]]]] = {
    "switchover": _switchover,
    "kill": _kill,
    "split": _split,
    "isolation": _isolate,
}
"""A planned change; the primary and its Patroni are killed; the primary is cut off from its peers and from
etcd, while clients still reach it; it is cut off from the clients as well."""


async def run(plan: Plan, say: Callable[[str], object]) -> Report:
    """Start a cluster, make the failovers under load, and compare what the writers saw with the rows."""
    report = Report()
    async with open_cluster(synchronous=plan.synchronous) as cluster:
        say("the cluster runs")
        load = Load(cluster.url(), plan.tasks, plan.threads)
        readers = Readers(cluster.url(), cluster.patroni_url(), plan.readers)

        async def work() -> None:
            for scenario in [*(plan.scenarios or SCENARIOS)] * plan.rounds:
                await asyncio.sleep(_CALM_S)
                report.failovers.append(await _fail_over(cluster, load, readers, scenario))
                say(str(report.failovers[-1]))
            await asyncio.sleep(_CALM_S)

        await load.run(lambda: readers.run(work))
        report.reading = readers.result
        leader = await cluster.settled()
        report.verdict = await asyncio.to_thread(load.judge, cluster.direct_url(leader))
    return report


async def _fail_over(cluster: Cluster, load: Load, readers: Readers, scenario: str) -> Failover:
    leader = await cluster.settled()
    watching = asyncio.ensure_future(cluster.promotion(leader))
    began = time.monotonic()
    fault = asyncio.ensure_future(SCENARIOS[scenario](cluster, leader))
    promoted, at = await watching
    await fault
    first = {side: await _first_after(load.acknowledged_at[side], at) for side in load.acknowledged_at}
    await asyncio.sleep(_CALM_S)
    if scenario == "kill":
        leader.start(cluster.patroni)
    leader.heal()
    await cluster.settled()
    first_read = await readers.until_read_from(leader, 2 * _JOINED_S)
    return Failover(
        scenario,
        leader.name,
        promoted.name,
        round(at - began, 2),
        round(first["async"], 3),
        round(first["sync"], 3),
        round(first_read, 2),
    )


async def _first_after(times: list[float], moment: float) -> float:
    """Wait for the first write after a moment, and return how long it took."""
    ends = time.monotonic() + 60
    while not times or times[-1] < moment:
        if time.monotonic() > ends:
            return float("inf")
        await asyncio.sleep(0.01)
    return times[bisect_left(times, moment)] - moment
