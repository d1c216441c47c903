"""Row types made at run time, of the columns that the server describes: for queries that are loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Union

import msgspec

from plainsql.errors import ContractError
from plainsql.rows import Row, leaves
from plainsql.types import RowMark

__all__ = ["dynamic_row"]


def dynamic_row(
    name: str,
    columns: Sequence[str],
    json: frozenset[int] = frozenset(),
    marks: Mapping[str, RowMark] | None = None,
) -> type[Row]:
    """Make a row type from the names of columns, as the server describes them.

    ``json`` holds the positions of columns that arrive as JSON text. Nested columns (``"lead.id"``) become
    a nested row, and are null together. Columns of a list (``"orders[].id"``) become child rows. ``marks``
    are those of columns that are read with others.

    Raises ``ContractError`` if the names cannot be those of fields.
    """
    from plainsql.types import Json

    _check_names(name, columns)
    marked = marks or {}
    for column in marked:
        if column not in columns:
            raise ContractError(
                f"{name} has no column {column!r}, which the header says is encrypted",
                hint="select it, or remove the line",
            )
    annotations: list[Any] = [
        Annotated[object, marked[column]] if column in marked else Json if index in json else object
        for index, column in enumerate(columns)
    ]
    row = _dynamic(name, [*zip(columns, annotations, strict=True)])
    if (order := [column for column, _ in leaves(row)]) != [*columns]:
        wrong = next(column for column, wanted in zip(columns, order, strict=True) if column != wanted)
        raise ContractError(
            f"the column {wrong!r} of {name} is not next to the other columns of its list",
            hint="put the columns of a list side by side",
        )
    return row


def _dynamic(name: str, columns: Sequence[tuple[str, Any]]) -> type[Row]:
    """Make a row type of the names of its columns, without those of the rows around it."""
    fields: list[tuple[str, Any]] = []
    groups: dict[str, list[tuple[str, Any]]] = {}
    for column, annotation in columns:
        outer, dot, inner = column.partition(".")
        if not dot:
            fields.append((column, annotation))
            continue
        if outer not in groups:
            fields.append((outer, outer))
        groups.setdefault(outer, []).append((inner, annotation))
    nested: dict[str, Any] = {}
    for outer, columns_of_row in groups.items():
        is_list = outer.endswith("[]")
        row: Any = _dynamic(outer.removesuffix("[]").title().replace("_", ""), columns_of_row)
        nested[outer] = list.__class_getitem__(row) if is_list else Union[row, None]  # noqa: UP007 (run time)
    resolved = [(field.removesuffix("[]"), nested.get(field, annotation)) for field, annotation in fields]
    made: type[Row] = msgspec.defstruct(name, resolved, bases=(Row,), frozen=True, gc=False)  # type: ignore[assignment]
    return made


def _check_names(name: str, columns: Sequence[str]) -> None:
    outers: list[str] = []
    for column in columns:
        outer, dot, _ = column.partition(".")
        *lists, own = column.split("[].")
        parts = [*lists, *own.split(".", 1)]
        if not all(map(str.isidentifier, parts)):
            raise ContractError(
                f"the column {column!r} cannot be a field of {name}", hint="give it a name: … as total"
            )
        if not outers or outers[-1] != outer or not dot:
            outers.append(outer)
    # The columns of a nested row are adjacent: rows are built by position.
    fields = [outer.removesuffix("[]") for outer in outers]
    twice = next((field for names in (fields, columns) for field in names if names.count(field) > 1), None)
    if twice is not None:
        raise ContractError(
            f"{name} would have the field {twice!r} twice",
            hint="give each column a name of its own, and put the columns of a nested row side by side",
        )
