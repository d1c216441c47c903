"""The plan of a query's rows: what becomes of each column, straight from the server's messages.

A plan holds whatever the connection's codecs are. A reader (``_rows.pyx``) is made of it for one prepared
statement on one connection. The functions of ``plainsql.rows`` remain the rule: a value that a reader does
not know goes through them, and the errors are theirs.

Functions of a project (conversions, keys of encrypted columns) run in the task that awaits the rows, with its
context, and never while the connection reads. The reader of such a query, and of one whose rows have lists,
makes tuples of the columns, and ``finish`` makes the rows of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, StrEnum
from typing import Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import inspect

from plainsql.base_form import base_form
from plainsql.conversions import conversion_of
from plainsql.rows import (
    Composite,
    Row,
    grouped_columns,
    has_child_lists,
    leaves,
    nested_row,
    null_element_error,
    null_error,
    row_mark,
    unreadable,
    value_decoder,
    without_null,
)
from plainsql.types import JsonMark

__all__ = ["RowPart", "RowPlan", "ValuePlan", "row_plan"]

Decode = Callable[[Any], Any]
Failure = Callable[[], Exception]

_MAX_LABELS: Final = 32
"""Labels of an enum are compared one by one; with more of them a table is faster."""


class ValuePlan:
    """The steps from what arrives in a column, or in a part of it, to a value."""

    __slots__ = ("composite", "decode", "element", "json", "labels", "parts", "where")

    def __init__(self, where: str, decode: Decode | None) -> None:
        self.where = where
        """The place that errors name."""
        self.decode = decode
        """Makes the value of asyncpg's, which is not null; None if it is the value."""
        self.json: Decode | None = None
        """Makes the value of JSON's bytes, if they are valid; ``decode`` raises the errors."""
        self.labels: Mapping[str, Any] | None = None
        """The values of an enum, by their labels."""
        self.composite: type[Composite] | None = None
        """The type to make of the parts of a composite value."""
        self.parts: tuple[ValuePlan, ...] = ()
        self.element: ValuePlan | None = None
        """The elements of an array."""

    def unreadable(self, value: object) -> Exception:
        """Return the error of a value that ``decode`` does not take."""
        return unreadable(self.where, value)


class RowPart:
    """A row type and what its fields are made of, in order: values, and rows within it."""

    __slots__ = ("fields", "nullable", "target")

    def __init__(self, target: Any, fields: tuple[ValuePlan | RowPart, ...], *, nullable: bool) -> None:
        self.target = target
        self.fields = fields
        self.nullable = nullable
        """True if there is no such row when all of its columns are null."""


class RowPlan:
    """The steps from the messages of one query to its rows."""

    __slots__ = ("__weakref__", "columns", "finish", "more", "nulls", "part", "refuse")

    def __init__(
        self,
        columns: tuple[ValuePlan, ...] | None,
        part: RowPart | None,
        *,
        more: bool = False,
        nulls: tuple[NullCheck, ...] = (),
        refuse: Callable[[int], Exception] | None = None,
        finish: Callable[[list[Any]], list[Any]] | None = None,
    ) -> None:
        self.columns = columns
        """The columns that are read, in order; None to read all of them as they are."""
        self.part = part
        """The row that is made of them; None for the value of the only column, or for tuples."""
        self.more = more
        """True if columns after these are left out."""
        self.nulls = nulls
        """The columns and elements that must not be null."""
        self.refuse = refuse
        """Makes the error of another number of columns."""
        self.finish = finish
        """Makes the rows of what was read, in the task that awaits them; None if they are read already."""

    def with_more(self) -> RowPlan:
        """Return the plan of the same rows with other columns after theirs, which are left out."""
        return RowPlan(
            self.columns, self.part, more=True, nulls=self.nulls, refuse=self.refuse, finish=self.finish
        )


class NullCheck:
    """A column, or the elements of its arrays, that must not be null."""

    __slots__ = ("column", "elements", "failure", "group")

    def __init__(self, column: int, group: slice | None, failure: Failure, *, elements: bool) -> None:
        self.column = column
        self.group = group
        """The columns of the nested row, which may be missing with all of them."""
        self.failure = failure
        self.elements = elements


def row_plan(query: Any) -> RowPlan | None:
    """Return the plan of a query whose row type is known; None if its rows are built from records."""
    if query.item is None or query.kind == "count":
        return None
    try:
        return _plan(query, query.item)
    except Exception:  # noqa: BLE001 (of a type that has no rows: its builder raises the error)
        return RowPlan(None, None, finish=query.build)


def _plan(query: Any, item: Any) -> RowPlan:
    is_row = isinstance(item, type) and issubclass(item, Row)
    annotations = leaves(item) if is_row else [(query.name, item)]
    runs_code = any(_runs_code(annotation) for _, annotation in annotations)
    if runs_code or (is_row and (has_child_lists(item) or _makes_with_own_init(item))):
        return RowPlan(None, None, finish=query.build)
    part = _row_part(item, nullable=False) if is_row else None
    columns = [_value_plan(item, query.name)] if part is None else _columns(part)
    return RowPlan(
        tuple(columns),
        part,
        more=query.more_columns or not is_row,
        nulls=_null_checks(item if is_row else None, query.not_null, query.name, query.file),
        refuse=query.width_error if is_row else None,
    )


def _row_part(row: type[Row], *, nullable: bool) -> RowPart:
    hints = get_type_hints(row, include_extras=True)
    fields: list[ValuePlan | RowPart] = []
    for field in msgspec.structs.fields(row):
        annotation = hints[field.name]
        inner = nested_row(annotation)
        if inner is None:
            fields.append(_value_plan(annotation, f"{row.__name__}.{field.name}"))
        else:
            fields.append(_row_part(inner, nullable=without_null(annotation) is not annotation))
    return RowPart(row, tuple(fields), nullable=nullable)


def _columns(part: RowPart) -> list[ValuePlan]:
    columns: list[ValuePlan] = []
    for field in part.fields:
        columns += _columns(field) if isinstance(field, RowPart) else [field]
    return columns


def _value_plan(annotation: Any, where: str) -> ValuePlan:
    plan = ValuePlan(where, value_decoder(annotation, where))
    annotation = without_null(annotation)
    if get_origin(annotation) is Annotated:
        target, *marks = get_args(annotation)
        if any(isinstance(mark, JsonMark) for mark in marks):
            if base_form(target, where) is None:
                plan.json = msgspec.json.Decoder(target).decode
            return plan
        annotation = without_null(target)
    if get_origin(annotation) is Literal:
        labels = get_args(annotation)
        if all(type(label) is str for label in labels) and len(labels) <= _MAX_LABELS:
            plan.labels = {label: label for label in labels}
    elif get_origin(annotation) is list:
        (inner,) = get_args(annotation)
        while get_origin(bare := without_null(inner)) is list:
            (inner,) = get_args(bare)
        plan.element = _value_plan(inner, where)
    elif isinstance(annotation, type) and issubclass(annotation, StrEnum):
        if len(annotation) <= _MAX_LABELS:
            plan.labels = {member.value: member for member in annotation}
    elif isinstance(annotation, type) and issubclass(annotation, Composite):
        hints = get_type_hints(annotation, include_extras=True)
        names = [field.name for field in msgspec.structs.fields(annotation)]
        plan.composite = annotation
        plan.parts = tuple(_value_plan(hints[name], f"{annotation.__name__}.{name}") for name in names)
    return plan


def _null_checks(
    row: type[Row] | None, names: tuple[str, ...], query: str, file: str
) -> tuple[NullCheck, ...]:
    """Return the checks of the columns that a header says are never null."""
    if not names:
        return ()
    columns: list[tuple[str, int, slice | None]] = [(names[0].removesuffix("[]"), 0, None)]
    if row is not None:
        columns = list(grouped_columns(row, 0, "", None))

    def check(name: str, column: int, group: slice | None, *, elements: bool) -> NullCheck:
        error = null_element_error if elements else null_error
        return NullCheck(column, group, lambda: error(name, query, file), elements=elements)

    return (
        *(check(name, at, group, elements=False) for name, at, group in columns if name in names),
        *(check(name, at, None, elements=True) for name, at, _ in columns if f"{name}[]" in names),
    )


def _runs_code(annotation: Any) -> bool:
    """Return whether a project's functions make values of an annotation, at any depth."""
    if conversion_of(annotation) is not None or row_mark(annotation) is not None:
        return True
    if get_origin(annotation) is Annotated:
        target, *marks = get_args(annotation)
        if any(isinstance(mark, JsonMark) for mark in marks):
            return _json_runs_code(target)
        return _runs_code(target)
    if isinstance(annotation, type) and issubclass(annotation, Composite):
        hints = get_type_hints(annotation, include_extras=True)
        return _has_own_init(annotation) or any(map(_runs_code, hints.values()))
    return any(_runs_code(part) for part in get_args(annotation))


def _makes_with_own_init(row: type[Row]) -> bool:
    """Return whether a row, or one within it, has code that runs when it is made."""
    hints = get_type_hints(row, include_extras=True)
    inner = (nested_row(hints[field.name]) for field in msgspec.structs.fields(row))
    return _has_own_init(row) or any(each is not None and _makes_with_own_init(each) for each in inner)


def _has_own_init(struct: type) -> bool:
    return hasattr(struct, "__post_init__")


def _json_runs_code(target: Any) -> bool:
    """Return whether a type of JSON values has code of its own, or keeps the bytes that it is read from."""
    if base_form(target) is not None:
        return True
    found: list[Any] = [inspect.type_info(target)]
    known: set[int] = set()
    while found:
        each = found.pop()
        if id(each) in known:
            continue
        known.add(id(each))
        if isinstance(each, inspect.RawType | inspect.CustomType | inspect.DataclassType):
            return True
        if isinstance(each, inspect.StructType) and _has_own_init(each.cls):
            return True
        if (
            isinstance(each, inspect.EnumType)
            and getattr(each.cls._missing_, "__func__", None) != _NO_MISSING
        ):
            return True
        for name in each.__struct_fields__:
            inner = getattr(each, name)
            inner = inner if isinstance(inner, tuple) else (inner,)
            found.extend(part for part in inner if isinstance(part, inspect.Type | inspect.Field))
    return False


def _missing(enum: type[Enum]) -> object:
    """Return the function that an enum has for values that are no members."""
    return getattr(enum._missing_, "__func__", None)


_NO_MISSING: Final = _missing(Enum)
