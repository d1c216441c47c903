"""The reader of a file, which checks every rule of the format."""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections.abc import Collection, Iterator
from typing import BinaryIO, Final, NoReturn, TypeVar

import msgspec

from plainsql.errors import Place
from plainsql.transfer import file_format
from plainsql.transfer.errors import TransferError
from plainsql.transfer.results import OnRows, Transferred, ignore_rows

__all__ = ["MAX_LINE_BYTES", "Reader", "check_file"]

T = TypeVar("T")

_REPORT_INTERVAL_ROWS: Final = 1000
_EXPORT_AGAIN: Final = "export it again with plainsql db export, or copy the file again"
MAX_LINE_BYTES: Final = 64 << 20
"""A line is in memory several times: as bytes, as values, and as the data that are sent."""
# The escape itself, and not an escaped backslash in front of u0000.
_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def check_file(
    file: BinaryIO,
    name: str,
    *,
    layers: Collection[str] | None = None,
    max_line_bytes: int = MAX_LINE_BYTES,
    on_rows: OnRows = ignore_rows,
) -> Transferred:
    """Read a whole file and check that it is complete and as it was written.

    Args:
        file: a file that ``create_file`` and ``export_schemas`` wrote.
        name: the file's name in errors.
        layers: the only layers that it may hold.
        max_line_bytes: a longer line is refused.
        on_rows: called with the rows so far.

    Raises ``TransferError`` with the first fault and its line.
    """
    reader, count = Reader(file, name, layers=layers, max_line_bytes=max_line_bytes), 0
    for table in reader.tables():
        for _ in reader.rows(table):
            count += 1
            if count % _REPORT_INTERVAL_ROWS == 0:
                on_rows("checking the file", count, count)
    done = reader.end()
    on_rows("checking the file", count, count)
    return done


class Reader:
    """The reader of one file, once from its beginning to its end, in constant memory.

    Raises ``TransferError`` if the first line is not the header of an export.
    """

    def __init__(
        self,
        file: BinaryIO,
        name: str,
        *,
        layers: Collection[str] | None = None,
        max_line_bytes: int = MAX_LINE_BYTES,
    ) -> None:
        self._file = file
        self._name = name
        self._max = max_line_bytes
        self._digest = hashlib.sha256()
        self._row = msgspec.json.Decoder(tuple[file_format.Value, ...])
        self._counts: dict[str, int] = {}
        self.line = 0
        """The number of the last line that was read."""
        first = self._read()
        if not first.startswith(b'{"format":"plainsql export"'):
            self._fail("this is not an export of plainsql", hint="create one with plainsql db export")
        self.header = self._decode(first, file_format.Header)
        if self.header.version != file_format.VERSION:
            self._fail(
                f"expected version {file_format.VERSION} of the format, got {self.header.version}",
                hint="use the version of plainsql that wrote the file",
            )
        self._check_layers(layers)
        self._next = self._read()

    def tables(self) -> Iterator[file_format.Table]:
        """Yield the tables in their order. The rows of each must be read before the next table."""
        for table in self.header.tables:
            section = self._decode(self._next, file_format.Section)
            self._counts[section.table] = 0
            self.name = section.table
            """The qualified name of the current table."""
            self._next = self._read()
            yield table

    def rows(self, table: file_format.Table) -> Iterator[tuple[file_format.Value, ...]]:
        """Yield the rows of the current table."""
        width, count = len(table.columns), 0
        while self._next.startswith(b"["):
            row = self._decode_row(self._next)
            if len(row) != width:
                self._fail(f"expected {width} values of {self.name}, got {len(row)}")
            yield row
            count += 1
            self._next = self._read()
        self._counts[self.name] = count

    def end(self) -> Transferred:
        """Check the last line: the digest of the lines before it, and the number of rows."""
        digest = self._digest.hexdigest()
        end = self._decode(self._next, file_format.End)
        if end.sha256 != digest:
            self._fail(
                "the file was changed after it was written: its digest differs",
                hint="export it again with plainsql db export; an edited file cannot be imported",
            )
        if end.rows != self._counts:
            self._fail("the number of rows is not that of the file's last line")
        if self._read_line(ending=True):
            self.line += 1
            self._fail("there is more after the last line of the export", hint="one file holds one export")
        return Transferred(self.header.layers, end.rows, digest)

    def place(self) -> Place:
        """Return the place of the last line that was read."""
        return Place(self._name, self.line)

    def _check_layers(self, allowed: Collection[str] | None) -> None:
        header = self.header
        for layer in header.layers:
            if layer.startswith("pg_") or layer == "information_schema":
                self._fail(f"the schema {layer} is the server's own", hint=_EXPORT_AGAIN)
            if allowed is not None and layer not in allowed:
                self._fail(
                    f"expected rows of {', '.join(sorted(allowed))}, got the schema {layer}",
                    hint="import it in a project with migrations of that layer, and name the layer",
                )
        for what, schema, each in [
            *(("table", table.schema, table.name) for table in header.tables),
            *(("sequence", sequence.schema, sequence.name) for sequence in header.sequences),
        ]:
            if schema not in header.layers:
                self._fail(f"the {what} {schema}.{each} is of none of the file's layers", hint=_EXPORT_AGAIN)

    def _read(self) -> bytes:
        line = self._read_line()
        self.line += 1
        if len(line) > self._max:
            self._fail(
                f"this line is longer than {self._max >> 20} MiB",
                hint="add --max-line MIB if the file can be trusted: a line is held in memory several times",
            )
        # Searching the bytes is a hundred times faster than the pattern, and nearly always finds nothing.
        if b"u0000" in line and _NUL.search(line):
            self._fail(
                "a text holds the character \\u0000, which PostgreSQL cannot store",
                hint="no export of plainsql has it: remove the character in the program that wrote the file",
            )
        if not line.endswith(b"\n"):
            if self.line == 1:
                self._fail("the file is empty", hint=_EXPORT_AGAIN)
            self._cut_short()
        # The last line is not part of the digest.
        if not line.startswith(b'{"rows":'):
            self._digest.update(line)
        return line

    def _read_line(self, *, ending: bool = False) -> bytes:
        try:
            return self._file.readline(self._max + 1)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            # A gzipped file has an end and a checksum of its own.
            if ending:
                self._cut_short()
            return b""

    def _cut_short(self) -> NoReturn:
        self._fail("the file ends before its last line: it is cut short", hint=_EXPORT_AGAIN)

    def _decode(self, line: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(line, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._fail(f"expected {_EXPECTED[kind.__name__]} here", hint=_EXPORT_AGAIN)

    def _decode_row(self, line: bytes) -> tuple[file_format.Value, ...]:
        try:
            return self._row.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._fail("this is not a row", hint=_EXPORT_AGAIN)

    def _fail(self, message: str, *, hint: str | None = None) -> NoReturn:
        raise TransferError(message, place=self.place(), hint=hint)


_EXPECTED = {"Header": "the header", "Section": "the name of a table", "End": "the last line"}
