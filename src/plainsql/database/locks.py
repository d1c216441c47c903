"""Advisory locks by name, with one holder across all processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from plainsql.database.pool.commit_outcome import add_note
from plainsql.database.pool.contexts import asynccontextmanager
from plainsql.database.pool.lost_connection import ConnectionLostError, as_lost, is_lost
from plainsql.errors import ConnectError, PlainsqlError

__all__ = ["LockLostError", "Locks"]

_KEY_SQL = "hashtextextended($1, 0)"

_NOT_ACQUIRED_NOTE = "the connection was lost before the advisory lock was acquired: it is not held"
_LOST_NOTE = "the advisory lock was lost: its connection ended while it was held"


class LockLostError(ConnectionLostError, ConnectError):
    """An advisory lock was lost together with its connection; another process may have held it since."""

    def __init__(self, cause: BaseException | None = None) -> None:
        hint = "another session may have held it meanwhile: check the work that was done under it"
        state: str | None = getattr(cause, "sqlstate", None)
        PlainsqlError.__init__(self, _LOST_NOTE, hint=hint)
        ConnectionLostError.__init__(self, _LOST_NOTE, hint=hint, sqlstate=state)

    def __str__(self) -> str:
        return PlainsqlError.__str__(self)


class Locks:
    """The advisory locks of one database.

    In this process, one task at a time requests a lock from the server. The others would each keep a
    connection waiting, and the holder might need one of these to go on.
    """

    def __init__(
        self, acquire: Callable[[], AbstractAsyncContextManager[Any]], *, by_transaction: bool
    ) -> None:
        self._acquire = acquire
        """Acquires a connection; with ``by_transaction``, one that is in a transaction."""
        self._by_transaction = by_transaction
        self._turns: dict[str, asyncio.Lock] = {}
        self._wanted: dict[str, int] = {}

    @asynccontextmanager
    async def hold(self, key: str, *, wait: bool) -> AsyncIterator[bool]:
        """Hold a lock; yield False if it is not held, which is possible without ``wait`` only."""
        if not wait and self._wanted.get(key):  # held here, or about to be by a task that waits for it
            yield False
            return
        turn = self._turns.setdefault(key, asyncio.Lock())
        self._wanted[key] = self._wanted.get(key, 0) + 1
        try:
            async with turn, self._hold_on_server(key, wait=wait) as held:
                yield held
        finally:
            self._wanted[key] -= 1
            if not self._wanted[key]:
                del self._wanted[key], self._turns[key]

    @asynccontextmanager
    async def _hold_on_server(self, key: str, *, wait: bool) -> AsyncIterator[bool]:
        async with self._acquire() as connection:
            held = await self._request(connection, key, wait=wait)
            try:
                yield held
            except BaseException as error:
                if held and not await self._release(connection, key):
                    add_note(error, _LOST_NOTE)
                raise
            if held and not await self._release(connection, key):
                raise LockLostError

    async def _request(self, connection: Any, key: str, *, wait: bool) -> bool:
        """Request the lock from the server, and return whether it is held. With ``wait``, wait for it."""
        scope = "xact_" if self._by_transaction else ""
        try:
            if wait:
                await connection.execute(f"select pg_advisory_{scope}lock({_KEY_SQL})", key)
                return True
            return bool(await connection.fetchval(f"select pg_try_advisory_{scope}lock({_KEY_SQL})", key))
        except Exception as raised:
            error = as_lost(raised)
            if is_lost(error):
                add_note(error, _NOT_ACQUIRED_NOTE)
            if error is raised:
                raise
            raise error from raised

    async def _release(self, connection: Any, key: str) -> bool:
        """Release the lock and return whether it was held until now.

        The reset of the session, or the end of the transaction, would release it later. The next holder need
        not wait for that.
        """
        if connection.is_closed():
            return False
        try:
            if self._by_transaction:  # it ends with the transaction; only the connection is checked
                await connection.execute("select", timeout=connection.control_timeout_s)
                return True
            return bool(
                await connection.fetchval(
                    f"select pg_advisory_unlock({_KEY_SQL})", key, timeout=connection.control_timeout_s
                )
            )
        except TimeoutError:
            connection.terminate()  # the end of the session releases the lock
            return False
        except Exception as error:
            if not is_lost(as_lost(error)):
                raise
            return False
