"""A query whose rows are read into columns: derived from the compiled query of its rows.

Executors run it as any other query. It shares the text, and so the prepared statement, with the query of
rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from plainsql.errors import BindError, ContractError, DecodeError
from plainsql.query.compiled import CompiledQuery
from plainsql.rows import Record

if TYPE_CHECKING:
    from plainsql.columns import Columns
    from plainsql.columns.column_types import ColumnType

__all__ = ["ColumnTypes", "CompiledColumns", "StreamedColumns", "columns_of_query", "streamed_columns"]

ColumnTypes = Sequence[tuple[str, "ColumnType"]]
"""The names and types of a result's columns, on one connection."""


class CompiledColumns(CompiledQuery[Any, Any]):
    """A compiled query that returns ``Columns``, or a stream of them."""

    kind = "many"
    is_columnar = True

    def result_of(self, rows: list[Any]) -> Columns:
        """Return the columns of rows that were read: each is the reader that holds all of them."""
        return self._shaped(rows[0].finish(), len(rows))

    def refuse_lists(self) -> None:
        """Raise ``ContractError`` for rows with lists of child rows."""
        from plainsql.columns.row_shape import refuse_lists

        refuse_lists(self.item, self.name, self.file)

    def refuse_scattered(self, *, known: bool = True) -> None:
        return

    def run(self) -> None:
        return None

    def columns(self, types: ColumnTypes, records: Sequence[Record]) -> Columns:
        """Build columns from records."""
        from plainsql.columns.from_records import columns_of_records
        from plainsql.columns.unfit_values import UnfitValue

        try:
            arrays = columns_of_records(types, records)
        except UnfitValue as error:
            raise error.of(self.name, self.file) from None
        return self._shaped(arrays, len(records))

    def _shaped(self, arrays: Sequence[Any], length: int) -> Columns:
        from plainsql.columns import Columns
        from plainsql.columns.row_shape import shaped

        return Columns(shaped(arrays, self.item, self.not_null, self.name, self.file), length)


class StreamedColumns(CompiledColumns):
    """A compiled query whose stream yields blocks of rows as ``Columns``."""

    block_rows = 10_000
    """The number of rows of a block."""
    _first_block: Columns | None = None
    """The first block of a stream."""

    def _shaped(self, arrays: Sequence[Any], length: int) -> Columns:
        block = super()._shaped(arrays, length)
        if self._first_block is None:
            self._first_block = block
        for before, column in zip(self._first_block, block, strict=True):
            if before.type != column.type:
                raise DecodeError(
                    f"{self.name}: {column.name}: its type differs from block to block: "
                    f"{before.type} and {column.type}",
                    hint=f"select arrays of one number of dimensions in {self.file}",
                )
        return block

    def refuse_undeclared(self, types: ColumnTypes) -> None:
        """Raise ``ContractError`` for a column whose type in Arrow would differ from block to block."""
        from plainsql.columns.column_types import undeclared

        if (name := undeclared(types)) is not None:
            raise ContractError(
                f"{self.name}: the column {name!r} has no declared precision or dimension, "
                "and each block could have another type",
                hint=f"cast it in {self.file}: to numeric(20, 6), float8 or vector(3)",
            )


def columns_of_query(query: CompiledQuery[Any, Any]) -> CompiledColumns:
    """Return the query of a query's columns. Raises ``BindError`` for one that returns no rows."""
    columns: CompiledColumns = _derived(query, CompiledColumns)
    return columns


def streamed_columns(query: CompiledQuery[Any, Any], block_rows: int) -> StreamedColumns:
    """Return the query of a stream of a query's columns, in blocks of so many rows."""
    given: Any = block_rows
    if type(given) is not int or given < 1:
        got = given if type(given) is int else type(given).__name__
        raise BindError(
            f"{query.name}: stream_columns: expected a number of rows above 0, got {got}",
            hint="pass the rows of a block after the executor, and parameters by name",
        )
    derived: StreamedColumns = _derived(query, StreamedColumns)
    derived.block_rows = block_rows
    return derived


def _derived(query: CompiledQuery[Any, Any], kind: type[Any]) -> Any:
    if query.kind == "count":
        raise BindError(
            f"{query.name} returns a count, and no columns",
            hint=f"call it, or declare rows in {query.file}",
        )
    # A stored result is one of rows. Pages and shared round trips are made of rows, too.
    facts = replace(query.facts, cache=None, autobatch=False, by_key=False, pages=())
    return kind(query.texts, query._bind, query.item, facts)
