"""The writers' side: markers before the commit, new versions after it, however long that takes."""

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
"""What a write does when the store does not answer: commit all the same, or fail before the commit."""

_MAX_UNPUBLISHED = 256
# Between attempts to settle what could not be; the breaker's own pauses come on top.
_RETRY = 0.05
_LONGEST_RETRY = 1.0


class PendingInvalidation:
    """A write that is under way."""

    __slots__ = ("abandoned", "renewal", "token", "touched")

    def __init__(self, token: str, touched: Touched) -> None:
        self.token = token
        self.touched = touched
        self.renewal: asyncio.TimerHandle | None = None
        self.abandoned = False


class Invalidation:
    """Marks and settles. Part of a `Cache`."""

    def __init__(
        self,
        store: Store,
        breaker: Breaker,
        local: ProcessTier,
        stats: Stats,
        *,
        on_failure: OnFailure,
        marker_ttl: float,
    ) -> None:
        self._store, self._breaker, self._local, self._stats = store, breaker, local, stats
        self._fails = on_failure == "fail"
        self._ttl = marker_ttl
        self._unpublished: list[PendingInvalidation] = []
        self._publisher: asyncio.Task[None] | None = None
        self._renewals: set[asyncio.Task[None]] = set()
        self.unreachable_tables: Counter[str] = Counter()
        """Tables that this process has written to and the store has not heard of: it must not be asked."""

    async def begin(self, touched: Touched) -> PendingInvalidation:
        """Set a marker: to be awaited right before the commit; `settle` must follow, whatever comes of it.

        In strict mode raises ``CacheError`` where the store does not answer; the write must then not be
        committed, and `settle` is not needed.
        """
        pending = PendingInvalidation(os.urandom(9).hex(), touched)
        self._stats.writes += 1
        if not touched:
            return pending
        self._local.drop(touched)
        try:
            await self._call(pending)
        except asyncio.CancelledError:
            # The marker may have been set.
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
        """Give new versions to what was touched, and remove the marker: after commit or rollback.

        Never raises: where the store does not answer, this is done as soon as it does.
        """
        if pending.renewal is not None:
            pending.renewal.cancel()
        if not pending.touched:
            return
        self._local.drop(pending.touched)
        try:
            await self._call(pending, publish=True)
        except asyncio.CancelledError:
            self._publish_later(pending)
            raise
        except PlainsqlError:
            self._publish_later(pending)

    async def abandon(self, pending: PendingInvalidation) -> None:
        """Have the marker end by its time: nobody knows whether the write is committed, or will be yet.

        Never raises, as ``settle``, in whose place it stands.
        """
        pending.abandoned = True
        if pending.renewal is not None:
            pending.renewal.cancel()
        if not pending.touched:
            return
        self._local.drop(pending.touched)
        try:
            await self._call(pending)  # for all of its time, once more
        except PlainsqlError:
            self._publish_later(pending)

    @asynccontextmanager
    async def writing(self, touched: Touched) -> AsyncGenerator[PendingInvalidation]:
        """Mark, let the body commit, settle."""
        pending = await self.begin(touched)
        try:
            yield pending
        finally:
            await self.publish(pending)

    async def invalidate(self, touched: Touched, *, required: bool = False) -> None:
        """Give new versions, for a write that was made elsewhere. In strict mode raises ``CacheError``.

        ``required``: raises it in both modes, and tells the store no more.
        """
        self._stats.writes += 1
        self._local.drop(touched)
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
                    "the cache does not answer: it will be told as soon as it does",
                    detail=error.message,
                    hint="until then, entries may be served that this should have ended",
                ) from error

    async def aclose(self) -> None:
        """Try once more to settle what is not, and leave nothing running."""
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
            raise CacheError("the store was left alone after it had not answered")
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
            # Whatever it is, a write does not fail by it.
            self._breaker.failed(error)
            self._stats.errors += 1
            raise CacheError(f"the cache cannot be told: {type(error).__name__}") from error
        self._breaker.succeeded()

    # A marker must outlive its write, which may wait for a lock as long as it likes.

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
            # It was settled in the meantime, and may have been marked again after that.
            self._publish_later(pending)
            return
        self._renew_later(pending)

    def _publish_later(self, pending: PendingInvalidation) -> None:
        self._unpublished.append(pending)
        self.unreachable_tables.update(pending.touched.keys())
        if len(self._unpublished) > _MAX_UNPUBLISHED:
            # The markers themselves then end by their time.
            self._unpublished = [PendingInvalidation("", merge(one.touched for one in self._unpublished))]
            self.unreachable_tables = Counter(self._unpublished[0].touched.keys())
        self._stats.unsettled = len(self._unpublished)
        if self._publisher is None or self._publisher.done():
            self._publisher = asyncio.get_running_loop().create_task(self._publish_all())

    async def _publish_all(self) -> None:
        pause = _RETRY
        while self._unpublished:
            pending = self._unpublished[0]
            try:
                await self._call(pending, publish=True)
            except PlainsqlError:
                if self._unpublished and self._unpublished[0] is pending:
                    # The others may lie where Redis answers: one shard of a cluster is away.
                    self._unpublished.append(self._unpublished.pop(0))
                await asyncio.sleep(max(pause, self._breaker.wait))
                pause = min(pause * 2, _LONGEST_RETRY)
                continue
            pause = _RETRY
            if self._unpublished and self._unpublished[0] is pending:
                del self._unpublished[0]
                self.unreachable_tables -= Counter(pending.touched.keys())
                self._stats.unsettled = len(self._unpublished)
