"""Export: the tables of one snapshot as lines, in constant memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, Final

import msgspec
import psycopg
from psycopg import sql

from plainsql.transfer import file_format
from plainsql.transfer.catalog import (
    Connection,
    Source,
    in_order,
    read_migrations,
    read_sequences,
    read_tables,
)
from plainsql.transfer.errors import TransferError, refused
from plainsql.transfer.results import OnRows, Transferred, ignore_rows
from plainsql.transfer.session_settings import prepare_session

__all__ = ["export_schemas"]

_WRITE_SIZE_BYTES: Final = 1 << 20
_REPORT_INTERVAL_ROWS: Final = 1000


def export_schemas(
    connection: Connection, schemas: Sequence[str], out: BinaryIO, *, on_rows: OnRows = ignore_rows
) -> Transferred:
    """Write the tables of schemas to a file, as they are at one moment.

    Rows are in the order of the primary key; without one, in their physical order. Writers do not wait for
    the export; migrations do.

    Args:
        connection: a connection in autocommit mode, whose role must see every row.
        schemas: the names of the schemas, at least one.
        out: the file. It is written in pieces; if the export fails, the last line is missing.
        on_rows: called with the rows of each table so far.

    Raises ``TransferError`` if a schema or a table cannot be read completely.
    """
    schemas = sorted(set(schemas))
    with _refusals("the export"), _snapshot(connection, schemas) as tables:
        header = file_format.Header(
            server=connection.execute("show server_version").fetchall()[0][0].split()[0],
            layers=tuple(schemas),
            migrations=_migrations(connection, schemas),
            tables=tuple(table.table for table in tables),
            sequences=read_sequences(connection, schemas),
        )
        lines = _Lines(out)
        lines.add(header)
        rows = {}
        for table in tables:
            lines.add(file_format.Section(table.name))
            with _refusals(table.name):
                rows[table.name] = _write_rows(connection, table, lines, on_rows)
        digest = lines.digest()
        lines.add(file_format.End(rows, digest))
        lines.flush()
    return Transferred(header.layers, rows, digest)


class _Lines:
    """The encoder of the lines, and of their digest."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._encoder = msgspec.json.Encoder()
        self._buffer = bytearray()
        self._digest = hashlib.sha256()

    def add(self, value: object) -> None:
        self._buffer += self._encoder.encode(value)
        self._buffer += b"\n"
        if len(self._buffer) >= _WRITE_SIZE_BYTES:
            self.flush()

    def flush(self) -> None:
        self._digest.update(self._buffer)
        self._out.write(self._buffer)
        self._buffer.clear()

    def digest(self) -> str:
        """Return the SHA-256 of all lines so far."""
        self.flush()
        return self._digest.hexdigest()


@contextmanager
def _snapshot(connection: Connection, schemas: list[str]) -> Iterator[list[Source]]:
    """Begin a transaction that reads one snapshot; yield the tables, locked against migrations."""
    known = [row[0] for row in connection.execute("select nspname from pg_namespace")]
    for schema in schemas:
        if schema not in known:
            raise TransferError(f"there is no schema {schema!r} in this database")
    # Without a lock, the export would fail on a table that a migration drops or alters meanwhile. The first
    # statement after the locks takes the snapshot.
    expected = read_tables(connection, schemas)
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        if expected:
            connection.execute("set local lock_timeout to '10s'")
            names = sql.SQL(", ").join(table.identifier for table in expected)
            connection.execute(sql.SQL("lock table {} in access share mode").format(names))
        prepare_session(connection)
        tables = read_tables(connection, schemas)
        if [table.oid for table in tables] != [table.oid for table in expected]:
            raise TransferError("tables were created or dropped meanwhile", hint="try again")
        yield in_order(connection, tables)


def _migrations(connection: Connection, schemas: list[str]) -> dict[str, tuple[str, ...]]:
    # The schema of the records is found by the role's search_path.
    connection.execute("set local search_path to default")
    found = read_migrations(connection, schemas)
    connection.execute("set local search_path to pg_catalog")
    return found


def _write_rows(connection: Connection, table: Source, lines: _Lines, on_rows: OnRows) -> int:
    # No cast to text: it would cut the trailing blanks of character(n).
    query = sql.SQL("select {} from {}").format(table.columns, table.identifier)
    if table.key:
        key = sql.SQL(", ").join(map(sql.Identifier, table.key))
        query = sql.SQL("{} order by {}").format(query, key)
    count = 0
    integers, booleans = table.integers, table.booleans
    with connection.cursor().copy(sql.SQL("copy ({}) to stdout").format(query)) as copy:
        for row in copy.rows():
            values: list[file_format.Value] = list(row)
            for place in integers:
                text = values[place]
                values[place] = None if text is None else int(text)
            for place in booleans:
                text = values[place]
                values[place] = None if text is None else text == "t"
            lines.add(values)
            count += 1
            if count % _REPORT_INTERVAL_ROWS == 0:
                on_rows(table.name, count, max(table.rows, count))
    on_rows(table.name, count, count)
    return count


@contextmanager
def _refusals(what: str) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate is None or error.sqlstate[:2] in ("08", "57"):
            raise
        raise refused(error, what) from None
