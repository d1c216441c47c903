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
from plainsql.cache.local import LocalTier
from plainsql.cache.stats import Stats
from plainsql.cache.store import Store
from plainsql.errors import CacheError, PlainsqlError

__all__ = ["Mark", "OnFailure", "Writes"]

OnFailure: TypeAlias = Literal["commit", "fail"]
"""What a write does when the store does not answer: commit all the same, or fail before the commit."""

_MOST_UNSETTLED = 256
# Between attempts to settle what could not be; the breaker's own pauses come on top.
_RETRY = 0.05
_LONGEST_RETRY = 1.0


class Mark:
    """A write that is under way."""

    __slots__ = ("left", "renewal", "token", "touched")

    def __init__(self, token: str, touched: Touched) -> None:
        self.token = token
        self.touched = touched
        self.renewal: asyncio.TimerHandle | None = None
        self.left = False


class Writes:
    """Marks and settles. Part of a `Cache`."""

    def __init__(
        self,
        store: Store,
        breaker: Breaker,
        local: LocalTier,
        stats: Stats,
        *,
        on_failure: OnFailure,
        marker_ttl: float,
    ) -> None:
        self._store, self._breaker, self._local, self._stats = store, breaker, local, stats
        self._fails = on_failure == "fail"
        self._ttl = marker_ttl
        self._unsettled: list[Mark] = []
        self._settler: asyncio.Task[None] | None = None
        self._renewals: set[asyncio.Task[None]] = set()
        self.away: Counter[str] = Counter()
        """Tables that this process has written to and the store has not heard of: it must not be asked."""

    async def mark(self, touched: Touched) -> Mark:
        """Set a marker: to be awaited right before the commit; `settle` must follow, whatever comes of it.

        With ``on_failure="fail"`` raises ``CacheError`` if the store does not answer; the write must then not
        be committed, and `settle` is not needed.
        """
        mark = Mark(os.urandom(9).hex(), touched)
        self._stats.writes += 1
        if not touched:
            return mark
        self._local.drop(touched)
        try:
            await self._call(mark)
        except asyncio.CancelledError:
            # The marker may have been set.
            self._settle_later(mark)
            raise
        except PlainsqlError as error:
            if self._fails:
                self._settle_later(mark)
                raise CacheError(
                    "the cache does not answer: this write was not made",
                    detail=error.message,
                    hint="with on_cache_failure='commit', writes go on without it",
                ) from error
        else:
            self._renew_later(mark)
        return mark

    async def settle(self, mark: Mark) -> None:
        """Give new versions to what was touched, and remove the marker: after commit or rollback.

        Never raises: where the store does not answer, this is done as soon as it does.
        """
        if mark.renewal is not None:
            mark.renewal.cancel()
        if not mark.touched:
            return
        self._local.drop(mark.touched)
        try:
            await self._call(mark, settle=True)
        except asyncio.CancelledError:
            self._settle_later(mark)
            raise
        except PlainsqlError:
            self._settle_later(mark)

    async def leave(self, mark: Mark) -> None:
        """Have the marker end by its time: nobody knows whether the write is committed, or will be yet.

        Never raises, as ``settle``, in whose place it stands.
        """
        mark.left = True
        if mark.renewal is not None:
            mark.renewal.cancel()
        if not mark.touched:
            return
        self._local.drop(mark.touched)
        try:
            await self._call(mark)  # for all of its time, once more
        except PlainsqlError:
            self._settle_later(mark)

    @asynccontextmanager
    async def writing(self, touched: Touched) -> AsyncGenerator[Mark]:
        """Mark, let the body commit, settle."""
        mark = await self.mark(touched)
        try:
            yield mark
        finally:
            await self.settle(mark)

    async def touch(self, touched: Touched, *, required: bool = False) -> None:
        """Give new versions, for a write that was made elsewhere. With
        ``on_failure="fail"`` raises ``CacheError``.

        ``required``: raises it in any case, and does not try again.
        """
        self._stats.writes += 1
        self._local.drop(touched)
        mark = Mark("", touched)
        try:
            await self._call(mark, settle=True)
        except asyncio.CancelledError:
            self._settle_later(mark)
            raise
        except PlainsqlError as error:
            if required:
                raise CacheError("the cache does not answer", detail=error.message) from error
            self._settle_later(mark)
            if self._fails:
                raise CacheError(
                    "the cache does not answer: it will be told as soon as it does",
                    detail=error.message,
                    hint="until then, entries may be served that this should have ended",
                ) from error

    async def aclose(self) -> None:
        """Try once more to settle what is not, and leave nothing running."""
        tasks = [task for task in (self._settler, *self._renewals) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for mark in self._unsettled:
            with suppress(Exception):  # it is the last attempt
                await self._store.settle(mark.token, mark.touched)
        self._unsettled.clear()
        self.away.clear()

    async def _call(self, mark: Mark, *, settle: bool = False) -> None:
        if not self._breaker.allows():
            raise CacheError("the store was left alone after it had not answered")
        try:
            if settle:
                await self._store.settle(mark.token, mark.touched)
            else:
                await self._store.mark(mark.token, mark.touched, self._ttl)
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

    def _renew_later(self, mark: Mark) -> None:
        loop = asyncio.get_running_loop()
        mark.renewal = loop.call_later(self._ttl / 3, self._start_renewal, mark)

    def _start_renewal(self, mark: Mark) -> None:
        task = asyncio.get_running_loop().create_task(self._renew(mark))
        self._renewals.add(task)
        task.add_done_callback(self._renewals.discard)

    async def _renew(self, mark: Mark) -> None:
        renewal = mark.renewal
        with suppress(PlainsqlError):
            await self._call(mark)
        if mark.left:
            return
        if mark.renewal is not renewal or renewal is None or renewal.cancelled():
            # It was settled in the meantime, and may have been marked again after that.
            self._settle_later(mark)
            return
        self._renew_later(mark)

    def _settle_later(self, mark: Mark) -> None:
        self._unsettled.append(mark)
        self.away.update(mark.touched.keys())
        if len(self._unsettled) > _MOST_UNSETTLED:
            # The markers themselves then end by their time.
            self._unsettled = [Mark("", merge(one.touched for one in self._unsettled))]
            self.away = Counter(self._unsettled[0].touched.keys())
        self._stats.unsettled = len(self._unsettled)
        if self._settler is None or self._settler.done():
            self._settler = asyncio.get_running_loop().create_task(self._settle_all())

    async def _settle_all(self) -> None:
        pause = _RETRY
        while self._unsettled:
            mark = self._unsettled[0]
            try:
                await self._call(mark, settle=True)
            except PlainsqlError:
                if self._unsettled and self._unsettled[0] is mark:
                    # The others may lie where Redis answers: one shard of a cluster is away.
                    self._unsettled.append(self._unsettled.pop(0))
                await asyncio.sleep(max(pause, self._breaker.wait))
                pause = min(pause * 2, _LONGEST_RETRY)
                continue
            pause = _RETRY
            if self._unsettled and self._unsettled[0] is mark:
                del self._unsettled[0]
                self.away -= Counter(mark.touched.keys())
                self._stats.unsettled = len(self._unsettled)
