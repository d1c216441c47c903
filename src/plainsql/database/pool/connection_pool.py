"""Leased connections, so that a call pays for its statement and for nothing else.

asyncpg's pool pays, for every call, for acquiring, for a reset query in a round trip of its own, and for
releasing through tasks. A statement that is proved to leave nothing behind in the session needs none of this:
its connection goes back to a free list as it is. All else, transactions and statements that nothing is proved
of, is reset before the connection serves anybody again.

Connections are opened in tasks of their own, never in a caller's: a call waits in the queue, for one that
comes back or for one that opens, within its time limit, and its cancellation takes effect at once. A
connection whose call was cancelled, timed out or failed in an unknown state stays in the books, is recovered
in the background, and is cut if that takes too long.
"""

from __future__ import annotations

import asyncio
import copy
from _thread import get_ident
from collections.abc import Coroutine
from time import monotonic
from typing import Any

from plainsql import fork
from plainsql.database.pool.connector import Connector
from plainsql.database.pool.event_loop import NOWHERE, whereabouts
from plainsql.database.pool.openings import Openings, is_lasting
from plainsql.database.pool.waiters import Waiters
from plainsql.errors import PlainsqlError, PoolTimeoutError
from plainsql.tenancy import Tenant

__all__ = ["ConnectionPool", "PooledConnection"]

_CANCEL_S = 1.0
"""Seconds that the server has to take requests to cancel when the pool is cut."""

_RETURN_S = 0.25
"""Seconds that cancelled calls have to come back before their connections are cut."""

_NEVER = float("-inf")
"""When connections were opened that are not to be used again: they are older than any."""


class PooledConnection:
    """A connection of the pool, idle or on loan."""

    __slots__ = ("born", "connection", "idle_since", "tenant")

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.born: float = connection.born
        self.idle_since = self.born
        self.tenant: Tenant | None = None
        """The tenant that the session is set to, where it is set to one."""


class ConnectionPool:
    """The connections of one database: idle ones in a stack, those who wait in a queue.

    In the order in which they came: nobody waits while a later one is served. As long as somebody waits, no
    connection is idle: it is handed over, never left for whoever comes first.
    """

    def __init__(
        self,
        connector: Connector,
        *,
        max_size: int,
        wait_timeout: float | None,
        max_waiting: int,
        min_size: int = 0,
        max_lifetime: float = 3600.0,
        max_idle: float = 300.0,
    ) -> None:
        self._own_loop = asyncio.get_running_loop()
        self.loop: Any = whereabouts(self._own_loop)
        """The event loop that the connections belong to, for its ``_thread_id``: the thread that runs it."""
        self._connector = connector
        self.max_size = max_size
        self.wait_timeout = wait_timeout
        self._max_waiting = max_waiting
        self._min_size = min_size
        self._max_lifetime = max_lifetime
        self._max_idle = max_idle
        self._patience_s = connector.control_timeout_s
        self._trimming: asyncio.TimerHandle | None = None
        self._idle: list[PooledConnection] = []
        """The one that was used last on top, so that the ones below grow old and are closed."""
        self._connections: dict[Any, PooledConnection] = {}
        """All connections that live, by themselves: idle, in use, or being brought into order."""
        self._waiters = Waiters(self._own_loop, wait_timeout, self._expired)
        self._waiting = self._waiters.futures
        self._openings = Openings(
            connector, self._own_loop, opened=self._opened, failed=self._failed, wanted=self._wanted
        )
        self._discarded_before = _NEVER
        self._closing = False
        self._all_back = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        fork.watch(self)

    async def open(self) -> None:
        """Open one connection, so that where there is no server it is said now.

        Raises what opening a connection raises.
        """
        self._opened(await self._connector.open())

    async def fill(self) -> None:
        """Open the other connections that are kept, as many as the server lets us have."""
        more = self._min_size - len(self._connections)
        if more > 0:
            await self._openings.open(more)

    def acquire_nowait(self, tenant: Tenant | None = None) -> PooledConnection | None:
        """Take an idle connection, if there is one that lives: one whose session is the tenant's where there
        is one.

        The session of what is returned may be another tenant's, or nobody's: its ``tenant`` says.
        """
        if self.loop._thread_id != get_ident():
            raise self.wrong_loop()
        idle = self._idle
        while idle:
            if idle[-1].tenant == tenant:
                pooled = idle.pop()
            else:
                # The tenant's own, else the one that was used longest ago.
                pooled = idle.pop(
                    next((i for i in range(len(idle) - 1, -1, -1) if idle[i].tenant == tenant), 0)
                )
            if not pooled.connection.is_closed():
                return pooled
            pooled.connection.terminate()
        return None

    async def acquire(self, tenant: Tenant | None = None) -> PooledConnection:
        """Take a connection: an idle one, a new one, or, in turn, one that others give back.

        Raises ``PoolTimeoutError`` where none becomes free in time or too many wait already,
        ``PlainsqlError`` where the database is closed, and what opening a connection raises where no other
        is open.
        """
        if (pooled := self.acquire_nowait(tenant)) is not None:
            return pooled
        if self._closing:
            raise _closed()
        if len(self._waiting) - self._coming >= self._max_waiting:
            raise PoolTimeoutError(
                f"{self._max_waiting} calls wait for a connection already",
                detail=self._situation(),
                hint="raise max_size or max_waiting, or send fewer calls at a time",
            )
        future = self._waiters.add()
        self._openings.open_wanted()
        try:
            given: PooledConnection = await future
        except BaseException:  # cancelled, or closed by what drives the coroutine
            if (given_up := self._waiters.withdraw(future)) is not None:
                self.release(given_up)
            raise
        return given

    def release(self, pooled: PooledConnection) -> None:
        """Give a connection back that is as it was taken: to whoever waits longest, or to the stack."""
        now = monotonic()
        if self._closing or now - pooled.born > self._max_lifetime:
            self._close(pooled)
        elif self._waiting and pooled.connection.is_closed():
            pooled.connection.terminate()  # one that idles is looked at when it is taken
        elif not (self._waiting and self._waiters.hand_over(pooled)):
            pooled.idle_since = now
            self._idle.append(pooled)
            if self._trimming is None:
                self._trimming = self._own_loop.call_later(self._max_idle, self._trim)

    def release_dirty(self, pooled: PooledConnection) -> None:
        """Give a connection back whose session may have been changed: it is reset before it serves
        anybody.
        """
        self._in_background(pooled, self._reset)

    def release_after(self, pooled: PooledConnection, statement: str) -> None:
        """Give a connection back when it has run a last statement: ``commit``, ``rollback``."""
        self._in_background(pooled, lambda pooled: self._end(pooled, statement))

    def discard(self, pooled: PooledConnection) -> None:
        """Give a connection back in whatever state it is: it is brought into order, or cut."""
        self._in_background(pooled, self._recover)

    def discard_before(self, moment: float) -> None:
        """Close all connections that began to open before a moment of `time.monotonic`: idle ones at once,
        those in use when they come back.
        """
        self._discarded_before = max(self._discarded_before, moment)
        for pooled in self._connections.values():
            if pooled.born < moment:
                pooled.born = _NEVER
        self._idle, idle = [], self._idle
        for pooled in idle:
            self.release(pooled)

    async def close(self) -> None:
        """Refuse new calls, wait until all connections are back, and close them."""
        self._closing = True
        self._waiters.stop()
        if self._trimming is not None:
            self._trimming.cancel()
        self._waiters.fail(_closed)
        self._openings.finish()
        while self._idle:
            self._close(self._idle.pop())
        while self._open:
            self._all_back.clear()
            await self._all_back.wait()

    async def cut(self) -> None:
        """Have the server cancel what still runs, and end all connections, in little more than a second."""
        cancelling = [
            asyncio.ensure_future(connection.cancel_statement()) for connection in list(self._connections)
        ]
        try:
            if cancelling:
                await asyncio.wait(cancelling, timeout=_CANCEL_S)
            async with asyncio.timeout(_RETURN_S):
                while self._connections:
                    self._all_back.clear()
                    await self._all_back.wait()
        except TimeoutError:
            pass
        finally:
            for request in cancelling:
                request.cancel()
                request.add_done_callback(_forget)
            self.terminate()

    def terminate(self) -> None:
        """End all connections at once."""
        self._closing = True
        self._openings.stop()
        self._idle.clear()
        for connection in list(self._connector.connections):
            connection.terminate()

    def abandon(self) -> None:
        """Let go of all connections without a word to the server, which cannot be reached or must not be."""
        self._closing = True
        self._idle.clear()
        self._connections.clear()
        for connection in list(self._connector.connections):
            connection.abandon()

    def abandon_to_parent(self) -> None:
        """Let go of all connections in a forked child: they are the parent's."""
        self.loop = NOWHERE
        self.abandon()

    @property
    def is_forked(self) -> bool:
        """Whether this is a forked child's copy."""
        return self.loop is NOWHERE

    @property
    def is_stranded(self) -> bool:
        """Whether the connections can be reached no more: their loop is closed, or they are the parent's."""
        return self.is_forked or self._own_loop.is_closed()

    def check_loop(self) -> None:
        """Raise ``PlainsqlError`` in another event loop, thread or process than the connections'."""
        if self.loop._thread_id != get_ident():
            raise self.wrong_loop()

    def wrong_loop(self) -> PlainsqlError:
        """Make the error of a call from an event loop, thread or process that the connections are not of."""
        if self.is_forked:
            return PlainsqlError(
                "this Database was connected before a fork: its connections belong to the parent process",
                hint="connect after the fork, in the process that uses the Database",
            )
        if self._closing:
            return _closed()
        return PlainsqlError(
            "this Database belongs to another event loop than the one that calls it",
            detail="its event loop is closed" if self._own_loop.is_closed() else None,
            hint="connect in the event loop that uses it: one Database for each asyncio.run and each thread",
        )

    def deadline(self) -> float | None:
        """Return until when a call that begins to wait now may wait, by the event loop's clock."""
        return None if self.wait_timeout is None else self._own_loop.time() + self.wait_timeout

    def answer_timeout(self, deadline: float | None) -> float:
        """Return how many seconds a connection may take to answer what costs the server nothing."""
        if deadline is None:
            return self._patience_s
        return max(min(self._patience_s, deadline - self._own_loop.time()), 0.001)

    def no_answer(self) -> PoolTimeoutError:
        """Make the error of a call whose time is up since open connections did not answer."""
        return PoolTimeoutError(
            f"no connection answered within {self.wait_timeout:g} s",
            detail="connections were open, and nothing came back on them",
            hint="check the server, and the network or pooler on the way",
        )

    @property
    def in_use(self) -> int:
        return self._open - len(self._idle)

    @property
    def idle(self) -> int:
        return len(self._idle)

    @property
    def waiting(self) -> int:
        # A call for which a connection is opening has its place.
        return max(len(self._waiting) - self._openings.in_progress, 0)

    # --------------------------------------------------------------------------------------------------

    @property
    def _open(self) -> int:
        """Connections that live or are being opened: never more than ``max_size``."""
        return len(self._connections) + self._openings.in_progress

    @property
    def _coming(self) -> int:
        """Connections that are being opened, or may be."""
        if self._openings.refused is not None:
            return self._openings.in_progress
        return self.max_size - len(self._connections)

    def _wanted(self) -> int:
        """Return how many connections should be opened, beside those that are being opened."""
        if self._closing:
            return 0
        return min(len(self._waiting) - self._openings.in_progress, self.max_size - self._open)

    def _opened(self, connection: Any) -> None:
        pooled = self._connections[connection] = PooledConnection(connection)
        connection.on_end = self._ended
        if connection.is_closed():
            connection.terminate()
        elif self._closing or pooled.born < self._discarded_before:
            self._close(pooled)
        elif not self._waiters.hand_over(pooled):
            pooled.idle_since = monotonic()
            self._idle.append(pooled)
            if self._trimming is None:
                self._trimming = self._own_loop.call_later(self._max_idle, self._trim)

    def _failed(self, error: Exception | None) -> None:
        """Take note that a connection could not be opened. As long as there are others, or about to be, those
        who wait go on waiting for these.
        """
        if not self._open:
            self._all_back.set()
        if error is None or self._closing:
            return  # given up
        if self._openings.in_progress or any(not connection.is_closed() for connection in self._connections):
            if is_lasting(error):
                # A setting is wrong: the call that has waited longest is told, and another may be served.
                self._waiters.fail_first(_copy(error))
            self._openings.open_wanted()
        else:
            self._openings.refused = None
            self._waiters.fail(lambda: _copy(error))

    def _ended(self, connection: Any) -> None:
        """A connection has ended, idle or in use: its place is free."""
        pooled = self._connections.pop(connection, None)
        if pooled is None:
            return
        pooled.born = _NEVER
        if pooled in self._idle:
            self._idle.remove(pooled)
        if not self._open:
            self._all_back.set()
        if self._waiting and not self._own_loop.is_closed():
            if not self._connections:
                self._openings.refused = None
            self._openings.open_wanted()

    def _expired(self) -> Exception:
        """Make the error of a call that has waited too long."""
        if not self._connections:  # nothing to wait for but a server that does not answer
            return TimeoutError()
        return PoolTimeoutError(
            f"no connection became free within {self.wait_timeout:g} s",
            detail=self._situation(),
            hint="raise max_size, or look for transactions that are held open for too long",
        )

    def _situation(self) -> str:
        if len(self._connections) >= self.max_size:
            return f"all {self.max_size} connections are in use"
        refused = self._openings.refused
        in_use = f"{len(self._connections)} connections are in use, of {self.max_size} at most"
        if refused is None:
            return f"{in_use}, and {self._openings.in_progress} are being opened"
        return f"{in_use}, and another could not be opened: {type(refused).__name__}"

    def _in_background(self, pooled: PooledConnection, work: Any) -> None:
        connection = pooled.connection
        if self._own_loop.is_closed():  # a generator or task was collected too late
            self._connections.pop(connection, None)
            connection.abandon()
        elif connection.is_closed():
            connection.terminate()
        else:
            made: Coroutine[Any, Any, None] = work(pooled)
            task: Any = self._own_loop.create_task(made)
            task._log_destroy_pending = False  # one that the end of the event loop leaves over has no caller
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _reset(self, pooled: PooledConnection) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await pooled.connection.reset()
        except TimeoutError:
            pooled.connection.terminate()
        except Exception:  # noqa: BLE001 (what cannot be reset now may be when it is in order, or is cut)
            self.discard(pooled)
        except BaseException:
            pooled.connection.terminate()
            raise
        else:
            pooled.tenant = None
            self.release(pooled)

    async def _end(self, pooled: PooledConnection, statement: str) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await pooled.connection.execute(statement)
        except TimeoutError:
            pooled.connection.terminate()
        except Exception:  # noqa: BLE001 (as above)
            self.discard(pooled)
        except BaseException:
            pooled.connection.terminate()
            raise
        else:
            self.release(pooled)

    async def _recover(self, pooled: PooledConnection) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await pooled.connection.recover()
        except Exception:  # noqa: BLE001 (a connection in an unknown state is of no use)
            await self._cut(pooled.connection)
        except BaseException:
            pooled.connection.terminate()
            raise
        else:
            pooled.tenant = None
            self.release(pooled)

    async def _cut(self, connection: Any) -> None:
        """End a connection, and what may still run on it."""
        try:
            async with asyncio.timeout(_CANCEL_S):
                await connection.cancel_statement()
        except Exception:  # noqa: BLE001 (it cannot be reached)
            pass
        finally:
            connection.terminate()

    def _close(self, pooled: PooledConnection) -> None:
        """Close a connection that is as it was taken: another is opened where one is needed."""
        pooled.born = _NEVER
        self._in_background(pooled, self._say_farewell)

    async def _say_farewell(self, pooled: PooledConnection) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await pooled.connection.close()
        except Exception:  # noqa: BLE001
            pass  # asyncpg has cut it
        finally:
            pooled.connection.terminate()

    def _trim(self) -> None:
        """Close what was not needed for a while, down to ``min_size``."""
        self._trimming = None
        oldest = monotonic() - self._max_idle
        leaving = sum(pooled.born == _NEVER for pooled in self._connections.values())
        surplus = self._open - leaving - self._min_size
        while self._idle and surplus > 0 and self._idle[0].idle_since <= oldest:
            self._close(self._idle.pop(0))
            surplus -= 1
        # With no surplus there is nothing to do until a connection comes back.
        if self._idle and surplus > 0:
            wait = self._idle[0].idle_since - oldest
            self._trimming = self._own_loop.call_later(wait, self._trim)


def _closed() -> PlainsqlError:
    return PlainsqlError("the database is closed", hint="use it inside its 'async with' block")


def _copy(error: Exception) -> Exception:
    own = copy.copy(error)
    own.__cause__, own.__context__ = error.__cause__, error.__context__
    if notes := getattr(error, "__notes__", None):
        own.__notes__ = list(notes)
    return own


def _forget(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()
