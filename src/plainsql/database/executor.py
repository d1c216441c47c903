"""The executor that a database and a tenant's view of it have in common."""

from __future__ import annotations

from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager
from itertools import chain, repeat
from typing import Any, TypeVar

from plainsql.database.caching.handle import CacheHandle
from plainsql.database.execution.copy_in import Progress, copy_in, copy_query
from plainsql.database.execution.copy_out import CopyFormat, CopyOut, Output, arguments_of
from plainsql.database.pipeline import Pipeline
from plainsql.database.pool.commit_outcome import CommitOutcome
from plainsql.database.pool.contexts import asynccontextmanager
from plainsql.database.pool.tenant_pool import TenantPool
from plainsql.database.retry import retry
from plainsql.database.state import DatabaseState
from plainsql.database.transaction import Isolation, Transaction, TransactionOptions, begin
from plainsql.errors import PlainsqlError
from plainsql.options import check
from plainsql.query import Args, CompiledCopy, CompiledQuery, Query
from plainsql.query.sql_calls import AsyncSql

__all__ = ["Executor"]

R = TypeVar("R")
T = TypeVar("T")


class Executor(AsyncSql):
    """An executor that serves any number of tasks at the same time.

    It passes each call to the chain of the database (see `execution.link`), with the pool of its tenant.
    """

    __slots__ = ("__weakref__", "_chain", "_pool", "_state")

    def __init__(self, state: DatabaseState, pool: TenantPool) -> None:
        self._state = state
        self._chain = state.chain
        self._pool = pool

    @property
    def cache(self) -> CacheHandle:
        """The cache by hand: forget, clear, invalidate, drain, stats."""
        return CacheHandle(self._state.cached, self._pool)

    def run(self, query: CompiledQuery[Any, R], args: Args, /) -> Coroutine[Any, Any, R]:
        """Run a query, alone or together with concurrent calls of the same read.

        A read that is proved to change nothing is run a second time if its connection was lost.
        """
        return self._chain.run(query, args, self._pool, None)

    def fresh(self, query: CompiledQuery[Any, R], args: Args, /) -> Coroutine[Any, Any, R]:
        """Run a query without reading its result from the cache."""
        return self._chain.fresh(query, args, self._pool, None)

    def stream(self, query: CompiledQuery[T, Any], args: Args, /) -> AsyncIterator[T]:
        """Iterate over the rows of a query through a cursor, in a transaction of its own."""
        return self._chain.stream(query, args, self._pool, None)

    def batch(self, query: CompiledQuery[Any, R], sets: Sequence[Args], /) -> Coroutine[Any, Any, list[R]]:
        """Run a query for each set of arguments, all or none. Return the results in the order of the sets."""
        return self._chain.batch(query, sets, self._pool, None)

    def execute_many(
        self, query: CompiledQuery[Any, Any], sets: Sequence[Args], /
    ) -> Coroutine[Any, Any, None]:
        """Run a query for each set of arguments as a pipeline, all or none, and drop the results."""
        return self._chain.execute_many(query, sets, self._pool, None)

    async def copy_in(
        self,
        table: str,
        rows: Iterable[Any] | AsyncIterable[Any],
        *,
        columns: Sequence[str] | None = None,
        progress: Progress | None = None,
        analyze: bool = False,
    ) -> int:
        """Copy rows into a table with COPY, all or none, and return how many there were.

        Args:
            table: ``realty.messages``.
            rows: structs, whose fields name the columns, or tuples; or a table in Arrow's format, such as a
                data frame.
            columns: the columns' names, if the rows are tuples; of a table, those to copy.
            progress: called with the number of rows taken so far, every 1,000 and at the end.
            analyze: analyze the table afterwards, in the same transaction. Searches of a table that was empty
                need its statistics; the role must own the table, or hold the privilege MAINTAIN.
        """
        check("copy_in", table=table, rows=rows, columns=columns, progress=progress, analyze=analyze)
        return await self._chain.copy_in(
            lambda connection: copy_in(connection, table, rows, columns, progress, analyze=analyze),
            self._pool,
        )

    def copy_rows(
        self,
        query: CompiledCopy,
        rows: Iterable[Any] | AsyncIterable[Any],
        progress: Progress | None = None,
        analyze: bool = False,
        /,
    ) -> Coroutine[Any, Any, int]:
        """Copy rows into the table of a query; call the query instead."""
        return self._chain.copy_rows(
            query, lambda connection: copy_query(connection, query, rows, progress, analyze), self._pool, None
        )

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
            query: the query whose rows are copied.
            output: the path of a file, which exists when it is complete; an object with ``write``; or a
                coroutine function that takes bytes.
            parameters: the query's, by name.
            format: ``csv``, ``text`` or ``binary``, as COPY has them.
            header: whether the columns' names come first; not in the binary format.
            progress: called with the number of bytes so far.
        """
        args = arguments_of(query, output, parameters, format, header, progress)
        compiled = query.compiled
        return await self._chain.copy_out(
            compiled,
            CopyOut(compiled, args, output, format, header, progress),
            self._pool,
            None,
        )

    @asynccontextmanager
    async def transaction(
        self,
        *,
        isolation: Isolation | None = None,
        read_only: bool = False,
        deferrable: bool = False,
    ) -> AsyncIterator[Transaction]:
        """Open a transaction: ``async with db.transaction() as tx``.

        ``isolation`` is the server's default (read committed) if it is not given. ``deferrable`` counts
        only with ``isolation="serializable"`` and ``read_only``: it waits until it cannot fail.
        """
        check("transaction", isolation=isolation, read_only=read_only, deferrable=deferrable)
        pool, state = self._pool, self._state
        with CommitOutcome() as outcome:
            async with pool.borrow("transaction", read_only=read_only) as pooled:

                def explain(raised: BaseException) -> BaseException:
                    # Also for an error that the block handles.
                    return pool.explain(raised, pooled, read_only=read_only)

                options = TransactionOptions(
                    state.prefetch,
                    state.on_call,
                    state.pool.guard if pool.tenant is None else None,
                    None if state.cached is None else state.cached.queries,
                    explain,
                    server=state.server,
                    verify=pool.verifier(pooled),
                )
                async with begin(
                    pooled.connection,
                    options,
                    outcome,
                    isolation,
                    read_only,
                    deferrable,
                    opening=pool.opening,
                    following=pooled.following,
                ) as transaction:
                    yield transaction

    @asynccontextmanager
    async def pipeline(self) -> AsyncIterator[Pipeline]:
        """Collect calls of different queries, and send them in one round trip at the end of the block.

        They run in a transaction, in order: all are done, or none. ``add`` returns the place of a result::

            async with db.pipeline() as pipeline:
                lead = pipeline.add(leads.get_by_id, id=id)
                recent = pipeline.add(messages.recent, lead_id=id, limit=20)
            print(lead.result(), recent.result())
        """
        pipeline = Pipeline()
        try:
            yield pipeline
        except BaseException:
            pipeline._end("its block has failed, and nothing was sent")
            raise
        if pipeline._calls:
            await pipeline._send(self._run_in_order)
        else:
            pipeline._end("")

    async def _run_in_order(self, calls: list[tuple[CompiledQuery[Any, Any], Args]]) -> list[Any]:
        """Run the calls of a pipeline in a transaction, and return their results."""
        async with self.transaction() as transaction:
            return await transaction._run_in_order(calls, own=True)

    async def retry(
        self,
        work: Callable[[Transaction], Awaitable[R]],
        *,
        attempts: int = 5,
        isolation: Isolation | None = "serializable",
        read_only: bool = False,
        on_retry: Callable[[int, BaseException], object] | None = None,
    ) -> R:
        """Run ``work`` in a transaction, and again if it failed by a serialization failure or a deadlock, by
        a change of the tables, or because the server is read-only since a failover.

        Between attempts it waits a random time that grows, up to a second. ``on_retry`` is called with the
        number of the attempt that failed and its error. The last error is raised with a note of how many
        attempts were made.

        With ``connect(failover_timeout=…)`` a transaction that lost its connection before its commit was sent
        runs again as well, and attempts that a failover ends do not count.

        A ``read_only`` transaction of a view of the replicas begins on a replica, if its ``isolation`` is not
        serializable. If that replica ends it, the next attempt is on the primary.
        """
        check(
            "retry",
            work=work,
            attempts=attempts,
            isolation=isolation,
            read_only=read_only,
            on_retry=on_retry,
        )
        failover = self._state.pool.failover
        begins = chain([self.transaction], repeat(self._transaction_again))
        return await retry(
            lambda: next(begins)(isolation=isolation, read_only=read_only), work, attempts, on_retry, failover
        )

    @property
    def _transaction_again(self) -> Callable[..., AbstractAsyncContextManager[Transaction]]:
        """The method that begins the transaction of a second attempt."""
        return self.transaction

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        """Acquire an asyncpg connection, for what queries cannot say. It is reset afterwards.

        It is yours inside the block only, with all that is made from it. Afterwards it serves other calls,
        and every use raises ``asyncpg.InterfaceError``.
        """
        if self._pool.local is not None and self._pool.tenant is not None:
            raise PlainsqlError(
                "acquire(): behind a pooler in transaction mode no connection can carry a tenant",
                hint="use transaction() and its 'connection'",
            )
        async with self._pool.hand_out() as connection:
            yield connection
