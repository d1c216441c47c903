"""The path of a cached read: from the process to the store to PostgreSQL, and its result back into both."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from plainsql.cache.auditor import Auditor
from plainsql.cache.breaker import Breaker
from plainsql.cache.cached_query import CachedCall, CachedQuery
from plainsql.cache.invalidation import Invalidation
from plainsql.cache.process_tier import HeldValue, ProcessTier
from plainsql.cache.single_flight import InFlight, Result, SingleFlight
from plainsql.cache.stats import Stats
from plainsql.cache.store import Lookup, Store

__all__ = ["MISS", "Miss", "Options", "ReadThrough"]

T = TypeVar("T")


class Miss:
    """The type of `MISS`."""

    def __repr__(self) -> str:
        return "MISS"


MISS: Final = Miss()
"""The result of ``probe`` if the process holds no value: ``None`` may be a result."""

_CLOSE_S = 5.0
"""Seconds that reads in progress may take when the cache is closed."""

_UNDECODABLE = (ValueError, TypeError, RecursionError)
"""Errors of decoding. Other programs' values cause them, and values of PostgreSQL that the row's type does
not
take: a null in an array, or a label that an enum has had since."""

_UNSTORABLE_S = 60.0
"""Seconds for which a read whose result could not be stored is not tried again: a try costs two round
trips."""

_MAX_UNSTORABLE = 10_000

_FIRST_LEASE_CHECK_S = 0.004
_MAX_LEASE_CHECK_S = 0.25

_NO_MOMENT: tuple[int, ...] = ()

_PENDING = Lookup("pending")
"""The lookup of a store that does not answer: nothing can be stored now."""


class Options(NamedTuple):
    """The options of reads; see `Cache`."""

    jitter: float
    early: float
    max_bytes: int
    lease: float
    lease_wait: float


class _Read(NamedTuple):
    """One read in progress."""

    query: CachedQuery[Any]
    call: CachedCall
    load: Callable[[], Awaitable[Any]]
    prove: Callable[[], Awaitable[tuple[Any, bool]]] | None

    async def load_to_store(self) -> tuple[Any, bool]:
        """Read from PostgreSQL, and return with the value whether it may be stored."""
        value, proved = (await self.load(), True) if self.prove is None else await self.prove()
        return value, proved and not self.query.withdrawn


class ReadThrough:
    """Reads through the process, the store and PostgreSQL. Part of a `Cache`."""

    def __init__(
        self,
        store: Store,
        breaker: Breaker,
        tier: ProcessTier,
        stats: Stats,
        auditor: Auditor,
        invalidation: Invalidation,
        options: Options,
    ) -> None:
        self._store, self._breaker, self._tier, self._stats = store, breaker, tier, stats
        self._auditor, self._invalidation = auditor, invalidation
        self._jitter, self._early, self._max_bytes = options.jitter, options.early, options.max_bytes
        self._lease, self._lease_wait = options.lease, options.lease_wait
        self._single_flight = SingleFlight()
        self._background: set[asyncio.Task[Any]] = set()
        self._unstorable: dict[bytes, float] = {}
        """Reads whose results could not be stored, and the time until which they are not tried again."""
        self.closed = False
        """True if all reads go to PostgreSQL."""

    def probe(self, query: CachedQuery[T], arguments: Sequence[Any], scope: Sequence[Any] = ()) -> T | Miss:
        """Return the value that the process holds for a read, or ``MISS``."""
        if query.local:
            try:
                held = self._tier.held.get(query.key(arguments, scope))
            except (TypeError, ValueError, OverflowError):
                return MISS
            if held is not None and held.ends > self._tier.clock():
                self._stats.local_hits += 1
                return query.decode(held.data)
        return MISS

    async def read(
        self,
        query: CachedQuery[T],
        arguments: Sequence[Any],
        load: Callable[[], Awaitable[T]],
        scope: Sequence[Any],
        prove: Callable[[], Awaitable[tuple[T, bool]]] | None,
    ) -> T:
        """Return the result of a read; see ``Cache.read``."""
        try:
            key = query.key(arguments, scope)
        except Exception:  # noqa: BLE001 (an argument of the caller's own class may raise anything)
            self._stats.uncacheable += 1
            return await load()
        if query.local:
            held = self._tier.held.get(key)
            if held is not None and held.ends > self._tier.clock():
                self._stats.local_hits += 1
                return query.decode(held.data)
        if self._unstorable and self._unstorable.get(key, 0.0) > self._tier.clock():
            self._stats.uncacheable += 1
            return await load()
        if self.closed or (
            self._invalidation.unreachable_tables
            and not query.tables.isdisjoint(self._invalidation.unreachable_tables)
        ):
            self._stats.bypassed += 1
            return await load()
        try:
            call = query.call(key, arguments)
        except Exception:  # noqa: BLE001
            self._stats.uncacheable += 1
            return await load()
        flights = self._single_flight
        in_flight = flights.get(key)
        if in_flight is not None:
            joined: T = await self._join(in_flight, _Read(query, call, load, prove))
            return joined
        # The store is looked up in the caller's own task. The rest of a miss is left to another task, whose
        # result other callers may need.
        flight = flights.begin(key)
        handed_over = False
        try:
            token = _token()
            lookup, value = await self._lookup(query, call, load, prove, token)
            if lookup.data:
                stored: T = value
                return stored
            if lookup.state == "pending":
                return await load()
            read = _Read(query, call, load, prove)
            rest = self._miss(flight, read, lookup, token)
            flights.hand_over(key, flight, rest, lambda: self._release(call, token))
            handed_over = True
        finally:
            if not handed_over:
                flights.end(key, flight)
        loaded: T = (await flights.wait(flight)).value
        return loaded

    async def _join(self, in_flight: InFlight, read: _Read) -> Any:
        """Wait behind a read of the same key for its result, or for the next read."""
        result = await self._single_flight.join(in_flight, lambda flight: self._load_for_group(flight, read))
        if result.data is None:
            # A result that cannot be encoded belongs to its reader: two must not have the same list.
            return await read.load()
        try:
            shared = read.query.decode(result.data)
        except _UNDECODABLE:
            return await read.load()
        self._stats.shared += 1
        return shared

    async def _load_for_group(self, flight: InFlight, read: _Read) -> Result:
        """Read for a group of callers."""
        token = _token()
        lookup, found = await self._lookup(*read, token)
        if lookup.data:
            return Result(found, lookup.data)
        if lookup.state == "pending":
            value = await read.load()
            return Result(value, self._encode(read.query, value))
        return await self._miss(flight, read, lookup, token)

    async def _lookup(
        self,
        query: CachedQuery[Any],
        call: CachedCall,
        load: Callable[[], Awaitable[Any]],
        prove: Callable[[], Awaitable[tuple[Any, bool]]] | None,
        token: str,
    ) -> tuple[Lookup, Any]:
        """Look up a read in the store, and decode a hit. The state is ``pending`` if the store does not
        answer, or with a value that cannot be decoded.
        """
        if not self._breaker.allows():
            self._stats.bypassed += 1
            return _PENDING, None
        began, moment = 0.0, _NO_MOMENT
        if query.local:
            began, moment = self._tier.clock(), self._tier.moment(query.tables)
        audited = self._auditor.rate > 0 and self._auditor.picks()
        try:
            lookup = await self._store.lookup(
                call,
                token,
                keep=query.life + self._lease,
                lease=self._lease,
                refresh_below=query.stale + self._early * query.ttl,
                versions=audited,
            )
        except asyncio.CancelledError:
            self._breaker.abandoned()
            self._release(call, token)  # it may have been acquired
            raise
        except Exception as error:  # noqa: BLE001 (an error of the store is not the caller's)
            self._breaker.failed(error)
            self._stats.errors += 1
            self._stats.bypassed += 1
            return _PENDING, None
        self._breaker.succeeded()
        state, data, _ = lookup
        if not data:
            if state == "pending":
                self._stats.pending += 1
            else:
                self._stats.misses += 1
            return lookup, None
        try:
            value = query.decode(data)
        except _UNDECODABLE:
            self._stats.undecodable += 1
            if state == "refresh":
                return lookup._replace(state="fill", data=b""), None
            self._start(self._forget(call))
            return _PENDING, None
        self._stats.hits += 1
        if query.local:
            self._hold(query, call, data, began, moment)
        if state == "refresh":
            self._start(self._refresh(_Read(query, call, load, prove), lookup, token))
        elif audited and self._auditor.has_room:
            read = _Read(query, call, load, prove)
            self._start(self._auditor.audit(query, call, lookup, read.load_to_store))
        return lookup, value

    async def _miss(self, flight: InFlight, read: _Read, lookup: Lookup, token: str) -> Result:
        """Read from PostgreSQL under the lease, or wait for the reader that has it."""
        if lookup.state == "busy":
            found, token = await self._wait_for_lease(flight, read)
            if isinstance(found, Result):
                return found
            lookup = found
        if lookup.state != "fill":
            value = await read.load()
            return Result(value, self._encode(read.query, value))
        return await self._fill(flight, read, lookup, token)

    async def _wait_for_lease(self, flight: InFlight, read: _Read) -> tuple[Result | Lookup, str]:
        """Look up the store, more and more rarely, until the reader with the lease has stored or released."""
        pause, end = _FIRST_LEASE_CHECK_S, self._tier.clock() + self._lease_wait
        while self._tier.clock() < end:
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 2, _MAX_LEASE_CHECK_S)
            result, token = None, _token()
            flight.share()
            try:
                lookup, value = await self._lookup(*read, token)
                if lookup.data:
                    result = Result(value, lookup.data)
            finally:
                flight.end_sharing(result)
            if result is not None:
                return result, token
            if lookup.state != "busy":
                return lookup, token
        return _PENDING, ""

    async def _fill(self, flight: InFlight, read: _Read, lookup: Lookup, token: str) -> Result:
        query, call = read.query, read.call
        try:
            value, may_store = await read.load_to_store()
        except BaseException:
            self._release(call, token)
            raise
        data = self._encode(query, value)
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
        """Store a result, and return whether it is current, so that callers that came since may have it."""
        query, call = read.query, read.call
        stored = data
        if data is None:
            self._remember_unstorable(read)
        elif len(data) > self._max_bytes or not self._is_decodable(query, data):
            self._stats.uncacheable += 1
            stored = None
            self._remember_unstorable(read)
        elif not query.negative and query.is_negative(value):
            stored = None
        began, moment = self._tier.clock(), self._tier.moment(query.tables)
        ttl = query.ttl * (1 - random.uniform(0, self._jitter)) + query.stale
        if not self._breaker.allows():
            return False
        try:
            current = await self._store.fill(call, token, lookup.versions, stored, ttl)
        except asyncio.CancelledError:
            self._breaker.abandoned()
            self._release(call, token)
            raise
        except Exception as error:  # noqa: BLE001 (the caller has its result, stored or not)
            self._breaker.failed(error)
            self._stats.errors += 1
            return False
        self._breaker.succeeded()
        if current and stored is not None:
            self._stats.fills += 1
            if query.local:
                self._hold(query, call, stored, began, moment)
        return current

    async def _refresh(self, read: _Read, lookup: Lookup, token: str) -> None:
        try:
            value, may_store = await read.load_to_store()
        except asyncio.CancelledError:
            self._release(read.call, token)
            raise
        except Exception:  # noqa: BLE001 (no caller waits for it; the next read after the end raises it)
            self._release(read.call, token)
            return
        if not may_store:
            self._release(read.call, token)
        elif await self._put(read, lookup, token, value, self._encode(read.query, value)):
            self._stats.refreshes += 1

    def _remember_unstorable(self, read: _Read) -> None:
        if len(self._unstorable) >= _MAX_UNSTORABLE:
            self._unstorable.clear()
        self._unstorable[read.call.key] = self._tier.clock() + min(read.query.ttl, _UNSTORABLE_S)

    @staticmethod
    def _is_decodable(query: CachedQuery[Any], data: bytes) -> bool:
        try:
            query.decode(data)
        except _UNDECODABLE:
            return False
        return True

    def _encode(self, query: CachedQuery[Any], value: Any) -> bytes | None:
        try:
            return query.codec.encode(value)
        except (TypeError, ValueError, OverflowError, RecursionError):
            self._stats.uncacheable += 1
            return None

    def _hold(
        self, query: CachedQuery[Any], call: CachedCall, data: bytes, began: float, moment: tuple[int, ...]
    ) -> None:
        """Hold a value, which can be decoded, in the process."""
        held = HeldValue(began + query.local, data, call.tags, call.prefixes)
        self._tier.put(call.key, held, query.tables, moment)

    async def close(self) -> None:
        """End the reads in progress, and what runs in the background. Later reads go to PostgreSQL."""
        self.closed = True
        await self._single_flight.drain(_CLOSE_S)
        if self._background:
            _, running = await asyncio.wait(self._background, timeout=_CLOSE_S)
            for task in running:
                task.cancel()
            if running:
                await asyncio.wait(running)

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
            self._stats.errors += 1  # the lease expires

    async def _forget(self, call: CachedCall) -> None:
        try:
            await self._store.forget(call)
        except Exception:  # noqa: BLE001 (no caller waits for it)
            self._stats.errors += 1


def _token() -> str:
    return os.urandom(9).hex()
