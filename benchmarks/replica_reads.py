"""Point reads on two replicas against one server, and a session's reads and writes against plain ones.

All servers run on this machine and share its processors: what a second machine adds is not seen here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import plainsql
from benchmarks.replica_soak import run_soak
from benchmarks.replica_soak.queries import counters
from plainsql import embedded, migrate

__all__ = ["measure"]

_KEYS = 1000
_TASKS = 64


async def measure(*, rounds: int, calls: int) -> dict[str, float]:
    """Return the microseconds of a call in each form: the median of the rounds, which take turns."""
    with ExitStack() as stack:
        primary = stack.enter_context(
            await asyncio.to_thread(embedded.start, scratch=True, settings={"synchronous_commit": "on"})
        )
        url = await asyncio.to_thread(primary.create_database, "soak")
        await asyncio.to_thread(migrate.apply, url, Path(run_soak.__file__).parent / "migrations")
        await asyncio.to_thread(
            primary.execute,
            f"insert into counters.counters select g, g from generate_series(1, {_KEYS}) as g",
            "soak",
        )
        replicas = []
        for _ in range(2):
            replicas.append(await asyncio.to_thread(embedded.start, replica_of=primary))
            stack.enter_context(replicas[-1])
        for replica in replicas:
            await asyncio.to_thread(replica.wait_for_replay)
        async with plainsql.connect(
            url, replicas=[replica.url("soak") for replica in replicas], max_size=16
        ) as db:
            return await _measure(db, rounds, calls)


async def _measure(db: plainsql.Database, rounds: int, calls: int) -> dict[str, float]:
    view = db.replica(max_wait=1)
    while any(replica.lag is None for replica in db.stats().replicas):  # noqa: ASYNC110 (no event of ours)
        await asyncio.sleep(0.01)
    forms: dict[str, Callable[[], Awaitable[float]]] = {
        "primary, 1 task": lambda: _timed(db, 1, calls),
        "replica, 1 task": lambda: _timed(view, 1, calls),
        "session, 1 task": lambda: _timed(db.causal(max_wait=1), 1, calls),
        "a write": lambda: _writes(db, calls // 10),
        "a session's write": lambda: _writes(db.causal(), calls // 10),
        "a transaction": lambda: _transactions(db, calls // 10),
        "a session's transaction": lambda: _transactions(db.causal(), calls // 10),
        "session after a write": lambda: _after_writes(db, calls // 10),
        "primary after a write": lambda: _after_writes(db, calls // 10, plain=True),
        f"primary, {_TASKS} tasks": lambda: _timed(db, _TASKS, calls),
        f"two replicas, {_TASKS} tasks": lambda: _timed(view, _TASKS, calls),
        f"sessions, {_TASKS} tasks": lambda: _timed(None, _TASKS, calls, db),
    }
    found: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(rounds):
        for name, form in forms.items():
            found[name].append(await form())
    return {name: median(values) for name, values in found.items()}


async def _timed(executor: Any, tasks: int, calls: int, db: plainsql.Database | None = None) -> float:
    """Return the microseconds of a read; without an executor, each task has a session."""

    async def work(task: int) -> None:
        on = executor if db is None else db.causal(max_wait=1)
        for call in range(calls // tasks):
            key = (task * 31 + call) % _KEYS + 1
            if await counters.get(on, id=key) != key:
                raise AssertionError(f"the counter {key} has another value")

    await work(0)
    began = time.perf_counter()
    await asyncio.gather(*map(work, range(tasks)))
    return (time.perf_counter() - began) * 1e6 / (calls // tasks * tasks)


async def _writes(on: Any, calls: int) -> float:
    """Return the microseconds of a write."""
    began = time.perf_counter()
    for call in range(calls):
        await counters.put(on, id=_KEYS + 1, n=call)
    return (time.perf_counter() - began) * 1e6 / calls


async def _transactions(on: Any, calls: int) -> float:
    """Return the microseconds of a transaction of one write."""
    began = time.perf_counter()
    for call in range(calls):
        async with on.transaction() as tx:
            await counters.put(tx, id=_KEYS + 1, n=call)
    return (time.perf_counter() - began) * 1e6 / calls


async def _after_writes(db: plainsql.Database, calls: int, *, plain: bool = False) -> float:
    """Return the microseconds of a write and a read that sees it."""
    began = time.perf_counter()
    on: Any = db if plain else db.causal(max_wait=1)
    for call in range(1, calls + 1):
        await counters.put(on, id=_KEYS + 1, n=call)
        if await counters.get(on, id=_KEYS + 1) != call:
            raise AssertionError("a session did not see its write")
    return (time.perf_counter() - began) * 1e6 / calls
