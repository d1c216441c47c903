"""Records of a driver → rows: structs built by position, at the least cost a column's type allows.

A *record* is any sequence of column values in order: asyncpg's ``Record`` and psycopg's tuples alike. What a
column needs on its way is read from the row type's annotations, once for each query:

- plain values: none; a whole result of these is built by ``starmap`` alone;
- ``Annotated[T, JSON]``: the JSON text is decoded straight into ``T``;
- ``Annotated[T, Converted]``: a function of the project makes the value;
- a ``Composite``: its record becomes the struct;
- a ``StrEnum``: the label becomes the member;
- a ``Row`` as a field: the next columns, as many as it has fields, become a nested row;
- a list of ``Row``: the next columns become a child row of each joined row (``plainsql.query.child_lists``);
- ``Annotated[T, RowMark]``: the value is read together with other fields of its row;
- lists of these, of any depth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from functools import lru_cache
from itertools import starmap
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec

from plainsql.base_form import base_form
from plainsql.built_json import built_json
from plainsql.conversions import bounds_loader, conversion_of, dumper, loader, map_bounds
from plainsql.errors import ContractError, DecodeError
from plainsql.types import BuiltJsonMark, JsonMark, Opaque, RecordMark, RowMark

__all__ = [
    "Composite",
    "JsonObject",
    "Record",
    "Row",
    "builder",
    "child_row",
    "composite",
    "elements",
    "grouped_columns",
    "has_child_lists",
    "is_plain",
    "leaves",
    "nested_row",
    "null_element_error",
    "null_error",
    "record_types",
    "refusing_null",
    "row_maker",
    "row_mark",
    "tuples",
    "unreadable",
    "value_builder",
    "value_decoder",
    "width",
    "without_null",
]

Record = Sequence[Any]
Decode = Callable[[Any], Any]
Build = Callable[[Iterable[Record]], list[Any]]


class _PydanticStruct(msgspec.Struct, frozen=True, gc=False):
    """A struct that Pydantic knows: the base of rows and composites."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from plainsql.pydantic_schema import struct_schema

        return struct_schema(cls, handler)


class Row(_PydanticStruct, frozen=True, gc=False):
    """One row of a query's result. Immutable; compared by value; ``msgspec.structs.asdict`` makes a dict.

    FastAPI and Pydantic take a row type as a response model. ``plainsql.to_json`` writes rows as JSON.
    """


class JsonObject(_PydanticStruct, frozen=True, gc=False):
    """An object of the JSON that a query builds, its fields named by its keys."""


class Composite(_PydanticStruct, frozen=True, gc=False):
    """A value of a composite type of PostgreSQL, its fields in the order of the type's attributes."""


def builder(row: type[Row]) -> Build:
    """Make the function that turns records into a list of ``row``.

    The returned function raises ``DecodeError`` if a JSON value does not fit its type.
    """
    fields = msgspec.structs.fields(row)
    hints = get_type_hints(row, include_extras=True)
    if any(nested_row(hints[field.name]) for field in fields):
        return _nested_builder(row, hints)
    decoders = [
        (index, decode)
        for index, field in enumerate(fields)
        if (decode := value_decoder(hints[field.name], f"{row.__name__}.{field.name}")) is not None
    ]
    make = _maker(row, hints)
    if not decoders:
        return lambda records: list(starmap(make, records))

    def build(records: Iterable[Record]) -> list[Any]:
        rows = []
        for record in records:
            values = list(record)
            for index, decode in decoders:
                if (value := values[index]) is not None:
                    try:
                        values[index] = decode(value)
                    except TypeError:
                        raise unreadable(f"{row.__name__}.{fields[index].name}", value) from None
            rows.append(make(*values))
        return rows

    return build


def is_plain(row: type[Row]) -> bool:
    """Return whether the type itself makes rows of records, with no value to convert."""
    hints = get_type_hints(row, include_extras=True)
    fields = [(field.name, hints[field.name]) for field in msgspec.structs.fields(row)]
    return not any(
        nested_row(hint) or row_mark(hint) or value_decoder(hint, name) is not None for name, hint in fields
    )


def _maker(row: type[Row], hints: dict[str, Any]) -> Callable[..., Any]:
    """Return the function that makes a row of its fields: the type itself, unless a field is read with
    others.
    """
    names = [field.name for field in msgspec.structs.fields(row)]
    steps = []
    for index, name in enumerate(names):
        if (mark := row_mark(hints[name])) is None:
            continue
        if missing := [other for other in mark.names if other not in names]:
            raise ContractError(
                f"{row.__name__}.{name} cannot be read without {', '.join(missing)}, which is no field of it",
                hint=f"select {', '.join(missing)} too, or name other columns in the header",
            )
        steps.append((index, mark.read, [names.index(other) for other in mark.names]))
    if not steps:
        return row

    def make(*fields: Any) -> Any:
        if len(fields) != len(names):
            raise TypeError
        values = list(fields)
        for index, read, others in steps:
            if (value := values[index]) is not None:
                values[index] = read(value, [fields[other] for other in others])
        return row(*values)

    return make


def row_mark(annotation: Any) -> RowMark | None:
    """Return the mark of an annotation whose value is read together with other fields, if it has one."""
    annotation = without_null(annotation)
    marks = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    return next((mark for mark in marks if isinstance(mark, RowMark)), None)


def value_builder(annotation: Any, name: str) -> Build:
    """Make the function that turns records of one column into a list of its values."""
    decode = value_decoder(annotation, name)
    if decode is None:
        return lambda records: [record[0] for record in records]

    def build(records: Iterable[Record]) -> list[Any]:
        values = [record[0] for record in records]
        for index, value in enumerate(values):
            if value is not None:
                try:
                    values[index] = decode(value)
                except TypeError:
                    raise unreadable(name, value) from None
        return values

    return build


def unreadable(where: str, value: object) -> DecodeError:
    """Return the error of a value that its decoder does not take."""
    return DecodeError(
        f"{where}: a value arrived in another form than its type has, as {type(value).__name__}",
        hint="the codec of the connection, or the type itself, was changed: generate again, "
        "and set no codecs on connections of the pool",
    )


def width(row: type[Row]) -> int:
    """The number of columns that a row takes, those of its nested rows among them."""
    return len(leaves(row))


def leaves(row: type[Row], prefix: str = "") -> list[tuple[str, Any]]:
    """The columns that a row takes, in order: the name of each (``lead.id`` in a nested row) and its
    annotation.
    """
    hints = get_type_hints(row, include_extras=True)
    found: list[tuple[str, Any]] = []
    for field in msgspec.structs.fields(row):
        name, annotation = prefix + field.name, hints[field.name]
        if (child := child_row(annotation)) is not None:
            found += leaves(child, f"{name}[].")
            continue
        inner = nested_row(annotation)
        found += [(name, annotation)] if inner is None else leaves(inner, f"{name}.")
    return found


def child_row(annotation: Any) -> type[Row] | None:
    """Return the type of child rows if an annotation is a list of them."""
    return nested_row(get_args(annotation)[0]) if get_origin(annotation) is list else None


def has_child_lists(row: type[Row]) -> bool:
    """Return whether a row has lists of child rows."""
    return any(child_row(hint) is not None for hint in get_type_hints(row, include_extras=True).values())


def row_maker(row: type[Row]) -> Callable[..., Any]:
    """Return the function that makes a row of its columns' values, in which a list of child rows is one
    value.
    """
    if is_plain(row):
        return row
    make, _ = _nested_maker(row, get_type_hints(row, include_extras=True))
    return lambda *values: make(values)


def record_types(item: Any) -> dict[int, tuple[str, ...]]:
    """Return the types of the fields of anonymous records, by the column that holds them.

    ``item`` is a row type, or the annotation of the only column.
    """
    is_row = isinstance(item, type) and issubclass(item, Row)
    annotations = [annotation for _, annotation in leaves(item)] if is_row else [item]
    found: dict[int, tuple[str, ...]] = {}
    for index, annotation in enumerate(annotations):
        plain = without_null(annotation)
        marks = get_args(plain)[1:] if get_origin(plain) is Annotated else ()
        for mark in marks:
            if isinstance(mark, RecordMark):
                found[index] = mark.types
    return found


def refusing_null(build: Build, item: Any, names: Sequence[str], query: str, file: str) -> Build:
    """Make a builder that raises ``DecodeError`` for a null in one of the named columns.

    A nested row's column (``"lead.id"``) may be null if there is no nested row. ``"tags[]"`` names the
    elements of a column's arrays.
    """
    columns: list[tuple[str, int, slice | None]] = [(names[0].removesuffix("[]"), 0, None)]
    if isinstance(item, type) and issubclass(item, Row):
        columns = list(grouped_columns(item, 0, "", None))
    checks = [column for column in columns if column[0] in names]
    of_elements = [(name, index) for name, index, _ in columns if f"{name}[]" in names]

    def build_checked(records: Iterable[Record]) -> list[Any]:
        records = list(records)
        for name, index, group in checks:
            # Records of another width are refused when they are built.
            for record in records if records and len(records[0]) > index else ():
                if record[index] is None and (group is None or _is_there(record[group])):
                    raise null_error(name, query, file)
        for name, index in of_elements:
            for record in records if records and len(records[0]) > index else ():
                if record[index] is not None and _holds_null(record[index]):
                    raise null_element_error(name, query, file)
        return build(records)

    return build_checked


def null_error(name: str, query: str, file: str) -> DecodeError:
    """Return the error of a column that is null and must not be."""
    return DecodeError(
        f"{query}: {name} is null, and the header says that it is not",
        hint=f"remove 'column {name}: not null' from {file}, or correct the data",
    )


def null_element_error(name: str, query: str, file: str) -> DecodeError:
    """Return the error of an array with a null among elements that must not be null."""
    return DecodeError(
        f"{query}: an element of {name} is null, and the header says that none is",
        hint=f"remove 'elements not null' from {file}, or correct the data",
    )


def _holds_null(array: Any) -> bool:
    """Return whether an element of an array is null, in any dimension."""
    return any(each is None or (isinstance(each, list) and _holds_null(each)) for each in array)


def _is_there(nested: Sequence[Any]) -> bool:
    """True if the columns are those of a nested row: all are null if there is none."""
    return any(value is not None for value in nested)


def grouped_columns(
    row: type[Row], start: int, prefix: str, group: slice | None
) -> Iterator[tuple[str, int, slice | None]]:
    """The columns of a row: name, position, and the columns of the nested row that may be missing with it."""
    hints = get_type_hints(row, include_extras=True)
    for field in msgspec.structs.fields(row):
        if (child := child_row(hints[field.name])) is not None:
            end = start + width(child)
            yield from grouped_columns(child, start, f"{prefix}{field.name}[].", slice(start, end))
            start = end
            continue
        inner = nested_row(hints[field.name])
        if inner is None:
            yield prefix + field.name, start, group
            start += 1
            continue
        end = start + width(inner)
        nullable = without_null(hints[field.name]) is not hints[field.name]
        yield from grouped_columns(
            inner, start, f"{prefix}{field.name}.", slice(start, end) if nullable else group
        )
        start = end


def composite(value: Any) -> Any:
    """Turn a ``Composite`` into a tuple, as the drivers take it, with all that is nested in it."""
    if isinstance(value, Composite):
        parts = zip(_encoders(type(value)), msgspec.structs.astuple(value), strict=True)
        return tuple(part if part is None else encode(part) for encode, part in parts)
    if isinstance(value, list):
        return [composite(element) for element in value]
    return value


def elements(value: Any) -> Any:
    """Wrap the elements of an array of JSON values or vectors, so that a list among them stays one
    element.
    """
    if isinstance(value, list | tuple):
        return [None if element is None else Opaque(element) for element in value]
    return value


def tuples(value: Any) -> Any:
    """Make the elements of an array tuples: to the drivers, lists in a list are a second dimension of it."""
    if isinstance(value, list | tuple):
        return [None if element is None else tuple(element) for element in value]
    return value


@lru_cache
def _encoders(target: type[Composite]) -> list[Callable[[Any], Any]]:
    """The conversion of each field on its way to a driver."""
    hints = get_type_hints(target, include_extras=True)
    fields = [field.name for field in msgspec.structs.fields(target)]
    return [_encoder(hints[name], f"{target.__name__}.{name}") for name in fields]


def _encoder(annotation: Any, where: str) -> Callable[[Any], Any]:
    annotation = without_null(annotation)
    if (conversion := conversion_of(annotation)) is not None:
        encode = _encoder(conversion.base, where)
        dump = dumper(conversion.to_db, where) if conversion.to_db is not None else None
        return encode if dump is None else lambda value: encode(dump(value))
    if _is_range(annotation) and (bound := conversion_of(get_args(annotation)[0])) is not None:
        dump_bound = dumper(bound.to_db, where) if bound.to_db is not None else None
        return composite if dump_bound is None else lambda value: map_bounds(value, dump_bound)
    if get_origin(annotation) is not list:
        return composite
    element = without_null(get_args(annotation)[0])
    if conversion_of(element) is not None or _is_range(element):
        encode_element = _encoder(element, where)
        return lambda values: [None if each is None else encode_element(each) for each in values]
    if get_origin(element) is list or getattr(element, "__name__", "") == "Polygon":
        return tuples
    is_json = get_origin(element) is Annotated and any(isinstance(m, JsonMark) for m in get_args(element)[1:])
    is_vector = hasattr(element, "from_binary")  # pgvector's classes, and those of `plainsql.vector`
    return elements if is_json or is_vector else composite


def nested_row(annotation: Any) -> type[Row] | None:
    """Return the type of a nested row if an annotation is one, or one that may be null."""
    inner = without_null(annotation)
    return inner if isinstance(inner, type) and issubclass(inner, Row) else None


def without_null(annotation: Any) -> Any:
    """Return an annotation without null."""
    if get_origin(annotation) in (Union, UnionType):
        arms = [arm for arm in get_args(annotation) if arm is not NoneType]
        if len(arms) == 1:
            return arms[0]
    return annotation


def value_decoder(annotation: Any, where: str) -> Decode | None:
    """Return the decoder for values of this annotation; None if they are used as they arrive. Never gets
    null.
    """
    annotation = without_null(annotation)
    if get_origin(annotation) is Annotated:
        target, *marks = get_args(annotation)
        if any(isinstance(mark, JsonMark) for mark in marks):
            is_built = any(isinstance(mark, BuiltJsonMark) for mark in marks)
            return _json_decoder(target, where, built_json if is_built else None)
        if (conversion := conversion_of(annotation)) is not None:
            return loader(conversion, value_decoder(conversion.base, where), where)
        return value_decoder(target, where)
    if _is_range(annotation):
        bound = value_decoder(get_args(annotation)[0], where)
        return None if bound is None else bounds_loader(bound)
    if get_origin(annotation) is list:
        (inner,) = get_args(annotation)
        # The decoder goes through as many dimensions as a value has.
        while get_origin(bare := without_null(inner)) is list:
            (inner,) = get_args(bare)
        element = value_decoder(inner, where)
        return None if element is None else _list_decoder(element)
    if isinstance(annotation, type) and issubclass(annotation, Composite):
        return _composite_decoder(annotation, where)
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return _member_decoder(annotation, where)
    return None


def _member_decoder(target: type[StrEnum], where: str) -> Decode:
    members = {member.value: member for member in target}

    def decode_member(label: Any) -> StrEnum:
        try:
            return members[label]
        except KeyError:
            raise DecodeError(
                f"{where}: the label is no member of {target.__name__}",
                hint="the enum has gained a label since the module was generated: generate again",
            ) from None

    return decode_member


def _is_range(annotation: Any) -> bool:
    return getattr(get_origin(annotation), "__name__", "") == "Range"


def _json_decoder(target: Any, where: str, again: Callable[[Any, bytes | str], Any] | None = None) -> Decode:
    """Return the decoder of JSON into a type; ``again`` takes the values that msgspec does not know."""
    if (form := base_form(target, where)) is not None:
        decode_base = _json_decoder(form.type, where, again)
        # Null in JSON stays null.
        return lambda text: None if (value := decode_base(text)) is None else form.restore(value)
    decode = msgspec.json.Decoder(target).decode

    def decode_json(text: bytes | str) -> Any:
        try:
            try:
                return decode(text)
            except msgspec.ValidationError:
                if again is None:
                    raise
                return again(target, text)
        except msgspec.DecodeError as error:
            # msgspec's message names the path and the types, never the value.
            raise DecodeError(
                f"{where}: the JSON value does not fit its type: {error}",
                hint="change the type that the query's header names, or the data",
            ) from None

    return decode_json


def _list_decoder(element: Decode) -> Decode:
    def decode_list(values: Any) -> Any:
        return [
            None if value is None else decode_list(value) if isinstance(value, list) else element(value)
            for value in values
        ]

    return decode_list


def _composite_decoder(target: type[Composite], where: str) -> Decode:
    hints = get_type_hints(target, include_extras=True)
    fields = msgspec.structs.fields(target)
    decoders = [value_decoder(hints[field.name], f"{target.__name__}.{field.name}") for field in fields]
    plain = not any(decoders)

    def decode_composite(record: Any) -> Composite:
        if len(record) != len(fields):
            raise ContractError(
                f"{where}: {target.__name__} has {len(fields)} fields, the database returns {len(record)}",
                hint="the composite type has changed since the module was generated: generate again",
            )
        if plain:
            return target(*record)
        return target(
            *(
                value if decode is None or value is None else decode(value)
                for value, decode in zip(record, decoders, strict=True)
            )
        )

    return decode_composite


def _nested_builder(row: type[Row], hints: dict[str, Any]) -> Build:
    make, columns = _nested_maker(row, hints)

    def build(records: Iterable[Record]) -> list[Any]:
        rows = []
        for record in records:
            if len(record) != columns:
                raise TypeError
            rows.append(make(tuple(record)))
        return rows

    return build


def _nested_maker(row: type[Row], hints: dict[str, Any]) -> tuple[Callable[[tuple[Any, ...]], Any], int]:
    """Make the function from the columns of one row to the row, and say how many columns it takes."""
    steps: list[tuple[int, int, Decode | None, bool]] = []
    at = 0
    for field in msgspec.structs.fields(row):
        annotation = hints[field.name]
        inner = nested_row(annotation)
        if inner is None:
            steps.append((at, 0, value_decoder(annotation, f"{row.__name__}.{field.name}"), False))
            at += 1
            continue
        make, width = _nested_maker(inner, get_type_hints(inner, include_extras=True))
        nullable = without_null(annotation) is not annotation
        steps.append((at, width, make, nullable))
        at += width

    make_flat = _maker(row, hints)

    def make_row(values: tuple[Any, ...]) -> Any:
        fields = []
        for start, width, decode, nullable in steps:
            if not width:
                value = values[start]
                try:
                    fields.append(value if decode is None or value is None else decode(value))
                except TypeError:
                    where = f"{row.__name__}.{msgspec.structs.fields(row)[len(fields)].name}"
                    raise unreadable(where, value) from None
                continue
            part = values[start : start + width]
            # All null through an outer join: there is no such row.
            missing = nullable and all(value is None for value in part)
            fields.append(None if missing or decode is None else decode(part))
        return make_flat(*fields)

    return make_row, at
