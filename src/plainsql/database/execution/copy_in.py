"""COPY of rows into a table, as fast as PostgreSQL takes them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from contextlib import nullcontext
from itertools import chain
from typing import Any

from asyncpg import exceptions

from plainsql.columns.arrow_rows import is_arrow, rows_of_arrow
from plainsql.copy_rows import (
    ANALYZABLE_SQL,
    PART_ROWS,
    TAKES_LISTS,
    CopyRows,
    Progress,
    analyze_refusal,
    columns_of,
    qualified_name,
    quote_name,
    row_note,
)
from plainsql.database.execution.errors import is_lost, unfit_argument
from plainsql.database.execution.nul_characters import NUL_DETAIL, NUL_HINT, nuls_in
from plainsql.database.execution.pipelined_statement import pieces, unfit_call
from plainsql.database.execution.savepoint import atomic
from plainsql.errors import BindError
from plainsql.query import CompiledCopy
from plainsql.query.signature import encode_error_detail
from plainsql.speed.loaded import COPY_ENCODER, PROTOCOL, SEND_BLOCKS

__all__ = ["Progress", "copy_in", "copy_query"]

_NUL_AT = re.compile(r"COPY .*, line (\d+), column (.*)")

_OF_CONNECTION = (
    exceptions.PostgresError,
    exceptions.InterfaceError,
    exceptions.InternalClientError,
    OSError,
    TimeoutError,
)

_END: Any = object()


async def copy_in(
    connection: Any,
    table: str,
    rows: Iterable[Any] | AsyncIterable[Any],
    columns: Sequence[str] | None,
    progress: Progress | None,
    by_name: bool = False,
    analyze: bool = False,
) -> int:
    """Copy rows into a table, all or none, and return how many there were. The connection is in a
    transaction.

    With ``by_name`` a row may also be a mapping, or any object with the columns as attributes. With
    ``analyze`` the table is analyzed in the same transaction.
    """
    if is_arrow(rows):
        rows, columns = rows_of_arrow(table, rows, columns, exact=by_name)
    first, all_rows = await _first_of(rows)
    if first is _END:
        if progress is not None:
            progress(0)
        return 0
    names = columns_of(table, first, columns)
    copied = CopyRows(table, names, all_rows, progress, by_name)
    # A parameter of `coalesce` gets its column's type.
    likes = ", ".join(f"coalesce({quote_name(column)}, ${n})" for n, column in enumerate(names, 1))
    statement = await connection.prepare(f"select {likes} from {qualified_name(table)}")
    _wrap(copied, statement)
    inserts = await connection.fetchval("select row_security_active($1)", qualified_name(table))
    if analyze and not await connection.fetchval(ANALYZABLE_SQL, qualified_name(table)):
        raise analyze_refusal(table)
    async with atomic(connection) if inserts else nullcontext():
        try:
            if inserts:
                await _insert(connection, table, names, copied)
            elif SEND_BLOCKS is not None and isinstance(connection._protocol, PROTOCOL):
                encoder = COPY_ENCODER(statement._state, copied.form_of, copied.conversions)
                quoted = ", ".join(map(quote_name, names))
                sql = f"copy {qualified_name(table)} ({quoted}) from stdin (format binary)"
                await SEND_BLOCKS(connection._protocol, sql, copied.blocks(encoder))
            else:
                schema, dot, name = table.rpartition(".")
                await connection.copy_records_to_table(
                    name, schema_name=schema if dot else None, columns=names, records=copied.records()
                )
        except Exception as error:
            if error is copied.failure or isinstance(error, BindError):
                raise
            if isinstance(copied.failure, TimeoutError):
                # asyncpg takes a time limit of the rows' source for its own, and raises the server's answer.
                raise copied.failure from None
            if connection.is_closed() and not isinstance(error, _OF_CONNECTION):
                # The driver has failed on state that a lost connection does not have.
                raise ConnectionResetError("the connection was lost while rows were copied") from error
            refusal = await _refusal(error, table, names, copied, statement)
            if refusal is None:
                if (note := row_note(getattr(error, "context", None), names)) is not None:
                    error.add_note(note)
                raise
            raise refusal from None
    if analyze:
        await connection.execute(f"analyze {qualified_name(table)}")
    if progress is not None:
        progress(copied.taken)
    return copied.taken


async def copy_query(
    connection: Any,
    query: CompiledCopy,
    rows: Iterable[Any] | AsyncIterable[Any],
    progress: Progress | None,
    analyze: bool = False,
) -> int:
    """Copy rows into the table of a query. The connection is in a transaction."""
    statement = query.statement
    try:
        return await copy_in(
            connection, statement.table, rows, statement.columns, progress, by_name=True, analyze=analyze
        )
    except exceptions.PostgresError as error:
        error.add_note(query.note)
        raise


async def _refusal(
    error: Exception, table: str, columns: Sequence[str], copied: CopyRows, statement: Any
) -> BindError | None:
    """Return the error for a row that the driver could not encode; None if the error is of another kind."""
    if isinstance(error, exceptions.CharacterNotInRepertoireError):
        at = _NUL_AT.search(str(getattr(error, "context", "") or ""))
        if at is None:
            return None
        return BindError(f"copy into {table}: row {at[1]}: {at[2]}: {NUL_DETAIL}", hint=NUL_HINT)
    if isinstance(error, exceptions.PostgresError):
        if getattr(error, "severity", None) is not None or is_lost(error):
            return None
    elif isinstance(error, exceptions.InternalClientError) and str(error).startswith("no binary format"):
        return BindError(
            f"copy into {table}: COPY cannot send a column's type: {error}",
            hint="insert the rows with a query's 'execute_many'",
        )
    elif isinstance(error, _OF_CONNECTION):
        return None
    try:
        row = copied.last
    except Exception:  # noqa: BLE001 (the conversion of the row is what has failed)
        row = ()
    return await _encode_error(error, table, copied.taken, columns, row, statement)


async def _refusal_of_piece(
    error: exceptions.PostgresError,
    table: str,
    first: int,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    statement: Any,
) -> BindError | None:
    """Return the error for a row of a pipeline, whose numbers begin with ``first``; None if the error is of
    another kind.
    """
    element = unfit_call(error)
    if element is not None:
        return await _encode_error(error, table, first + element, columns, rows[element], statement)
    if isinstance(error, exceptions.CharacterNotInRepertoireError):
        for number, row in enumerate(rows, first):
            for index in nuls_in(row):
                message = f"copy into {table}: row {number}: {columns[index]}: {NUL_DETAIL}"
                return BindError(message, hint=NUL_HINT)
    return None


async def _encode_error(
    error: Exception, table: str, number: int, columns: Sequence[str], row: Sequence[Any], statement: Any
) -> BindError:
    """Find the value of a row that does not fit its column, with the driver's own encoders. It
    sends nothing.
    """
    where = f"copy into {table}: row {number}"
    hint = f"the columns are {', '.join(columns)}"
    index, cause = unfit_argument(error), error.__cause__
    if index is None:
        try:
            await statement.fetch(*row, timeout=statement._connection.control_timeout_s)
        except exceptions.DataError as again:
            index, cause = unfit_argument(again), again.__cause__
        except Exception:  # noqa: BLE001 (the first error is raised)
            pass
    if index is None:
        return BindError(f"{where}: a value does not fit its column", hint=hint)
    expected, value = statement.get_parameters()[index].name, row[index]
    return BindError(
        f"{where}: {columns[index]}: expected {expected}, got {type(value).__name__}",
        detail=encode_error_detail(expected, value, cause),
        hint=hint,
    )


async def _insert(connection: Any, table: str, columns: Sequence[str], copied: CopyRows) -> None:
    """Insert rows in pipelines. PostgreSQL refuses COPY into a table with row-level security."""
    numbers = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    quoted = ", ".join(map(quote_name, columns))
    # COPY stores a value in an identity column that is generated always, and so does this.
    sql = f"insert into {qualified_name(table)} ({quoted}) overriding system value values ({numbers})"
    statement = await connection.prepare(sql)
    chunk: list[Any] = []
    sent = 0

    async def send() -> None:
        nonlocal sent
        for at, piece in pieces(chunk):
            try:
                await connection.executemany(sql, piece)
            except exceptions.PostgresError as error:
                refusal = await _refusal_of_piece(error, table, sent + at + 1, columns, piece, statement)
                if refusal is None:
                    raise
                raise refusal from None
        sent += len(chunk)
        chunk.clear()

    records = copied.records()
    if isinstance(records, AsyncIterable):
        async for record in records:
            chunk.append(record)
            if len(chunk) == PART_ROWS:
                await send()
    else:
        for record in records:
            chunk.append(record)
            if len(chunk) == PART_ROWS:
                await send()
    await send()


def _wrap(copied: CopyRows, statement: Any) -> None:
    """Have the values converted that the driver would misread."""
    types = statement.get_parameters()
    # In an array of JSON values or vectors, a list is one element.
    arrays = [
        index
        for index, type_ in enumerate(types)
        if type_.kind == "array" and type_.name.removesuffix("[]").lstrip("_") in TAKES_LISTS
    ]
    composites = [
        index
        for index, type_ in enumerate(types)
        if type_.kind in ("array", "composite") and index not in arrays
    ]
    bit_strings = [index for index, type_ in enumerate(types) if type_.name in ("bit", "varbit")]
    copied.wrap(arrays, composites, bit_strings)


async def _first_of(
    rows: Iterable[Any] | AsyncIterable[Any],
) -> tuple[Any, Iterable[Any] | AsyncIterable[Any]]:
    """Read the first row, and return it with an iterable of all rows."""
    if isinstance(rows, AsyncIterable):
        iterator = aiter(rows)
        first = await anext(iterator, _END)

        async def again() -> AsyncIterator[Any]:
            yield first
            async for row in iterator:
                yield row

        return first, again()
    plain = iter(rows)
    first = next(plain, _END)
    return first, chain((first,), plain)
