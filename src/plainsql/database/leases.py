"""Connections leased from an asyncpg pool, so that a call pays for its statement and for nothing else.

asyncpg's pool pays, for every call, for acquiring, for a reset query in a round trip of its own, and for
releasing through tasks. A statement that is proved to leave nothing behind in the session needs none of this:
its connection goes back to a free list as it is. All else, transactions and statements that nothing is proved
of, is reset before the connection serves anybody again.

The pool stays asyncpg's: it opens, sets up and closes connections, and its ``max_size`` holds. A connection
whose call was cancelled, timed out or failed in an unknown state goes back to the pool through the pool's own
release, which waits for the cancellation and resets or closes it; the lease is opened anew when it is needed.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine
from enum import Enum
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

from asyncpg import exceptions

from plainsql.errors import PlainsqlError, PoolTimeoutError

__all__ = ["Lease", "Leases", "Tenant"]

Tenant = tuple[tuple[str, str], ...]
"""The settings that make a session a tenant's: names and values."""

_MOMENT = 0.001
"""Seconds: finer is no loop's clock."""

_PATIENCE = 10.0
"""Seconds that a reset, a release or a farewell may take before the connection is cut."""


class Lease:
    """A connection on loan from the pool."""

    __slots__ = ("born", "connection", "idle_since", "proxy", "tenant")

    def __init__(self, proxy: Any, born: float, now: float) -> None:
        self.proxy = proxy
        """What the pool handed out and takes back."""
        self.connection = proxy._con
        """The connection itself: the proxy costs a call for every call."""
        self.born = born
        self.idle_since = now
        self.tenant: Tenant | None = None
        """The tenant that the session is set to, where it is set to one."""


class _Turn(Enum):
    """What one who waits may be given instead of a connection."""

    PLACE = "a place: it is this call's turn to open a connection"
    CLOSED = "the database is closed"


Given = Lease | _Turn


class Leases:
    """The connections of one pool: idle ones in a stack, those who wait in a queue.

    In the order in which they came: nobody waits while a later one is served. As long as somebody waits, no
    connection is idle and no place is free: both are handed over, never left for whoever comes first.
    """

    def __init__(
        self,
        pool: Any,
        *,
        max_size: int,
        wait_timeout: float | None,
        max_waiting: int,
        min_size: int = 0,
        max_age: float = 3600.0,
        max_idle: float = 300.0,
    ) -> None:
        self._pool = pool
        self.max_size = max_size
        self._wait_timeout = wait_timeout
        self._max_waiting = max_waiting
        self._min_size = min_size
        self._max_age = max_age
        self._max_idle = max_idle
        self._trimming: asyncio.TimerHandle | None = None
        self._idle: list[Lease] = []
        """The one that was used last on top, so that the ones below grow old and are closed."""
        self._waiting: OrderedDict[asyncio.Future[Given], float] = OrderedDict()
        """Those who wait, and until when: in the order of both, as all wait equally long."""
        self._impatience: asyncio.TimerHandle | None = None
        """One clock for all who wait: one for each would cost more than the rest of the waiting."""
        self._open = 0
        """Leases that are idle, in use, being opened or being given back: never more than ``max_size``."""
        self._born: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
        """When each connection was opened: it may go back to the pool, and come again, before it is old."""
        self._retired_before = 0.0
        """Connections that were opened before this moment are not used again."""
        self._closing = False
        self._all_back = asyncio.Event()
        self._returning: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Open the connections that are kept, and one in any case: where there is no server it is told now.

        Raises what opening a connection raises.
        """
        self._open += 1
        self.give_back(await self._open_one(None))
        more = max(self._min_size - 1, 0)
        self._open += more
        for lease in await asyncio.gather(*(self._open_one(None) for _ in range(more))):
            self.give_back(lease)

    def take_now(self, tenant: Tenant | None = None) -> Lease | None:
        """Take an idle connection, if there is one that lives: one whose session is the tenant's where there
        is one.

        The session of what is returned may be another tenant's, or nobody's: its ``tenant`` says.
        """
        idle = self._idle
        while idle:
            if idle[-1].tenant == tenant:
                lease = idle.pop()
            else:
                # The tenant's own, else the one that was used longest ago.
                lease = idle.pop(
                    next((i for i in range(len(idle) - 1, -1, -1) if idle[i].tenant == tenant), 0)
                )
            if not lease.connection.is_closed():
                return lease
            self.retire(lease)
        return None

    async def take(self, tenant: Tenant | None = None) -> Lease:
        """Take a connection: an idle one, a new one, or, in turn, one that others give back.

        Raises ``PoolTimeoutError`` where none becomes free in time or too many wait already,
        ``PlainsqlError`` where the database is closed, and what opening a connection raises.
        """
        if self._closing:
            raise _closed()
        if (lease := self.take_now(tenant)) is not None:
            return lease
        loop = asyncio.get_running_loop()
        timeout = self._wait_timeout
        deadline = None if timeout is None else loop.time() + timeout
        if self._open < self.max_size:
            self._open += 1
            return await self._open_one(deadline)
        if len(self._waiting) >= self._max_waiting:
            raise PoolTimeoutError(
                f"{self._max_waiting} calls wait for a connection already",
                detail=f"all {self.max_size} connections are in use",
                hint="raise max_size or max_waiting, or send less at once",
            )
        if deadline is not None and self._impatience is None:
            self._impatience = loop.call_at(deadline, self._lose_patience)
        future: asyncio.Future[Given] = loop.create_future()
        self._waiting[future] = deadline or 0.0
        try:
            given = await future
        except asyncio.CancelledError:
            self._pass_on(future)
            raise
        if isinstance(given, Lease):
            return given
        if given is _Turn.CLOSED:
            raise _closed()
        return await self._open_one(deadline)

    def give_back(self, lease: Lease) -> None:
        """Give a connection back that is as it was taken: to whoever waits longest, or to the stack."""
        now = monotonic()
        if self._closing or now - lease.born > self._max_age or lease.born < self._retired_before:
            self._close(lease)
        elif self._waiting and lease.connection.is_closed():
            self.retire(lease)  # one that idles is looked at when it is taken
        elif not (self._waiting and self._hand_over(lease)):
            lease.idle_since = now
            self._idle.append(lease)
            if self._trimming is None:
                self._trimming = asyncio.get_running_loop().call_later(self._max_idle, self._trim)

    def give_back_changed(self, lease: Lease) -> None:
        """Give a connection back whose session may have been changed: it is reset before it serves
        anybody.
        """
        self._in_background(self._reset(lease))

    def give_back_after(self, lease: Lease, statement: str) -> None:
        """Give a connection back when it has run a last statement: ``commit``, ``rollback``."""
        self._in_background(self._end(lease, statement))

    def retire(self, lease: Lease) -> None:
        """Give a connection back in whatever state it is: the pool makes it good or closes it."""
        lease.tenant = None
        self._in_background(self._return_to_pool(lease))

    def retire_before(self, moment: float) -> None:
        """Close all connections that were opened before a moment of `time.monotonic`: idle ones at once,
        those in use when they come back.
        """
        self._retired_before = max(self._retired_before, moment)
        self._idle, idle = [], self._idle
        for lease in idle:
            self.give_back(lease)

    async def close(self) -> None:
        """Refuse new calls, wait until all connections are back, and give them to the pool."""
        self._closing = True
        for timer in (self._trimming, self._impatience):
            if timer is not None:
                timer.cancel()
        while self._hand_over(_Turn.CLOSED):
            pass
        while self._idle:
            self.retire(self._idle.pop())
        while self._open:
            self._all_back.clear()
            await self._all_back.wait()

    @property
    def in_use(self) -> int:
        return self._open - len(self._idle)

    @property
    def idle(self) -> int:
        return len(self._idle)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    # --------------------------------------------------------------------------------------------------

    async def _open_one(self, deadline: float | None) -> Lease:
        """Open a connection in a place that is this call's already."""
        try:
            # Not acquire(timeout=…): where it is cancelled in the moment in which it ends, it swallows the
            # cancellation.
            async with asyncio.timeout_at(deadline):
                proxy = await self._pool.acquire()
        except BaseException as error:
            self._leave_place()
            if isinstance(error, exceptions.InterfaceError) and self._pool.is_closing():
                raise _closed() from None
            raise
        now = monotonic()
        return Lease(proxy, self._born.setdefault(proxy._con, now), now)

    def _pass_on(self, future: asyncio.Future[Given]) -> None:
        """Take out one who was cancelled. What it was given in the very same moment goes to the next."""
        if not future.done() or future.cancelled():
            self._waiting.pop(future, None)
        elif future.exception() is None:
            given = future.result()
            if isinstance(given, Lease):
                self.give_back(given)
            elif given is _Turn.PLACE:
                self._leave_place()

    def _lose_patience(self) -> None:
        """Refuse those whose time is up."""
        self._impatience = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._waiting:
            future, deadline = next(iter(self._waiting.items()))
            # The clock may go off a moment early, as all of a loop's do.
            if deadline > now + _MOMENT:
                self._impatience = loop.call_at(deadline, self._lose_patience)
                return
            del self._waiting[future]
            if not future.done():
                future.set_exception(
                    PoolTimeoutError(
                        f"no connection became free within {self._wait_timeout:g} s",
                        detail=f"all {self.max_size} connections are in use",
                        hint="raise max_size, or look for transactions that are held open for too long",
                    )
                )

    def _hand_over(self, given: Given) -> bool:
        while self._waiting:
            future, _ = self._waiting.popitem(last=False)
            if not future.done():
                future.set_result(given)
                return True
        return False

    def _leave_place(self) -> None:
        """A connection is gone: its place goes to who waits longest."""
        if self._hand_over(_Turn.PLACE):
            return
        self._open -= 1
        if self._open == 0:
            self._all_back.set()

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._returning.add(task)
        task.add_done_callback(self._returning.discard)

    async def _reset(self, lease: Lease) -> None:
        try:
            await lease.connection.reset(timeout=_PATIENCE)
        except Exception:  # noqa: BLE001 (whatever it is: the pool closes what it cannot make good)
            self.retire(lease)
        except BaseException:
            self.retire(lease)
            raise
        else:
            lease.tenant = None
            self.give_back(lease)

    async def _end(self, lease: Lease, statement: str) -> None:
        try:
            await lease.connection.execute(statement, timeout=_PATIENCE)
        except Exception:  # noqa: BLE001 (as above)
            self.retire(lease)
        except BaseException:
            self.retire(lease)
            raise
        else:
            self.give_back(lease)

    async def _return_to_pool(self, lease: Lease) -> None:
        try:
            await self._pool.release(lease.proxy, timeout=_PATIENCE)
        except Exception:  # noqa: BLE001
            # The pool has terminated the connection: its answer to everything that goes wrong here.
            pass
        finally:
            self._leave_place()

    def _close(self, lease: Lease) -> None:
        """Close a connection that is as it was taken: the pool opens another where one is needed."""
        self._in_background(self._say_farewell(lease))

    async def _say_farewell(self, lease: Lease) -> None:
        try:
            # The pool, told by the connection, has its holder back afterwards.
            await lease.connection.close(timeout=_PATIENCE)
        except Exception:  # noqa: BLE001
            pass  # it is cut then
        finally:
            self._leave_place()

    def _trim(self) -> None:
        """Close what was not needed for a while, down to ``min_size``."""
        self._trimming = None
        oldest = monotonic() - self._max_idle
        surplus = self._open - self._min_size
        while self._idle and surplus > 0 and self._idle[0].idle_since <= oldest:
            self._close(self._idle.pop(0))
            surplus -= 1
        if self._idle:
            wait = self._idle[0].idle_since - oldest if surplus > 0 else self._max_idle
            self._trimming = asyncio.get_running_loop().call_later(wait, self._trim)


def _closed() -> PlainsqlError:
    return PlainsqlError("the database is closed", hint="use it inside its 'async with' block")
