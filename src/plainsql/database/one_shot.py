"""Calls that stand alone: each on a connection of its own, or together with others of its kind.

A `Database` and a tenant's view of it are the same executor; the view's connections carry the tenant's
settings. A connection that carries a tenant serves nothing else before that is replaced.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from asyncpg import exceptions

from plainsql.database.copying import Progress, copy_in
from plainsql.database.execution import execute, fetch, iterate
from plainsql.database.failure import is_lost
from plainsql.database.joined import JoinedStatement
from plainsql.database.joining import Joiner, Reader
from plainsql.database.leases import Lease, Leases, Tenant
from plainsql.database.many import execute_many, run_batch
from plainsql.database.transaction import Isolation, Transaction, begin
from plainsql.diagnose import cannot_connect
from plainsql.errors import PlainsqlError
from plainsql.query import Args, Plan, Query

__all__ = ["Core", "OneShot"]

R = TypeVar("R")
T = TypeVar("T")


@dataclass(slots=True)
class Core:
    """What a database and all views of it share."""

    leases: Leases
    name: str
    """The URL without its password."""
    prefetch: int
    joins: bool
    joined: dict[str, JoinedStatement] = field(default_factory=dict)
    joiners: dict[tuple[Tenant | None, str], Joiner] = field(default_factory=dict)


class OneShot:
    """An executor that serves any number of tasks at once."""

    def __init__(self, core: Core, tenant: Tenant | None) -> None:
        self._core = core
        self._leases = core.leases
        self._tenant = tenant

    async def run(self, query: Query[..., Any, R], args: Args, /) -> R:
        """Run a query on a connection of its own, or together with others of its kind.

        A read that is proved to change nothing is run again where its connection turns out to be lost.
        """
        plan, values = query.plan(args)
        if query.effect != "reads":
            return await self._run(query, plan, values)
        if not (query.joins and self._core.joins):
            return query.result(await self._read(query, plan, values))
        joiners = self._core.joiners
        key = (self._tenant, plan.sql)
        joiner = joiners.get(key)
        if joiner is None:
            joiner = joiners[key] = self._joiner(query, plan)
        if joiner.under_way:
            return query.result(await joiner.join(values))
        joiner.under_way = 1
        try:
            records = await self._read(query, plan, values)
        finally:
            joiner.ended()
            if self._tenant is not None and not joiner.under_way:
                joiners.pop(key, None)  # there may be many tenants
        return query.result(records)

    async def stream(self, query: Query[..., T, Any], args: Args, /) -> AsyncIterator[T]:
        """Iterate over a query's rows through a cursor, in a transaction and on a connection of its own."""
        async with self.acquire() as connection, connection.transaction():
            async for row in iterate(connection, query, args, self._core.prefetch):
                yield row

    async def run_batch(self, query: Query[..., Any, R], sets: Sequence[Args], /) -> list[R]:
        """Run a query for each set of arguments, all or none; the results in the order of the sets."""
        async with self.acquire() as connection, connection.transaction():
            return await run_batch(connection, query, sets)

    async def run_many(self, query: Query[..., Any, Any], sets: Sequence[Args], /) -> None:
        """Run a query for each set of arguments, pipelined, all or none; its results are dropped."""
        async with self.acquire() as connection, connection.transaction():
            await execute_many(connection, query, sets)

    async def copy_in(
        self,
        table: str,
        rows: Iterable[Any] | AsyncIterable[Any],
        *,
        columns: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> int:
        """Copy rows into a table with COPY, all or none, and return how many there were.

        Args:
            table: ``realty.messages``.
            rows: structs, whose fields name the columns, or tuples.
            columns: the columns' names, where the rows are tuples.
            progress: called with the number of rows taken so far, every 1,000 and at the end.
        """
        async with self.acquire() as connection, connection.transaction():
            return await copy_in(connection, table, rows, columns, progress)

    @asynccontextmanager
    async def transaction(
        self,
        *,
        isolation: Isolation | None = None,
        read_only: bool = False,
        deferrable: bool = False,
    ) -> AsyncIterator[Transaction]:
        """Open a transaction: ``async with db.transaction() as tx``.

        ``isolation`` is the server's default (read committed) where it is not given. ``deferrable`` counts
        only with ``isolation="serializable"`` and ``read_only``: it waits until it cannot fail.
        """
        async with (
            self.acquire() as connection,
            begin(connection, self._core.prefetch, isolation, read_only, deferrable) as transaction,
        ):
            yield transaction

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        """Take an asyncpg connection, for what queries cannot say: COPY, LISTEN. It is reset afterwards."""
        lease = await self._lease()
        try:
            yield lease.connection
        except BaseException as error:
            if isinstance(error, Exception) and not is_lost(error) and not isinstance(error, TimeoutError):
                self._leases.give_back_changed(lease)
            else:  # it may be in the middle of something
                self._leases.retire(lease)
            raise
        else:
            self._leases.give_back_changed(lease)

    # --------------------------------------------------------------------------------------------------

    async def _lease(self) -> Lease:
        """Take a connection whose session is this executor's tenant's, or nobody's."""
        lease = self._leases.take_now(self._tenant)
        if lease is None:
            try:
                lease = await self._leases.take(self._tenant)
            except PlainsqlError:
                raise
            except (OSError, exceptions.PostgresError) as error:
                state: str | None = getattr(error, "sqlstate", None)
                raise cannot_connect(self._core.name, error, state) from None
        if lease.tenant != self._tenant:
            await self._change_tenant(lease)
        return lease

    async def _change_tenant(self, lease: Lease) -> None:
        # What the former tenant has set and this one does not must go too.
        settings = {name: "" for name, _ in lease.tenant or ()} | dict(self._tenant or ())
        calls = ", ".join(f"set_config(${2 * i + 1}, ${2 * i + 2}, false)" for i in range(len(settings)))
        try:
            await lease.connection.fetch(
                f"select {calls}", *(part for setting in settings.items() for part in setting)
            )
        except BaseException:
            self._leases.retire(lease)  # whose it is now is not known
            raise
        lease.tenant = self._tenant

    async def _run(self, query: Query[..., Any, R], plan: Plan, values: Args) -> R:
        """Run a query that may change something, once."""
        lease = await self._lease()
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
        """Run a query that is proved to change nothing; again where its connection turns out to be lost."""
        # A server that restarts takes all connections with it, and each is found lost only when it is used.
        for chances in range(self._leases.max_size, -1, -1):
            lease = await self._lease()
            try:
                records = await fetch(lease.connection, query, plan, values)
            except BaseException as error:
                self._give_back_failed(lease, query, error)
                if not (chances and is_lost(error)):
                    raise
            else:
                self._leases.give_back(lease)
                return records
        raise AssertionError("the last attempt returns or raises")

    def _give_back_failed(self, lease: Lease, query: Query[..., Any, Any], error: BaseException) -> None:
        if is_lost(error) or isinstance(error, asyncio.CancelledError | TimeoutError | OSError):
            # The server may still be at it: the pool waits for its answer, or closes the connection.
            self._leases.retire(lease)
        elif query.effect == "unknown":
            self._leases.give_back_changed(lease)
        else:
            self._leases.give_back(lease)

    def _joiner(self, query: Query[..., Any, Any], plan: Plan) -> Joiner:
        joined = self._core.joined.get(plan.sql)
        if joined is None:
            joined = self._core.joined[plan.sql] = JoinedStatement(plan)

        def alone(plan: Plan, values: Args) -> Awaitable[Sequence[Any]]:
            return self._read(query, plan, values)

        leases = self._leases
        return Joiner(
            plan, joined, Reader(leases.max_size, self._lease, leases.give_back, leases.retire, alone)
        )
