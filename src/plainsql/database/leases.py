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
from plainsql.database.connector import Connector
from plainsql.database.openings import Openings, is_lasting
from plainsql.database.waiters import Waiters
from plainsql.database.whereabouts import NOWHERE, whereabouts
from plainsql.errors import PlainsqlError, PoolTimeoutError
from plainsql.tenancy import Tenant

__all__ = ["Lease", "Leases"]

_CANCEL_S = 1.0
"""Seconds that the server has to take requests to cancel when the pool is cut."""

_RETURN_S = 0.25
"""Seconds that cancelled calls have to come back before their connections are cut."""

_NEVER = float("-inf")
"""When connections were opened that are not to be used again: they are older than any."""


class Lease:
    """A connection of the pool, idle or on loan."""

    __slots__ = ("born", "connection", "idle_since", "tenant")

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.born: float = connection.born
        self.idle_since = self.born
        self.tenant: Tenant | None = None
        """The tenant that the session is set to, where it is set to one."""


class Leases:
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
        self._patience_s = connector.patience_s
        self._trimming: asyncio.TimerHandle | None = None
        self._idle: list[Lease] = []
        """The one that was used last on top, so that the ones below grow old and are closed."""
        self._leases: dict[Any, Lease] = {}
        """All connections that live, by themselves: idle, in use, or being brought into order."""
        self._waiters = Waiters(self._own_loop, wait_timeout, self._expired)
        self._waiting = self._waiters.futures
        self._openings = Openings(
            connector, self._own_loop, opened=self._opened, failed=self._failed, wanted=self._wanted
        )
        self._retired_before = _NEVER
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
        more = self._min_size - len(self._leases)
        if more > 0:
            await self._openings.open(more)

    def take_now(self, tenant: Tenant | None = None) -> Lease | None:
        """Take an idle connection, if there is one that lives: one whose session is the tenant's where there
        is one.

        The session of what is returned may be another tenant's, or nobody's: its ``tenant`` says.
        """
        if self.loop._thread_id != get_ident():
            raise self.not_here()
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
            lease.connection.terminate()
        return None

    async def take(self, tenant: Tenant | None = None) -> Lease:
        """Take a connection: an idle one, a new one, or, in turn, one that others give back.

        Raises ``PoolTimeoutError`` where none becomes free in time or too many wait already,
        ``PlainsqlError`` where the database is closed, and what opening a connection raises where no other
        is open.
        """
        if (lease := self.take_now(tenant)) is not None:
            return lease
        if self._closing:
            raise _closed()
        if len(self._waiting) - self._coming >= self._max_waiting:
            raise PoolTimeoutError(
                f"{self._max_waiting} calls wait for a connection already",
                detail=self._situation(),
                hint="raise max_size or max_waiting, or send less at once",
            )
        future = self._waiters.add()
        self._openings.go_on()
        try:
            given: Lease = await future
        except BaseException:  # cancelled, or closed by what drives the coroutine
            if (given_up := self._waiters.withdraw(future)) is not None:
                self.give_back(given_up)
            raise
        return given

    def give_back(self, lease: Lease) -> None:
        """Give a connection back that is as it was taken: to whoever waits longest, or to the stack."""
        now = monotonic()
        if self._closing or now - lease.born > self._max_lifetime:
            self._close(lease)
        elif self._waiting and lease.connection.is_closed():
            lease.connection.terminate()  # one that idles is looked at when it is taken
        elif not (self._waiting and self._waiters.hand_over(lease)):
            lease.idle_since = now
            self._idle.append(lease)
            if self._trimming is None:
                self._trimming = self._own_loop.call_later(self._max_idle, self._trim)

    def give_back_changed(self, lease: Lease) -> None:
        """Give a connection back whose session may have been changed: it is reset before it serves
        anybody.
        """
        self._in_background(lease, self._reset)

    def give_back_after(self, lease: Lease, statement: str) -> None:
        """Give a connection back when it has run a last statement: ``commit``, ``rollback``."""
        self._in_background(lease, lambda lease: self._end(lease, statement))

    def retire(self, lease: Lease) -> None:
        """Give a connection back in whatever state it is: it is brought into order, or cut."""
        self._in_background(lease, self._recover)

    def retire_before(self, moment: float) -> None:
        """Close all connections that began to open before a moment of `time.monotonic`: idle ones at once,
        those in use when they come back.
        """
        self._retired_before = max(self._retired_before, moment)
        for lease in self._leases.values():
            if lease.born < moment:
                lease.born = _NEVER
        self._idle, idle = [], self._idle
        for lease in idle:
            self.give_back(lease)

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
            asyncio.ensure_future(connection.cancel_statement()) for connection in list(self._leases)
        ]
        try:
            if cancelling:
                await asyncio.wait(cancelling, timeout=_CANCEL_S)
            async with asyncio.timeout(_RETURN_S):
                while self._leases:
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
        self._leases.clear()
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
            raise self.not_here()

    def not_here(self) -> PlainsqlError:
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
        return max(len(self._waiting) - self._openings.under_way, 0)

    # --------------------------------------------------------------------------------------------------

    @property
    def _open(self) -> int:
        """Connections that live or are being opened: never more than ``max_size``."""
        return len(self._leases) + self._openings.under_way

    @property
    def _coming(self) -> int:
        """Connections that are being opened, or may be."""
        if self._openings.refused is not None:
            return self._openings.under_way
        return self.max_size - len(self._leases)

    def _wanted(self) -> int:
        """Return how many connections should be opened, beside those that are being opened."""
        if self._closing:
            return 0
        return min(len(self._waiting) - self._openings.under_way, self.max_size - self._open)

    def _opened(self, connection: Any) -> None:
        lease = self._leases[connection] = Lease(connection)
        connection.on_end = self._ended
        if connection.is_closed():
            connection.terminate()
        elif self._closing or lease.born < self._retired_before:
            self._close(lease)
        elif not self._waiters.hand_over(lease):
            lease.idle_since = monotonic()
            self._idle.append(lease)
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
        if self._openings.under_way or any(not connection.is_closed() for connection in self._leases):
            if is_lasting(error):
                # A setting is wrong: the call that has waited longest is told, and another may be served.
                self._waiters.fail_first(_copy(error))
            self._openings.go_on()
        else:
            self._openings.refused = None
            self._waiters.fail(lambda: _copy(error))

    def _ended(self, connection: Any) -> None:
        """A connection has ended, idle or in use: its place is free."""
        lease = self._leases.pop(connection, None)
        if lease is None:
            return
        lease.born = _NEVER
        if lease in self._idle:
            self._idle.remove(lease)
        if not self._open:
            self._all_back.set()
        if self._waiting and not self._own_loop.is_closed():
            if not self._leases:
                self._openings.refused = None
            self._openings.go_on()

    def _expired(self) -> Exception:
        """Make the error of a call that has waited too long."""
        if not self._leases:  # nothing to wait for but a server that does not answer
            return TimeoutError()
        return PoolTimeoutError(
            f"no connection became free within {self.wait_timeout:g} s",
            detail=self._situation(),
            hint="raise max_size, or look for transactions that are held open for too long",
        )

    def _situation(self) -> str:
        if len(self._leases) >= self.max_size:
            return f"all {self.max_size} connections are in use"
        refused = self._openings.refused
        in_use = f"{len(self._leases)} connections are in use, of {self.max_size} at most"
        if refused is None:
            return f"{in_use}, and {self._openings.under_way} are being opened"
        return f"{in_use}, and another could not be opened: {type(refused).__name__}"

    def _in_background(self, lease: Lease, work: Any) -> None:
        connection = lease.connection
        if self._own_loop.is_closed():  # a generator or task was collected too late
            self._leases.pop(connection, None)
            connection.abandon()
        elif connection.is_closed():
            connection.terminate()
        else:
            made: Coroutine[Any, Any, None] = work(lease)
            task: Any = self._own_loop.create_task(made)
            task._log_destroy_pending = False  # one that the end of the event loop leaves over has no caller
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _reset(self, lease: Lease) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await lease.connection.reset()
        except TimeoutError:
            lease.connection.terminate()
        except Exception:  # noqa: BLE001 (what cannot be reset now may be when it is in order, or is cut)
            self.retire(lease)
        except BaseException:
            lease.connection.terminate()
            raise
        else:
            lease.tenant = None
            self.give_back(lease)

    async def _end(self, lease: Lease, statement: str) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await lease.connection.execute(statement)
        except TimeoutError:
            lease.connection.terminate()
        except Exception:  # noqa: BLE001 (as above)
            self.retire(lease)
        except BaseException:
            lease.connection.terminate()
            raise
        else:
            self.give_back(lease)

    async def _recover(self, lease: Lease) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await lease.connection.recover()
        except Exception:  # noqa: BLE001 (a connection in an unknown state is of no use)
            await self._cut(lease.connection)
        except BaseException:
            lease.connection.terminate()
            raise
        else:
            lease.tenant = None
            self.give_back(lease)

    async def _cut(self, connection: Any) -> None:
        """End a connection, and what may still run on it."""
        try:
            async with asyncio.timeout(_CANCEL_S):
                await connection.cancel_statement()
        except Exception:  # noqa: BLE001 (it cannot be reached)
            pass
        finally:
            connection.terminate()

    def _close(self, lease: Lease) -> None:
        """Close a connection that is as it was taken: another is opened where one is needed."""
        lease.born = _NEVER
        self._in_background(lease, self._say_farewell)

    async def _say_farewell(self, lease: Lease) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await lease.connection.close()
        except Exception:  # noqa: BLE001
            pass  # asyncpg has cut it
        finally:
            lease.connection.terminate()

    def _trim(self) -> None:
        """Close what was not needed for a while, down to ``min_size``."""
        self._trimming = None
        oldest = monotonic() - self._max_idle
        leaving = sum(lease.born == _NEVER for lease in self._leases.values())
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
