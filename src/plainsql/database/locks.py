"""Advisory locks by name, one holder across all processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from plainsql.errors import ConnectError

__all__ = ["Locks"]

_KEY = "hashtextextended($1, 0)"


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
        scope = "xact_" if self._by_transaction else ""
        async with self._acquire() as connection:
            if wait:
                await connection.execute(f"select pg_advisory_{scope}lock({_KEY})", key)
                held = True
            else:
                held = await connection.fetchval(f"select pg_try_advisory_{scope}lock({_KEY})", key)
            try:
                yield held
                if held and connection.is_closed():
                    raise ConnectError(
                        "the advisory lock was lost: its connection ended while it was held",
                        hint="another may have held it meanwhile: look at what was done under it",
                    )
            finally:
                # It ends with the session's reset, or with the transaction; here, so that the next need not
                # wait for that.
                if held and not self._by_transaction and not connection.is_closed():
                    await connection.execute(f"select pg_advisory_unlock({_KEY})", key)
