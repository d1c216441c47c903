"""A transaction as an executor; nested ones are savepoints."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeVar

from asyncpg import exceptions

from plainsql.database.copying import Progress, copy_in
from plainsql.database.execution import execute, iterate
from plainsql.database.many import execute_many, run_batch
from plainsql.errors import TransactionError
from plainsql.query import Args, Query

__all__ = ["Isolation", "Transaction", "begin"]

R = TypeVar("R")
T = TypeVar("T")

Isolation = Literal["read committed", "repeatable read", "serializable"]


class Transaction:
    """A transaction of one connection: an executor whose queries all succeed or all leave no trace.

    It serves one task at a time. Leaving its block commits; leaving it by any error or by cancellation rolls
    back.
    """

    def __init__(self, connection: Any, prefetch: int, outermost: Transaction | None = None) -> None:
        self._connection = connection
        self._prefetch = prefetch
        self._outermost = outermost or self
        self._open = True
        self._busy = False
        self._doubtful = False
        """Of the outermost: whether a statement may have failed, and with it the transaction."""

    async def run(self, query: Query[..., Any, R], args: Args, /) -> R:
        """Run a query inside the transaction."""
        return await self._exclusively(execute(self._claim(), query, *query.plan(args)))

    async def stream(self, query: Query[..., T, Any], args: Args, /) -> AsyncIterator[T]:
        """Iterate over a query's rows through a cursor of this transaction; other queries may run in
        between.
        """
        try:
            async for row in iterate(self._claim(), query, args, self._prefetch):
                yield row
        except BaseException:
            self._outermost._doubtful = True
            raise

    async def run_batch(self, query: Query[..., Any, R], sets: Sequence[Args], /) -> list[R]:
        """Run a query for each set of arguments; the results in the order of the sets."""
        return await self._exclusively(run_batch(self._claim(), query, sets))

    async def run_many(self, query: Query[..., Any, Any], sets: Sequence[Args], /) -> None:
        """Run a query for each set of arguments, pipelined; its results are dropped."""
        await self._exclusively(execute_many(self._claim(), query, sets))

    async def copy_in(
        self,
        table: str,
        rows: Iterable[Any] | AsyncIterable[Any],
        *,
        columns: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> int:
        """Copy rows into a table with COPY and return how many there were. See ``Database.copy_in``."""
        return await self._exclusively(copy_in(self._claim(), table, rows, columns, progress))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Open a savepoint: what fails inside its block is undone, the outer transaction goes on."""
        async with begin(self._claim(), self._prefetch, outermost=self._outermost) as inner:
            yield inner

    @property
    def connection(self) -> Any:
        """The asyncpg connection underneath, for what queries cannot say: COPY, LISTEN."""
        self._outermost._doubtful = True
        return self._claim()

    async def _exclusively(self, work: Coroutine[Any, Any, R]) -> R:
        self._busy = True
        try:
            return await work
        except BaseException:
            self._outermost._doubtful = True
            raise
        finally:
            self._busy = False

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
        return self._connection


@asynccontextmanager
async def begin(
    connection: Any,
    prefetch: int,
    isolation: Isolation | None = None,
    read_only: bool = False,
    deferrable: bool = False,
    outermost: Transaction | None = None,
) -> AsyncIterator[Transaction]:
    """Open a transaction on a connection, or a savepoint where one is open."""
    level = None if isolation is None else isolation.replace(" ", "_")
    try:
        block = connection.transaction(isolation=level, readonly=read_only, deferrable=deferrable)
    except ValueError:
        raise TransactionError(
            f"isolation: got {isolation!r}, expected 'read committed', 'repeatable read' or 'serializable'"
        ) from None
    transaction = Transaction(connection, prefetch, outermost)
    try:
        async with block:
            try:
                yield transaction
                if transaction._doubtful:
                    await _check_alive(connection)
            finally:
                transaction._open = False
    except exceptions.InterfaceError as error:
        # The block's end meets a connection that is gone, or that a stray task still uses.
        error.add_note("while a transaction ended; it is not committed")
        raise


async def _check_alive(connection: Any) -> None:
    """Raise where an error has ended the transaction and was caught: its commit would be a silent
    rollback.
    """
    try:
        await connection.execute("select")
    except exceptions.InFailedSQLTransactionError:
        raise TransactionError(
            "the transaction is not committed: one of its statements failed",
            hint="let the error leave the block, or try what may fail inside of 'tx.transaction()', "
            "a savepoint",
        ) from None
