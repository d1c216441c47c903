"""COPY of rows into a table, and of a query's rows out of the database."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from inspect import iscoroutinefunction
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

import psycopg

from plainsql.columns.arrow_rows import is_arrow, rows_of_arrow
from plainsql.copy_output import CopyFormat, Writable, mode_of, write_all
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
from plainsql.errors import BindError
from plainsql.files import replace_file
from plainsql.query import Args, CompiledCopy, CompiledQuery, QueryText
from plainsql.query.signature import encode_error_detail
from plainsql.sync.adapters import DUMP_ERRORS
from plainsql.sync.connection import Prepared, SharedConnection
from plainsql.sync.driver_errors import classified_errors
from plainsql.sync.execution import add_query_note, add_server_note, dump
from plainsql.sync.statement_settings import locally
from plainsql.sync.type_catalog import FIRST_OID_OF_USERS
from plainsql.sync.wire import check_result

__all__ = ["SyncOutput", "copy_in", "copy_out", "copy_query"]

SyncOutput = str | os.PathLike[str] | Writable | Callable[[bytes], object]

_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"})
"""The characters that have a meaning in COPY's text format."""
_END: Final = object()


def copy_in(
    shared: SharedConnection,
    table: str,
    rows: Iterable[Any],
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
    if not hasattr(rows, "__iter__"):
        raise BindError(
            f"copy into {table}: expected rows as an iterable, got an asynchronous one",
            hint="copy them on the asynchronous side, or pass a list",
        )
    plain = iter(rows)
    first = next(plain, _END)
    if first is _END:
        if progress is not None:
            progress(0)
        return 0
    names = columns_of(table, first, columns)
    copied = CopyRows(table, names, chain((first,), plain), progress, by_name)
    quoted = ", ".join(map(quote_name, names))
    with shared.lock, shared.with_settings(), classified_errors():
        # A parameter of `coalesce` gets its column's type.
        likes = ", ".join(f"coalesce({quote_name(column)}, ${n})" for n, column in enumerate(names, 1))
        prepared = shared.prepare(f"select {likes} from {qualified_name(table)}")
        _wrap(copied, prepared)
        texts = _texts(table, names, copied, prepared)
        name = qualified_name(table).encode()
        found = shared.run_text("select row_security_active($1)", [name])
        if analyze and shared.run_text(ANALYZABLE_SQL, [name]).get_value(0, 0) != b"t":
            raise analyze_refusal(table)
        if found.get_value(0, 0) == b"t":
            # PostgreSQL refuses COPY into a table with row-level security.
            numbers = ", ".join(f"${number}" for number in range(1, len(names) + 1))
            # COPY stores a value in an identity column that is generated always, and so does this.
            insert = shared.prepare(
                f"insert into {qualified_name(table)} ({quoted}) overriding system value values ({numbers})"
            )
            stored = 0
            while part := list(islice(texts, PART_ROWS)):
                for result in shared.run_pipeline([(insert, _encoded(row)) for row in part]):
                    stored += 1
                    try:
                        check_result(result)
                    except psycopg.Error as error:
                        error.add_note(f"row: {stored}")
                        raise
        else:
            try:
                with psycopg.Cursor(shared.psycopg).copy(
                    f"copy {qualified_name(table)} ({quoted}) from stdin".encode()
                ) as copy:
                    while part := list(islice(texts, PART_ROWS)):
                        copy.write("".join(map(_line, part)).encode())
            except psycopg.Error as error:
                if (note := row_note(error.diag.context, names)) is not None:
                    error.add_note(note)
                raise
        if analyze:
            shared.run_text(f"analyze {qualified_name(table)}", [])
    if progress is not None:
        progress(copied.taken)
    return copied.taken


def copy_query(
    shared: SharedConnection,
    query: CompiledCopy,
    rows: Iterable[Any],
    progress: Progress | None,
    analyze: bool = False,
) -> int:
    """Copy rows into the table of a query. The connection is in a transaction."""
    statement = query.statement
    try:
        columns = statement.columns
        return copy_in(shared, statement.table, rows, columns, progress, by_name=True, analyze=analyze)
    except psycopg.Error as error:
        error.add_note(query.note)
        raise


def copy_out(
    shared: SharedConnection,
    query: CompiledQuery[Any, Any],
    args: Args,
    output: SyncOutput,
    copy_format: CopyFormat,
    header: bool,
    progress: Progress | None,
) -> int:
    """Copy a query's rows out and return how many there were. The connection is in a transaction."""
    text, values = query.text(args)
    with shared.lock, shared.with_settings(), _writer(output) as write:
        try:
            sql = _without_parameters(shared, query, text, values)
        except psycopg.Error as error:
            add_server_note(error, query, text)
            raise
        options = "" if copy_format == "binary" or not header else ", header true"
        written = 0
        cursor = psycopg.Cursor(shared.psycopg)
        try:
            command = f"copy (\n{sql}\n) to stdout (format {copy_format}{options})".encode()
            with locally(shared, query, text.settings), cursor.copy(command) as copy:
                for data in copy:
                    write(bytes(data))
                    written += len(data)
                    if progress is not None:
                        progress(written)
        except psycopg.Error as error:
            # The position, if there is one, counts in the text around the query.
            add_query_note(error, query, text)
            raise
        return cursor.rowcount


def _wrap(copied: CopyRows, prepared: Prepared) -> None:
    """Have the values converted that the adapters would misread."""
    names = [adapter.name for adapter in prepared.parameters]
    arrays = [
        index
        for index, name in enumerate(names)
        if name.endswith("[]") and name.removesuffix("[]") in TAKES_LISTS
    ]
    composites = [
        index
        for index, (name, oid) in enumerate(zip(names, prepared.parameter_types, strict=True))
        if index not in arrays and (name.endswith("[]") or oid == 0 or oid >= FIRST_OID_OF_USERS)
    ]
    copied.wrap(arrays, composites, [index for index, name in enumerate(names) if name in ("bit", "varbit")])


def _texts(
    table: str, columns: Sequence[str], copied: CopyRows, prepared: Prepared
) -> Iterator[list[str | None]]:
    """Yield the texts of each row's values. Raises ``BindError`` with the row's number and the column."""
    adapters = prepared.parameters
    records: Any = copied.records()
    for number, row in enumerate(records, 1):
        texts: list[str | None] = []
        for index, value in enumerate(row):
            if value is None:
                texts.append(None)
                continue
            where = f"copy into {table}: row {number}: {columns[index]}"
            adapter = adapters[index]
            try:
                text = adapter.dump(value)
                text.encode()
            except DUMP_ERRORS as error:
                raise BindError(
                    f"{where}: expected {adapter.name}, got {type(value).__name__}",
                    detail=encode_error_detail(adapter.name, value, error),
                    hint=copied.hint,
                ) from None
            if "\0" in text:
                raise BindError(
                    f"{where}: it holds a NUL character", hint="PostgreSQL has no NUL in texts: remove it"
                )
            texts.append(text)
        yield texts


def _line(texts: Sequence[str | None]) -> str:
    return "\t".join(r"\N" if text is None else text.translate(_ESCAPES) for text in texts) + "\n"


def _encoded(texts: Sequence[str | None]) -> list[bytes | None]:
    return [None if text is None else text.encode() for text in texts]


def _without_parameters(
    shared: SharedConnection, query: CompiledQuery[Any, Any], text: QueryText, values: Args
) -> str:
    """Return the query's text with its parameters read from settings of this transaction, and set these.

    COPY takes no parameters, and no value is ever written into a text.
    """
    prepared = shared.prepare(text.sql)  # its rows are not built, so their type does not matter
    if not query.session_clean:
        shared.session_is_altered = True
    if not values:
        return text.sql
    oids = "{" + ",".join(map(str, prepared.parameter_types)) + "}"
    found = shared.run_text(
        "select format_type(oid, -1) from unnest($1::oid[]) with ordinality as p (oid, n) order by n",
        [oids.encode()],
    )
    calls = []
    expressions = {}
    for index, name in enumerate(text.variant.parameters, 1):
        type_name = (found.get_value(index - 1, 0) or b"").decode()
        # A setting is a text and never null: the first letter says whether there is a value.
        value = f"coalesce('v' || (${index}::{type_name})::text, 'n')"
        calls.append(f"set_config('plainsql.parameter_{index}', {value}, true)")
        setting = f"current_setting('plainsql.parameter_{index}')"
        expressions[name] = (
            f"(case when starts_with({setting}, 'v') then substr({setting}, 2)::{type_name} end)"
        )
    shared.run_text(f"select {', '.join(calls)}", dump(query, text, prepared, values))
    return text.variant.substituted(expressions)


@contextmanager
def _writer(output: SyncOutput) -> Iterator[Callable[[bytes], object]]:
    if isinstance(output, str | os.PathLike):
        path = Path(output)
        with replace_file(path, mode=mode_of(path)) as file:
            yield lambda data: write_all(file, data)
    elif iscoroutinefunction(output):
        raise BindError("copy_out(): output: expected a function, got an async function")
    elif hasattr(output, "write"):
        yield lambda data: write_all(output, data)
    else:
        function: Any = output
        yield function
