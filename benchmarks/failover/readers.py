"""Programs that read from the replicas that Patroni names, while the servers change their roles."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import plainsql
from benchmarks.failover.cluster import Node
from benchmarks.failover.load import PATIENCE_S, STATEMENT_S, put
from plainsql.database import Call
from plainsql.query import Args, optional

__all__ = ["Readers", "Reading"]

_MAX_LAG_S: Final = 60.0
"""Without a primary the lag grows: reads go on for so long."""


@optional[str](
    "failover.get",
    "readers.py",
    1,
    "select w.key from writes as w where w.key = :key",
    read_only=True,
    session_clean=True,
)
def get(*, key: str) -> Args:
    return (key,)


@dataclass(slots=True)
class Reading:
    """The outcome of the reads."""

    reads: int = 0
    on_replicas: int = 0
    longest_pause: float = 0.0
    """The most seconds between two reads that succeeded, of all tasks together."""
    missed: list[str] = field(default_factory=list)
    """Writes of a session that its next read did not see."""
    errors: dict[str, int] = field(default_factory=dict)
    """Errors of reads alone, by their names."""


class Readers:
    """Tasks that read, and sessions that write and read what they have written."""

    def __init__(self, url: str, replicas: str, tasks: int) -> None:
        self._url, self._replicas, self._tasks = url, replicas, tasks
        self._ends = asyncio.Event()
        self._primary = ""
        self._last = time.monotonic()
        self.result = Reading()
        self.read_at: dict[str, float] = {}
        """The time of the last read on each replica, by its name."""

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Read until the work is done."""
        async with plainsql.connect(
            self._url,
            replicas=self._replicas,
            max_size=self._tasks,
            statement_timeout=STATEMENT_S,
            failover_timeout=PATIENCE_S,
            on_call=self._called,
        ) as db:
            self._primary = db.name
            readers: list[Awaitable[None]] = [self._read(db) for _ in range(self._tasks)]
            readers += [self._write_and_read(db, n) for n in range(2)]
            reading = asyncio.gather(*readers)
            self._last = time.monotonic()
            try:
                await work()
            finally:
                self._ends.set()
                await reading

    async def until_read_from(self, node: Node, seconds: float) -> float:
        """Wait until reads go to a replica; return how long it took, infinity if it took longer."""
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            if any(f":{node.peers.port}/" in name and at > began for name, at in self.read_at.items()):
                return time.monotonic() - began
            await asyncio.sleep(0.01)
        return float("inf")

    def _called(self, call: Call) -> None:
        if call.query.name != "failover.get" or call.error is not None:
            return
        now = time.monotonic()
        self.result.reads += 1
        self.result.longest_pause = max(self.result.longest_pause, now - self._last)
        self._last = now
        if call.server != self._primary:
            self.result.on_replicas += 1
            self.read_at[call.server] = now

    async def _read(self, db: plainsql.Database) -> None:
        view = db.replica(max_lag=_MAX_LAG_S, own_writes=False)
        while not self._ends.is_set():
            try:
                await get(view, key="a0-1")
            except Exception as error:  # noqa: BLE001 (its outcome is what is asked for)
                name = type(error).__name__
                self.result.errors[name] = self.result.errors.get(name, 0) + 1
            await asyncio.sleep(0.005)

    async def _write_and_read(self, db: plainsql.Database, session: int) -> None:
        n = 0
        while not self._ends.is_set():
            n += 1
            key = f"c{session}-{n}"
            try:
                async with db.causal(max_lag=_MAX_LAG_S) as scope:
                    await put(scope, key=key)
                    if await get(scope, key=key) is None:
                        self.result.missed.append(key)
            except Exception:  # noqa: BLE001 (the outcomes of writes are the other tasks' matter)
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.005)
