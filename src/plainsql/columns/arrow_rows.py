"""The rows of another library's table, for a copy: a data frame, a table of pyarrow, a result of DuckDB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from plainsql.columns.array_data import ArrayData
from plainsql.columns.arrow_values import UnknownArrowTypeError, values_of
from plainsql.columns.capsules import read_stream
from plainsql.errors import BindError

__all__ = ["is_arrow", "rows_of_arrow"]

_PART_ROWS: Final = 1000
"""The number of rows whose values exist at a time."""


def is_arrow(rows: object) -> bool:
    """Return whether an object gives its rows by Arrow's PyCapsule interface."""
    return hasattr(type(rows), "__arrow_c_stream__")


def rows_of_arrow(
    table: str, source: Any, columns: Sequence[str] | None, *, exact: bool = False
) -> tuple[Iterator[tuple[Any, ...]], list[str]]:
    """Return the rows of a table of another library as tuples, and the names of their columns.

    ``columns`` picks some by name; without it there are all. With ``exact`` there must be no others. Raises
    ``BindError``, as the rows do for a value that Python or PostgreSQL does not have.
    """
    type_, batches = read_stream(source)
    if type_.format != "+s":
        raise BindError(
            f"copy into {table}: expected a table, got one column of Arrow",
            hint="pass a data frame or a table whose columns have the names of the table's",
        )
    given = [child.name for child in type_.children]
    names = given if columns is None else list(columns)
    missing = [name for name in names if name not in given]
    unknown = [name for name in given if name not in names] if exact else []
    if missing or unknown:
        problem = (
            f"it has no column {missing[0]!r}" if missing else f"there is no column {unknown[0]!r} to fill"
        )
        raise BindError(
            f"copy into {table}: {problem}",
            hint=f"its columns are {', '.join(given)}; rename or drop columns first",
        )
    return _rows(table, batches, [given.index(name) for name in names]), names


def _rows(table: str, batches: Iterable[ArrayData], indices: Sequence[int]) -> Iterator[tuple[Any, ...]]:
    for batch in batches:
        for start in range(0, batch.length, _PART_ROWS):
            length = min(_PART_ROWS, batch.length - start)
            parts = [_part(batch.children[index], batch.offset + start, length) for index in indices]
            yield from zip(*(_values(table, part) for part in parts), strict=True)


def _part(data: ArrayData, start: int, length: int) -> ArrayData:
    return data._replace(offset=data.offset + start, length=length, nulls=-1 if data.nulls else 0)


def _values(table: str, data: ArrayData) -> list[Any]:
    try:
        values = values_of(data, _as_tuple)
    except UnknownArrowTypeError as error:
        raise BindError(
            f"copy into {table}: {data.name}: Arrow's type {error} has no values for PostgreSQL",
            hint="cast the column first",
        ) from None
    except (ValueError, OverflowError) as error:
        raise BindError(
            f"copy into {table}: {data.name}: {error}", hint="round or cast the column first"
        ) from None
    if data.metadata.get("ARROW:extension:name") == "arrow.json":
        # The text is sent as it is: JSON's null is not the column's.
        return [None if value is None else msgspec.Raw(value.encode()) for value in values]
    return values


def _as_tuple(_: Iterable[str], values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(values)
