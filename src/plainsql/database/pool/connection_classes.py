"""The asyncpg connections that the pool makes: how they are reset, and what stands between them and the
server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from asyncpg import connect_utils, exceptions

from plainsql.database.pool.resettable_connection import ResettableConnection
from plainsql.pooler import is_backend_sql

__all__ = [
    "SETTINGS",
    "DirectConnection",
    "DriverConnection",
    "SessionPoolerConnection",
    "TransactionPoolerConnection",
    "is_behind_pooler",
    "keeps_statements",
    "refuses_settings",
    "set_settings",
]

SETTINGS = {
    # With a filter, an HNSW scan must go on until it has found enough, and give its rows in the order that
    # the statement asks for: with `relaxed_order` it does not, and the planner, which relies on the index's
    # order, does not sort them again. A database without pgvector takes this for a setting of an extension
    # that is yet to be loaded.
    "hnsw.iterative_scan": "strict_order",
}

# asyncpg's own reset leaves these: a role that was taken on, which would read with its rights for the next
# one too, and temporary tables, which would hide others of the same name.
_MORE = "reset session authorization; reset role; discard temp; discard sequences;"

_PROBE = "plainsql_probe"


class DriverConnection(ResettableConnection):
    """A connection of a pool of ours: it reports its end, and shares what asyncpg's pools share."""

    __slots__ = ("born", "control_timeout_s", "on_end", "siblings")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.born = 0.0
        """When it began to open, by `time.monotonic`."""
        self.control_timeout_s = 10.0
        """Seconds that what costs the server nothing may take: a rollback, a reset, a farewell."""
        self.on_end: Callable[[DriverConnection], object] | None = None
        """Called once when the connection has ended, by whomever."""
        self.siblings: Iterable[DriverConnection] = ()
        """The connections to the same database, this one included."""

    async def recover(self) -> None:
        """Bring the connection into order from whatever state a call has left it in: wait until its statement
        is cancelled, roll back, reset.
        """
        protocol: Any = self._protocol
        await protocol._wait_for_cancellation()
        self._check_open()  # type: ignore[no-untyped-call]
        # Before the reset, which reports an open transaction to the event loop as an error.
        self._top_xact = None
        if protocol.is_in_transaction():
            await self.execute("rollback")
        await self.reset()

    async def cancel_statement(self) -> None:
        """Ask the server to cancel what runs on this connection, over a connection of its own."""
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
        """End the connection at once, without waiting for anything."""
        if self._loop.is_closed():
            self.abandon()
        else:
            super().terminate()  # type: ignore[no-untyped-call]

    def abandon(self) -> None:
        """Close this process's copy of the socket, and never send anything on it."""
        self._aborted = True
        self.on_end = None
        # Not through the transport: its `abort` would take the socket out of the event loop's selector, which
        # a child process shares with its parent.
        socket: Any = self._transport.get_extra_info("socket")
        sock: Any = getattr(socket, "_sock", None)
        if sock is not None:
            with suppress(OSError):
                sock.close()
            if self._loop.is_closed() and getattr(self._transport, "_sock", None) is sock:
                self._transport._sock = None  # else its end is a warning of a transport that was left open

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
        task._log_destroy_pending = False  # at the end of the event loop there is nothing to report
        self._cancellations.add(task)

    async def _cancel(self, waiter: Any, cancel_waiter: Any = None) -> None:
        """Send the request to cancel, and wait for the end of the statement, as asyncpg does, but not for
        ever.
        """
        try:
            async with asyncio.timeout(self.control_timeout_s):
                with suppress(ConnectionResetError):
                    await self.cancel_statement()
                if not waiter.done():
                    waiter.set_result(None)
                if cancel_waiter is not None:
                    await asyncio.shield(cancel_waiter)
        except asyncio.CancelledError:
            pass  # what waits for it goes on below
        except Exception:  # noqa: BLE001 (whatever it is: nobody knows whether the statement still runs)
            self.terminate()
        finally:
            if not self._loop.is_closed():
                self._cancellations.discard(asyncio.current_task())
                if not waiter.done():
                    waiter.set_result(None)

    def _clean_tasks(self) -> None:
        # asyncpg cancels the requests to cancel here. One that connects at that moment is reported as an
        # exception that was never retrieved; and on the server the statement would go on.
        self._cancellations.clear()

    # What one connection finds out of date is so for all: asyncpg asks its own pool to forget it.

    def _drop_global_statement_cache(self) -> None:
        for connection in {self, *self.siblings}:
            connection._drop_local_statement_cache()  # type: ignore[no-untyped-call]

    def _drop_global_type_cache(self) -> None:
        for connection in {self, *self.siblings}:
            if connection._protocol is not None:
                connection._drop_local_type_cache()  # type: ignore[no-untyped-call]


class DirectConnection(DriverConnection):
    """A connection whose reset leaves nothing of a session behind."""

    __slots__ = ()

    def get_reset_query(self) -> str:
        own: str = super().get_reset_query()  # type: ignore[no-untyped-call]
        return f"{own}\n{_MORE}"


class SessionPoolerConnection(DirectConnection):
    """A connection to a pooler that gives each client a server's session: it refuses our settings at the
    start.
    """

    __slots__ = ()

    def get_reset_query(self) -> str:
        return f"{super().get_reset_query()}\n{set_settings()}"


class TransactionPoolerConnection(DriverConnection):
    """A connection to a pooler in transaction mode: there is no session that a reset would reach."""

    __slots__ = ()

    def get_reset_query(self) -> str:
        return ""


def set_settings() -> str:
    """Return what makes our settings those of the session."""
    return " ".join(f"set {name} = '{value}';" for name, value in SETTINGS.items())


async def is_behind_pooler(connection: Any) -> bool:
    """Whether something stands between this connection and the server."""
    # In the simple protocol, the number of rows is all that comes back.
    status: str = await connection.execute(is_backend_sql(connection.get_server_pid()))
    return status == "SELECT 0"


async def keeps_statements(connection: Any) -> bool:
    """Whether a pooler in transaction mode looks after its clients' prepared statements: PgBouncer can from
    1.21 on.

    One that does gives them names of its own; one that does not hands on ours. The connection has no
    statement cache.
    """
    async with connection.transaction():
        await connection.prepare("select", name=_PROBE)
        status: str = await connection.execute(f"select from pg_prepared_statements where name = '{_PROBE}'")
        if status == "SELECT 0":
            return True
        await connection.execute(f"deallocate {_PROBE}")
        return False


def refuses_settings(error: BaseException) -> bool:
    """Whether this is a pooler's answer to settings that it does not know."""
    return isinstance(error, exceptions.ProtocolViolationError) and "startup parameter" in str(error)
