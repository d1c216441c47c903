"""The read-through cache: what a cached read goes through, from the process to the store to PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from typing import Any, Final, NamedTuple, Self, TypeVar

from plainsql.cache.auditor import Auditor
from plainsql.cache.breaker import Breaker
from plainsql.cache.cached_query import CachedCall, CachedQuery
from plainsql.cache.invalidation import Invalidation, OnFailure, PendingInvalidation
from plainsql.cache.keys import Touched, touched_rows
from plainsql.cache.memory import MemoryStore
from plainsql.cache.process_tier import HeldValue, ProcessTier
from plainsql.cache.single_flight import InFlight, Result, SingleFlight
from plainsql.cache.stats import Stats
from plainsql.cache.store import Lookup, Store
from plainsql.errors import BindError, PlainsqlError

__all__ = ["MISS", "Cache", "Miss"]

T = TypeVar("T")


class Miss:
    """The type of `MISS`."""

    def __repr__(self) -> str:
        return "MISS"


MISS: Final = Miss()
"""What ``probe`` returns where there is nothing: ``None`` may be a result."""


_PATIENCE = 5.0
# Seconds that what is under way has to end when the cache is closed.

_UNDECODABLE = (ValueError, TypeError, RecursionError)
# Not only of what others wrote: a null in an array, or a label that an enum has had since, is what PostgreSQL
# has, and no value of the row's type.

_UNFIT_S = 60.0
"""Seconds for which a read is not tried again whose result could not be stored: each try costs two round
trips."""
_MOST_UNFIT = 10_000

_UNREACHABLE = Lookup("pending")
"""Nothing can be stored now."""


class _Read(NamedTuple):
    """One read on its way."""

    reading: CachedQuery[Any]
    call: CachedCall
    load: Callable[[], Awaitable[Any]]
    prove: Callable[[], Awaitable[tuple[Any, bool]]] | None

    async def load_to_store(self) -> tuple[Any, bool]:
        """Read from PostgreSQL, and say whether it may be stored."""
        value, proved = (await self.load(), True) if self.prove is None else await self.prove()
        return value, proved and not self.reading.withdrawn


class Cache:
    """Reads through a store, which a `MemoryStore` in the process is by default.

    Args:
        store: where entries and versions lie. The cache closes it.
        on_failure: what a write does if the store does not answer: ``"commit"``, and invalidate as soon as
            it answers; ``"fail"`` before the commit.
        jitter: by how much of it a TTL is shortened at random, so that entries do not end together.
        early: the last part of a TTL in which a hit has its entry read anew in the background; 0: none.
        max_bytes: of a stored value, after compression. Larger ones are not stored.
        lease: how long others may wait at most for who reads an entry from PostgreSQL, if that one dies.
        lease_wait: how long they wait before they read themselves.
        marker_ttl: how long the marker of a writer stands that died between commit and settling; its tables'
            reads go to PostgreSQL until then.
        local_entries: how many values the process holds for queries with ``local``.
        audit_rate: the part of hits that are read again from PostgreSQL, 0 to 1.

    Everything belongs to one event loop.

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
        self._jitter, self._early, self._max_bytes = jitter, early, max_bytes
        self._lease, self._lease_wait = lease, lease_wait
        self._breaker = Breaker()
        self._local = ProcessTier(local_entries)
        self._stats = Stats()
        self._single_flight = SingleFlight()
        self._background: set[asyncio.Task[Any]] = set()
        self._unfit: dict[bytes, float] = {}
        """Reads whose results could not be stored, and until when they need not be tried again."""
        self._invalidation = Invalidation(
            self._store, self._breaker, self._local, self._stats, on_failure=on_failure, marker_ttl=marker_ttl
        )
        self._auditor = Auditor(self._store, self._stats, audit_rate)
        self._following: asyncio.Task[None] | None = None
        self._closed = False

    # Reads --------------------------------------------------------------------------------------------

    def probe(self, reading: CachedQuery[T], arguments: Sequence[Any], scope: Sequence[Any] = ()) -> T | Miss:
        """Return what the process holds of a read, or ``MISS``. Asks nobody."""
        if reading.local:
            try:
                held = self._local.held.get(reading.key(arguments, scope))
            except (TypeError, ValueError, OverflowError):
                return MISS
            if held is not None and held.ends > self._local.clock():
                self._stats.local_hits += 1
                return reading.decode(held.data)
        return MISS

    async def read(
        self,
        reading: CachedQuery[T],
        arguments: Sequence[Any],
        load: Callable[[], Awaitable[T]],
        *,
        scope: Sequence[Any] = (),
        prove: Callable[[], Awaitable[tuple[T, bool]]] | None = None,
    ) -> T:
        """Return the result of a read: the stored one where it is valid, else that of ``load``.

        ``scope`` is what the result depends on besides the arguments: tenant, user and role under row-level
        security. Whatever happens to the store, the result is right and nothing is raised but what ``load``
        raises. ``load`` may run in another task, for several callers. ``prove`` runs in its place where the
        result is to be stored, and says as well whether it may be; without it, all may be that is read
        before the reading is withdrawn.
        """
        try:
            key = reading.key(arguments, scope)
        except Exception:  # noqa: BLE001 (an argument of the caller's own class may raise anything)
            self._stats.uncacheable += 1
            return await load()
        if reading.local:
            held = self._local.held.get(key)
            if held is not None and held.ends > self._local.clock():
                self._stats.local_hits += 1
                return reading.decode(held.data)
        if self._unfit and self._unfit.get(key, 0.0) > self._local.clock():
            self._stats.uncacheable += 1
            return await load()
        if self._closed or (
            self._invalidation.unreachable_tables
            and not reading.tables.isdisjoint(self._invalidation.unreachable_tables)
        ):
            self._stats.bypassed += 1
            return await load()
        try:
            read = _Read(reading, reading.call(key, arguments), load, prove)
        except Exception:  # noqa: BLE001
            self._stats.uncacheable += 1
            return await load()
        in_flight = self._single_flight.get(key)
        if in_flight is None:
            alone: T = await self._read_first(read)
            return alone
        result = await self._single_flight.join(in_flight, lambda flight: self._load_for_group(flight, read))
        if result.data is None:
            # What cannot be stored is nobody's but its reader's: two must not have the same list.
            return await load()
        try:
            shared = reading.decode(result.data)
        except _UNDECODABLE:
            return await load()
        self._stats.shared += 1
        return shared

    async def _read_first(self, read: _Read) -> Any:
        # A hit is served by the caller's own task: only what others may come to need has one of its own.
        key = read.call.key
        flight = self._single_flight.begin(key)
        handed_over = False
        try:
            token = _token()
            lookup, value = await self._lookup(read, token)
            if lookup.data:
                return value
            if lookup.state == "pending":
                return await read.load()
            rest = self._miss(flight, read, lookup, token)
            self._single_flight.hand_over(key, flight, rest, lambda: self._release(read.call, token))
            handed_over = True
        finally:
            if not handed_over:
                self._single_flight.end(key, flight)
        return (await self._single_flight.wait(flight)).value

    async def _load_for_group(self, flight: InFlight, read: _Read) -> Result:
        """Read for a group."""
        token = _token()
        lookup, found = await self._lookup(read, token)
        if lookup.data:
            return Result(found, lookup.data)
        if lookup.state == "pending":
            value = await read.load()
            return Result(value, self._encode(read.reading, value))
        return await self._miss(flight, read, lookup, token)

    async def _lookup(self, read: _Read, token: str) -> tuple[Lookup, Any]:
        """Ask the store, and decode a hit. Where it does not answer, or not sensibly: ``pending``."""
        reading, call = read.reading, read.call
        if not self._breaker.allows():
            self._stats.bypassed += 1
            return _UNREACHABLE, None
        began, moment = self._local.clock(), self._local.moment(reading.tables)
        audited = self._auditor.picks()
        try:
            lookup = await self._store.lookup(
                call,
                token,
                keep=reading.ttl + reading.stale + self._lease,
                lease=self._lease,
                refresh_below=reading.stale + self._early * reading.ttl,
                versions=audited,
            )
        except asyncio.CancelledError:
            self._breaker.abandoned()
            self._release(call, token)  # It may have been taken.
            raise
        except Exception as error:  # noqa: BLE001 (whatever it is, it is not the caller's)
            self._breaker.failed(error)
            self._stats.errors += 1
            self._stats.bypassed += 1
            return _UNREACHABLE, None
        self._breaker.succeeded()
        if not lookup.data:
            if lookup.state == "pending":
                self._stats.pending += 1
            else:
                self._stats.misses += 1
            return lookup, None
        try:
            value = reading.decode(lookup.data)
        except _UNDECODABLE:
            self._stats.undecodable += 1
            if lookup.state == "refresh":
                return lookup._replace(state="fill", data=b""), None
            self._start(self._forget(call))
            return _UNREACHABLE, None
        self._stats.hits += 1
        if reading.local:
            self._hold(read, lookup.data, began, moment)
        if lookup.state == "refresh":
            self._start(self._refresh(read, lookup, token))
        elif audited and self._auditor.has_room:
            self._start(self._auditor.audit(reading, call, lookup, read.load_to_store))
        return lookup, value

    async def _miss(self, flight: InFlight, read: _Read, lookup: Lookup, token: str) -> Result:
        """Read from PostgreSQL under the lease, or wait for who has it."""
        if lookup.state == "busy":
            found, token = await self._wait_for_lease(flight, read)
            if isinstance(found, Result):
                return found
            lookup = found
        if lookup.state != "fill":
            value = await read.load()
            return Result(value, self._encode(read.reading, value))
        return await self._fill(flight, read, lookup, token)

    async def _wait_for_lease(self, flight: InFlight, read: _Read) -> tuple[Result | Lookup, str]:
        # Asks more and more rarely: who has the lease may take long.
        pause, end = 0.004, self._local.clock() + self._lease_wait
        while self._local.clock() < end:
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 2, 0.25)
            result, token = None, _token()
            flight.share()
            try:
                lookup, value = await self._lookup(read, token)
                if lookup.data:
                    result = Result(value, lookup.data)
            finally:
                flight.end_sharing(result)
            if result is not None:
                return result, token
            if lookup.state != "busy":
                return lookup, token
        return _UNREACHABLE, ""

    async def _fill(self, flight: InFlight, read: _Read, lookup: Lookup, token: str) -> Result:
        reading, call = read.reading, read.call
        try:
            value, may_store = await read.load_to_store()
        except BaseException:
            self._release(call, token)
            raise
        data = self._encode(reading, value)
        result, current = Result(value, data), False
        if not may_store:
            self._release(call, token)
            return result
        flight.share()
        try:
            current = await self._put(read, lookup, token, value, data)
        finally:
            flight.end_sharing(result if current else None)
        return result

    async def _put(self, read: _Read, lookup: Lookup, token: str, value: Any, data: bytes | None) -> bool:
        """Store a result, and say whether it is what anybody who asks now must have."""
        reading, call = read.reading, read.call
        stored = data
        if data is None:
            self._remember_unfit(read)
        elif len(data) > self._max_bytes or not self._is_decodable(reading, data):
            self._stats.uncacheable += 1
            stored = None
            self._remember_unfit(read)
        elif not reading.negative and reading.is_negative(value):
            stored = None
        began, moment = self._local.clock(), self._local.moment(reading.tables)
        ttl = reading.ttl * (1 - random.uniform(0, self._jitter)) + reading.stale
        if not self._breaker.allows():
            return False
        try:
            current = await self._store.fill(call, token, lookup.versions, stored, ttl)
        except asyncio.CancelledError:
            self._breaker.abandoned()
            self._release(call, token)
            raise
        except Exception as error:  # noqa: BLE001 (the result is there; not to store it is nobody's error)
            self._breaker.failed(error)
            self._stats.errors += 1
            return False
        self._breaker.succeeded()
        if current and stored is not None:
            self._stats.fills += 1
            if reading.local:
                self._hold(read, stored, began, moment)
        return current

    async def _refresh(self, read: _Read, lookup: Lookup, token: str) -> None:
        try:
            value, may_store = await read.load_to_store()
        except asyncio.CancelledError:
            self._release(read.call, token)
            raise
        except Exception:  # noqa: BLE001 (nobody asked for it; the next read after the end is told)
            self._release(read.call, token)
            return
        if not may_store:
            self._release(read.call, token)
        elif await self._put(read, lookup, token, value, self._encode(read.reading, value)):
            self._stats.refreshes += 1

    def _remember_unfit(self, read: _Read) -> None:
        if len(self._unfit) >= _MOST_UNFIT:
            self._unfit.clear()
        self._unfit[read.call.key] = self._local.clock() + min(read.reading.ttl, _UNFIT_S)

    @staticmethod
    def _is_decodable(reading: CachedQuery[Any], data: bytes) -> bool:
        try:
            reading.decode(data)
        except _UNDECODABLE:
            return False
        return True

    def _encode(self, reading: CachedQuery[Any], value: Any) -> bytes | None:
        try:
            return reading.codec.encode(value)
        except (TypeError, ValueError, OverflowError, RecursionError):
            self._stats.uncacheable += 1
            return None

    def _hold(self, read: _Read, data: bytes, began: float, moment: tuple[int, ...]) -> None:
        """Hold in the process what can be decoded."""
        reading, call = read.reading, read.call
        held = HeldValue(began + reading.local, data, call.tags, call.prefixes)
        self._local.put(call.key, held, reading.tables, moment)

    # Writes -------------------------------------------------------------------------------------------

    async def begin(self, touched: Touched) -> PendingInvalidation:
        """Set a marker for what a write is about to change: to be awaited right before its commit.

        ``settle`` must follow, after the commit or the rollback. One round trip each. In strict mode raises
        ``CacheError`` where the store does not answer: the write must then not be committed.
        """
        return await self._invalidation.begin(touched)

    async def publish(self, pending: PendingInvalidation) -> None:
        """End a write: from here on, nothing is served that is older than it. Never raises."""
        await self._invalidation.publish(pending)

    async def abandon(self, pending: PendingInvalidation) -> None:
        """In place of ``settle``, where nobody knows whether the write was, or will be, committed: reads of
        what it touches go to PostgreSQL for ``marker_ttl``. Never raises.
        """
        await self._invalidation.abandon(pending)

    def writing(self, touched: Touched) -> AbstractAsyncContextManager[PendingInvalidation]:
        """``mark``, then the body, which commits, then ``settle``."""
        return self._invalidation.writing(touched)

    async def invalidate(self, table: str, **known: Any) -> None:
        """Tell of a committed write that plainsql has not made.

        ``table`` with its schema; ``known`` are columns in which every row changed has one of these values,
        before and after: a value, or a list of them. Without, the whole table.

        In strict mode raises ``CacheError`` where the store does not answer; it is told as soon as it does.
        """
        await self._invalidation.invalidate(touched_rows(table, known))

    async def invalidate_rows(self, touched: Touched, *, required: bool = False, notes: int = 0) -> None:
        """As ``touch``, for several tables at once; counted as ``notes`` of the outbox.

        ``required``: raises ``CacheError`` in both modes where the store does not answer, and leaves it to
        the caller to tell it again.
        """
        await self._invalidation.invalidate(touched, required=required)
        self._stats.drained += notes

    # By hand ------------------------------------------------------------------------------------------

    async def forget(
        self, reading: CachedQuery[Any], arguments: Sequence[Any], scope: Sequence[Any] = ()
    ) -> None:
        """Drop the result of one read. Raises ``RedisUnavailableError`` where the store does not answer."""
        key = reading.key(arguments, scope)
        self._local.pop(key)
        await self._store.forget(reading.call(key, arguments))
        self._local.pop(key)

    async def clear(self, prefix: str = "") -> None:
        """Drop the results of all queries under a name, such as ``"realty"``, or of all there are.

        One round trip, however many there are. Raises ``RedisUnavailableError`` where the store does not
        answer.
        """
        await self._store.clear(prefix, _token())
        self._local.clear(prefix)

    def count_bypass(self) -> None:
        """Count a read that goes around the cache for a reason of its caller's."""
        self._stats.bypassed += 1

    def count_error(self) -> None:
        """Count a failure on the cache's part of a read."""
        self._stats.errors += 1

    def stats(self) -> Stats:
        """Return the counters as they are now."""
        return replace(
            self._stats,
            breaker=self._breaker.state,
            entries=len(self._local.held),
            found=list(self._stats.found),
        )

    def follow(self) -> None:
        """Take part in the audits that others ask for in the store, in the background, until it is closed."""
        audits = getattr(self._store, "audits", None)
        if audits is not None:
            # Not at the top: who has no Redis needs no redis package.
            from plainsql.cache.shared_audit import follow

            self._following = asyncio.get_running_loop().create_task(follow(audits, self._auditor))

    async def close(self) -> None:
        """End all that runs in the background, and the store. Reads then go to PostgreSQL."""
        self._closed = True
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])
        await self._single_flight.drain(_PATIENCE)
        if self._background:
            _, running = await asyncio.wait(self._background, timeout=_PATIENCE)
            for task in running:
                task.cancel()
            if running:
                await asyncio.wait(running)
        await self._invalidation.aclose()
        with suppress(PlainsqlError, OSError):  # who closes cannot do anything about it
            await self._store.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # ---------------------------------------------------------------------------------------------------

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _release(self, call: CachedCall, token: str) -> None:
        self._start(self._release_lease(call, token))

    async def _release_lease(self, call: CachedCall, token: str) -> None:
        try:
            await self._store.release(call, token)
        except Exception:  # noqa: BLE001
            self._stats.errors += 1  # It ends by its time.

    async def _forget(self, call: CachedCall) -> None:
        try:
            await self._store.forget(call)
        except Exception:  # noqa: BLE001 (nobody waits for it)
            self._stats.errors += 1


def _token() -> str:
    return os.urandom(9).hex()
