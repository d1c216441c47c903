"""The rows of a copy with values of the project's own types, made into the values to send."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from plainsql.errors import BindError

__all__ = ["sent_rows"]

Send = Callable[[Any], Any]


def sent_rows(
    name: str,
    rows: Iterable[Any] | AsyncIterable[Any],
    columns: Sequence[str],
    sent: Mapping[str, Send],
) -> Iterable[Any] | AsyncIterable[Any]:
    """Return the rows of the query ``name``; ``sent`` has the functions of some columns.

    A row of another form stays as it is: the copy reports it. The returned rows raise ``BindError``, with the
    number of the row, if a function raises an error.
    """
    functions = [(columns.index(column), send) for column, send in sent.items()]

    def convert(number: int, row: Any) -> Any:
        values = _values(row, columns)
        if values is None:
            return row
        try:
            for index, send in functions:
                values[index] = send(values[index])
        except BindError as error:
            raise BindError(f"{name}: row {number}: {error.message}", hint=error.hint) from None
        return tuple(values)

    if isinstance(rows, AsyncIterable):
        return _as_they_come(rows, convert)
    return _each(rows, convert)


def _each(rows: Iterable[Any], convert: Callable[[int, Any], Any]) -> Iterator[Any]:
    for number, row in enumerate(rows, 1):
        yield convert(number, row)


async def _as_they_come(rows: AsyncIterable[Any], convert: Callable[[int, Any], Any]) -> AsyncIterator[Any]:
    number = 0
    async for row in rows:
        number += 1
        yield convert(number, row)


def _values(row: Any, columns: Sequence[str]) -> list[Any] | None:
    """Return the values of a row in the order of the columns; ``None`` if it does not have them."""
    if isinstance(row, tuple | list):
        return list(row) if len(row) == len(columns) else None
    try:
        if isinstance(row, Mapping):
            return [row[column] for column in columns] if len(row) == len(columns) else None
        return [getattr(row, column) for column in columns]
    except (KeyError, AttributeError):
        return None
