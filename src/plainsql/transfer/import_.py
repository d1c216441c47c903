"""Import: the lines of a file into tables, in one transaction."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, Final

import psycopg
from psycopg import sql

from plainsql.migrate import lock
from plainsql.transfer import file_format
from plainsql.transfer.catalog import Connection, Source, read_migrations, read_tables, shape
from plainsql.transfer.constraints import suspend_constraints
from plainsql.transfer.errors import TransferError, refused
from plainsql.transfer.reader import MAX_LINE_BYTES, Reader
from plainsql.transfer.results import OnReplace, OnRows, Replaced, Transferred, ignore_rows
from plainsql.transfer.sequences import matched_sequences, set_sequences
from plainsql.transfer.session_settings import prepare_session

__all__ = ["import_file"]

_REPORT_INTERVAL_ROWS: Final = 1000
_MAX_COUNTED_ROWS: Final = 100_000
"""A table that ``replace`` empties is counted up to this, and estimated above it."""
_MIGRATIONS_WAIT_S: Final = 10.0
_COPY_LINE = re.compile(r"COPY .*?, line (\d+)")

_MATERIALIZED = """
select n.nspname, c.relname
from pg_class as c
inner join pg_namespace as n on n.oid = c.relnamespace
where n.nspname = any(%s) and c.relkind = 'm'
order by c.oid
"""


def import_file(
    connection: Connection,
    file: BinaryIO,
    name: str = "the file",
    *,
    replace: bool = False,
    layers: Collection[str] | None = None,
    max_line_bytes: int = MAX_LINE_BYTES,
    totals: dict[str, int] | None = None,
    on_replace: OnReplace | None = None,
    on_rows: OnRows = ignore_rows,
) -> Transferred:
    """Import a file into a database that has the same migrations, and whose tables are empty.

    The rows are those of the export: triggers do not run, identities and sequences are those of the file.
    Constraints and foreign keys are checked. The import is one transaction, during which other sessions can
    read the tables but not write to them. Readers wait as well with ``replace``, if foreign keys form a
    circle, and if row-level security is forced. Afterwards materialized views are refreshed and the tables
    analysed.

    Args:
        connection: a connection in autocommit mode. Its role must own the tables that have triggers, forced
            row-level security, or foreign keys in a circle.
        file: a file that ``create_file`` and ``export_schemas`` wrote.
        name: the file's name in errors.
        replace: empty the tables first. The file decides which: give ``layers`` with it.
        layers: the only layers that the file may hold; by default any.
        max_line_bytes: a longer line is refused, as it would be held in memory.
        totals: the rows of each table for ``on_rows``, if they are known already (``check_file``).
        on_replace: called with the tables that ``replace`` empties, before it does.
        on_rows: called with the rows of each table so far.

    Raises ``TransferError`` if the file is not complete, or if it does not fit this database; nothing is
    written then. Raises ``LockedError`` if migrations are running.
    """
    reader = Reader(file, name, layers=layers, max_line_bytes=max_line_bytes)
    with _refusals(name), lock.held(connection, wait=_MIGRATIONS_WAIT_S, on_waiting=_ignore):
        with connection.transaction():
            _check_migrations(connection, reader.header, name)
            prepare_session(connection)
            tables = _matched(connection, reader.header, name)
            sequences = matched_sequences(connection, reader.header, name)
            _lock(connection, tables)
            if replace and on_replace is not None:
                on_replace([_replaced(connection, table) for table in tables])
            with suspend_constraints(connection, tables):
                _empty(connection, tables, replace=replace)
                by_name = {(table.table.schema, table.table.name): table for table in tables}
                for section in reader.tables():
                    table = by_name[section.schema, section.name]
                    _load(connection, reader, section, table, totals or {}, on_rows)
                done = reader.end()
            for schema, view in connection.execute(_MATERIALIZED, [list(done.layers)]).fetchall():
                query = sql.SQL("refresh materialized view {}")
                connection.execute(query.format(sql.Identifier(schema, view)))
            set_sequences(connection, sequences)
        _analyze(connection, tables)
    return done


def _analyze(connection: Connection, tables: Sequence[Source]) -> None:
    for table in tables:
        try:
            connection.execute(sql.SQL("analyze {}").format(table.identifier))
        except psycopg.Error as error:
            # The rows are committed, and an error would deny it. Autovacuum analyses the table later.
            if error.sqlstate is None:
                raise
            return


def _check_migrations(connection: Connection, header: file_format.Header, name: str) -> None:
    here = read_migrations(connection, header.layers)
    for layer in sorted({*here, *header.migrations}):
        ours, theirs = set(here.get(layer, ())), set(header.migrations.get(layer, ()))
        if ours == theirs:
            continue
        label = layer or "the migrations without a layer"
        parts = []
        if theirs - ours:
            parts.append(f"applied in the file, not in this database: {', '.join(sorted(theirs - ours))}")
        if ours - theirs:
            parts.append(f"applied in this database, not in the file: {', '.join(sorted(ours - theirs))}")
        option = f" --layer {layer}" if layer else ""
        raise TransferError(
            f"{name}: {label} has other migrations in this database than in the file",
            detail="; ".join(parts),
            hint=f"plainsql migrate{option}, then import again"
            if theirs - ours
            else "import it into a database that has the file's migrations, then migrate that one",
        )


def _matched(connection: Connection, header: file_format.Header, name: str) -> list[Source]:
    """Return the tables in the order of the file, which have its columns and no others."""
    here = {(table.table.schema, table.table.name): table for table in read_tables(connection, header.layers)}
    there = {(table.schema, table.name): table for table in header.tables}
    for key in sorted(here.keys() ^ there.keys()):
        side = "this database has no" if key in there else "the file has no"
        raise TransferError(
            f"{name}: {side} table {'.'.join(key)}",
            hint="both sides must have the same tables: apply the migrations of the layer",
        )
    for key, table in there.items():
        ours, theirs = shape(here[key].table), shape(table)
        for column in sorted(ours.keys() | theirs.keys()):
            if ours.get(column) != theirs.get(column):
                raise TransferError(
                    f"{name}: {'.'.join(key)}.{column}: expected {theirs.get(column, 'no column')}, "
                    f"got {ours.get(column, 'no column')} in this database",
                    hint="both sides must have the same columns: look for one altered without a migration",
                )
    return [here[key] for key in there]


def _lock(connection: Connection, tables: Sequence[Source]) -> None:
    if tables:
        names = sql.SQL(", ").join(table.identifier for table in tables)
        connection.execute(sql.SQL("lock table {} in share row exclusive mode").format(names))


def _empty(connection: Connection, tables: Sequence[Source], *, replace: bool) -> None:
    if replace and tables:
        names = sql.SQL(", ").join(table.identifier for table in tables)
        connection.execute(sql.SQL("truncate only {}").format(names))
        return
    full = [table.name for table in tables if _has_rows(connection, table)]
    if full:
        raise TransferError(
            f"these tables are not empty: {', '.join(full)}",
            hint="import into an empty database, or add --replace to lose what they hold",
        )


def _replaced(connection: Connection, table: Source) -> Replaced:
    query = sql.SQL("select count(*) from (select from only {} limit %s) as r").format(table.identifier)
    rows = int(connection.execute(query, [_MAX_COUNTED_ROWS + 1]).fetchall()[0][0])
    if rows <= _MAX_COUNTED_ROWS:
        return Replaced(table.table.schema, table.name, rows, exact=True)
    return Replaced(table.table.schema, table.name, max(rows, table.rows), exact=False)


def _has_rows(connection: Connection, table: Source) -> bool:
    query = sql.SQL("select exists (select from only {})").format(table.identifier)
    return bool(connection.execute(query).fetchall()[0][0])


def _load(
    connection: Connection,
    reader: Reader,
    section: file_format.Table,
    table: Source,
    totals: dict[str, int],
    on_rows: OnRows,
) -> None:
    began, count = reader.line - 1, 0
    total = totals.get(reader.name, 0)
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in section.columns)
    query = sql.SQL("copy {} ({}) from stdin").format(table.identifier, columns)
    try:
        # COPY takes values also for columns that are generated always as identity.
        with connection.cursor().copy(query) as copy:
            for row in reader.rows(section):
                copy.write_row([_text(value) for value in row])
                count += 1
                if count % _REPORT_INTERVAL_ROWS == 0:
                    on_rows(table.name, count, max(total, count))
    except psycopg.errors.DatabaseError as error:
        found = _COPY_LINE.search(error.diag.context or "")
        if found is None or error.sqlstate is None:
            raise
        raise refused(error, f"{reader.place().path}:{began + int(found[1])}: {table.name}") from None
    on_rows(table.name, count, count)


def _text(value: file_format.Value) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "t" if value else "f"
    return str(value)


def _ignore(holder: str) -> None:
    """The wait is short."""


@contextmanager
def _refusals(what: str) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate is None or error.sqlstate[:2] in ("08", "57"):
            raise
        raise refused(error, what) from None
