"""The inside of a column as rows of a table: the elements of arrays, the fields of rows, the keys of JSON."""

from __future__ import annotations

from collections.abc import Iterator

from plainsql.analysis.model import ColumnFact, Shape

__all__ = ["shape_rows"]

_KINDS = {"json": "any JSON", "null": "null", "tuple": "list", "map": "object"}


def shape_rows(column: ColumnFact) -> list[tuple[str, str, str, str]]:
    """Return the name, the type, ``yes`` or ``no`` for null, and the reason, of each part of a column.

    ``tags[]`` is an element, ``customer.name`` a field, and ``totals.*`` the value of any key.
    """
    return list(_rows(column.name, column.shape)) if column.shape is not None else []


def _rows(name: str, shape: Shape) -> Iterator[tuple[str, str, str, str]]:
    for index, part in enumerate(shape.parts):
        match shape.kind:
            case "array" | "list":
                inner = f"{name}[]"
            case "tuple":
                inner = f"{name}[{index}]"
            case "map":
                inner = f"{name}.*"
            case _:
                inner = f"{name}.{part.name}"
        type = str(part.type) if part.type is not None else _KINDS.get(part.kind, part.kind)
        because = f"{part.because}, the key may be missing" if part.optional else part.because
        yield inner, type, "yes" if part.nullable else "no", because
        yield from _rows(inner, part)
