"""Rows as PostgreSQL writes them, as JSON: nested rows are objects, and child rows lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import psycopg

from plainsql.cli.literals import Type, json_column
from plainsql.query.child_lists import grouped_builder
from plainsql.query.dynamic_rows import dynamic_row
from plainsql.statements import Statement
from plainsql.statements.column_paths import has_lists

__all__ = ["json_items", "with_lists"]


def json_items(
    connection: psycopg.Connection[Any],
    statement: Statement,
    names: list[str],
    types: list[Type],
    rows: list[list[str | None]],
) -> list[Any]:
    """Return the rows of a query, or its single values, for msgspec to encode."""
    columns = [
        json_column(connection, type, [row[index] for row in rows]) for index, type in enumerate(types)
    ]
    values = list(zip(*columns, strict=True))
    items: list[Any]
    if statement.returns.value:
        items = [row[0] for row in values]
    elif has_lists(names):
        cells = [[*map(_cell, row, texts)] for row, texts in zip(values, rows, strict=True)]
        items = [
            msgspec.Raw(msgspec.json.encode(parent, enc_hook=lambda cell: cell.value))
            for parent in with_lists(names, cells)
        ]
    else:
        items = [_nested(names, row) for row in values]
    return items


class _Cell:
    """A value for msgspec to encode, compared by its text: raw JSON equals itself alone."""

    __slots__ = ("_text", "value")

    def __init__(self, text: str, value: object) -> None:
        self._text, self.value = text, value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Cell) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


def _cell(value: object, text: str | None) -> _Cell | None:
    return None if text is None else _Cell(text, value)


def with_lists(names: list[str], rows: Sequence[Sequence[object]]) -> list[Any]:
    """Return parents with their lists of child rows, grouped by all of their own columns."""
    return grouped_builder(dynamic_row("Parent", names), {})(rows)


def _nested(names: list[str], values: tuple[object, ...]) -> dict[str, object]:
    """Return a row as an object. Columns ``"lead.id"``, ``"lead.name"`` are one object in it, or null if all
    of them are null.
    """
    row: dict[str, Any] = {}
    for name, value in zip(names, values, strict=True):
        outer, dot, inner = name.partition(".")
        if dot:
            row.setdefault(outer, {})[inner] = value
        else:
            row[name] = value
    for outer in {name.partition(".")[0] for name in names if "." in name}:
        if all(value is None for value in row[outer].values()):
            row[outer] = None
    return row
