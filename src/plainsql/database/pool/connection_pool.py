"""The connection pool: a call pays for its statement and for nothing else.

asyncpg's pool pays for every call: for acquiring, for a reset query in a round trip of its own, and for
releasing through tasks. A statement that is proved to leave nothing behind in the session needs none of this,
and its connection goes back to a free list as it is. After anything else, such as a transaction or a
statement about which nothing is proved, the connection is reset before it serves the next call.

Connections are opened in tasks of their own, never in a caller's. A call waits in the queue, within its time
limit, for a connection that is released or opened, and its cancellation takes effect immediately. A
connection whose call was cancelled, timed out or failed in an unknown state stays counted, is recovered in
the background, and is cut if that takes too long.
"""

from __future__ import annotations

import asyncio
import copy
from _thread import get_ident
from time import monotonic
from typing import Any

from plainsql import fork
from plainsql.database.pool.connector import Connector
from plainsql.database.pool.event_loop import NO_LOOP, thread_of
from plainsql.database.pool.openings import Openings, is_lasting
from plainsql.database.pool.pooled_connection import NEVER, PooledConnection
from plainsql.database.pool.recovery import CANCEL_REQUEST_S, Recovery
from plainsql.database.pool.waiters import Waiters
from plainsql.errors import PlainsqlError, PoolTimeoutError
from plainsql.tenancy import Tenant

__all__ = ["ConnectionPool"]

_RETURN_S = 0.25
"""Seconds that cancelled calls may take to release their connections before these are cut."""

_MIN_ANSWER_S = 0.001
"""Seconds that a connection may take to answer even if the time of its call is up."""


class ConnectionPool:
    """The connections of one database: idle ones in a stack, waiting calls in a queue.

    The queue is first come, first served: no call waits while a later one is served. As long as a call waits,
    no connection is idle: it is handed over, never left for the next call that comes.
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
        self.loop: Any = thread_of(self._own_loop)
        """The event loop of the connections. Its ``_thread_id`` is the thread that runs it."""
        self._connector = connector
        self.max_size = max_size
        self.wait_timeout = wait_timeout
        self._max_waiting = max_waiting
        self._min_size = min_size
        self._max_lifetime = max_lifetime
        self._max_idle = max_idle
        self._control_timeout_s = connector.control_timeout_s
        self._trimming: asyncio.TimerHandle | None = None
        self._idle: list[PooledConnection] = []
        """The one that was used last on top, so that those below grow old and are closed."""
        self._connections: dict[Any, PooledConnection] = {}
        """All open connections, by the driver's: idle, in use, or being recovered."""
        self._waiters = Waiters(self._own_loop, wait_timeout, self._timeout_error)
        self._waiting = self._waiters.futures
        self._openings = Openings(
            connector, self._own_loop, opened=self._opened, failed=self._failed, wanted=self._wanted
        )
        self._discarded_before = NEVER
        self._closing = False
        self._all_back = asyncio.Event()
        self._recovery = Recovery(
            self._own_loop,
            connector.control_timeout_s,
            recovered=self.release,
            forgotten=self._forget_connection,
        )
        fork.watch(self)

    async def open(self) -> None:
        """Open one connection, so that a missing server is reported now.

        Raises what opening a connection raises.
        """
        self._opened(await self._connector.open())

    async def fill(self) -> None:
        """Open the other connections that are kept, as many as the server allows."""
        more = self._min_size - len(self._connections)
        if more > 0:
            await self._openings.open(more)

    def acquire_nowait(
        self, tenant: Tenant | None = None, *, is_pipeline: bool = False
    ) -> PooledConnection | None:
        """Return an idle connection, if there is a live one; preferably one that carries the tenant.

        Its session may carry another tenant, or none: see its ``tenant``. Pipelines of reads prefer
        connections that had some, and other calls those that had none: then few have to prepare all reads.
        """
        if self.loop._thread_id != get_ident():
            raise self.wrong_loop()
        idle = self._idle
        while idle:
            last = idle[-1]
            if last.tenant == tenant and last.has_pipelines is is_pipeline:
                pooled = idle.pop()
            else:
                pooled = idle.pop(self._preferred(tenant, is_pipeline=is_pipeline))
                pooled.has_pipelines = pooled.has_pipelines or is_pipeline
            if not pooled.connection.is_closed():
                return pooled
            pooled.connection.terminate()
        return None

    def _preferred(self, tenant: Tenant | None, *, is_pipeline: bool) -> int:
        """Return the place of the idle connection to use, if it is not the last."""
        carrier = 0  # one that carries the tenant, else the one that was used longest ago
        for at in range(len(self._idle) - 1, -1, -1):
            pooled = self._idle[at]
            if pooled.tenant == tenant:
                if pooled.has_pipelines is is_pipeline:
                    return at
                carrier = carrier or at
        return carrier

    async def acquire(self, tenant: Tenant | None = None) -> PooledConnection:
        """Wait for a connection: an idle one, a new one, or one that another call releases.

        Raises ``PoolTimeoutError`` if none becomes free in time or too many calls wait already,
        ``PlainsqlError`` if the database is closed, and what opening a connection raises if no other is open.
        """
        if (pooled := self.acquire_nowait(tenant)) is not None:
            return pooled
        if self._closing:
            raise _closed()
        if len(self._waiting) - self._coming >= self._max_waiting:
            raise PoolTimeoutError(
                f"{self._max_waiting} calls wait for a connection already",
                detail=self._situation(),
                hint="raise max_size or max_waiting, or send less at a time",
            )
        future = self._waiters.add()
        self._openings.open_wanted()
        try:
            given: PooledConnection = await future
        except BaseException:  # cancelled, or the coroutine was closed
            if (given_up := self._waiters.withdraw(future)) is not None:
                self.release(given_up)
            raise
        return given

    def release(self, pooled: PooledConnection) -> None:
        """Release a clean connection: to the call that has waited longest, or to the stack."""
        now = monotonic()
        if self._closing or now - pooled.born > self._max_lifetime:
            self._recovery.close(pooled)
        elif self._waiting and pooled.connection.is_closed():
            pooled.connection.terminate()  # an idle one is checked when it is acquired
        elif not (self._waiting and self._waiters.hand_over(pooled)):
            pooled.idle_since = now
            self._idle.append(pooled)
            if self._trimming is None:
                self._trimming = self._own_loop.call_later(self._max_idle, self._trim)

    def release_dirty(self, pooled: PooledConnection) -> None:
        """Release a connection whose session may have changed: it is reset first."""
        self._recovery.reset(pooled)

    def release_after(self, pooled: PooledConnection, statement: str) -> None:
        """Release a connection after a last statement on it: ``commit``, ``rollback``."""
        self._recovery.end(pooled, statement)

    def discard(self, pooled: PooledConnection) -> None:
        """Release a connection that is in an unknown state: it is recovered, or cut."""
        self._recovery.recover(pooled)

    def discard_before(self, moment: float) -> None:
        """Close all connections that began to open before a moment of `time.monotonic`: idle ones
        immediately, the others when they are released.
        """
        self._discarded_before = max(self._discarded_before, moment)
        for pooled in self._connections.values():
            if pooled.born < moment:
                pooled.born = NEVER
        self._idle, idle = [], self._idle
        for pooled in idle:
            self.release(pooled)

    async def open_aside(self) -> Any:
        """Open a connection that serves no call: it is the caller's, and ends with the pool at the latest.

        Raises what opening a connection raises.
        """
        return await self._connector.open()

    def in_calls(self) -> list[PooledConnection]:
        """Return the connections that are in use and not lent for a block: their calls wait for an answer."""
        idle = {*self._idle}
        return [one for one in self._connections.values() if one not in idle and not one.is_lent]

    def cut_before(self, moment: float, *, keep: Any = None, waiting: bool = False) -> None:
        """End all connections that began to open before a moment of `time.monotonic`, with the calls on them;
        but not the connection ``keep``.

        ``waiting``: end what is being opened too, and fail the calls that wait for a connection.
        """
        self._discarded_before = max(self._discarded_before, moment)
        if waiting:
            self._waiters.fail(TimeoutError)
            self._openings.restart()
        for connection in list(self._connector.connections):
            if connection.born < moment and connection is not keep:
                connection.terminate()

    async def close(self) -> None:
        """Refuse new calls, wait until all connections are released, and close them."""
        self._closing = True
        self._waiters.stop()
        if self._trimming is not None:
            self._trimming.cancel()
        self._waiters.fail(_closed)
        self._openings.finish()
        while self._idle:
            self._recovery.close(self._idle.pop())
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
                await asyncio.wait(cancelling, timeout=CANCEL_REQUEST_S)
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
        """End all connections immediately."""
        self._closing = True
        self._openings.stop()
        self._idle.clear()
        for connection in list(self._connector.connections):
            connection.terminate()

    def abandon(self) -> None:
        """Close all connections without sending anything: the server cannot be reached, or must not be."""
        self._closing = True
        self._idle.clear()
        self._connections.clear()
        for connection in list(self._connector.connections):
            connection.abandon()

    def abandon_to_parent(self) -> None:
        """Close this process's copies of the connections in a forked child: they are the parent's."""
        self.loop = NO_LOOP
        self.abandon()

    @property
    def is_forked(self) -> bool:
        """True in a forked child, which has a copy of this object."""
        return self.loop is NO_LOOP

    @property
    def is_stranded(self) -> bool:
        """True if the connections cannot be used any more: their loop is closed, or they are the parent's."""
        return self.is_forked or self._own_loop.is_closed()

    def check_loop(self) -> None:
        """Raise ``PlainsqlError`` in another event loop, thread or process than that of the connections."""
        if self.loop._thread_id != get_ident():
            raise self.wrong_loop()

    def wrong_loop(self) -> PlainsqlError:
        """Return the error of a call from another event loop, thread or process."""
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
        """Return the deadline of a call that begins to wait now, by the event loop's clock."""
        return None if self.wait_timeout is None else self._own_loop.time() + self.wait_timeout

    def answer_timeout(self, deadline: float | None) -> float:
        """Return the seconds that a connection may take to answer what costs the server nothing."""
        if deadline is None:
            return self._control_timeout_s
        return max(min(self._control_timeout_s, deadline - self._own_loop.time()), _MIN_ANSWER_S)

    def no_answer(self) -> PoolTimeoutError:
        """Return the error of a call whose time is up because open connections did not answer."""
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
        # A call for which a connection is being opened does not count.
        return max(len(self._waiting) - self._openings.in_progress, 0)

    # --------------------------------------------------------------------------------------------------

    @property
    def _open(self) -> int:
        """The number of connections that are open or being opened: never more than ``max_size``."""
        return len(self._connections) + self._openings.in_progress

    @property
    def _coming(self) -> int:
        """The number of connections that are being opened or may be."""
        if self._openings.refused is not None:
            return self._openings.in_progress
        return self.max_size - len(self._connections)

    def _wanted(self) -> int:
        """Return how many more connections should be opened."""
        if self._closing:
            return 0
        return min(len(self._waiting) - self._openings.in_progress, self.max_size - self._open)

    def _opened(self, connection: Any) -> None:
        pooled = self._connections[connection] = PooledConnection(connection)
        connection.on_end = self._ended
        if connection.is_closed():
            connection.terminate()
        elif self._closing or pooled.born < self._discarded_before:
            self._recovery.close(pooled)
        elif not self._waiters.hand_over(pooled):
            pooled.idle_since = monotonic()
            self._idle.append(pooled)
            if self._trimming is None:
                self._trimming = self._own_loop.call_later(self._max_idle, self._trim)

    def _failed(self, error: Exception | None) -> None:
        """Handle the failure to open a connection. The waiting calls go on waiting if there are other
        connections, open or being opened.
        """
        if not self._open:
            self._all_back.set()
        if error is None or self._closing:
            return  # cancelled
        if self._openings.in_progress or any(not connection.is_closed() for connection in self._connections):
            if is_lasting(error):
                # A setting is wrong: the call that has waited longest gets the error.
                self._waiters.fail_first(_copy(error))
            self._openings.open_wanted()
        else:
            self._openings.refused = None
            self._waiters.fail(lambda: _copy(error))

    def _ended(self, connection: Any) -> None:
        """Handle the end of a connection, idle or in use: its place is free."""
        pooled = self._connections.pop(connection, None)
        if pooled is None:
            return
        pooled.born = NEVER
        if pooled in self._idle:
            self._idle.remove(pooled)
        if not self._open:
            self._all_back.set()
        if self._waiting and not self._own_loop.is_closed():
            if not self._connections:
                self._openings.refused = None
            self._openings.open_wanted()

    def _timeout_error(self) -> Exception:
        """Return the error of a call that has waited too long."""
        if not self._connections:  # the call waits for a server that does not answer
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

    def _forget_connection(self, pooled: PooledConnection) -> None:
        self._connections.pop(pooled.connection, None)

    def _trim(self) -> None:
        """Close connections that were not needed for a while, down to ``min_size``."""
        self._trimming = None
        oldest = monotonic() - self._max_idle
        leaving = sum(pooled.born == NEVER for pooled in self._connections.values())
        surplus = self._open - leaving - self._min_size
        while self._idle and surplus > 0 and self._idle[0].idle_since <= oldest:
            self._recovery.close(self._idle.pop(0))
            surplus -= 1
        # Without a surplus the next release sets the timer.
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
