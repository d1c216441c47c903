"""COPY: rows into a table, and a query's answer into a file, as fast as PostgreSQL takes and gives them."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from plainsql.errors import BindError
from plainsql.query import composite
from plainsql.rows import Composite

__all__ = ["Progress", "copy_in"]

Progress = Callable[[int], object]
"""Told how many rows were taken so far, every `_EVERY` rows and at the end."""

_EVERY = 1000


async def copy_in(
    connection: Any,
    table: str,
    rows: Iterable[Any] | AsyncIterable[Any],
    columns: Sequence[str] | None,
    progress: Progress | None,
) -> int:
    """Copy rows into a table and return how many there were; all or none."""
    schema, dot, name = table.rpartition(".")
    first, all_rows = await _first_of(rows)
    if first is None:
        return 0
    if columns is None:
        if not isinstance(first, msgspec.Struct):
            raise BindError(
                f"copy into {table}: expected columns=, got rows that are {type(first).__name__}s",
                hint="pass structs, whose fields name the columns, or the names of the columns",
            )
        columns = first.__struct_fields__
    turn = _turner(first)
    taken = 0

    def counted() -> Iterator[Any]:
        nonlocal taken
        for row in all_rows:  # type: ignore[union-attr]
            yield turn(row)
            taken += 1
            if progress is not None and taken % _EVERY == 0:
                progress(taken)

    async def counted_async() -> AsyncIterator[Any]:
        nonlocal taken
        async for row in all_rows:  # type: ignore[union-attr]
            yield turn(row)
            taken += 1
            if progress is not None and taken % _EVERY == 0:
                progress(taken)

    is_async = isinstance(all_rows, AsyncIterable)
    await connection.copy_records_to_table(
        name,
        schema_name=schema if dot else None,
        columns=list(columns),
        records=counted_async() if is_async else counted(),
    )
    if progress is not None:
        progress(taken)
    return taken


def _turner(first: Any) -> Callable[[Any], Any]:
    """What turns a row into the tuple that the driver takes."""
    if not isinstance(first, msgspec.Struct):
        return lambda row: row
    fields = msgspec.structs.astuple(first)
    if any(isinstance(value, Composite | list | None) for value in fields):
        return lambda row: tuple(composite(value) for value in msgspec.structs.astuple(row))
    return msgspec.structs.astuple


async def _first_of(
    rows: Iterable[Any] | AsyncIterable[Any],
) -> tuple[Any, Iterable[Any] | AsyncIterable[Any]]:
    """Look at the first row, and return it with all of them."""
    if isinstance(rows, AsyncIterable):
        iterator = aiter(rows)
        first = await anext(iterator, None)

        async def again() -> AsyncIterator[Any]:
            if first is not None:
                yield first
            async for row in iterator:
                yield row

        return first, again()
    plain = iter(rows)
    first = next(plain, None)

    def again_plain() -> Iterator[Any]:
        if first is not None:
            yield first
        yield from plain

    return first, again_plain()
