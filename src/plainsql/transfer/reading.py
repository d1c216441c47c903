"""Lines → header, rows, end: every rule of the form is checked on the way."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final, NoReturn, TypeVar

import msgspec

from plainsql.errors import Place
from plainsql.transfer import form
from plainsql.transfer.failure import TransferError
from plainsql.transfer.results import OnRows, Transferred, nobody

__all__ = ["Reader", "check_file"]

T = TypeVar("T")

_TOLD_EACH: Final = 1000
_ANEW: Final = "make it anew with plainsql db export, or copy it again"


def check_file(file: BinaryIO, name: str, *, on_rows: OnRows = nobody) -> Transferred:
    """Read a whole file and check that it is complete and as it was written.

    ``name`` is what errors call it. ``on_rows`` is told of the rows so far.

    Raises ``TransferError`` with the first thing that is wrong, and its line.
    """
    reader, count = Reader(file, name), 0
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

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self._digest = hashlib.sha256()
        self._row = msgspec.json.Decoder(tuple[form.Value, ...])
        self._counts: dict[str, int] = {}
        self.line = 0
        """The number of the line that was read last."""
        first = self._read()
        if not first.startswith(b'{"format":"plainsql export"'):
            self._fail("this is no export of plainsql", hint="make one with plainsql db export")
        self.header = self._decode(first, form.Header)
        if self.header.version != form.VERSION:
            self._fail(
                f"this is version {self.header.version} of the form, and this plainsql reads {form.VERSION}",
                hint="use the plainsql that it was written with",
            )
        self._next = self._read()

    def tables(self) -> Iterator[form.Table]:
        """The tables in their order; the rows of each are to be read before the next."""
        for table in self.header.tables:
            section = self._decode(self._next, form.Section)
            self._counts[section.table] = 0
            self.name = section.table
            """The table that is being read, qualified."""
            self._next = self._read()
            yield table

    def rows(self, table: form.Table) -> Iterator[tuple[form.Value, ...]]:
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
        end = self._decode(self._next, form.End)
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

    def _read(self) -> bytes:
        line = self._read_line()
        self.line += 1
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
            return self._file.readline()
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
        except msgspec.MsgspecError:
            self._fail(f"expected {_EXPECTED[kind.__name__]} here", hint=_ANEW)

    def _decode_row(self, line: bytes) -> tuple[form.Value, ...]:
        try:
            return self._row.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self._fail("this is no row", hint=_ANEW)

    def _fail(self, message: str, *, hint: str | None = None) -> NoReturn:
        raise TransferError(message, place=self.place(), hint=hint)


_EXPECTED = {"Header": "the header", "Section": "the name of a table", "End": "the last line"}
