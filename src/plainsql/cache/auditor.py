"""The auditor: it reads hits again from PostgreSQL and counts those that differ without a reason."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import msgspec

from plainsql.cache.cached_query import CachedCall, CachedQuery
from plainsql.cache.stats import Stats, Violation
from plainsql.cache.store import Lookup, Store
from plainsql.errors import PlainsqlError

__all__ = ["MAX_VIOLATIONS", "AuditReport", "Auditor"]

_MAX_RUNNING = 8
MAX_VIOLATIONS: Final = 100
"""The number of the last violations that are kept."""


class AuditReport:
    """The findings of one audit that were not reported yet."""

    __slots__ = ("counts", "found")

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """``a query`` and ``v query``: the hits of a query that were read again, and their violations."""
        self.found: list[Violation] = []

    def add(self, query: str, violation: Violation | None) -> None:
        """Record a hit that was read again."""
        self.counts[f"a {query}"] += 1
        if violation is not None:
            self.counts[f"v {query}"] += 1
            self.found = [*self.found, violation][-MAX_VIOLATIONS:]


class Auditor:
    """Reads a part of the hits again.

    A hit that differs is a violation only if its versions are still the same afterwards: then no write came
    in between, and the hit was wrong.
    """

    def __init__(self, store: Store, stats: Stats, rate: float) -> None:
        self._store, self._stats = store, stats
        self._own_rate = self.rate = rate
        self._report: AuditReport | None = None
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def begin(self, rate: float) -> AuditReport:
        """Pick at least this part of the hits, and report the findings as well, until ``end``."""
        self.rate = max(self._own_rate, rate)
        self._report = AuditReport()
        return self._report

    def pick_no_more(self) -> None:
        """Pick as before the audit. Hits that are being read again are still reported."""
        self.rate = self._own_rate

    def end(self) -> None:
        """Stop reporting."""
        self.rate = self._own_rate
        self._report = None

    def picks(self) -> bool:
        """Return whether to read this hit again."""
        return self.rate > 0 and random.random() < self.rate

    async def wait_until_idle(self, timeout: float) -> None:
        """Wait, for at most so many seconds, until no hit is being read again."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._idle.wait()

    @property
    def has_room(self) -> bool:
        """True if another audit may run: audits must not be a load of their own."""
        return self._running < _MAX_RUNNING

    async def audit(
        self,
        reading: CachedQuery[Any],
        call: CachedCall,
        hit: Lookup,
        load: Callable[[], Awaitable[tuple[Any, bool]]],
    ) -> None:
        """Compare a hit with PostgreSQL. ``load`` reads it, and returns whether it is of the same server."""
        self._running += 1
        self._idle.clear()
        try:
            value, comparable = await load()
            differs = _rows(reading.codec.rows(reading.codec.encode(value))) != _rows(
                reading.codec.rows(hit.data)
            )
            current = await self._store.fill(call, "", hit.versions, None, 0)
        except (PlainsqlError, TypeError, ValueError):
            return
        except Exception:  # noqa: BLE001 (of the driver; an audit reports its findings only)
            return
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()
        if not (current and comparable):
            return
        self._stats.audited += 1
        violation: Violation | None = None
        if differs:
            # "*" is not a table: it covers writes about which nothing is known.
            violation = Violation(reading.name, tuple(sorted(reading.tables - {"*"})), time.time())
            self._stats.violations += 1
            self._stats.found = [*self._stats.found, violation][-MAX_VIOLATIONS:]
        if self._report is not None:
            self._report.add(reading.name, violation)


def _rows(value: object) -> object:
    """Return the rows in one order: rows without an order of their own may come in any."""
    if isinstance(value, list):
        return sorted(msgspec.msgpack.encode(row) for row in value)
    return value
