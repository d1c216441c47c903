"""The asyncpg connections of the pool: one class for each way of being connected, with its reset."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from asyncpg import Record, connect_utils, exceptions

from plainsql.database.pool.resettable_connection import ResettableConnection
from plainsql.pooler import PROBE_NAME, StatementTexts, is_backend_sql, probe_sql

__all__ = [
    "SETTINGS",
    "DirectConnection",
    "DriverConnection",
    "SessionPoolerConnection",
    "TransactionPoolerConnection",
    "is_behind_pooler",
    "keeps_statements",
    "refuses_settings",
]

SETTINGS = {
    # With a filter, an HNSW scan must go on until it has found enough rows, in the statement's order. With
    # `relaxed_order` the order is not kept, and the planner, which relies on the index's order, does not sort
    # the rows again. A database without pgvector takes this for a setting of an extension that is loaded
    # later.
    "hnsw.iterative_scan": "strict_order",
}

# asyncpg's own reset leaves two things behind: a role that was set, with whose rights the next caller would
# read, and temporary tables, which would hide others of the same name.
_EXTRA_RESET = "reset session authorization; reset role; discard temp; discard sequences;"

_CANCEL_AGAIN_S = 0.02
"""Seconds after which the next statement of a cancelled pipeline is cancelled too, if it still runs."""


class DriverConnection(ResettableConnection):
    """A connection of our pool: it reports its end, and shares what asyncpg's pools share."""

    __slots__ = ("born", "control_timeout_s", "on_end", "siblings")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.born = 0.0
        """The time at which it began to open, by `time.monotonic`."""
        self.control_timeout_s = 10.0
        """Seconds that a rollback, a reset or a close may take: it costs the server nothing."""
        self.on_end: Callable[[DriverConnection], object] | None = None
        """Called once when the connection has ended, for whatever reason."""
        self.siblings: Iterable[DriverConnection] = ()
        """The connections to the same database, this one included."""

    async def recover(self) -> None:
        """Recover the connection from any state that a call left it in: wait until its statement is
        cancelled, roll back, reset.
        """
        protocol: Any = self._protocol
        await protocol._wait_for_cancellation()
        self._check_open()  # type: ignore[no-untyped-call]
        # Before the reset, which would report the open transaction to the event loop as an error.
        self._top_xact = None
        if protocol.is_in_transaction():
            await self.execute("rollback")
        await self.reset()

    async def cancel_statement(self) -> None:
        """Send the server a request, on a connection of its own, to cancel what runs on this one."""
        protocol: Any = self._protocol
        if self.is_closed():  # type: ignore[no-untyped-call]
            return
        request: Any = connect_utils._cancel
        await request(
            loop=self._loop,
            addr=self._addr,
            params=self._params,
            backend_pid=protocol.backend_pid,
            backend_secret=protocol.backend_secret,
        )

    def terminate(self) -> None:
        """End the connection immediately, without waiting for anything."""
        if self._loop.is_closed():
            self.abandon()
        else:
            super().terminate()  # type: ignore[no-untyped-call]

    def abandon(self) -> None:
        """Close this process's copy of the socket and send nothing on it."""
        self._aborted = True
        self.on_end = None
        # Not through the transport: its `abort` would remove the socket from the event loop's selector, which
        # a child process shares with its parent.
        socket: Any = self._transport.get_extra_info("socket")
        sock: Any = getattr(socket, "_sock", None)
        if sock is not None:
            with suppress(OSError):
                sock.close()
            if self._loop.is_closed() and getattr(self._transport, "_sock", None) is sock:
                self._transport._sock = None  # else its finalizer warns of an open transport

    def _cleanup(self) -> None:
        super()._cleanup()  # type: ignore[no-untyped-call]
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            on_end(self)

    def _cancel_current_command(self, waiter: Any, cancel_waiter: Any = None) -> None:
        if self._aborted:
            if not waiter.done():
                waiter.set_result(None)
            return
        task: Any = self._loop.create_task(self._cancel(waiter, cancel_waiter))
        task._log_destroy_pending = False  # a task that the end of the event loop leaves over is no error
        self._cancellations.add(task)

    async def _cancel(self, waiter: Any, cancel_waiter: Any = None) -> None:
        """Send the request to cancel and wait for the end of the statement, as asyncpg does, but with a time
        limit.
        """
        try:
            async with asyncio.timeout(self.control_timeout_s):
                with suppress(ConnectionResetError):
                    await self.cancel_statement()
                    # Of a pipeline, the request ends one statement only.
                    while cancel_waiter is not None and self._statements_left():
                        ended, _ = await asyncio.wait([cancel_waiter], timeout=_CANCEL_AGAIN_S)
                        if ended:
                            break
                        await self.cancel_statement()
                if not waiter.done():
                    waiter.set_result(None)
                if cancel_waiter is not None:
                    await asyncio.shield(cancel_waiter)
        except asyncio.CancelledError:
            pass  # what waits for this task is released below
        except Exception:  # noqa: BLE001 (whether the statement still runs is unknown)
            self.terminate()
        finally:
            if not self._loop.is_closed():
                self._cancellations.discard(asyncio.current_task())
                if not waiter.done():
                    waiter.set_result(None)

    def _statements_left(self) -> bool:
        """Return whether statements of a pipeline come after the one that runs."""
        return getattr(self._protocol, "syncs", 0) > 1

    def _clean_tasks(self) -> None:
        # asyncpg cancels the requests to cancel here. A request that is connecting at that moment is reported
        # as an exception that was never retrieved, and the statement would go on on the server.
        self._cancellations.clear()

    # A cache that one connection finds out of date is out of date for all. asyncpg notifies only its own
    # pool.

    def _drop_global_statement_cache(self) -> None:
        for connection in {self, *self.siblings}:
            connection._drop_local_statement_cache()

    def _drop_global_type_cache(self) -> None:
        for connection in {self, *self.siblings}:
            if connection._protocol is not None:
                connection._drop_local_type_cache()  # type: ignore[no-untyped-call]


class DirectConnection(DriverConnection):
    """A connection whose reset leaves nothing of a session behind."""

    __slots__ = ()

    def get_reset_query(self) -> str:
        own: str = super().get_reset_query()  # type: ignore[no-untyped-call]
        return f"{own}\n{_EXTRA_RESET}"


class SessionPoolerConnection(DirectConnection):
    """A connection to a pooler in session mode, which refuses our settings when it is opened."""

    __slots__ = ()
    search_path = ""
    """The ``search_path`` of its sessions; empty for the server's own."""

    @classmethod
    def with_path(cls, search_path: str) -> type[SessionPoolerConnection]:
        """Return the class of connections with a ``search_path``."""
        return type(cls.__name__, (cls,), {"__slots__": (), "search_path": search_path})

    @classmethod
    def set_settings(cls) -> str:
        """Return the statements that set our settings in a session."""
        path = f" set search_path = {cls.search_path};" if cls.search_path else ""
        return " ".join(f"set {name} = '{value}';" for name, value in SETTINGS.items()) + path

    def get_reset_query(self) -> str:
        return f"{super().get_reset_query()}\n{self.set_settings()}"


class TransactionPoolerConnection(DriverConnection):
    """A connection to a pooler in transaction mode: there is no session to reset."""

    __slots__ = ("_version",)
    texts = StatementTexts()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._version = self.texts.version

    @classmethod
    def of_pool(cls) -> type[TransactionPoolerConnection]:
        """Return the class of the connections of one pool, which share the texts that they prepare."""
        return type(cls.__name__, (cls,), {"__slots__": (), "texts": StatementTexts()})

    def get_reset_query(self) -> str:
        return ""

    async def _get_statement(self, query: str, timeout: float | None, **options: Any) -> Any:
        get: Any = super()._get_statement
        if not self.texts.version:
            return await get(query, timeout, **options)
        key = (query, Record, False)
        found = self._stmt_cache.get(key)
        if found is None or options:
            self._version = self.texts.version
            found = await get(self.texts.of(query), timeout, **options)
            if found.name and not options:
                # All that looks a statement up knows the text of its query.
                self._stmt_cache.put(key, found)
        return found

    def _drop_global_statement_cache(self) -> None:
        self.texts.renew(self._version)
        super()._drop_global_statement_cache()


async def is_behind_pooler(connection: Any) -> bool:
    """Return whether a pooler is between this connection and the server."""
    # The simple protocol returns nothing but the number of rows.
    status: str = await connection.execute(is_backend_sql(connection.get_server_pid()))
    return status == "SELECT 0"


async def keeps_statements(connection: Any) -> bool:
    """Return whether a pooler in transaction mode handles its clients' prepared statements, as PgBouncer does
    from 1.21 on.

    Such a pooler renames them; others pass our names on. The connection has no statement cache.
    """
    async with connection.transaction():
        await connection.prepare("select", name=PROBE_NAME)
        status: str = await connection.execute(probe_sql())
        if status == "SELECT 0":
            return True
        await connection.execute(f"deallocate {PROBE_NAME}")
        return False


def refuses_settings(error: BaseException) -> bool:
    """Return whether this error is a pooler's answer to a setting that it does not know."""
    return isinstance(error, exceptions.ProtocolViolationError) and "startup parameter" in str(error)
