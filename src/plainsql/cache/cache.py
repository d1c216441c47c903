"""The read-through cache: reads, the invalidation by writes, and what is done by hand."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from typing import Any, Self, TypeVar

from plainsql.cache.auditor import Auditor
from plainsql.cache.breaker import Breaker
from plainsql.cache.cached_query import CachedQuery
from plainsql.cache.invalidation import Invalidation, OnFailure, PendingInvalidation
from plainsql.cache.keys import Touched, touched_rows
from plainsql.cache.memory import MemoryStore
from plainsql.cache.process_tier import ProcessTier
from plainsql.cache.read_through import Miss, Options, ReadThrough
from plainsql.cache.stats import Stats
from plainsql.cache.store import Store
from plainsql.errors import BindError, PlainsqlError

__all__ = ["Cache"]

T = TypeVar("T")


class Cache:
    """A read-through cache over a store, which is a `MemoryStore` in the process by default.

    Args:
        store: the store of entries and versions. The cache closes it.
        on_failure: what a write does if the store does not answer: ``"commit"``, and invalidate as soon as
            it answers; ``"fail"`` before the commit.
        jitter: the part of a TTL by which it is shortened at random, so that entries expire at different
        times.
        early: the last part of a TTL in which a hit has its entry refreshed in the background; 0: none.
        max_bytes: the size of a stored value, after compression. Larger ones are not stored.
        lease: seconds that other readers wait for the one that reads an entry from PostgreSQL, if it dies.
        lease_wait: seconds that they wait before they read themselves.
        marker_ttl: seconds that the marker of a writer stays that died between commit and publication. Until
            then reads of its tables go to PostgreSQL.
        local_entries: the number of values that the process holds for queries with ``local``.
        audit_rate: the part of hits that are read again from PostgreSQL, 0 to 1.

    A cache belongs to one event loop.

    """

    def __init__(
        self,
        store: Store | None = None,
        *,
        on_failure: OnFailure = "commit",
        jitter: float = 0.1,
        early: float = 0.0,
        max_bytes: int = 2**20,
        lease: float = 5.0,
        lease_wait: float = 1.0,
        marker_ttl: float = 30.0,
        local_entries: int = 10_000,
        audit_rate: float = 0.0,
    ) -> None:
        if on_failure not in ("commit", "fail"):
            raise BindError(f"on_failure: expected 'commit' or 'fail', got {on_failure!r}")
        for name, value in (("jitter", jitter), ("early", early), ("audit_rate", audit_rate)):
            if not 0 <= value <= 1:
                raise BindError(f"{name}: expected 0 to 1, got {value!r}")
        self._store: Store = store if store is not None else MemoryStore()
        self.on_failure: OnFailure = on_failure
        self._breaker = Breaker()
        self._tier = ProcessTier(local_entries)
        self._stats = Stats()
        self._invalidation = Invalidation(
            self._store, self._breaker, self._tier, self._stats, on_failure=on_failure, marker_ttl=marker_ttl
        )
        self._auditor = Auditor(self._store, self._stats, audit_rate)
        self._reads = ReadThrough(
            self._store,
            self._breaker,
            self._tier,
            self._stats,
            self._auditor,
            self._invalidation,
            Options(jitter, early, max_bytes, lease, lease_wait),
        )
        self._following: asyncio.Task[None] | None = None

    # Reads --------------------------------------------------------------------------------------------

    @property
    def store(self) -> Store:
        """The store of the entries."""
        return self._store

    def probe(self, query: CachedQuery[T], arguments: Sequence[Any], scope: Sequence[Any] = ()) -> T | Miss:
        """Return the value that the process holds for a read, or ``MISS``. It sends nothing."""
        return self._reads.probe(query, arguments, scope)

    def read(
        self,
        query: CachedQuery[T],
        arguments: Sequence[Any],
        load: Callable[[], Awaitable[T]],
        *,
        scope: Sequence[Any] = (),
        prove: Callable[[], Awaitable[tuple[T, bool]]] | None = None,
    ) -> Coroutine[Any, Any, T]:
        """Return the result of a read: the stored one if it is valid, else that of ``load``.

        ``scope`` is what the result depends on in addition to the arguments: tenant, user and role under
        row-level security. The result is right whatever happens to the store, and only the errors of ``load``
        are raised. ``load`` may run in another task, for several callers. If the result is to be stored,
        ``prove`` runs in its place, and returns with the value whether it may be stored. Without ``prove``
        every result may be stored that is read before the query is withdrawn.
        """
        return self._reads.read(query, arguments, load, scope, prove)

    # Writes -------------------------------------------------------------------------------------------

    async def begin(self, touched: Touched) -> PendingInvalidation:
        """Begin the invalidation of what a write is about to change. Await it right before the commit.

        ``publish`` or ``abandon`` must follow, after the commit or the rollback. Each is one round trip. With
        ``on_failure="fail"`` it raises ``CacheError`` if the store does not answer: do not commit then.
        """
        return await self._invalidation.begin(touched)

    async def publish(self, pending: PendingInvalidation) -> None:
        """Publish a write: from here on, nothing is served that is older than it. Never raises."""
        await self._invalidation.publish(pending)

    async def abandon(self, pending: PendingInvalidation) -> None:
        """Leave the invalidation of a write to expire, if it is unknown whether the write is committed, or
        will be. Reads of what it touches go to PostgreSQL for ``marker_ttl``. Never raises.
        """
        await self._invalidation.abandon(pending)

    def writing(self, touched: Touched) -> AbstractAsyncContextManager[PendingInvalidation]:
        """Begin, run the block, which commits, and publish."""
        return self._invalidation.writing(touched)

    async def invalidate(self, table: str, **known: Any) -> None:
        """Invalidate the entries that a committed external write has made stale.

        ``table`` with its schema; ``known`` are columns in which every changed row has one of these values,
        before and after: a value, or a list of them. Without ``known``, the whole table.

        With ``on_failure="fail"`` it raises ``CacheError`` if the store does not answer; the invalidation is
        repeated until it does.
        """
        await self._invalidation.invalidate(touched_rows(table, known))

    async def invalidate_rows(self, touched: Touched, *, required: bool = False, notes: int = 0) -> None:
        """Invalidate as ``invalidate`` does, for several tables, and count ``notes`` records of the outbox.

        ``required``: raises ``CacheError`` in any case if the store does not answer. The invalidation is not
        repeated, and the caller calls again.
        """
        await self._invalidation.invalidate(touched, required=required)
        self._stats.drained += notes

    # By hand ------------------------------------------------------------------------------------------

    async def forget(
        self, reading: CachedQuery[Any], arguments: Sequence[Any], scope: Sequence[Any] = ()
    ) -> None:
        """Drop the result of one read. Raises ``RedisUnavailableError`` if the store does not answer."""
        key = reading.key(arguments, scope)
        self._tier.pop(key)
        await self._store.forget(reading.call(key, arguments))
        self._tier.pop(key)

    async def clear(self, prefix: str = "") -> None:
        """Drop the results of all queries under a name, such as ``"realty"``, or of all queries.

        One round trip, whatever their number. Raises ``RedisUnavailableError`` if the store does not answer.
        """
        await self._store.clear(prefix, os.urandom(9).hex())
        self._tier.clear(prefix)

    def count_bypass(self) -> None:
        """Count a read that its caller sends past the cache."""
        self._stats.bypassed += 1

    def count_error(self) -> None:
        """Count a failure of the cache's part of a read."""
        self._stats.errors += 1

    def stats(self) -> Stats:
        """Return the current counters."""
        return replace(
            self._stats,
            breaker=self._breaker.state,
            entries=len(self._tier.held),
            found=list(self._stats.found),
        )

    def follow(self) -> None:
        """Take part, in the background and until it is closed, in audits that are requested in the store."""
        audits = getattr(self._store, "audits", None)
        if audits is not None:
            # Not at the top: without Redis the redis package is not needed.
            from plainsql.cache.shared_audit import follow

            self._following = asyncio.get_running_loop().create_task(follow(audits, self._auditor))

    async def close(self) -> None:
        """End what runs in the background, and close the store. Later reads go to PostgreSQL."""
        self._reads.closed = True
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])
        await self._reads.close()
        await self._invalidation.aclose()
        with suppress(PlainsqlError, OSError):  # the caller cannot do anything about it
            await self._store.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
