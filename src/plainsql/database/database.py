"""The database as an executor: queries on the connections of an asyncpg pool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from asyncpg import exceptions

from plainsql.database.execution import execute, iterate
from plainsql.database.transaction import Isolation, Transaction, begin
from plainsql.errors import PlainsqlError, PoolTimeoutError
from plainsql.query import Args, Query

__all__ = ["Database"]

R = TypeVar("R")
T = TypeVar("T")


class Database:
    """A PostgreSQL database: an executor that serves any number of tasks at once.

    Made by ``plainsql.connect``. Every call takes a connection of the pool for as long as it runs.
    """

    def __init__(
        self,
        pool: Any,
        *,
        name: str,
        acquire_timeout: float | None,
        prefetch: int,
        on_close: Callable[[], object],
    ) -> None:
        self._pool = pool
        self._on_close = on_close
        self._name = name
        self._acquire_timeout = acquire_timeout
        self._prefetch = prefetch

    async def run(self, query: Query[..., Any, R], args: Args, /) -> R:
        """Run a query on a connection of its own."""
        connection = await self._acquire()
        try:
            return await execute(connection, query, args)
        finally:
            await self._pool.release(connection)

    async def stream(self, query: Query[..., T, Any], args: Args, /) -> AsyncIterator[T]:
        """Iterate over a query's rows through a cursor, in a transaction and on a connection of its own."""
        async with self.acquire() as connection, connection.transaction():
            async for row in iterate(connection, query, args, self._prefetch):
                yield row

    @asynccontextmanager
    async def transaction(
        self,
        *,
        isolation: Isolation | None = None,
        read_only: bool = False,
        deferrable: bool = False,
    ) -> AsyncIterator[Transaction]:
        """Open a transaction: ``async with db.transaction() as tx``.

        ``isolation`` is the server's default (read committed) where it is not given. ``deferrable`` counts only
        with ``isolation="serializable"`` and ``read_only``: it waits until it cannot fail.
        """
        async with self.acquire() as connection:
            async with begin(connection, self._prefetch, isolation, read_only, deferrable) as transaction:
                yield transaction

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        """Take an asyncpg connection out of the pool, for what queries cannot say: COPY, LISTEN."""
        connection = await self._acquire()
        try:
            yield connection
        finally:
            await self._pool.release(connection)

    async def close(self, timeout: float | None = 10.0) -> None:
        """Let running queries end, then close all connections; after ``timeout`` seconds, at once."""
        try:
            await asyncio.wait_for(self._pool.close(), timeout)
        except TimeoutError:
            self._pool.terminate()
        finally:
            # The embedded server, where this database is one: stopping it waits for its processes.
            await asyncio.to_thread(self._on_close)

    def __repr__(self) -> str:
        return f"<Database {self._name}>"

    async def __aenter__(self) -> Database:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _acquire(self) -> Any:
        try:
            return await self._pool.acquire(timeout=self._acquire_timeout)
        except TimeoutError:
            raise PoolTimeoutError(
                f"no connection became free within {self._acquire_timeout:g} s",
                detail=f"all {self._pool.get_max_size()} connections of the pool are in use",
                hint="raise max_size, or look for transactions that are held open for too long",
            ) from None
        except exceptions.InterfaceError as error:
            if self._pool.is_closing():
                raise PlainsqlError(
                    "the database is closed", hint="use it inside its 'async with' block"
                ) from None
            raise error
