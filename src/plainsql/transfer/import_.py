"""Lines → tables, in one transaction: all of the file, or nothing."""

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
from plainsql.transfer.results import OnReplace, OnRows, Replaced, Transferred, nobody
from plainsql.transfer.sequences import matched_sequences, set_sequences
from plainsql.transfer.session_settings import prepare_session

__all__ = ["import_file"]

_TOLD_EACH: Final = 1000
_COUNTED: Final = 100_000
"""Rows up to which a table that is to be emptied is counted."""
_WAIT: Final = 10.0
"""Seconds for a run of migrations to end."""
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
    on_rows: OnRows = nobody,
) -> Transferred:
    """Read an export into a database that has the same migrations, and whose tables are empty.

    Rows come in as they were: triggers do not run, identities and sequences are those of the file.
    Constraints and foreign keys are checked. It is one transaction, in which others can read the tables but
    not write to them; readers wait as well with ``replace``, where foreign keys form a circle, and where
    row-level security is forced. Afterwards materialized views are refreshed and the tables analysed.

    Args:
        connection: in autocommit mode; its role must own the tables where these have triggers, forced
            row-level security, or foreign keys in a circle.
        file: what ``create_file`` and ``export_schemas`` wrote.
        name: what errors call the file.
        replace: empty the tables first. The file decides which: give ``layers`` with it.
        layers: the only ones that the file may hold; by default it may hold any.
        max_line_bytes: a longer line is refused; it would be held in memory.
        totals: the rows of each table where they are known already (``check_file``), for ``on_rows``.
        on_replace: called with the tables that ``replace`` empties, before it does.
        on_rows: told of the rows of each table.

    Raises ``TransferError`` if the file is not complete, or does not fit this database; nothing was
    written. Raises ``LockedError`` if migrations are running.
    """
    reader = Reader(file, name, layers=layers, max_line_bytes=max_line_bytes)
    with _refusals(name), lock.held(connection, wait=_WAIT, on_waiting=_ignore):
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
            # The rows are in, and an error would say that they are not. Autovacuum comes later.
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
            parts.append(f"applied where it was exported, and not here: {', '.join(sorted(theirs - ours))}")
        if ours - theirs:
            parts.append(f"applied here, and not there: {', '.join(sorted(ours - theirs))}")
        option = f" --layer {layer}" if layer else ""
        raise TransferError(
            f"{name}: {label} is at another migration in this database than in the file",
            detail="; ".join(parts),
            hint=f"plainsql migrate{option}, then import again"
            if theirs - ours
            else "import it into a database at the file's migration, and migrate that",
        )


def _matched(connection: Connection, header: file_format.Header, name: str) -> list[Source]:
    """The tables in the order of the file; they have its columns and no others."""
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
                    hint="both sides must have the same columns: was one altered beside its migrations?",
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
    rows = int(connection.execute(query, [_COUNTED + 1]).fetchall()[0][0])
    if rows <= _COUNTED:
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
        # Values that identities generate always are taken as well: COPY does so by itself.
        with connection.cursor().copy(query) as copy:
            for row in reader.rows(section):
                copy.write_row([_text(value) for value in row])
                count += 1
                if count % _TOLD_EACH == 0:
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
