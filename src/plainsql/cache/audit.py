"""The observer: hits are read again from PostgreSQL, and what differs without a reason is counted."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from plainsql.cache.reading import Call, Reading
from plainsql.cache.stats import Stats, Violation
from plainsql.cache.store import Look, Store
from plainsql.errors import PlainsqlError

__all__ = ["Auditor"]

_MOST_AT_ONCE = 8
_MOST_FOUND = 100


class Auditor:
    """Reads a part of the hits again.

    A hit that differs is a violation only if its versions are still the same afterwards: then no write was
    under way in between, and what the hit said was not so.
    """

    def __init__(self, store: Store, stats: Stats, rate: float) -> None:
        self._store, self._stats = store, stats
        self.rate = rate
        self._running = 0

    def picks(self) -> bool:
        """Whether this hit is one of them."""
        return self.rate > 0 and random.random() < self.rate

    @property
    def has_room(self) -> bool:
        """Whether another one may run: an audit must not be a load of its own."""
        return self._running < _MOST_AT_ONCE

    async def audit(
        self, reading: Reading[Any], call: Call, hit: Look, load: Callable[[], Awaitable[Any]]
    ) -> None:
        """Compare a hit with what PostgreSQL has."""
        self._running += 1
        try:
            value = await load()
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
        if not current:
            return
        self._stats.audited += 1
        if differs:
            self._stats.violations += 1
            found = Violation(reading.name, tuple(sorted(reading.tables)), time.time())
            self._stats.found = [*self._stats.found, found][-_MOST_FOUND:]


def _rows(value: object) -> object:
    """Rows without an order of their own may come in another one."""
    if isinstance(value, list):
        return sorted(msgspec.msgpack.encode(row) for row in value)
    return value
