"""The observer: hits are read again from PostgreSQL, and what differs without a reason is counted."""

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

__all__ = ["MOST_FOUND", "AuditReport", "Auditor"]

_MOST_AT_ONCE = 8
MOST_FOUND: Final = 100
"""So many of the last violations are kept."""


class AuditReport:
    """What was found in one audit and not told yet."""

    __slots__ = ("counts", "found")

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """``a query`` and ``v query``: hits of it that were read again, and violations among them."""
        self.found: list[Violation] = []

    def add(self, query: str, violation: Violation | None) -> None:
        """Take note of a hit that was read again."""
        self.counts[f"a {query}"] += 1
        if violation is not None:
            self.counts[f"v {query}"] += 1
            self.found = [*self.found, violation][-MOST_FOUND:]


class Auditor:
    """Reads a part of the hits again.

    A hit that differs is a violation only if its versions are still the same afterwards: then no write was
    under way in between, and what the hit said was not so.
    """

    def __init__(self, store: Store, stats: Stats, rate: float) -> None:
        self._store, self._stats = store, stats
        self._own_rate = self.rate = rate
        self._report: AuditReport | None = None
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def begin(self, rate: float) -> AuditReport:
        """Pick this part of the hits at least, and report what is found as well, until ``end``."""
        self.rate = max(self._own_rate, rate)
        self._report = AuditReport()
        return self._report

    def pick_no_more(self) -> None:
        """Pick as before; what is being read again is still reported."""
        self.rate = self._own_rate

    def end(self) -> None:
        """Report no more."""
        self.rate = self._own_rate
        self._report = None

    def picks(self) -> bool:
        """Whether this hit is one of them."""
        return self.rate > 0 and random.random() < self.rate

    async def wait_until_idle(self, timeout: float) -> None:
        """Wait until no hit is being read again, for so many seconds at the most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._idle.wait()

    @property
    def has_room(self) -> bool:
        """Whether another one may run: an audit must not be a load of its own."""
        return self._running < _MOST_AT_ONCE

    async def audit(
        self,
        reading: CachedQuery[Any],
        call: CachedCall,
        hit: Lookup,
        load: Callable[[], Awaitable[tuple[Any, bool]]],
    ) -> None:
        """Compare a hit with what PostgreSQL has. ``load`` reads it, and says whether on the same server."""
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
        except Exception:  # noqa: BLE001 (of the driver; the audit is not to be heard but for what it finds)
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
            # "*" stands for writes that nobody knows: it is no table.
            violation = Violation(reading.name, tuple(sorted(reading.tables - {"*"})), time.time())
            self._stats.violations += 1
            self._stats.found = [*self._stats.found, violation][-MOST_FOUND:]
        if self._report is not None:
            self._report.add(reading.name, violation)


def _rows(value: object) -> object:
    """Rows without an order of their own may come in another one."""
    if isinstance(value, list):
        return sorted(msgspec.msgpack.encode(row) for row in value)
    return value
