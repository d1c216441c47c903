"""``plainsql.over``: an executor over a connection or a pool that the program has already."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import Any, TypeVar

from asyncpg import exceptions

from plainsql.application import tenant_settings
from plainsql.codec import NO_CODECS, CodecMap
from plainsql.database.execution.batch import execute_many, run_batch
from plainsql.database.execution.copy_in import Progress, copy_in, copy_query
from plainsql.database.execution.copy_out import CopyFormat, CopyOut, Output, arguments_of
from plainsql.database.execution.own_settings import locally
from plainsql.database.execution.row_blocks import iterate
from plainsql.database.execution.statement import execute
from plainsql.database.guest.guest_connection import GuestConnection
from plainsql.database.guest.sources import is_pool, lender
from plainsql.database.hooks import observe, observe_rows
from plainsql.database.pool.call import Call, OnCall, Operation
from plainsql.database.pool.commit_outcome import CommitOutcome, add_note, note_of_statement
from plainsql.database.pool.contexts import asynccontextmanager
from plainsql.database.pool.driver_errors import name_at_commit
from plainsql.database.pool.lost_connection import as_lost
from plainsql.database.pool.tenant_guard import TenantGuard
from plainsql.database.pool.transaction_block import block
from plainsql.database.transaction import Isolation, Transaction, TransactionOptions, begin
from plainsql.errors import TransactionError
from plainsql.options import check
from plainsql.project_codecs import codecs_once
from plainsql.query import Args, CompiledCopy, CompiledQuery, Query
from plainsql.query.sql_calls import AsyncSql

__all__ = ["GuestExecutor", "over"]

R = TypeVar("R")
T = TypeVar("T")


def over(
    source: Any, *, prefetch: int = 500, on_call: OnCall | None = None, codecs: CodecMap | None = None
) -> GuestExecutor:
    """Return an executor over a connection or a pool that the program has opened.

    Queries run inside the transaction that is open on the connection, and never commit it. Without one, each
    call commits by itself, as the program's own statements do. It costs next to nothing: make one for each
    request.

    Args:
        source: a connection or a pool of asyncpg, or an ``AsyncConnection`` or ``AsyncSession`` of SQLAlchemy
            on asyncpg.
        prefetch: rows that ``.stream`` reads ahead.
        on_call: called when a call has ended, with a ``Call``.
        codecs: a ``plainsql.Codec`` for each type that plainsql does not know, by the type's name; by default
            those of ``[tool.plainsql.codecs]``. Those of the first executor on a connection count.

    Raises ``BindError`` for any other source.
    """
    check("over", prefetch=prefetch, on_call=on_call, codecs=codecs)
    return GuestExecutor(source, prefetch, on_call, codecs_once() if codecs is None else codecs)


class GuestExecutor(AsyncSql):
    """Runs queries on connections that the program has opened. Made by ``plainsql.over``.

    It has no cache and no pool of its own, and shares no round trips between calls.
    """

    __slots__ = ("_guard", "_is_pool", "_lend", "_on_call", "_prefetch", "_source")

    def __init__(
        self, source: Any, prefetch: int, on_call: OnCall | None, codecs: CodecMap = NO_CODECS
    ) -> None:
        self._lend = lender(source, codecs)
        self._is_pool = is_pool(source)
        self._source = type(source).__name__
        self._prefetch = prefetch
        self._on_call = on_call
        self._guard = TenantGuard(_tenant_setting())

    def run(self, query: CompiledQuery[Any, R], args: Args, /) -> Coroutine[Any, Any, R]:
        """Run a query."""
        text, values = query.text(args)
        if not text.settings:
            return self._run(query, lambda connection: execute(connection, query, text, values))

        async def run(connection: GuestConnection) -> R:
            async with locally(connection, query, text.settings):
                return await execute(connection, query, text, values)

        return self._run(query, lambda connection: _in_transaction(connection, partial(run, connection)))

    async def stream(self, query: CompiledQuery[T, Any], args: Args, /) -> AsyncIterator[T]:
        """Iterate over the rows of a query through a cursor of the open transaction.

        Raises ``TransactionError`` if no transaction is open. Over a pool it opens one on a connection of its
        own.
        """
        if self._on_call is None:
            rows = self._stream(query, args, None)
        else:
            call = Call(query, "stream")
            rows = observe_rows(self._on_call, call, self._stream(query, args, call))
        async for row in rows:
            yield row

    def batch(self, query: CompiledQuery[Any, R], sets: Sequence[Args], /) -> Coroutine[Any, Any, list[R]]:
        """Run a query for each set of arguments, all or none. Return the results in the order of the sets."""

        async def work(connection: GuestConnection) -> list[R]:
            if _is_open(connection):
                return await run_batch(connection, query, sets)
            if query.read_only and not (query.needs_columns or query.has_settings):
                return await run_batch(connection, query, sets, own=True)
            with CommitOutcome() as outcome:
                async with block(connection, outcome):
                    return await run_batch(connection, query, sets, own=True)

        return self._run(query, work, "batch", len(sets))

    def execute_many(
        self, query: CompiledQuery[Any, Any], sets: Sequence[Args], /
    ) -> Coroutine[Any, Any, None]:
        """Run a query for each set of arguments as a pipeline, all or none, and drop the results."""

        async def work(connection: GuestConnection) -> None:
            if _is_open(connection):
                await execute_many(connection, query, sets)
                return
            with CommitOutcome() as outcome:
                async with block(connection, outcome):
                    await execute_many(connection, query, sets, own=True)

        return self._run(query, work, "execute_many", len(sets))

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
        return await self._run(
            None,
            lambda connection: _in_transaction(
                connection, partial(copy_in, connection, table, rows, columns, progress, analyze=analyze)
            ),
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
        return self._run(
            query,
            lambda connection: _in_transaction(
                connection, partial(copy_query, connection, query, rows, progress, analyze)
            ),
            "copy_in",
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
        return await self._run(
            compiled,
            lambda connection: _in_transaction(
                connection, partial(CopyOut(compiled, args, output, format, header, progress), connection)
            ),
            "copy_out",
        )

    @asynccontextmanager
    async def transaction(
        self,
        *,
        isolation: Isolation | None = None,
        read_only: bool = False,
        deferrable: bool = False,
    ) -> AsyncIterator[Transaction]:
        """Open a savepoint in the transaction that is open on the connection, or a transaction if none is.

        Raises ``TransactionError`` for options of a transaction if one is open.
        """
        check("transaction", isolation=isolation, read_only=read_only, deferrable=deferrable)
        async with self._lend() as guest:
            _refuse_second(guest)
            is_savepoint = _is_open(guest)
            if is_savepoint and (isolation is not None or read_only or deferrable):
                raise TransactionError(
                    "a transaction is open on the connection, which has its own isolation, read_only "
                    "and deferrable",
                    hint="pass them to the call that opens the outer transaction",
                )
            options = TransactionOptions(
                self._prefetch,
                self._on_call,
                self._guard,
                None,
                partial(as_lost, connection=guest),
                guest.original,
            )
            with CommitOutcome() as outcome:
                async with begin(
                    guest, options, None if is_savepoint else outcome, isolation, read_only, deferrable
                ) as transaction:
                    yield transaction

    async def _run(
        self,
        query: CompiledQuery[Any, Any] | None,
        work: Callable[[GuestConnection], Coroutine[Any, Any, R]],
        operation: Operation = "call",
        sets: int = 1,
    ) -> R:
        if self._on_call is None or query is None:
            return await self._on_guest(query, work, None)
        call = Call(query, operation, sets)
        return await observe(self._on_call, call, self._on_guest(query, work, call))

    async def _on_guest(
        self,
        query: CompiledQuery[Any, Any] | None,
        work: Callable[[GuestConnection], Coroutine[Any, Any, R]],
        call: Call | None,
    ) -> R:
        async with self._lend() as guest:
            _refuse_second(guest)
            guest.busy = True
            is_open = _is_open(guest)
            if call is not None:
                call.in_transaction = is_open
            try:
                if query is not None:
                    await self._admit(guest, query)
                try:
                    return await work(guest)
                except exceptions.InvalidSQLStatementNameError:
                    # The program has run `deallocate all` or `discard all`; nothing was executed.
                    guest._drop_local_statement_cache()
                    if is_open:
                        raise
                return await work(guest)
            except BaseException as raised:
                error = as_lost(raised, guest)
                if query is not None and not is_open:
                    name_at_commit(error, query)
                read_only = query is not None and query.read_only
                if not is_open and (note := note_of_statement(error, read_only=read_only)) is not None:
                    add_note(error, note)
                if error is raised:
                    raise
                raise error from raised
            finally:
                guest.busy = False

    async def _stream(self, query: CompiledQuery[T, Any], args: Args, call: Call | None) -> AsyncIterator[T]:
        async with self._lend() as guest:
            _refuse_second(guest)
            if call is not None:
                call.in_transaction = _is_open(guest)
            await self._admit(guest, query)
            try:
                if _is_open(guest):
                    async for row in iterate(guest, query, args, self._prefetch):
                        yield row
                    return
                if not self._is_pool:
                    # A transaction of the stream's own would hold what the program writes meanwhile, and undo
                    # it if the stream is closed early.
                    raise TransactionError(
                        f"{query.name}: a stream reads through a cursor, and no transaction is open "
                        "on the connection",
                        hint="open a transaction first, or pass the pool to 'plainsql.over'",
                    )
                async with block(guest, CommitOutcome()):
                    async for row in iterate(guest, query, args, self._prefetch):
                        yield row
            except BaseException as raised:
                error = as_lost(raised, guest)
                name_at_commit(error, query)
                if error is raised:
                    raise
                raise error from raised

    async def _admit(self, guest: GuestConnection, query: CompiledQuery[Any, Any]) -> None:
        # The program may set another role or another tenant at any time.
        if query.row_security is not None:
            await self._guard.check(guest, query, lasting=False)

    def __repr__(self) -> str:
        return f"<GuestExecutor over {self._source}>"


@cache
def _tenant_setting() -> str:
    """Return the setting of a tenant's id. It is read from the project once: executors are made often."""
    return tenant_settings("over")[0]


def _is_open(guest: GuestConnection) -> bool:
    return bool(guest.is_in_transaction())  # type: ignore[no-untyped-call]


def _refuse_second(guest: GuestConnection) -> None:
    if guest.busy:
        raise TransactionError(
            "the connection is busy with another task's query",
            hint="await one query at a time, or pass the pool to 'plainsql.over'",
        )


async def _in_transaction(guest: GuestConnection, work: Callable[[], Coroutine[Any, Any, R]]) -> R:
    """Run work in the open transaction, or in one of its own."""
    if _is_open(guest):
        return await work()
    with CommitOutcome() as outcome:
        async with block(guest, outcome):
            return await work()
