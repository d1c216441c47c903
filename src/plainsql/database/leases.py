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
from collections import deque
from collections.abc import Coroutine
from typing import Any

from asyncpg import exceptions

from plainsql.errors import PlainsqlError, PoolTimeoutError

__all__ = ["Lease", "Leases", "Tenant"]

Tenant = tuple[tuple[str, str], ...]
"""The settings that make a session a tenant's: names and values."""


class Lease:
    """A connection on loan from the pool."""

    __slots__ = ("connection", "idle_since", "proxy", "since", "tenant")

    def __init__(self, proxy: Any, since: float) -> None:
        self.proxy = proxy
        """What the pool handed out and takes back."""
        self.connection = proxy._con
        """The connection itself: the proxy costs a call for every call."""
        self.since = since
        self.idle_since = since
        self.tenant: Tenant | None = None
        """The tenant that the session is set to, where it is set to one."""


class Leases:
    """The connections of one pool: idle ones in a stack, those who wait in a queue.

    In the order in which they came: nobody waits while a later one is served.
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
        self._waiting: deque[asyncio.Future[Lease | None]] = deque()
        self._open = 0
        """Leases that are idle, in use, or being opened: never more than ``max_size``."""
        self._closing = False
        self._all_back = asyncio.Event()
        self._returning: set[asyncio.Task[None]] = set()

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
        loop = asyncio.get_running_loop()
        deadline = None if self._wait_timeout is None else loop.time() + self._wait_timeout
        while True:
            if self._closing:
                raise PlainsqlError("the database is closed", hint="use it inside its 'async with' block")
            if (lease := self.take_now(tenant)) is not None:
                return lease
            if self._open < self.max_size:
                return await self._open_one()
            if len(self._waiting) >= self._max_waiting:
                raise PoolTimeoutError(
                    f"{self._max_waiting} calls wait for a connection already",
                    detail=f"all {self.max_size} connections are in use",
                    hint="raise max_size or max_waiting, or send less at once",
                )
            if (lease := await self._wait(loop, deadline)) is not None:
                return lease
            # None: a place became free, and it is this call's turn to open a connection.

    def give_back(self, lease: Lease) -> None:
        """Give a connection back that is as it was taken: to whoever waits longest, or to the stack."""
        if lease.connection.is_closed():
            self.retire(lease)
            return
        now = self._now()
        if self._closing or now - lease.since > self._max_age:
            self.retire(lease)
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

    def retire(self, lease: Lease) -> None:
        """Give a connection back in whatever state it is: the pool makes it good or closes it."""
        lease.tenant = None
        self._in_background(self._return_to_pool(lease))

    async def close(self) -> None:
        """Refuse new calls, wait until all connections are back, and give them to the pool."""
        self._closing = True
        if self._trimming is not None:
            self._trimming.cancel()
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        while self._idle:
            self.retire(self._idle.pop())
        if self._open:
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

    async def _open_one(self) -> Lease:
        self._open += 1
        try:
            proxy = await self._pool.acquire(timeout=self._wait_timeout)
        except BaseException as error:
            self._close_one()
            if isinstance(error, exceptions.InterfaceError) and self._pool.is_closing():
                raise PlainsqlError("the database is closed") from None
            raise
        return Lease(proxy, self._now())

    async def _wait(self, loop: asyncio.AbstractEventLoop, deadline: float | None) -> Lease | None:
        future: asyncio.Future[Lease | None] = loop.create_future()
        self._waiting.append(future)
        try:
            async with asyncio.timeout_at(deadline):
                return await future
        except BaseException as error:
            # Cancelled or timed out in the very moment in which it was given something: pass that on.
            if future.done() and not future.cancelled():
                given = future.result()
                if given is not None:
                    self.give_back(given)
                else:
                    self._wake_one()
            elif future in self._waiting:
                self._waiting.remove(future)
            if isinstance(error, TimeoutError):
                raise PoolTimeoutError(
                    f"no connection became free within {self._wait_timeout:g} s",
                    detail=f"all {self.max_size} connections are in use",
                    hint="raise max_size, or look for transactions that are held open for too long",
                ) from None
            raise

    def _hand_over(self, lease: Lease) -> bool:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(lease)
                return True
        return False

    def _wake_one(self) -> None:
        """Let who waits longest open a connection: a place is free."""
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                return

    def _close_one(self) -> None:
        self._open -= 1
        if self._open == 0:
            self._all_back.set()
        self._wake_one()

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._returning.add(task)
        task.add_done_callback(self._returning.discard)

    async def _reset(self, lease: Lease) -> None:
        try:
            await lease.connection.reset(timeout=10)
        except Exception:  # noqa: BLE001 (whatever it is, the pool closes what it cannot make good)
            self.retire(lease)
        except BaseException:
            self.retire(lease)
            raise
        else:
            lease.tenant = None
            self.give_back(lease)

    async def _return_to_pool(self, lease: Lease) -> None:
        try:
            await self._pool.release(lease.proxy, timeout=10)
        except Exception:  # noqa: BLE001 (see below)
            # The pool has terminated the connection: its answer to everything that goes wrong here.
            pass
        finally:
            self._close_one()

    def _trim(self) -> None:
        """Close what was not needed for a while, down to ``min_size``."""
        self._trimming = None
        oldest = self._now() - self._max_idle
        while self._idle and self._open > self._min_size and self._idle[0].idle_since <= oldest:
            self.retire(self._idle.pop(0))
        if self._idle:
            wait = max(self._idle[0].idle_since - oldest, 1.0)
            self._trimming = asyncio.get_running_loop().call_later(wait, self._trim)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
