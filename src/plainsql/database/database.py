"""The database as an executor: queries on the connections of an asyncpg pool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from asyncpg import exceptions

from plainsql.database.execution import execute, fetch, iterate
from plainsql.database.failure import is_lost
from plainsql.database.joining import Joiner, Reader
from plainsql.database.leases import Lease, Leases
from plainsql.database.transaction import Isolation, Transaction, begin
from plainsql.diagnose import cannot_connect
from plainsql.errors import PlainsqlError
from plainsql.query import Args, Plan, Query

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
        leases: Leases,
        *,
        name: str,
        prefetch: int,
        joins: bool,
        on_close: Callable[[], object],
    ) -> None:
        self._pool = pool
        self._leases = leases
        self._on_close = on_close
        self._name = name
        self._prefetch = prefetch
        self._joins = joins
        self._joiners: dict[str, Joiner] = {}

    async def run(self, query: Query[..., Any, R], args: Args, /) -> R:
        """Run a query on a connection of its own, or together with others of its kind.

        A read that is proved to change nothing is run once more where its connection turns out to be lost.
        """
        plan, values = query.plan(args)
        if query.effect != "reads":
            return await self._run(query, plan, values)
        if not (self._joins and query.joins):
            return query.result(await self._read(query, plan, values))
        joiner = self._joiners.get(plan.sql)
        if joiner is None:
            joiner = self._joiners[plan.sql] = Joiner(plan, self._reader(query))
        if joiner.under_way:
            return query.result(await joiner.join(values))
        joiner.under_way = 1
        try:
            records = await self._read(query, plan, values)
        finally:
            joiner.ended()
        return query.result(records)

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
        """Take an asyncpg connection, for what queries cannot say: COPY, LISTEN. It is reset afterwards."""
        lease = self._leases.take_now() or await self._take()
        try:
            yield lease.connection
        except exceptions.PostgresError:
            self._leases.give_back_changed(lease)
            raise
        except BaseException:
            # The connection may be in the middle of something.
            self._leases.retire(lease)
            raise
        else:
            self._leases.give_back_changed(lease)

    async def close(self, timeout: float | None = 10.0) -> None:
        """Let running queries end, then close all connections; after ``timeout`` seconds, at once."""
        try:
            async with asyncio.timeout(timeout):
                await self._leases.close()
                await self._pool.close()
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

    async def _take(self) -> Lease:
        try:
            return await self._leases.take()
        except (OSError, exceptions.PostgresError) as error:
            if isinstance(error, PlainsqlError):
                raise
            raise cannot_connect(self._name, error, getattr(error, "sqlstate", None)) from None

    async def _run(self, query: Query[..., Any, R], plan: Plan, values: Args) -> R:
        """Run a query that may change something, once."""
        lease = self._leases.take_now() or await self._take()
        try:
            result = await execute(lease.connection, query, plan, values)
        except BaseException as error:
            self._give_back_failed(lease, query, error)
            raise
        if query.effect == "unknown":
            self._leases.give_back_changed(lease)
        else:
            self._leases.give_back(lease)
        return result

    async def _read(self, query: Query[..., Any, Any], plan: Plan, values: Args) -> list[Any]:
        """Run a query that is proved to change nothing; a second time where the first connection was lost."""
        leases = self._leases
        lease = leases.take_now() or await self._take()
        try:
            records = await fetch(lease.connection, query, plan, values)
        except BaseException as error:
            self._give_back_failed(lease, query, error)
            if not is_lost(error):
                raise
        else:
            leases.give_back(lease)
            return records
        lease = leases.take_now() or await self._take()
        try:
            records = await fetch(lease.connection, query, plan, values)
        except BaseException as error:
            self._give_back_failed(lease, query, error)
            raise
        leases.give_back(lease)
        return records

    def _reader(self, query: Query[..., Any, Any]) -> Reader:
        def alone(plan: Plan, values: Args) -> Awaitable[Sequence[Any]]:
            return self._read(query, plan, values)

        return Reader(self._leases.max_size, self._take, self._leases.give_back, self._leases.retire, alone)

    def _give_back_failed(self, lease: Lease, query: Query[..., Any, Any], error: BaseException) -> None:
        if isinstance(error, asyncio.CancelledError | TimeoutError | OSError | exceptions.InterfaceError):
            # The server may still be at it: the pool waits for its answer, or closes the connection.
            self._leases.retire(lease)
        elif query.effect == "unknown":
            self._leases.give_back_changed(lease)
        else:
            self._leases.give_back(lease)
