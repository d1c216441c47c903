"""The rows of a copy: checked, converted to tuples for the driver, and counted. It knows no driver."""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain, islice
from operator import attrgetter, length_hint
from typing import Any, Protocol

import msgspec

from plainsql.errors import BindError
from plainsql.query import bits, composite, elements

__all__ = [
    "ANALYZABLE_SQL",
    "PART_ROWS",
    "TAKES_LISTS",
    "CopyRows",
    "Progress",
    "analyze_refusal",
    "columns_of",
    "qualified_name",
    "quote_name",
    "row_note",
]

Progress = Callable[[int], object]
"""Called with the progress of a copy: the number of rows into a table, every `PART` rows and at the end; the
number of bytes out of one, with each part."""

PART_ROWS = 1000
"""The number of rows that are checked together."""

TAKES_LISTS = frozenset({"json", "jsonb", "vector", "halfvec", "sparsevec"})
"""Types whose values may be lists: in an array of them a list is one element."""

_NO_ROWS = (str, bytes, bytearray, memoryview, Mapping, AbstractSet)
"""Types that have a length but are no sequence of a row's values."""


class Encoder(Protocol):
    """Encodes rows into blocks."""

    def fill(self, rows: Iterator[Any], /) -> bool:
        """Encode rows until the block is full; return False if there were not enough."""
        ...

    def take(self) -> bytes:
        """Return the block, and begin another."""
        ...

    def end(self) -> bytes:
        """Return the last block."""
        ...


class CopyRows:
    """The rows that are copied into some columns of a table.

    Rows that exist already are taken in parts, which the driver iterates without a step of Python in between.
    """

    def __init__(
        self,
        table: str,
        columns: Sequence[str],
        rows: Iterable[Any] | AsyncIterable[Any],
        progress: Progress | None,
        by_name: bool = False,
    ) -> None:
        """``by_name``: a row may be a mapping, or any object with the columns as attributes."""
        self._by_name = by_name
        self._table = table
        self._columns = columns
        self._rows = rows
        self._progress = progress
        self._turners: dict[type, Callable[[Any], Any]] = {}
        self._fitting: set[type] = set()
        """The classes of structs that were found to have all columns as fields."""
        self._arrays: Sequence[int] = ()
        self._composites: Sequence[int] = ()
        self._bits: Sequence[int] = ()
        self._before = 0
        """The number of rows before this part."""
        self._part: Sequence[Any] = ()
        self._rest: Iterator[Any] = iter(())
        """The rows of the part that the driver has not taken yet."""
        self.failure: BaseException | None = None
        """The error that the source of the rows raised, or the refusal of a row."""

    def wrap(self, arrays: Sequence[int], composites: Sequence[int], bit_strings: Sequence[int] = ()) -> None:
        """Convert columns, by position, for the driver: arrays whose elements may be lists, composite values,
        and bits.
        """
        self._arrays, self._composites, self._bits = arrays, composites, bit_strings

    @property
    def conversions(self) -> dict[int, Callable[[Any], Any]]:
        """The conversions, by the positions of their columns."""
        wrapped = ((self._composites, composite), (self._arrays, elements), (self._bits, bits))
        return {index: convert for indices, convert in wrapped for index in indices}

    @property
    def taken(self) -> int:
        """The number of rows that the driver has taken."""
        return self._before + len(self._part) - length_hint(self._rest)

    @property
    def last(self) -> Sequence[Any]:
        """The values of the row that the driver has taken last."""
        row = self._part[len(self._part) - length_hint(self._rest) - 1]
        return tuple(self._turner(row)(row))

    def records(self) -> Iterator[Any] | AsyncIterator[Any]:
        """Iterate, once, over the rows as the driver takes them."""
        rows = self._rows
        if isinstance(rows, AsyncIterable):
            return self._as_they_come(rows)
        return chain.from_iterable(map(self._turner_of(part), self._rest) for part in self._parts(rows))

    def blocks(self, encoder: Encoder) -> Iterator[bytes] | AsyncIterator[bytes]:
        """Iterate, once, over the rows as blocks of an encoder's format."""
        rows = self._rows
        if isinstance(rows, AsyncIterable):
            return self._blocks_as_they_come(encoder, rows)
        return self._blocks(encoder, rows)

    def form_of(self, row: Any) -> tuple[str, ...] | Callable[[Any], Sequence[Any]] | None:
        """Return how to read the rows of a class: by these fields, or by a function that makes a sequence of
        a row; None if they are sequences.
        """
        if isinstance(row, msgspec.Struct):
            return tuple(self._columns)
        values_of = self._values_of(row)
        return None if values_of is _same else values_of

    def _blocks(self, encoder: Encoder, rows: Iterable[Any]) -> Iterator[bytes]:
        for _ in self._parts(rows):
            while encoder.fill(self._rest):
                yield encoder.take()
        yield encoder.end()

    async def _blocks_as_they_come(self, encoder: Encoder, rows: AsyncIterable[Any]) -> AsyncIterator[bytes]:
        async for _ in self._single_parts(rows):
            if encoder.fill(self._rest):
                yield encoder.take()
        yield encoder.end()

    def _parts(self, rows: Iterable[Any]) -> Iterator[Sequence[Any]]:
        """Take and check part after part of the rows."""
        try:
            iterator = iter(rows)
            while part := list(islice(iterator, PART_ROWS)):
                self._part = part
                self._check(part)
                self._rest = iter(part)
                yield part
                self._part, self._before = (), self._before + len(part)
                self._report()
        except Exception as error:
            self.failure = error
            raise

    async def _single_parts(self, rows: AsyncIterable[Any]) -> AsyncIterator[Sequence[Any]]:
        """Take and check each row as it comes."""
        try:
            async for row in rows:
                self._part = (row,)
                self._check(self._part)
                self._rest = iter(self._part)
                yield self._part
                self._part, self._before = (), self._before + 1
                self._report()
        except Exception as error:
            self.failure = error
            raise

    async def _as_they_come(self, rows: AsyncIterable[Any]) -> AsyncIterator[Any]:
        async for part in self._single_parts(rows):
            yield self._turner_of(part)(next(self._rest))

    def _report(self) -> None:
        if self._progress is not None and self._before % PART_ROWS == 0:
            self._progress(self._before)

    def _check(self, part: Sequence[Any]) -> None:
        """Raise ``BindError`` if one of the rows is none."""
        kinds = set(map(type, part))
        if kinds <= self._fitting or (kinds <= _PLAIN and set(map(len, part)) == {len(self._columns)}):
            return
        for number, row in enumerate(part, self._before + 1):
            problem = self._problem(row)
            if problem is not None:
                raise BindError(f"copy into {self._table}: row {number}: {problem}", hint=self.hint)
        self._fitting.update(kind for kind in kinds if issubclass(kind, msgspec.Struct))

    def _turner_of(self, part: Sequence[Any]) -> Callable[[Any], Any]:
        """Return the conversion of each row of a part."""
        kinds = set(map(type, part))
        if len(kinds) == 1 or kinds <= _PLAIN:
            return self._turner(part[0])
        return lambda row: self._turner(row)(row)

    @property
    def hint(self) -> str:
        """The hint of an error about a row."""
        return f"the columns are {', '.join(self._columns)}"

    def _problem(self, row: Any) -> str | None:
        kind = type(row)
        if isinstance(row, msgspec.Struct):
            missing = [name for name in self._columns if name not in row.__struct_fields__]
            return f"{kind.__name__} has no field {missing[0]!r}" if missing else None
        if self._by_name and isinstance(row, Mapping):
            missing = [name for name in self._columns if name not in row]
            unknown = [key for key in row if key not in self._columns]
            if missing or unknown:
                return f"it has no {missing[0]!r}" if missing else f"there is no column {unknown[0]!r}"
            return None
        if self._by_name and self._has_fields(row):
            return None
        if isinstance(row, _NO_ROWS) or not (hasattr(kind, "__len__") and hasattr(kind, "__getitem__")):
            return f"expected a struct or a sequence of values, got {kind.__name__}"
        if len(row) != len(self._columns):
            return f"expected {len(self._columns)} values, got {len(row)}"
        return None

    def _has_fields(self, row: Any) -> bool:
        return not isinstance(row, tuple | list) and all(hasattr(row, name) for name in self._columns)

    def _turner(self, row: Any) -> Callable[[Any], Any]:
        """Return the conversion of the rows of a type into what the driver takes."""
        kind = type(row)
        turn = self._turners.get(kind)
        if turn is None:
            turn = self._turners[kind] = self._make_turner(row)
        return turn

    def _values_of(self, row: Any) -> Callable[[Any], Sequence[Any]]:
        """Return the function that makes a sequence of values of a row and the others of its type."""
        if isinstance(row, msgspec.Struct):
            names = tuple(self._columns)
            if names == row.__struct_fields__:
                return msgspec.structs.astuple
            value_of = attrgetter(*names)
            return value_of if len(names) > 1 else lambda row: (value_of(row),)
        if self._by_name and isinstance(row, Mapping):
            return lambda row: [row[name] for name in self._columns]
        if self._by_name and self._has_fields(row):
            return lambda row: [getattr(row, name) for name in self._columns]
        return _same

    def _make_turner(self, row: Any) -> Callable[[Any], Any]:
        values_of = self._values_of(row)
        conversions = self.conversions.items()
        if not conversions:
            return values_of

        def turn(row: Any) -> tuple[Any, ...]:
            values = list(values_of(row))
            for index, convert in conversions:
                values[index] = convert(values[index])
            return tuple(values)

        return turn


_PLAIN: frozenset[type] = frozenset({tuple, list})


def _same(row: Any) -> Any:
    return row


def columns_of(table: str, first: Any, columns: Sequence[str] | None) -> list[str]:
    """Return the columns of a copy whose first row is ``first``. Raises ``BindError``."""
    if columns is None:
        if not isinstance(first, msgspec.Struct):
            raise BindError(
                f"copy into {table}: expected columns=, got rows that are {type(first).__name__}s",
                hint="pass structs, whose fields name the columns, or the names of the columns",
            )
        return list(first.__struct_fields__)
    names = list(columns)
    if not names:
        raise BindError(f"copy into {table}: columns: expected at least one", hint="name the columns to fill")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BindError(f"copy into {table}: columns: {twice!r} is given twice", hint="name each column once")
    return names


ANALYZABLE_SQL = """
select
  coalesce(pg_has_role(c.relowner, 'usage'), false)
  or pg_has_role((select d.datdba from pg_database as d where d.datname = current_database()), 'usage')
  or case
    when current_setting('server_version_num')::integer >= 170000
    then has_table_privilege(c.oid, 'maintain')
    else false
  end
from pg_class as c
where c.oid = $1::regclass
"""
"""True if the role may analyze the table. PostgreSQL only warns one that may not."""


def analyze_refusal(table: str) -> BindError:
    """Return the error of a copy with ``analyze`` by a role that may not analyze the table."""
    return BindError(
        f"copy into {table}: analyze: expected a role that may analyze the table, got another one",
        hint=f"grant maintain on {table} to it (PostgreSQL 17 and later), or analyze as the owner",
    )


def row_note(context: str | None, columns: Sequence[str]) -> str | None:
    """Return the note of an error of the server inside a copy: the row, and the column if it names one.

    The rest of the context is not part of it, as it may hold values.
    """
    found = _COPY_LINE.search(context or "")
    if found is None:
        return None
    named = found[2] or ""
    column = next((each for each in columns if named == each or named.startswith(f"{each}: ")), None)
    return f"row: {found[1]}" + (f", column {column}" if column is not None else "")


_COPY_LINE = re.compile(r"^COPY .*?, line (\d+)(?:, column (.*))?", re.MULTILINE)


def qualified_name(table: str) -> str:
    """Return a table's name as SQL has it: ``"shop"."leads"``."""
    schema, dot, name = table.rpartition(".")
    return (quote_name(schema) + dot if dot else "") + quote_name(name)


def quote_name(name: str) -> str:
    """Return a name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'
