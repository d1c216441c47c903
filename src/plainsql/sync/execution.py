"""Runs one query on the connection: sends it, loads its rows, and explains its errors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

import psycopg
from psycopg import errors, pq

from plainsql.errors import ContractError, DecodeError
from plainsql.query import Args, CompiledQuery, QueryText
from plainsql.query.compiled_columns import CompiledColumns, StreamedColumns
from plainsql.rows import record_types
from plainsql.sync.adapters import DUMP_ERRORS
from plainsql.sync.connection import Prepared, SharedConnection
from plainsql.sync.driver_errors import classify_error
from plainsql.sync.result_columns import column_types
from plainsql.sync.row_loader import UnreadableError
from plainsql.sync.statement_settings import locally

__all__ = [
    "add_query_note",
    "add_server_note",
    "build_result",
    "described_as",
    "dump",
    "execute",
    "is_stale",
    "iterate",
    "prepare",
]

_STATEMENTS: Final = re.compile(r"\b(?:prepare|deallocate|discard)\b", re.IGNORECASE)

R = TypeVar("R")
T = TypeVar("T")


def execute(shared: SharedConnection, query: CompiledQuery[Any, R], args: Args) -> R:
    """Run a query to its end and build its result."""
    text, values = query.text(args)
    with shared.lock:
        try:
            prepared, result = _send(shared, query, text, values)
        except psycopg.Error as error:
            add_server_note(error, query, text)
            raise
        return build_result(shared, query, text, prepared, result)


def iterate(shared: SharedConnection, query: CompiledQuery[T, Any], args: Args, prefetch: int) -> Iterator[T]:
    """Run a query through a cursor, ``prefetch`` rows at a time. A transaction must be open.

    A statement that no cursor can be declared for (``insert … returning``) is read as a whole.
    """
    text, values = query.text(args)
    with shared.lock:
        try:
            prepared = prepare(shared, query, text)
            if isinstance(query, StreamedColumns):
                prefetch = query.block_rows
            run = query.run()
            data = dump(query, text, prepared, values)
        except psycopg.Error as error:
            add_server_note(error, query, text)
            raise
        try:
            with locally(shared, query, text.settings):
                cursor = _declare(shared, text, prepared, data)
                result = None if cursor else shared.run(prepared, data)
        except psycopg.Error as error:
            # No position: the server counts from the beginning of the declaration.
            add_query_note(error, query, text)
            raise
        if result is not None:
            prepared = described_as(result, shared, query, text, prepared)
    if result is not None:
        records = _records(shared, query, text, prepared, result)
        for start in range(0, len(records), prefetch) if query.is_columnar else ():
            yield from _built(shared, query, prepared, records[start : start + prefetch])
        yield from () if query.is_columnar else query.build(records)
        return
    try:
        while True:
            with shared.lock:
                try:
                    # An index is searched while it is read.
                    with locally(shared, query, text.settings):
                        result = shared.run_text(f"fetch {prefetch} from {cursor}")
                    # The cursor has a plan of its own, which may be newer than the description.
                    prepared = described_as(result, shared, query, text, prepared)
                except psycopg.Error as error:
                    add_query_note(error, query, text)
                    raise
                records = _records(shared, query, text, prepared, result)
                rows = _built(shared, query, prepared, records) if run is None else run.add(records)
            yield from rows
            if len(records) < prefetch:
                yield from run.end() if run is not None else ()
                return
    finally:
        if cursor is not None:
            shared.close_cursor(cursor)


def _built(
    shared: SharedConnection, query: CompiledQuery[T, Any], prepared: Prepared, records: list[Any]
) -> list[T]:
    """Return rows of records, or the columns of a block of them."""
    if not isinstance(query, CompiledColumns):
        return query.build(records)
    # A row of it is a block of columns by its class; the type checker knows only T.
    block: Any = query.columns(column_types(shared, query, prepared), records)
    return [block] if records else []


def add_server_note(error: psycopg.Error, query: CompiledQuery[Any, Any], text: QueryText) -> None:
    """Add the note on the server's error: the query and the place in its file."""
    _name_violation(error, query)
    fields = error.diag
    error.add_note(
        query.error_note(
            text, fields.statement_position, sqlstate=error.sqlstate, message=fields.message_primary or ""
        )
    )


def add_query_note(error: psycopg.Error, query: CompiledQuery[Any, Any], text: QueryText) -> None:
    """Add the note that names the query to an error whose position is not one of the query's text."""
    classify_error(error)
    _name_violation(error, query)
    error.add_note(query.error_note(text, None))


def _name_violation(error: psycopg.Error, query: CompiledQuery[Any, Any]) -> None:
    """Give the violation of a constraint the class that the query's header names for it."""
    if query.errors and isinstance(error, psycopg.IntegrityError):
        kind = query.errors.get(error.diag.constraint_name or "")
        if kind is not None:
            classify_error(error, kind)


def _send(
    shared: SharedConnection, query: CompiledQuery[Any, Any], text: QueryText, values: Args
) -> tuple[Prepared, pq.abc.PGresult]:
    if not query.session_clean:  # of a file that was loaded, or of no file
        shared.make_room()
    prepared = prepare(shared, query, text)
    try:
        result = shared.run(prepared, dump(query, text, prepared, values))
        if not prepared.name:  # the text was sent again, and described some time ago
            prepared = described_as(result, shared, query, text, prepared)
        return prepared, result
    except psycopg.Error as error:
        if not is_stale(error):
            raise
        shared.forget(text.sql)
        if shared.in_transaction:  # the error has ended it
            raise
        prepared = prepare(shared, query, text)
        return prepared, shared.run(prepared, dump(query, text, prepared, values))


def is_stale(error: psycopg.Error) -> bool:
    """Return whether a prepared statement's tables or types have changed, or DEALLOCATE or a pooler has
    dropped it.
    """
    if isinstance(error, errors.FeatureNotSupported):
        return error.diag.source_function == "RevalidateCachedQuery"
    return isinstance(error, errors.InvalidSqlStatementName)


def described_as(
    result: pq.abc.PGresult,
    shared: SharedConnection,
    query: CompiledQuery[Any, Any],
    text: QueryText,
    prepared: Prepared,
) -> Prepared:
    """Return the statement with the columns of its result: described again if the tables have changed.

    Raises ``ContractError`` if they do not fit the row type; the transaction around it is rolled back then.
    """
    if prepared.has_columns_of(result):
        return prepared
    shared.forget(text.sql)
    return prepare(shared, query, text)


def _declare(
    shared: SharedConnection, text: QueryText, prepared: Prepared, data: Sequence[bytes | None]
) -> str | None:
    """Declare a cursor and return its name, or None if the statement cannot have one."""
    if prepared.through_cursor is False:
        return None
    name = shared.new_name()
    declaration = f"declare {name} no scroll cursor for {text.sql}"
    if prepared.through_cursor:
        shared.run_text(declaration, data, prepared.parameter_types)
        return name
    shared.run_command(f"savepoint {name}")
    try:
        shared.run_text(declaration, data, prepared.parameter_types)
        prepared.through_cursor = True
    except (errors.SyntaxError, errors.FeatureNotSupported):
        # It was prepared, so the statement is valid: it is no SELECT, or one that writes.
        shared.run_command(f"rollback to savepoint {name}")
        prepared.through_cursor = False
    shared.run_command(f"release savepoint {name}")
    return name if prepared.through_cursor else None


def prepare(shared: SharedConnection, query: CompiledQuery[Any, Any], text: QueryText) -> Prepared:
    """Prepare a statement, and compare its columns with the query's row type before it is run."""
    prepared = shared.prepare(text.sql)
    if not query.session_clean:
        shared.session_is_altered = True
        if not shared.statements_are_altered and _STATEMENTS.search(text.sql) is not None:
            shared.statements_are_altered = True
    if query.kind != "count" and prepared.compared_for is not query:
        try:
            if query.needs_columns:
                query.set_columns(prepared.columns)
            else:
                query.compare(prepared.columns)
                if any(column.type_name == "record" for column in prepared.columns):
                    shared.read_records(prepared, record_types(query.item))
        except ContractError:
            shared.forget(text.sql)  # the next call describes it again: the tables may fit by then
            raise
        prepared.compared_for = query
    if isinstance(query, CompiledColumns):
        column_types(shared, query, prepared)  # it refuses before anything is run
    return prepared


def dump(
    query: CompiledQuery[Any, Any], text: QueryText, prepared: Prepared, values: Args
) -> list[bytes | None]:
    """Return the texts of a call's arguments. Raises ``BindError``."""
    data: list[bytes | None] = []
    for index, (adapter, value) in enumerate(zip(prepared.parameters, values, strict=True)):
        if value is None:
            data.append(None)
            continue
        try:
            dumped = adapter.dump(value).encode()
        except DUMP_ERRORS as error:
            raise query.encode_error(text, index, adapter.name, value, error) from None
        if b"\0" in dumped:  # it would end there, for libpq
            raise query.encode_error(text, index, adapter.name, value, detail="it holds a NUL character")
        data.append(dumped)
    return data


def build_result(
    shared: SharedConnection,
    query: CompiledQuery[Any, R],
    text: QueryText,
    prepared: Prepared,
    result: pq.abc.PGresult,
) -> R:
    """Build what a call returns from the server's result."""
    if query.kind == "count":
        # Its result is an int by its class; the type checker knows only R.
        return result.command_tuples or 0  # type: ignore[return-value]
    records = _records(shared, query, text, prepared, result)
    if isinstance(query, CompiledColumns):
        # Its result is `Columns` by its class; the type checker knows only R.
        return query.columns(column_types(shared, query, prepared), records)  # type: ignore[return-value]
    return query.result(records)


def _records(
    shared: SharedConnection,
    query: CompiledQuery[Any, Any],
    text: QueryText,
    prepared: Prepared,
    result: pq.abc.PGresult,
) -> list[tuple[Any, ...]]:
    try:
        return prepared.rows.load(result)
    except UnreadableError as error:
        # If a type was altered, the next call looks it up again.
        shared.forget(text.sql)
        column = prepared.columns[error.index]
        raise DecodeError(
            f"{query.name}: {column.name}: a value of the type {column.type_name} that Python does not have",
            detail=error.detail,
            hint=f"cast the column to text in {query.file}",
        ) from None
