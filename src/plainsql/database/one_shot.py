"""Calls that stand alone: each on a connection of its own, or together with others of its kind.

A `Database` and a tenant's view of it are the same executor; the view's connections carry the tenant's
settings. A connection that carries a tenant serves nothing else before that is replaced. Behind a pooler that
gives out its connections by the transaction no connection carries anything: there a tenant's call is a
transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from time import perf_counter
from typing import Any, Literal, TypeVar

from asyncpg import exceptions

from plainsql.database.copying import CopyFormat, Output, Progress, copy_in, copy_out
from plainsql.database.execution import execute, fetch, iterate
from plainsql.database.failure import as_closed, is_lost
from plainsql.database.joined import JoinedStatement, Values
from plainsql.database.joining import Joiner, Reader
from plainsql.database.leases import Lease, Leases, Tenant
from plainsql.database.many import (
    CHUNK,
    divide,
    execute_many,
    pipelined_sql,
    read_together,
    run_batch,
    write_many,
    write_pipelined,
)
from plainsql.database.outcome import note_of_statement, note_of_transaction, was_not_sent
from plainsql.database.retrying import retry
from plainsql.database.tenancy import local_settings, set_session
from plainsql.database.transaction import Isolation, Transaction, begin
from plainsql.diagnose import cannot_connect
from plainsql.errors import PlainsqlError
from plainsql.query import Args, Effect, Plan, Query

__all__ = ["Core", "OneShot", "Pooler"]

R = TypeVar("R")
T = TypeVar("T")

_JOINERS = 1000
"""About so many joiners are kept, the oldest of those at rest go first: one is needed for each query and
tenant."""

Pooler = Literal["transaction", "session"]
"""What stands between us and the server, and for how long it lends a connection."""


@dataclass(slots=True)
class Core:
    """What a database and all views of it share."""

    leases: Leases
    name: str
    """The URL without its password."""
    prefetch: int
    joins: bool
    pooler: Pooler | None = None
    joined: dict[str, JoinedStatement] = field(default_factory=dict)
    joiners: dict[tuple[Tenant | None, str], Joiner] = field(default_factory=dict)


class OneShot:
    """An executor that serves any number of tasks at once."""

    def __init__(self, core: Core, tenant: Tenant | None) -> None:
        self._core = core
        self._leases = core.leases
        self._tenant = tenant
        by_transaction = tenant is not None and core.pooler == "transaction"
        self._session = None if by_transaction else tenant
        """What the sessions of this executor carry."""
        self._local = local_settings(tenant) if tenant is not None and by_transaction else None
        """What its transactions begin with, where sessions can carry nothing."""

    async def run(self, query: Query[..., Any, R], args: Args, /) -> R:
        """Run a query on a connection of its own, or together with others of its kind.

        A read that is proved to change nothing is run once more where its connection turns out to be lost.
        """
        plan, values = query.plan(args)
        if query.effect != "reads":
            return await self._on_lease(execute, query, plan, values)
        if not (query.joins and self._core.joins) or query.needs_columns:
            return query.result(await self._on_lease(fetch, query, plan, values))
        joiners = self._core.joiners
        key = (self._tenant, plan.sql)
        joiner = joiners.get(key)
        if joiner is None:
            joiner = joiners[key] = self._joiner(query, plan)
        if joiner.under_way and joiner.takes():
            try:
                return query.result(await joiner.join(values))
            except asyncio.CancelledError:
                joiner.abandoned()
                raise
        joiner.under_way += 1
        try:
            records = await self._on_lease(fetch, query, plan, values, joiner.statement)
        finally:
            joiner.ended()
        return query.result(records)

    async def stream(self, query: Query[..., T, Any], args: Args, /) -> AsyncIterator[T]:
        """Iterate over a query's rows through a cursor, in a transaction and on a connection of its own."""
        async with self._in_transaction() as connection:
            async for row in iterate(connection, query, args, self._core.prefetch):
                yield row

    async def run_batch(self, query: Query[..., Any, R], sets: Sequence[Args], /) -> list[R]:
        """Run a query for each set of arguments, all or none; the results in the order of the sets."""
        runs = divide(query, sets)
        if query.effect == "reads" and not query.needs_columns:
            results: list[R] = []
            for plan, values in runs:
                if len(values) == 1:
                    results.append(await self._on_lease(execute, query, plan, values[0]))
                    continue
                for start in range(0, len(values), CHUNK):
                    results += await self._read_chunk(query, plan, values[start : start + CHUNK])
            return results
        if query.effect == "writes" and len(runs) == 1 and not query.needs_columns:
            plan, values = runs[0]
            if len(values) == 1:
                return [await self._on_lease(execute, query, plan, values[0])]
            sql = pipelined_sql(query, plan)
            if sql is not None:  # the pipeline is a transaction

                async def write(connection: Any, _: object, plan: Plan, values: Any) -> list[R]:
                    return await write_pipelined(connection, query, plan, values, sql)

                return await self._on_lease(write, query, plan, values)
        if not runs:
            return []
        async with self._in_transaction() as connection:
            return await run_batch(connection, query, sets)

    async def run_many(self, query: Query[..., Any, Any], sets: Sequence[Args], /) -> None:
        """Run a query for each set of arguments, pipelined, all or none; its results are dropped."""
        runs = divide(query, sets)
        if query.effect != "unknown" and len(runs) == 1:
            await self._on_lease(write_many, query, *runs[0])
        elif runs:
            async with self._in_transaction() as connection:
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
        async with self._in_transaction() as connection:
            return await copy_in(connection, table, rows, columns, progress)

    async def copy_out(
        self,
        query: Query[..., Any, Any],
        output: Output,
        parameters: Mapping[str, object] | None = None,
        *,
        format: CopyFormat = "csv",
        header: bool = True,
        progress: Progress | None = None,
    ) -> int:
        """Copy a query's rows to a file or to a function, with COPY, and return how many there were.

        For rows as structs there is ``query.stream``.

        Args:
            query: what to copy.
            output: the path of a file, which is there when it is whole; an object with ``write``; or a
            coroutine function
                that takes bytes.
            parameters: the query's, by name.
            format: ``csv``, ``text`` or ``binary``, as COPY has them.
            header: whether the columns' names come first; not in the binary format.
            progress: called with the number of bytes so far.
        """
        args = query.bind((), dict(parameters or {}))
        async with self._in_transaction() as connection:
            return await copy_out(connection, query, args, output, format, header, progress)

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
        ended = False
        try:
            async with (
                self._acquire() as connection,
                begin(connection, self._core.prefetch, isolation, read_only, deferrable) as transaction,
            ):
                if self._local is not None:
                    await connection.execute(self._local)
                yield transaction
                ended = True
        except BaseException as raised:
            error = as_closed(raised)
            if (note := note_of_transaction(error, ended=ended)) is not None:
                error.add_note(note)
            if error is raised:
                raise
            raise error from None

    async def retry(
        self,
        work: Callable[[Transaction], Awaitable[R]],
        *,
        attempts: int = 5,
        isolation: Isolation | None = "serializable",
        on_retry: Callable[[int, BaseException], object] | None = None,
    ) -> R:
        """Run ``work`` in a transaction, again where it failed by a serialization failure or a deadlock.

        Between attempts it waits a random time that grows, up to a second. ``on_retry`` is told the number of
        the attempt that failed and its error. The last error is raised with a note of how many attempts were
        made.
        """
        return await retry(lambda: self.transaction(isolation=isolation), work, attempts, on_retry)

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        """Take an asyncpg connection, for what queries cannot say. It is reset afterwards.

        It is yours inside the block only: afterwards it serves others.
        """
        if self._local is not None:
            raise PlainsqlError(
                "acquire(): behind a pooler in transaction mode no connection can carry a tenant",
                hint="use transaction() and its 'connection'",
            )
        async with self._acquire() as connection:
            yield connection

    # --------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _acquire(self) -> AsyncIterator[Any]:
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

    @asynccontextmanager
    async def _in_transaction(self) -> AsyncIterator[Any]:
        """Take a connection that is in a transaction of this executor's tenant."""
        ended = False
        try:
            async with self._acquire() as connection:
                # Not `async with`: where the connection is gone, its end hides the error that tells so.
                transaction = connection.transaction()
                await transaction.start()
                try:
                    if self._local is not None:
                        await connection.execute(self._local)
                    yield connection
                except BaseException:
                    if not connection.is_closed():
                        with suppress(exceptions.PostgresError, exceptions.InterfaceError, OSError):
                            await transaction.rollback()
                    raise
                ended = True
                await transaction.commit()
        except BaseException as raised:
            error = as_closed(raised)
            if (note := note_of_transaction(error, ended=ended)) is not None:
                error.add_note(note)
            if error is raised:
                raise
            raise error from None

    async def _lease(self, *, proved: bool = False) -> Lease:
        """Take a connection whose session is this executor's tenant's, or nobody's.

        ``proved``: one that was just lost is not the only one, as a rule; each is asked for a sign of life.
        """
        losses = 0
        while True:
            lease = self._leases.take_now(self._session)
            if lease is None:
                try:
                    lease = await self._leases.take(self._session)
                except PlainsqlError:
                    raise
                except (OSError, exceptions.PostgresError, exceptions.InterfaceError) as error:
                    losses += 1
                    if isinstance(error, exceptions.ConnectionDoesNotExistError) and losses < 3:
                        continue  # it was lost while it was set up, and not refused
                    state: str | None = getattr(error, "sqlstate", None)
                    raise cannot_connect(self._core.name, error, state) from None
            if lease.tenant == self._session and not proved:
                return lease
            try:
                if lease.tenant != self._session:
                    await set_session(lease.connection, lease.tenant, self._session)
                    lease.tenant = self._session
                else:
                    await lease.connection.execute("select")
                return lease
            except BaseException as error:
                self._leases.retire(lease)  # whose it is now is not known
                losses += 1
                if not is_lost(error) or losses > self._leases.max_size:
                    raise

    async def _on_lease(
        self,
        work: Callable[[Any, Query[..., Any, Any], Plan, Any], Awaitable[T]],
        query: Query[..., Any, Any],
        plan: Plan,
        values: Any,
        measured: JoinedStatement | None = None,
    ) -> T:
        """Run work on a connection of its own, and take note of what it costs where that is asked for.

        A second time where its connection was lost, and it changes nothing or was not sent at all.
        """
        effect: Any = query.effect
        again = False
        while True:
            lease = await self._lease(proved=again)
            connection = lease.connection
            try:
                if self._local is not None:
                    await connection.execute(f"begin; {self._local}")
                began = perf_counter()
                result = await work(connection, query, plan, values)
                if measured is not None:
                    measured.measured(perf_counter() - began)
                if self._local is not None and effect != "reads":
                    await connection.execute("commit")
            except BaseException as raised:
                error = as_closed(raised)
                self._give_back_failed(lease, effect, error)
                if not again and is_lost(error) and (effect == "reads" or was_not_sent(error)):
                    again = True
                    continue
                if (note := note_of_statement(error, effect)) is not None:
                    error.add_note(note)
                if error is raised:
                    raise
                raise error from None
            if effect == "unknown":
                self._leases.give_back_changed(lease)
            elif self._local is not None and effect == "reads":
                self._leases.give_back_after(lease, "commit")  # the caller need not wait for it
            else:
                self._leases.give_back(lease)
            return result

    def _give_back_failed(self, lease: Lease, effect: Effect, error: BaseException) -> None:
        if self._local is not None and not is_lost(error):
            # Where the statement was cancelled, the driver waits for its end first.
            self._leases.give_back_after(lease, "rollback")
        elif not isinstance(error, exceptions.PostgresError | PlainsqlError) or is_lost(error):
            # The server may still be at it: the pool waits for its answer, or closes the connection.
            self._leases.retire(lease)
        elif effect == "unknown":
            self._leases.give_back_changed(lease)
        else:
            self._leases.give_back(lease)

    async def _read_chunk(self, query: Query[..., Any, R], plan: Plan, values: Sequence[Values]) -> list[R]:
        statement = self._statement(plan)

        async def read(connection: Any, _: object, plan: Plan, values: Any) -> list[R]:
            return await read_together(connection, query, plan, values, statement)

        return await self._on_lease(read, query, plan, values)

    def _statement(self, plan: Plan) -> JoinedStatement:
        statement = self._core.joined.get(plan.sql)
        if statement is None:
            statement = self._core.joined[plan.sql] = JoinedStatement(plan)
        return statement

    def _joiner(self, query: Query[..., Any, Any], plan: Plan) -> Joiner:
        joiners = self._core.joiners
        if len(joiners) >= _JOINERS:  # there may be many tenants
            for key in [*islice(joiners, 16)]:
                if joiners[key].at_rest:
                    del joiners[key]
        statement = self._statement(plan)

        async def fetch_joined(
            connection: Any, _: object, __: object, calls: list[Values]
        ) -> list[list[Any]] | None:
            return await statement.fetch(connection, calls)

        def together(calls: list[Values]) -> Awaitable[list[list[Any]] | None]:
            return self._on_lease(fetch_joined, query, plan, calls)

        def alone(plan: Plan, values: Values) -> Awaitable[Sequence[Any]]:
            return self._on_lease(fetch, query, plan, values, statement)

        return Joiner(plan, statement, Reader(self._leases.max_size, together, alone))
