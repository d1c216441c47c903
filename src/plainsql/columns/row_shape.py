"""The columns of a result in the form of its row type: nested rows as structs, encrypted texts decrypted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, get_type_hints

import msgspec

from plainsql.columns.array_data import ArrayData
from plainsql.columns.arrow_values import validity_of, values_of
from plainsql.columns.column_types import ColumnType
from plainsql.columns.from_records import bitmap, columns_of_records
from plainsql.errors import ContractError
from plainsql.rows import (
    Row,
    has_child_lists,
    nested_row,
    null_element_error,
    null_error,
    row_mark,
    without_null,
)
from plainsql.types import RowMark

__all__ = ["refuse_lists", "shaped"]


def refuse_lists(item: Any, name: str, file: str) -> None:
    """Raise ``ContractError`` for a row type with lists of child rows."""
    if isinstance(item, type) and issubclass(item, Row) and has_child_lists(item):
        raise ContractError(
            f"{name}: its rows have lists of child rows, which are no columns",
            hint=f"select flat columns, or arrays by array_agg, in {file}",
        )


def shaped(
    arrays: Sequence[ArrayData], item: Any, not_null: Sequence[str], name: str, file: str
) -> list[ArrayData]:
    """Return the columns of a row type. Columns that follow them are left out.

    Raises ``DecodeError`` for a null in a column that must not hold one, ``EncryptionError`` for a value that
    cannot be decrypted.
    """
    is_row = isinstance(item, type) and issubclass(item, Row)
    found = _fields(item, iter(arrays)) if is_row else [arrays[0]]
    if not_null:
        single = {not_null[0].removesuffix("[]"): found[0]}
        found_by_name = dict(_by_path(found, "")) if is_row else single
        for column in not_null:
            array = found_by_name.get(column.removesuffix("[]"))
            if array is None:
                continue
            if column.endswith("[]"):
                if _has_null_element(array):
                    raise null_element_error(column.removesuffix("[]"), name, file)
            elif array.nulls:
                raise null_error(column, name, file)
    return found


def _fields(row: type[Row], arrays: Iterator[ArrayData]) -> list[ArrayData]:
    hints = get_type_hints(row, include_extras=True)
    found: list[ArrayData] = []
    marks: list[tuple[int, RowMark]] = []
    names = [field.name for field in msgspec.structs.fields(row)]
    for index, name in enumerate(names):
        inner = nested_row(hints[name])
        if inner is not None:
            nullable = without_null(hints[name]) is not hints[name]
            found.append(_struct(name, _fields(inner, arrays), nullable=nullable))
            continue
        found.append(next(arrays)._replace(name=name))
        if (mark := row_mark(hints[name])) is not None:
            marks.append((index, mark))
    # Others are read as they arrived, an encrypted one among them.
    read = [(index, _read(found, index, mark, names)) for index, mark in marks]
    for index, array in read:
        found[index] = array
    return found


def _read(arrays: Sequence[ArrayData], index: int, mark: RowMark, names: Sequence[str]) -> ArrayData:
    """Read a column together with others, as ``Encrypted`` does. The values are texts."""
    if missing := [other for other in mark.names if other not in names]:
        raise ContractError(
            f"{arrays[index].name} cannot be read without {', '.join(missing)}, which is no column",
            hint=f"select {', '.join(missing)} too, or name other columns in the header",
        )
    columns = [values_of(arrays[names.index(other)], _as_tuple) for other in mark.names]
    others = zip(*columns, strict=True) if columns else iter([()] * arrays[index].length)
    values = values_of(arrays[index], _as_tuple)
    read = [
        None if value is None else str(mark.read(value, row))
        for value, row in zip(values, others, strict=True)
    ]
    (made,) = columns_of_records([(arrays[index].name, ColumnType("text", 25))], [(value,) for value in read])
    return made


def _as_tuple(_: Any, values: Any) -> tuple[Any, ...]:
    return tuple(values)


def _struct(name: str, children: list[ArrayData], *, nullable: bool) -> ArrayData:
    """Return a nested row. One that may be missing is missing where all of its columns are null."""
    length = children[0].length
    validity, nulls = None, 0
    if nullable and all(child.nulls for child in children):
        bits = [any(each) for each in zip(*(validity_of(child) or () for child in children), strict=True)]
        nulls = bits.count(False)
        validity = bitmap(bits) if nulls else None
    return ArrayData("+s", name, length, nulls, (validity,), tuple(children))


def _by_path(arrays: Sequence[ArrayData], prefix: str) -> Iterator[tuple[str, ArrayData]]:
    for array in arrays:
        path = prefix + array.name
        yield path, array
        if array.format == "+s":
            for name, child in _by_path(array.children, f"{path}."):
                # As many of its nulls are those of rows that are missing.
                yield name, child._replace(nulls=child.nulls - array.nulls)


def _has_null_element(array: ArrayData) -> bool:
    inner = array.children[0] if array.children else None
    while inner is not None and inner.format == "+l":
        inner = inner.children[0]
    return inner is not None and bool(inner.nulls)
