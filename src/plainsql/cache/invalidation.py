"""The invalidation by writes: markers before the commit, new versions after it, for as long as that takes."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Literal, TypeAlias

from plainsql.cache.breaker import Breaker
from plainsql.cache.keys import Touched, merge
from plainsql.cache.process_tier import ProcessTier
from plainsql.cache.stats import Stats
from plainsql.cache.store import Store
from plainsql.errors import CacheError, PlainsqlError

__all__ = ["Invalidation", "OnFailure", "PendingInvalidation"]

OnFailure: TypeAlias = Literal["commit", "fail"]
"""The choice of a write if the store does not answer: commit all the same, or fail before the commit."""

_MAX_UNPUBLISHED = 256
# Pauses between attempts to publish; the breaker's own pauses are added.
_MIN_RETRY_S = 0.05
_MAX_RETRY_S = 1.0


class PendingInvalidation:
    """The invalidation of a write in progress."""

    __slots__ = ("abandoned", "renewal", "token", "touched")

    def __init__(self, token: str, touched: Touched) -> None:
        self.token = token
        self.touched = touched
        self.renewal: asyncio.TimerHandle | None = None
        self.abandoned = False


class Invalidation:
    """Begins and publishes the invalidations of writes. Part of a `Cache`."""

    def __init__(
        self,
        store: Store,
        breaker: Breaker,
        tier: ProcessTier,
        stats: Stats,
        *,
        on_failure: OnFailure,
        marker_ttl: float,
    ) -> None:
        self._store, self._breaker, self._tier, self._stats = store, breaker, tier, stats
        self._fails = on_failure == "fail"
        self._ttl = marker_ttl
        self._unpublished: list[PendingInvalidation] = []
        self._publisher: asyncio.Task[None] | None = None
        self._renewals: set[asyncio.Task[None]] = set()
        self.unreachable_tables: Counter[str] = Counter()
        """Tables with writes of this process that the store does not know yet. Reads must not use it."""

    async def begin(self, touched: Touched) -> PendingInvalidation:
        """Set a marker, right before the commit. `publish` or `abandon` must follow, also after an error.

        With ``on_failure="fail"`` raises ``CacheError`` if the store does not answer. Then the write must not
        be committed, and nothing needs to follow.
        """
        pending = PendingInvalidation(os.urandom(9).hex(), touched)
        self._stats.writes += 1
        if not touched:
            return pending
        self._tier.drop(touched)
        try:
            await self._call(pending)
        except asyncio.CancelledError:
            # The marker may be set already.
            self._publish_later(pending)
            raise
        except PlainsqlError as error:
            if self._fails:
                self._publish_later(pending)
                raise CacheError(
                    "the cache does not answer: this write was not made",
                    detail=error.message,
                    hint="with on_cache_failure='commit', writes go on without it",
                ) from error
        else:
            self._renew_later(pending)
        return pending

    async def publish(self, pending: PendingInvalidation) -> None:
        """Destroy the versions of the touched rows and remove the marker, after commit or rollback.

        Never raises. If the store does not answer, this is repeated until it does.
        """
        if pending.renewal is not None:
            pending.renewal.cancel()
        if not pending.touched:
            return
        self._tier.drop(pending.touched)
        try:
            await self._call(pending, publish=True)
        except asyncio.CancelledError:
            self._publish_later(pending)
            raise
        except PlainsqlError:
            self._publish_later(pending)

    async def abandon(self, pending: PendingInvalidation) -> None:
        """Leave the marker to expire: it is unknown whether the write is committed, or will be.

        It takes the place of `publish`, and never raises either.
        """
        pending.abandoned = True
        if pending.renewal is not None:
            pending.renewal.cancel()
        if not pending.touched:
            return
        self._tier.drop(pending.touched)
        try:
            await self._call(pending)  # renew it for its full time
        except PlainsqlError:
            self._publish_later(pending)

    @asynccontextmanager
    async def writing(self, touched: Touched) -> AsyncGenerator[PendingInvalidation]:
        """Begin, run the block, which commits, and publish."""
        pending = await self.begin(touched)
        try:
            yield pending
        finally:
            await self.publish(pending)

    async def invalidate(self, touched: Touched, *, required: bool = False) -> None:
        """Destroy the versions of rows that an external write has changed.

        With ``on_failure="fail"`` raises ``CacheError`` if the store does not answer. ``required``: raises it
        in any case, and does not repeat the attempt.
        """
        self._stats.writes += 1
        self._tier.drop(touched)
        pending = PendingInvalidation("", touched)
        try:
            await self._call(pending, publish=True)
        except asyncio.CancelledError:
            self._publish_later(pending)
            raise
        except PlainsqlError as error:
            if required:
                raise CacheError("the cache does not answer", detail=error.message) from error
            self._publish_later(pending)
            if self._fails:
                raise CacheError(
                    "the cache does not answer: the invalidation is repeated until it does",
                    detail=error.message,
                    hint="until then, stale entries may be served",
                ) from error

    async def aclose(self) -> None:
        """Try again to publish what is not published, and leave nothing running."""
        tasks = [task for task in (self._publisher, *self._renewals) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for pending in self._unpublished:
            with suppress(Exception):  # it is the last attempt
                await self._store.publish(pending.token, pending.touched)
        self._unpublished.clear()
        self.unreachable_tables.clear()

    async def _call(self, pending: PendingInvalidation, *, publish: bool = False) -> None:
        if not self._breaker.allows():
            raise CacheError("the store is left alone for a while after it did not answer")
        try:
            if publish:
                await self._store.publish(pending.token, pending.touched)
            else:
                await self._store.begin(pending.token, pending.touched, self._ttl)
        except asyncio.CancelledError:
            self._breaker.abandoned()
            raise
        except PlainsqlError as error:
            self._breaker.failed(error)
            self._stats.errors += 1
            raise
        except Exception as error:
            # A write must not fail because of it.
            self._breaker.failed(error)
            self._stats.errors += 1
            raise CacheError(f"the cache cannot invalidate: {type(error).__name__}") from error
        self._breaker.succeeded()

    # A marker must outlive its write, which may wait for a lock without a limit.

    def _renew_later(self, pending: PendingInvalidation) -> None:
        loop = asyncio.get_running_loop()
        pending.renewal = loop.call_later(self._ttl / 3, self._start_renewal, pending)

    def _start_renewal(self, pending: PendingInvalidation) -> None:
        task = asyncio.get_running_loop().create_task(self._renew(pending))
        self._renewals.add(task)
        task.add_done_callback(self._renewals.discard)

    async def _renew(self, pending: PendingInvalidation) -> None:
        renewal = pending.renewal
        with suppress(PlainsqlError):
            await self._call(pending)
        if pending.abandoned:
            return
        if pending.renewal is not renewal or renewal is None or renewal.cancelled():
            # It was published in the meantime, and this renewal may have set the marker again.
            self._publish_later(pending)
            return
        self._renew_later(pending)

    def _publish_later(self, pending: PendingInvalidation) -> None:
        self._unpublished.append(pending)
        self.unreachable_tables.update(pending.touched.keys())
        if len(self._unpublished) > _MAX_UNPUBLISHED:
            # The markers themselves expire.
            self._unpublished = [PendingInvalidation("", merge(one.touched for one in self._unpublished))]
            self.unreachable_tables = Counter(self._unpublished[0].touched.keys())
        self._stats.unsettled = len(self._unpublished)
        if self._publisher is None or self._publisher.done():
            self._publisher = asyncio.get_running_loop().create_task(self._publish_all())

    async def _publish_all(self) -> None:
        pause = _MIN_RETRY_S
        while self._unpublished:
            pending = self._unpublished[0]
            try:
                await self._call(pending, publish=True)
            except PlainsqlError:
                if self._unpublished and self._unpublished[0] is pending:
                    # Redis may answer for the others: one shard of a cluster is unreachable.
                    self._unpublished.append(self._unpublished.pop(0))
                await asyncio.sleep(max(pause, self._breaker.wait))
                pause = min(pause * 2, _MAX_RETRY_S)
                continue
            pause = _MIN_RETRY_S
            if self._unpublished and self._unpublished[0] is pending:
                del self._unpublished[0]
                self.unreachable_tables -= Counter(pending.touched.keys())
                self._stats.unsettled = len(self._unpublished)
