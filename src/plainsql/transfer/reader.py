"""Lines → header, rows, end: every rule of the form is checked on the way."""

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
from plainsql.transfer.results import OnRows, Transferred, nobody

__all__ = ["MAX_LINE_BYTES", "Reader", "check_file"]

T = TypeVar("T")

_TOLD_EACH: Final = 1000
_ANEW: Final = "make it anew with plainsql db export, or copy it again"
MAX_LINE_BYTES: Final = 64 << 20
"""A line is held in memory whole, and several times: as bytes, as values, as what is sent."""
# The escape itself, and not a backslash that stands before u0000.
_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def check_file(
    file: BinaryIO,
    name: str,
    *,
    layers: Collection[str] | None = None,
    max_line_bytes: int = MAX_LINE_BYTES,
    on_rows: OnRows = nobody,
) -> Transferred:
    """Read a whole file and check that it is complete and as it was written.

    Args:
        file: what ``create_file`` and ``export_schemas`` wrote.
        name: what errors call it.
        layers: the only ones that it may hold.
        max_line_bytes: a longer line is refused.
        on_rows: told of the rows so far.

    Raises ``TransferError`` with the first thing that is wrong, and its line.
    """
    reader, count = Reader(file, name, layers=layers, max_line_bytes=max_line_bytes), 0
    for table in reader.tables():
        for _ in reader.rows(table):
            count += 1
            if count % _TOLD_EACH == 0:
                on_rows("checking the file", count, count)
    done = reader.end()
    on_rows("checking the file", count, count)
    return done


class Reader:
    """Reads one file from its beginning to its end, once, in constant memory.

    Raises ``TransferError`` where the first line is not the header of an export.
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
        """The number of the line that was read last."""
        first = self._read()
        if not first.startswith(b'{"format":"plainsql export"'):
            self._fail("this is no export of plainsql", hint="make one with plainsql db export")
        self.header = self._decode(first, file_format.Header)
        if self.header.version != file_format.VERSION:
            self._fail(
                f"this is version {self.header.version} of the form, and this plainsql reads {file_format.VERSION}",
                hint="use the plainsql that it was written with",
            )
        self._check_layers(layers)
        self._next = self._read()

    def tables(self) -> Iterator[file_format.Table]:
        """The tables in their order; the rows of each are to be read before the next."""
        for table in self.header.tables:
            section = self._decode(self._next, file_format.Section)
            self._counts[section.table] = 0
            self.name = section.table
            """The table that is being read, qualified."""
            self._next = self._read()
            yield table

    def rows(self, table: file_format.Table) -> Iterator[tuple[file_format.Value, ...]]:
        """The rows of the table that was begun last."""
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
        """Check the last line: the digest of all before it, and the number of rows."""
        digest = self._digest.hexdigest()
        end = self._decode(self._next, file_format.End)
        if end.sha256 != digest:
            self._fail(
                "the file is not as it was written: its digest is another",
                hint="make it anew with plainsql db export; a file that was edited cannot be imported",
            )
        if end.rows != self._counts:
            self._fail("the file does not have the rows that its last line tells of")
        if self._read_line(ending=True):
            self.line += 1
            self._fail("there is more after the last line of the export", hint="one file holds one export")
        return Transferred(self.header.layers, end.rows, digest)

    def place(self) -> Place:
        """Where it stands."""
        return Place(self._name, self.line)

    def _check_layers(self, allowed: Collection[str] | None) -> None:
        header = self.header
        for layer in header.layers:
            if layer.startswith("pg_") or layer == "information_schema":
                self._fail(f"the schema {layer} is the server's own", hint=_ANEW)
            if allowed is not None and layer not in allowed:
                self._fail(
                    f"expected rows of {', '.join(sorted(allowed))}, got the schema {layer}",
                    hint="import it where there is a folder of migrations of that name, and name the layer",
                )
        for what, schema, each in [
            *(("table", table.schema, table.name) for table in header.tables),
            *(("sequence", sequence.schema, sequence.name) for sequence in header.sequences),
        ]:
            if schema not in header.layers:
                self._fail(f"the {what} {schema}.{each} is of none of the file's layers", hint=_ANEW)

    def _read(self) -> bytes:
        line = self._read_line()
        self.line += 1
        if len(line) > self._max:
            self._fail(
                f"this line is longer than {self._max >> 20} MiB",
                hint="add --max-line MIB if the file can be trusted: a line is held in memory several times",
            )
        # A search for the bytes is a hundred times faster than the pattern, and nearly always in vain.
        if b"u0000" in line and _NUL.search(line):
            self._fail(
                "a text holds the character \\u0000, which PostgreSQL has no place for",
                hint="no export of plainsql has it; take the character out where the file was made",
            )
        if not line.endswith(b"\n"):
            if self.line == 1:
                self._fail("the file is empty", hint=_ANEW)
            self._cut_short()
        # The last line is not part of the digest.
        if not line.startswith(b'{"rows":'):
            self._digest.update(line)
        return line

    def _read_line(self, *, ending: bool = False) -> bytes:
        try:
            return self._file.readline(self._max + 1)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            # The gzipped form has an end and a checksum of its own.
            if ending:
                self._cut_short()
            return b""

    def _cut_short(self) -> NoReturn:
        self._fail("the file ends before its last line: it is cut short", hint=_ANEW)

    def _decode(self, line: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(line, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._fail(f"expected {_EXPECTED[kind.__name__]} here", hint=_ANEW)

    def _decode_row(self, line: bytes) -> tuple[file_format.Value, ...]:
        try:
            return self._row.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._fail("this is no row", hint=_ANEW)

    def _fail(self, message: str, *, hint: str | None = None) -> NoReturn:
        raise TransferError(message, place=self.place(), hint=hint)


_EXPECTED = {"Header": "the header", "Section": "the name of a table", "End": "the last line"}
