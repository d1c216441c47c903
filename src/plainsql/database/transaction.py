"""A transaction as an executor; a nested transaction is a savepoint."""

from __future__ import annotations

from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from asyncpg import exceptions

from plainsql.database.caching.cached_queries import CachedQueries
from plainsql.database.caching.write_set import ANYTHING, WriteSet, tables_of
from plainsql.database.execution.batch import execute_many, run_batch
from plainsql.database.execution.copy_in import Progress, copy_in, copy_query
from plainsql.database.execution.copy_out import CopyFormat, CopyOut, Output, arguments_of
from plainsql.database.execution.own_settings import locally
from plainsql.database.execution.row_blocks import iterate
from plainsql.database.execution.savepoint import atomic
from plainsql.database.execution.statement import execute
from plainsql.database.execution.statements_in_order import Statement, run_in_order
from plainsql.database.hooks import observe, observe_rows, observe_together
from plainsql.database.pipeline import Pipeline
from plainsql.database.pool.call import Call, OnCall, Operation
from plainsql.database.pool.commit_outcome import CommitOutcome
from plainsql.database.pool.connection_proxy import ConnectionProxy
from plainsql.database.pool.contexts import asynccontextmanager
from plainsql.database.pool.following_statement import FollowingStatement
from plainsql.database.pool.resettable_connection import may_alter_statements
from plainsql.database.pool.tenant_guard import TenantGuard
from plainsql.database.pool.transaction_block import block
from plainsql.errors import TransactionError
from plainsql.options import check
from plainsql.query import Args, CompiledCopy, CompiledQuery, Query
from plainsql.query.sql_calls import AsyncSql

__all__ = ["Isolation", "Transaction", "TransactionOptions", "begin"]

R = TypeVar("R")
T = TypeVar("T")

Isolation = Literal["read committed", "repeatable read", "serializable"]


@dataclass(frozen=True, slots=True)
class TransactionOptions:
    """The options that a transaction takes from its database."""

    prefetch: int
    on_call: OnCall | None
    tenant_guard: TenantGuard | None
    """None for a tenant's transaction."""
    cached_queries: CachedQueries | None
    explain: Callable[[BaseException], BaseException]
    """Returns the error to raise for another, and handles what it means for the connection's server."""
    programs_own: Any = None
    """The connection that the program has opened, if the transaction is on one."""
    server: str = ""
    """The server's name in the records of calls."""
    verify: Callable[[], object] | None = None
    """Called after each answer; raises if the server is none that the transaction may go on with."""


class Transaction(AsyncSql):
    """A transaction of one connection: an executor whose queries all succeed or all leave no trace.

    It serves one task at a time. The end of its block commits; an error or a cancellation rolls back.
    """

    def __init__(
        self, connection: Any, options: TransactionOptions, outer: Transaction | None = None
    ) -> None:
        self._connection = connection
        self._options = options
        self._outermost: Transaction = self if outer is None else outer._outermost
        self._open = True
        self._busy = False
        self._inner: Transaction | None = None
        """The savepoint whose block is open."""
        self.write_set: WriteSet | None = None
        """The rows that it has written, if it is the outermost and there is a cache."""
        if outer is None and options.cached_queries is not None:
            self.write_set = WriteSet(options.cached_queries)
        self._may_be_aborted = False
        """True of the outermost if a statement may have failed, which aborts the transaction."""
        self._altered = False
        """True of the outermost if its role and settings may differ from the session's."""
        self._proxy: ConnectionProxy | None = None
        """The connection in the hands of the user; kept by the outermost."""

    def run(self, query: CompiledQuery[Any, R], args: Args, /) -> Coroutine[Any, Any, R]:
        """Run a query inside the transaction."""
        text, values = query.text(args)
        write_set = self._outermost.write_set
        run = execute if write_set is None or not query.changes else write_set.execute
        if not text.settings:
            return self._exclusively(query, lambda connection: run(connection, query, text, values))

        async def run_with_settings(connection: Any) -> R:
            if run is execute and not (query.is_columnar or query.needs_columns):
                [result] = await run_in_order(connection, [Statement(query, text, values)], own=True)
                return result  # type: ignore[no-any-return]
            async with locally(connection, query, text.settings):
                return await run(connection, query, text, values)

        return self._exclusively(query, run_with_settings)

    async def stream(self, query: CompiledQuery[T, Any], args: Args, /) -> AsyncIterator[T]:
        """Iterate over a query's rows through a cursor of this transaction; other queries may run in
        between.
        """
        await self._exclusively(None, lambda connection: self._admit(connection, query))
        self._record_change(query)
        self._track(query, [args])
        rows = iterate(self._claim(), query, args, self._options.prefetch)
        if (on_call := self._options.on_call) is not None:
            rows = observe_rows(on_call, self._record(query, "stream"), rows)
        verify = self._options.verify
        try:
            async for row in rows:
                if verify is not None:  # all of its rows are of one snapshot
                    verify()
                    verify = None
                yield row
        except BaseException as raised:
            self._outermost._may_be_aborted = True
            error = self._options.explain(raised)
            if error is raised:
                raise
            raise error from raised

    def batch(self, query: CompiledQuery[Any, R], sets: Sequence[Args], /) -> Coroutine[Any, Any, list[R]]:
        """Run a query for each set of arguments and return the results in the order of the sets."""
        self._track(query, sets)
        return self._exclusively(
            query, lambda connection: run_batch(connection, query, sets), "batch", len(sets)
        )

    def execute_many(
        self, query: CompiledQuery[Any, Any], sets: Sequence[Args], /
    ) -> Coroutine[Any, Any, None]:
        """Run a query for each set of arguments as a pipeline, and drop the results."""
        self._track(query, sets)
        return self._exclusively(
            query, lambda connection: execute_many(connection, query, sets), "execute_many", len(sets)
        )

    async def copy_in(
        self,
        table: str,
        rows: Iterable[Any] | AsyncIterable[Any],
        *,
        columns: Sequence[str] | None = None,
        progress: Progress | None = None,
        analyze: bool = False,
    ) -> int:
        """Copy rows into a table with COPY and return how many there were. See ``Database.copy_in``."""
        check("copy_in", table=table, rows=rows, columns=columns, progress=progress, analyze=analyze)
        self._outermost._altered = True
        if (write_set := self._outermost.write_set) is not None:
            write_set.add(ANYTHING)  # the triggers of the table may write to any other
        return await self._exclusively(
            None, lambda connection: copy_in(connection, table, rows, columns, progress, analyze=analyze)
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
        if (write_set := self._outermost.write_set) is not None:
            write_set.add(tables_of(query))
        return self._exclusively(
            query, lambda connection: copy_query(connection, query, rows, progress, analyze), "copy_in"
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
        """Copy a query's rows out with COPY and return how many there were. See ``Database.copy_out``."""
        args = arguments_of(query, output, parameters, format, header, progress)
        compiled = query.compiled
        return await self._exclusively(
            compiled,
            CopyOut(compiled, args, output, format, header, progress),
            "copy_out",
        )

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Open a savepoint: if its block fails, the block is undone and the outer transaction goes on.

        Inside the block the savepoint is the executor, and the outer transaction waits.
        """
        async with begin(self._claim(), self._options, None, outer=self) as inner:
            self._inner = inner
            try:
                yield inner
            finally:
                self._inner = None

    @asynccontextmanager
    async def pipeline(self) -> AsyncIterator[Pipeline]:
        """Collect calls of different queries, and send them in one round trip at the end of the block."""
        self._claim()
        pipeline = Pipeline()
        try:
            yield pipeline
        except BaseException:
            pipeline._end("its block has failed, and nothing was sent")
            raise
        await pipeline._send(self._run_in_order)

    async def _run_in_order(
        self, calls: list[tuple[CompiledQuery[Any, Any], Args]], *, own: bool = False
    ) -> list[Any]:
        if self._outermost.write_set is not None and any(query.changes for query, _ in calls):
            # The cache learns what a write changes from its call.
            async with nullcontext() if own else atomic(self._claim()):
                return [await self.run(query, args) for query, args in calls]
        statements = [Statement(query, *query.text(args)) for query, args in calls]

        async def run(connection: Any) -> list[Any]:
            for query, _ in calls:
                await self._admit(connection, query)
                self._record_change(query)
            return await run_in_order(connection, statements, own=own)

        def observed(connection: Any) -> Coroutine[Any, Any, list[Any]]:
            if (on_call := self._options.on_call) is None:
                return run(connection)
            records = [self._record(query, joined=len(calls)) for query, _ in calls]
            return observe_together(on_call, records, run(connection))

        return await self._exclusively(None, observed)

    @property
    def connection(self) -> Any:
        """The asyncpg connection of the transaction, for what queries cannot say: COPY, ``set local``. It is
        yours until the end of the transaction.
        """
        outermost = self._outermost
        outermost._may_be_aborted = outermost._altered = True
        connection = self._claim()
        if self._options.programs_own is not None:
            return self._options.programs_own
        if outermost._proxy is None:
            outermost._proxy = ConnectionProxy(connection, self._options.explain)
        return outermost._proxy

    async def _exclusively(
        self,
        query: CompiledQuery[Any, Any] | None,
        work: Callable[[Any], Coroutine[Any, Any, R]],
        operation: Operation = "call",
        sets: int = 1,
    ) -> R:
        """Run work on the connection, and refuse other work in the meantime."""
        connection = self._claim()
        if (verify := self._options.verify) is not None:
            work = _verified(work, verify)
        self._busy = True
        try:
            if query is None:
                return await work(connection)
            if query.row_security is not None:
                await self._admit(connection, query)
            self._record_change(query)
            if (on_call := self._options.on_call) is None:
                return await work(connection)
            return await observe(on_call, self._record(query, operation, sets), work(connection))
        except BaseException as raised:
            self._outermost._may_be_aborted = True
            error = self._options.explain(raised)
            if error is raised:
                raise
            raise error from raised
        finally:
            self._busy = False

    def _record(
        self, query: CompiledQuery[Any, Any], operation: Operation = "call", sets: int = 1, joined: int = 1
    ) -> Call:
        """Return the record of a call for the hook."""
        server = self._options.server
        return Call(query, operation, sets, in_transaction=True, joined=joined, server=server)

    def _track(self, query: CompiledQuery[Any, Any], sets: Sequence[Args]) -> None:
        if query.changes and (write_set := self._outermost.write_set) is not None:
            write_set.add_calls(query, sets)

    async def _admit(self, connection: Any, query: CompiledQuery[Any, Any]) -> None:
        if query.row_security is not None and self._options.tenant_guard is not None:
            # The role or the tenant that was set inside ends with the transaction.
            own = self._outermost._may_be_aborted or self._outermost._altered
            await self._options.tenant_guard.check(connection, query, lasting=not own, lasting_setting=False)

    def _record_change(self, query: CompiledQuery[Any, Any]) -> None:
        # A read sets nothing. A write may set something until the end of the transaction.
        if not query.read_only:
            self._outermost._altered = True
        if not query.session_clean and may_alter_statements(query.sql):
            self._connection.is_suspect = True

    def _end(self) -> None:
        """Refuse all further use."""
        self._open = False
        if self._proxy is not None:
            self._proxy.release()

    def __repr__(self) -> str:
        return f"<Transaction {'open' if self._open else 'ended'}>"

    def _claim(self) -> Any:
        if not self._open:
            raise TransactionError(
                "the transaction has ended", hint="use it only inside its 'async with' block"
            )
        if self._busy:
            raise TransactionError(
                "the transaction is busy with another task's query",
                hint="a transaction is one connection: await one query at a time, "
                "or use db for concurrent reads",
            )
        if self._inner is not None:
            raise TransactionError(
                "the transaction has an open savepoint: the savepoint's rollback would undo this call",
                hint="use the savepoint inside its block: 'async with tx.transaction() as savepoint'",
            )
        return self._connection


def _verified(
    work: Callable[[Any], Coroutine[Any, Any, R]], verify: Callable[[], object]
) -> Callable[[Any], Coroutine[Any, Any, R]]:
    async def verified(connection: Any) -> R:
        result = await work(connection)
        verify()
        return result

    return verified


@asynccontextmanager
async def begin(
    connection: Any,
    options: TransactionOptions,
    outcome: CommitOutcome | None,
    isolation: Isolation | None = None,
    read_only: bool = False,
    deferrable: bool = False,
    outer: Transaction | None = None,
    opening: str | None = None,
    following: FollowingStatement | None = None,
) -> AsyncIterator[Transaction]:
    """Open a transaction on a connection, or a savepoint if ``outcome`` is None. ``opening``: the
    statements that it begins with. ``following``: the statement in the round trip of its commit.
    """
    level = None if isolation is None else isolation.replace(" ", "_")
    opened = block(
        connection,
        outcome,
        isolation=level,
        read_only=read_only,
        deferrable=deferrable,
        opening=opening,
        following=following,
    )
    transaction = Transaction(connection, options, outer)
    write_set = transaction.write_set
    invalidation: AbstractAsyncContextManager[object] = nullcontext() if write_set is None else write_set
    async with invalidation:
        try:
            async with opened:
                try:
                    yield transaction
                finally:
                    transaction._end()
                if transaction._may_be_aborted:
                    await _check_alive(connection)
                if write_set is not None:
                    await write_set.before_commit()
        except BaseException as raised:
            error = options.explain(raised)
            if error is raised:
                raise
            raise error from raised


async def _check_alive(connection: Any) -> None:
    """Raise ``TransactionError`` if an error has aborted the transaction and was caught: the commit would be
    a silent rollback.
    """
    try:
        await connection.execute("select", timeout=connection.control_timeout_s)
    except exceptions.InFailedSQLTransactionError:
        raise TransactionError(
            "the transaction is not committed: one of its statements failed",
            hint="let the error leave the block, or try what may fail inside of 'tx.transaction()', "
            "a savepoint",
        ) from None
