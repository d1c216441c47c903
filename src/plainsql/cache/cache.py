"""The read-through cache: what a cached read goes through, from the process to the store to PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from typing import Any, Final, NamedTuple, Self, TypeVar

from plainsql.cache.audit import Auditor
from plainsql.cache.breaker import Breaker
from plainsql.cache.flights import Flight, Flights, Landed
from plainsql.cache.keys import Touched, touch
from plainsql.cache.local import Held, LocalTier
from plainsql.cache.memory import MemoryStore
from plainsql.cache.reading import Call, Reading
from plainsql.cache.stats import Stats
from plainsql.cache.store import Look, Store
from plainsql.cache.writes import Mark, OnFailure, Writes
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

_AWAY = Look("pending")
"""Nothing can be stored now."""


class _Read(NamedTuple):
    """One read on its way."""

    reading: Reading[Any]
    call: Call
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
        on_failure: what a write does if the store does not answer: ``"commit"``, and invalidate as soon as it
            answers; ``"fail"`` before the commit.
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
        self._local = LocalTier(local_entries)
        self._stats = Stats()
        self._flights = Flights()
        self._background: set[asyncio.Task[Any]] = set()
        self._unfit: dict[bytes, float] = {}
        """Reads whose results could not be stored, and until when they need not be tried again."""
        self._writes = Writes(
            self._store, self._breaker, self._local, self._stats, on_failure=on_failure, marker_ttl=marker_ttl
        )
        self._auditor = Auditor(self._store, self._stats, audit_rate)
        self._following: asyncio.Task[None] | None = None
        self._closed = False

    # Reads --------------------------------------------------------------------------------------------

    def probe(self, reading: Reading[T], arguments: Sequence[Any], scope: Sequence[Any] = ()) -> T | Miss:
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
        reading: Reading[T],
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
        if self._closed or (self._writes.away and not reading.tables.isdisjoint(self._writes.away)):
            self._stats.bypassed += 1
            return await load()
        try:
            read = _Read(reading, reading.call(key, arguments), load, prove)
        except Exception:  # noqa: BLE001
            self._stats.uncacheable += 1
            return await load()
        under_way = self._flights.get(key)
        if under_way is None:
            alone: T = await self._fly_alone(read)
            return alone
        landed = await self._flights.join(under_way, lambda flight: self._fly(flight, read))
        if landed.data is None:
            # What cannot be stored is nobody's but its reader's: two must not have the same list.
            return await load()
        try:
            shared = reading.decode(landed.data)
        except _UNDECODABLE:
            return await load()
        self._stats.shared += 1
        return shared

    async def _fly_alone(self, read: _Read) -> Any:
        # A hit is served by the caller's own task: only what others may come to need has one of its own.
        key = read.call.key
        flight = self._flights.begin(key)
        handed_over = False
        try:
            token = _token()
            look, value = await self._look(read, token)
            if look.data:
                return value
            if look.state == "pending":
                return await read.load()
            rest = self._miss(flight, read, look, token)
            self._flights.hand_over(key, flight, rest, lambda: self._release(read.call, token))
            handed_over = True
        finally:
            if not handed_over:
                self._flights.end(key, flight)
        return (await self._flights.wait(flight)).value

    async def _fly(self, flight: Flight, read: _Read) -> Landed:
        """Read for a group."""
        token = _token()
        look, found = await self._look(read, token)
        if look.data:
            return Landed(found, look.data)
        if look.state == "pending":
            value = await read.load()
            return Landed(value, self._encode(read.reading, value))
        return await self._miss(flight, read, look, token)

    async def _look(self, read: _Read, token: str) -> tuple[Look, Any]:
        """Ask the store, and decode a hit. Where it does not answer, or not sensibly: ``pending``."""
        reading, call = read.reading, read.call
        if not self._breaker.allows():
            self._stats.bypassed += 1
            return _AWAY, None
        began, moment = self._local.clock(), self._local.moment(reading.tables)
        audited = self._auditor.picks()
        try:
            look = await self._store.look(
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
            return _AWAY, None
        self._breaker.succeeded()
        if not look.data:
            if look.state == "pending":
                self._stats.pending += 1
            else:
                self._stats.misses += 1
            return look, None
        try:
            value = reading.decode(look.data)
        except _UNDECODABLE:
            self._stats.undecodable += 1
            if look.state == "refresh":
                return look._replace(state="fill", data=b""), None
            self._start(self._forget(call))
            return _AWAY, None
        self._stats.hits += 1
        if reading.local:
            self._hold(read, look.data, began, moment)
        if look.state == "refresh":
            self._start(self._refresh(read, look, token))
        elif audited and self._auditor.has_room:
            self._start(self._auditor.audit(reading, call, look, read.load_to_store))
        return look, value

    async def _miss(self, flight: Flight, read: _Read, look: Look, token: str) -> Landed:
        """Read from PostgreSQL under the lease, or wait for who has it."""
        if look.state == "busy":
            found, token = await self._wait_for_lease(flight, read)
            if isinstance(found, Landed):
                return found
            look = found
        if look.state != "fill":
            value = await read.load()
            return Landed(value, self._encode(read.reading, value))
        return await self._fill(flight, read, look, token)

    async def _wait_for_lease(self, flight: Flight, read: _Read) -> tuple[Landed | Look, str]:
        # Asks more and more rarely: who has the lease may take long.
        pause, end = 0.004, self._local.clock() + self._lease_wait
        while self._local.clock() < end:
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 2, 0.25)
            landed, token = None, _token()
            flight.share()
            try:
                look, value = await self._look(read, token)
                if look.data:
                    landed = Landed(value, look.data)
            finally:
                flight.end_sharing(landed)
            if landed is not None:
                return landed, token
            if look.state != "busy":
                return look, token
        return _AWAY, ""

    async def _fill(self, flight: Flight, read: _Read, look: Look, token: str) -> Landed:
        reading, call = read.reading, read.call
        try:
            value, may_store = await read.load_to_store()
        except BaseException:
            self._release(call, token)
            raise
        data = self._encode(reading, value)
        landed, current = Landed(value, data), False
        if not may_store:
            self._release(call, token)
            return landed
        flight.share()
        try:
            current = await self._put(read, look, token, value, data)
        finally:
            flight.end_sharing(landed if current else None)
        return landed

    async def _put(self, read: _Read, look: Look, token: str, value: Any, data: bytes | None) -> bool:
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
            current = await self._store.fill(call, token, look.versions, stored, ttl)
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

    async def _refresh(self, read: _Read, look: Look, token: str) -> None:
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
        elif await self._put(read, look, token, value, self._encode(read.reading, value)):
            self._stats.refreshes += 1

    def _remember_unfit(self, read: _Read) -> None:
        if len(self._unfit) >= _MOST_UNFIT:
            self._unfit.clear()
        self._unfit[read.call.key] = self._local.clock() + min(read.reading.ttl, _UNFIT_S)

    @staticmethod
    def _is_decodable(reading: Reading[Any], data: bytes) -> bool:
        try:
            reading.decode(data)
        except _UNDECODABLE:
            return False
        return True

    def _encode(self, reading: Reading[Any], value: Any) -> bytes | None:
        try:
            return reading.codec.encode(value)
        except (TypeError, ValueError, OverflowError, RecursionError):
            self._stats.uncacheable += 1
            return None

    def _hold(self, read: _Read, data: bytes, began: float, moment: tuple[int, ...]) -> None:
        """Hold in the process what can be decoded."""
        reading, call = read.reading, read.call
        held = Held(began + reading.local, data, call.tags, call.prefixes)
        self._local.put(call.key, held, reading.tables, moment)

    # Writes -------------------------------------------------------------------------------------------

    async def mark(self, touched: Touched) -> Mark:
        """Set a marker for what a write is about to change: to be awaited right before its commit.

        ``settle`` must follow, after the commit or the rollback. One round trip each. With
        ``on_failure="fail"`` raises ``CacheError`` if the store does not answer: the write must then not be
        committed.
        """
        return await self._writes.mark(touched)

    async def settle(self, mark: Mark) -> None:
        """End a write: from here on, nothing is served that is older than it. Never raises."""
        await self._writes.settle(mark)

    async def leave(self, mark: Mark) -> None:
        """In place of ``settle``, where nobody knows whether the write was, or will be, committed: reads of
        what it touches go to PostgreSQL for ``marker_ttl``. Never raises.
        """
        await self._writes.leave(mark)

    def writing(self, touched: Touched) -> AbstractAsyncContextManager[Mark]:
        """``mark``, then the body, which commits, then ``settle``."""
        return self._writes.writing(touched)

    async def touch(self, table: str, **known: Any) -> None:
        """Tell of a committed write that plainsql has not made.

        ``table`` with its schema; ``known`` are columns in which every row changed has one of these values,
        before and after: a value, or a list of them. Without, the whole table.

        With ``on_failure="fail"`` raises ``CacheError`` if the store does not answer; it is invalidated as
        soon as it does.
        """
        await self._writes.touch(touch(table, known))

    async def touch_all(self, touched: Touched, *, required: bool = False, notes: int = 0) -> None:
        """As ``touch``, for several tables at once; counted as ``notes`` of the outbox.

        ``required``: raises ``CacheError`` in any case if the store does not answer; the caller calls it
        again.
        """
        await self._writes.touch(touched, required=required)
        self._stats.drained += notes

    # By hand ------------------------------------------------------------------------------------------

    async def forget(
        self, reading: Reading[Any], arguments: Sequence[Any], scope: Sequence[Any] = ()
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
            from plainsql.cache.audits import follow

            self._following = asyncio.get_running_loop().create_task(follow(audits, self._auditor))

    async def close(self) -> None:
        """End all that runs in the background, and the store. Reads then go to PostgreSQL."""
        self._closed = True
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])
        await self._flights.drain(_PATIENCE)
        if self._background:
            _, running = await asyncio.wait(self._background, timeout=_PATIENCE)
            for task in running:
                task.cancel()
            if running:
                await asyncio.wait(running)
        await self._writes.aclose()
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

    def _release(self, call: Call, token: str) -> None:
        self._start(self._release_lease(call, token))

    async def _release_lease(self, call: Call, token: str) -> None:
        try:
            await self._store.release(call, token)
        except Exception:  # noqa: BLE001
            self._stats.errors += 1  # It ends by its time.

    async def _forget(self, call: Call) -> None:
        try:
            await self._store.forget(call)
        except Exception:  # noqa: BLE001 (nobody waits for it)
            self._stats.errors += 1


def _token() -> str:
    return os.urandom(9).hex()
