"""Advisory locks by name, one holder across all processes."""

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

_KEY = "hashtextextended($1, 0)"

_NOT_ACQUIRED = "the connection was lost before the advisory lock was acquired: it is not held"
_LOST = "the advisory lock was lost: its connection ended while it was held"


class LockLostError(ConnectionLostError, ConnectError):
    """An advisory lock was lost together with its connection, and another may have held it meanwhile."""

    def __init__(self, cause: BaseException | None = None) -> None:
        hint = "another session may have held it meanwhile: check the work that was done under it"
        state: str | None = getattr(cause, "sqlstate", None)
        PlainsqlError.__init__(self, _LOST, hint=hint)
        ConnectionLostError.__init__(self, _LOST, hint=hint, sqlstate=state)

    def __str__(self) -> str:
        return PlainsqlError.__str__(self)


class Locks:
    """The advisory locks of one database.

    Of those in this process who want the same lock, one at a time asks the server for it: the others would
    each keep a connection waiting, and the holder might need one of these to get on.
    """

    def __init__(
        self, acquire: Callable[[], AbstractAsyncContextManager[Any]], *, by_transaction: bool
    ) -> None:
        self._acquire = acquire
        """Takes a connection; one that is in a transaction, with ``by_transaction``."""
        self._by_transaction = by_transaction
        self._turns: dict[str, asyncio.Lock] = {}
        self._wanted: dict[str, int] = {}

    @asynccontextmanager
    async def hold(self, key: str, *, wait: bool) -> AsyncIterator[bool]:
        """Hold a lock; yield False where it is not held, which happens without ``wait`` only."""
        if not wait and self._wanted.get(key):  # held here, or about to be by one who has waited for it
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
            held = await self._ask(connection, key, wait=wait)
            try:
                yield held
            except BaseException as error:
                if held and not await self._release(connection, key):
                    add_note(error, _LOST)
                raise
            if held and not await self._release(connection, key):
                raise LockLostError

    async def _ask(self, connection: Any, key: str, *, wait: bool) -> bool:
        """Ask the server for the lock, and wait until it is held or, without ``wait``, not at all."""
        scope = "xact_" if self._by_transaction else ""
        try:
            if wait:
                await connection.execute(f"select pg_advisory_{scope}lock({_KEY})", key)
                return True
            return bool(await connection.fetchval(f"select pg_try_advisory_{scope}lock({_KEY})", key))
        except Exception as raised:
            error = as_lost(raised)
            if is_lost(error):
                add_note(error, _NOT_ACQUIRED)
            if error is raised:
                raise
            raise error from raised

    async def _release(self, connection: Any, key: str) -> bool:
        """Release the lock and return whether it was held until now.

        It would end with the session's reset, or with the transaction; here, so that the next need not wait
        for that.
        """
        if connection.is_closed():
            return False
        try:
            if self._by_transaction:  # ends with it: whether the connection is there is all that is asked
                await connection.execute("select", timeout=connection.control_timeout_s)
                return True
            return bool(
                await connection.fetchval(
                    f"select pg_advisory_unlock({_KEY})", key, timeout=connection.control_timeout_s
                )
            )
        except TimeoutError:
            connection.terminate()  # with its session ends the lock
            return False
        except Exception as error:
            if not is_lost(as_lost(error)):
                raise
            return False
