"""Columns of rows that came from no server: their types are those of the values."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec

from plainsql.columns.arrow_columns import Columns
from plainsql.columns.column_types import ColumnType
from plainsql.columns.from_records import columns_of_records

__all__ = ["columns_of_rows"]

_KINDS: Final[list[tuple[type, str]]] = [
    (bool, "bool"),
    (int, "int8"),
    (float, "float8"),
    (str, "text"),
    (bytes, "bytea"),
    (dt.datetime, "timestamptz"),
    (dt.date, "date"),
    (dt.time, "time"),
    (dt.timedelta, "interval"),
    (Decimal, "numeric"),
    (UUID, "uuid"),
]
"""The kinds of values, by the first class that they are of."""


def columns_of_rows(rows: Sequence[Any], names: Sequence[str]) -> Columns:
    """Return rows, or single values, as columns of these names."""
    records = [msgspec.structs.astuple(row) if isinstance(row, msgspec.Struct) else (row,) for row in rows]
    columns = [list(column) for column in zip(*records, strict=True)] or [[] for _ in names]
    types = [(name, _type(column)) for name, column in zip(names, columns, strict=True)]
    plain = [tuple(map(_plain, record)) for record in records]
    return Columns(columns_of_records(types, plain), len(rows))


def _type(values: Sequence[Any]) -> ColumnType:
    given = [value for value in values if value is not None]
    if not given:
        return ColumnType("text", 25)
    first = given[0]
    if isinstance(first, list):
        return ColumnType("array", 0, parts=(("item", _type([each for value in given for each in value])),))
    if isinstance(first, msgspec.Struct):
        names = first.__struct_fields__
        parts = [(name, _type([getattr(value, name) for value in given])) for name in names]
        return ColumnType("composite", 0, parts=tuple(parts))
    kind = next((kind for of, kind in _KINDS if isinstance(first, of)), "json")
    if kind == "timestamptz" and first.tzinfo is None:
        kind = "timestamp"
    return ColumnType(kind, 0)


def _plain(value: Any) -> Any:
    """Return a value as a driver has it: a struct as a tuple, JSON as its text."""
    if isinstance(value, msgspec.Struct):
        return tuple(map(_plain, msgspec.structs.astuple(value)))
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, tuple(of for of, _ in _KINDS)):
        return value
    return msgspec.json.encode(value)
