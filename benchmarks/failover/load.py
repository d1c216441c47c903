"""The programs that write to the cluster, and the verdict: the outcomes that they saw, and the rows there."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import psycopg

import plainsql
from plainsql.outcome_notes import OUT_OF_TIME, PERHAPS_COMMITTED, UNKNOWN
from plainsql.query import Args, count

__all__ = ["PATIENCE_S", "STATEMENT_S", "Load", "Verdict"]

PATIENCE_S: Final = 60.0
STATEMENT_S: Final = 5.0
"""The limit of a statement: a server that is cut off does not say so."""
_NOTES: Final = frozenset({UNKNOWN, PERHAPS_COMMITTED, OUT_OF_TIME})


@count("failover.create", "load.py", 1, "create table if not exists writes (key text primary key)")
def create() -> Args:
    return ()


@count("failover.put", "load.py", 1, "insert into writes (key) values (:key)", session_clean=True)
def put(*, key: str) -> Args:
    return (key,)


async def _put(tx: plainsql.Transaction, *, key: str) -> None:
    await put(tx, key=key)


def _put_in_thread(tx: plainsql.sync.Transaction, *, key: str) -> None:
    put(tx, key=key)


@dataclass(slots=True)
class Verdict:
    """The comparison of the outcomes that callers saw with the rows of the last primary."""

    acknowledged: int = 0
    unknown: int = 0
    """Calls whose error says that the write may have been executed."""
    executed: int = 0
    """Those of them whose row is there."""
    refused: int = 0
    """Calls whose error says that nothing was executed."""
    lost: list[str] = field(default_factory=list)
    """Acknowledged, and not there."""
    unreported: list[str] = field(default_factory=list)
    """There, although the error said that nothing was executed."""
    errors: dict[str, int] = field(default_factory=dict)

    @property
    def violations(self) -> int:
        return len(self.lost) + len(self.unreported)


class Load:
    """Writers of both sides, each with keys of its own."""

    def __init__(self, url: str, tasks: int, threads: int) -> None:
        self._url = url
        self._tasks, self._threads = tasks, threads
        self._ends = threading.Event()
        self._lock = threading.Lock()
        self._outcomes: dict[str, str] = {}
        self._errors: dict[str, int] = {}
        self.acknowledged_at: dict[str, list[float]] = {"async": [], "sync": []}
        """The times at which writes were acknowledged, by ``monotonic``."""

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Write until the work is done."""
        async with plainsql.connect(
            self._url,
            max_size=self._tasks,
            statement_timeout=STATEMENT_S,
            failover_timeout=PATIENCE_S,
        ) as db:
            await create(db)
            pool = await asyncio.to_thread(
                plainsql.sync.Pool,
                self._url,
                max_size=max(self._threads, 1),
                statement_timeout=STATEMENT_S,
                failover_timeout=PATIENCE_S,
                acquire_timeout=PATIENCE_S,
            )
            writers: list[Awaitable[None]] = [self._write(db, n) for n in range(self._tasks)]
            writers += [asyncio.to_thread(self._write_in_thread, pool, n) for n in range(self._threads)]
            writing = asyncio.gather(*writers)
            try:
                await work()
            finally:
                self._ends.set()
                await writing
                await asyncio.to_thread(pool.close)

    async def _write(self, db: plainsql.Database, writer: int) -> None:
        n = 0
        while not self._ends.is_set():
            n += 1
            key = f"a{writer}-{n}"
            try:
                if writer % 2:
                    await db.retry(partial(_put, key=key))
                else:
                    await put(db, key=key)
            except Exception as error:  # noqa: BLE001 (its outcome is what is asked for)
                self._failed(key, error)
                await asyncio.sleep(0.01)
            else:
                self._acknowledged("async", key)
                await asyncio.sleep(0.002)

    def _write_in_thread(self, pool: plainsql.sync.Pool, writer: int) -> None:
        n = 0
        while not self._ends.is_set():
            n += 1
            key = f"s{writer}-{n}"
            try:
                if writer % 2:
                    pool.retry(partial(_put_in_thread, key=key))
                else:
                    put(pool, key=key)
            except Exception as error:  # noqa: BLE001 (its outcome is what is asked for)
                self._failed(key, error)
                time.sleep(0.01)
            else:
                self._acknowledged("sync", key)
                time.sleep(0.002)

    def _acknowledged(self, side: str, key: str) -> None:
        with self._lock:
            self._outcomes[key] = "acknowledged"
            self.acknowledged_at[side].append(time.monotonic())

    def _failed(self, key: str, error: Exception) -> None:
        notes = _NOTES & {*getattr(error, "__notes__", ())}
        outcome = "unknown" if notes or isinstance(error, TimeoutError) else "refused"
        state = getattr(error, "sqlstate", None)
        name = f"{outcome}: {type(error).__name__}" + (f" {state}" if state else "")
        with self._lock:
            self._outcomes[key] = outcome
            self._errors[name] = self._errors.get(name, 0) + 1

    def judge(self, url: str) -> Verdict:
        """Compare with the rows of a server, the last primary."""
        with psycopg.connect(url) as connection:
            found = {key for (key,) in connection.execute("select key from writes")}
        verdict = Verdict(errors=dict(sorted(self._errors.items())))
        for key, outcome in self._outcomes.items():
            if outcome == "acknowledged":
                verdict.acknowledged += 1
                if key not in found:
                    verdict.lost.append(key)
            elif outcome == "unknown":
                verdict.unknown += 1
                verdict.executed += key in found
            else:
                verdict.refused += 1
                if key in found:
                    verdict.unreported.append(key)
        return verdict
