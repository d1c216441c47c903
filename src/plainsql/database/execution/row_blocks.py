"""The rows of a query in blocks, through a cursor of the connection's transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Generic, TypeVar

from asyncpg import Record, connresource, exceptions

from plainsql.database.execution import driver
from plainsql.database.execution.column_plans import column_types
from plainsql.database.execution.nul_characters import refuse_nul
from plainsql.database.execution.own_settings import locally
from plainsql.database.execution.prepared_statements import prepare
from plainsql.database.execution.statement import EXPLAINED, explained
from plainsql.query import Args, CompiledQuery
from plainsql.query.compiled_columns import StreamedColumns
from plainsql.speed.loaded import PORTAL

__all__ = ["RowBlocks", "iterate"]

T = TypeVar("T")


class RowBlocks(Generic[T]):
    """The rows of one call of a query, ``prefetch`` at a time. The connection is in a transaction.

    Other queries may run on the connection between the blocks. With ``exclusive`` none does before `close`:
    then the server may work on the next block while the caller uses the last.
    """

    __slots__ = (
        "_build",
        "_connection",
        "_cursor",
        "_end",
        "_has_ended",
        "_prefetch",
        "_query",
        "_reads_ahead",
        "_text",
        "_values",
    )

    def __init__(
        self,
        connection: Any,
        query: CompiledQuery[T, Any],
        args: Args,
        prefetch: int,
        *,
        exclusive: bool = False,
    ) -> None:
        self._connection = connection
        self._query = query
        self._text, self._values = query.text(args)
        self._prefetch = query.block_rows if isinstance(query, StreamedColumns) else prefetch
        # A statement that is left early must not have changed more than the rows that its caller wanted.
        self._reads_ahead = exclusive and query.read_only and not self._text.settings
        self._cursor: Any = None
        self._build: Callable[[list[Any]], list[T]] = query.build
        self._end: Callable[[], list[T]] | None = None
        self._has_ended = False

    async def next(self) -> list[T] | None:
        """Return the next rows; None at the end. Raises the errors of a call."""
        if self._has_ended:
            return None
        # The plan is made when the cursor opens, and an index is searched while it is read.
        async with locally(self._connection, self._query, self._text.settings):
            return await self._next()

    async def _next(self) -> list[T] | None:
        connection, query, text, values = self._connection, self._query, self._text, self._values
        if self._cursor is None:
            await refuse_nul(connection, query, text, values)
        try:
            if self._cursor is None:
                self._cursor = await self._open()
            if records := await self._cursor.fetch(self._prefetch):
                return self._build(records)
            self._has_ended = True
            return None if self._end is None else self._end()
        except EXPLAINED as error:
            said = await explained(error, connection, query, text, values)
            if said is error:
                raise
            raise said from None

    async def close(self) -> None:
        """Make the connection free for other statements."""
        if isinstance(self._cursor, Cursor):
            await self._cursor.close()

    async def _open(self) -> Any:
        """Return the cursor, and find what makes rows of what it fetches."""
        connection, query, sql = self._connection, self._query, self._text.sql
        statement = await prepare(connection, sql, query)
        run = query.run()
        if run is not None:
            self._build, self._end = run.add, run.end
        if not (driver.reads_rows(connection, query) and connection._stmt_cache.has((sql, Record, False))):
            if isinstance(query, StreamedColumns):
                types = column_types(connection, sql)
                self._build = lambda records: [query.columns(types, records)]  # type: ignore[list-item]
            return await connection.cursor(sql, *self._values)
        if query.is_columnar:
            self._build = _columns_of(query)
        elif run is None:
            self._build = query.plan.finish or _same
        reader = driver._reader(connection, statement, query)
        return Cursor(
            connection, statement, self._values, reader, self._prefetch, reads_ahead=self._reads_ahead
        )


async def iterate(
    connection: Any, query: CompiledQuery[T, Any], args: Args, prefetch: int
) -> AsyncIterator[T]:
    """Iterate over the rows of a query; other queries may run in between."""
    blocks = RowBlocks(connection, query, args, prefetch)
    try:
        while (rows := await blocks.next()) is not None:
            for row in rows:
                yield row
    finally:
        await blocks.close()


class Cursor(connresource.ConnectionResource):
    """A portal on a connection with the compiled protocol. It has the errors of asyncpg's cursor."""

    __slots__ = ("_portal", "_statement")

    def __init__(
        self,
        connection: Any,
        statement: Any,
        values: Args,
        reader: Any,
        prefetch: int,
        *,
        reads_ahead: bool,
    ) -> None:
        super().__init__(connection)  # type: ignore[no-untyped-call]
        self._check_ready()
        self._statement = statement
        name = connection._get_unique_id("portal")
        self._portal = PORTAL(connection._protocol, statement, values, reader, name, prefetch, reads_ahead)
        statement.attach()

    async def fetch(self, _: int) -> list[Any]:
        """Return the next rows, none at the end."""
        self._check_conn_validity("fetch")  # type: ignore[no-untyped-call]
        self._check_ready()
        rows: list[Any] = await self._portal.fetch()
        return rows

    async def close(self) -> None:
        """Make the connection free for other statements."""
        statement, self._statement = self._statement, None
        if statement is not None:
            statement.detach()
            self._connection._maybe_gc_stmt(statement)
        await self._portal.close()

    def _check_ready(self) -> None:
        if not self._connection.is_in_transaction():
            raise exceptions.NoActiveSQLTransactionError("cursor cannot be created outside of a transaction")


def _columns_of(query: CompiledQuery[Any, Any]) -> Callable[[list[Any]], list[Any]]:
    return lambda rows: [query.result_of(rows)]


def _same(rows: list[Any]) -> list[Any]:
    return rows
