"""The annotations of shapes: arrays with nulls, fields of rows, classes for the JSON that a query builds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from plainsql.analysis.model import ColumnFact, PgType, Shape
from plainsql.codegen.classes import Classes, Field, RowClass
from plainsql.codegen.own_types import BUILT_MARK, OwnAnnotations, OwnType
from plainsql.codegen.python_types import Annotation, annotate, below_domains, reference
from plainsql.codegen.source_names import class_name, field_names, string_literal
from plainsql.statements import Statement
from plainsql.statements.suggestions import singular

__all__ = ["BUILT_KINDS", "ShapeAnnotations", "json_keys", "json_path", "json_value", "nullable_fields"]

BUILT_KINDS: Final = frozenset({"scalar", "object", "list", "tuple", "map"})
"""The kinds of JSON whose type is known."""

_ANY: Final = Annotation("Json", frozenset({("plainsql.types", "Json")}))
_AS_IN_SQL: Final = frozenset(
    {
        *("bool", "int2", "int4", "int8", "float4", "float8", "numeric"),
        *("uuid", "date", "time", "timestamp", "timestamptz"),
    }
)
"""The types that msgspec decodes from JSON as the drivers deliver them; any other is a text in JSON."""


_JSON_TYPE: Final = PgType(114, "pg_catalog", "json", "base")
_TEXTS: Final = frozenset({"text", "varchar", "bpchar", "citext"})
_IN_RECORDS: Final = _AS_IN_SQL | frozenset(
    {"text", "varchar", "bpchar", "bytea", "interval", "timetz", "oid"}
)
"""The types of fields that both drivers read in an anonymous row. asyncpg knows no user's type there."""


def _is_same(type: PgType) -> bool:
    """Return whether values of a type are the same in JSON, so that they can be those of an own type."""
    return type.kind == "enum" or type.name in _AS_IN_SQL | _TEXTS


def json_value(type: PgType) -> Annotation:
    """Return the annotation of a value as ``to_json`` writes it, which is not null."""
    base = below_domains(type)
    if base.kind == "enum" or base.name in _AS_IN_SQL:
        return annotate(base)
    return Annotation("str")


@dataclass(frozen=True, slots=True)
class ShapeAnnotations:
    """The annotations of one column, and the classes that they need."""

    classes: Classes
    statement: Statement
    path: tuple[str, ...]
    """The names for classes: the row's, then that of the column and of each key inside."""
    own_types: OwnAnnotations
    own: OwnType | None = None
    """The type of the project that its values, or the elements of its arrays, have."""

    def of(self, type: PgType, shape: Shape | None) -> Annotation:
        """Return the annotation of an SQL value, which is not null.

        Raises ``LookupError`` as ``annotate`` does.
        """
        base = below_domains(type)
        if shape is None or (self.own is None and self.own_types.types.of_type(type) is not None):
            return self._usual(type)
        if self.own is None and base.name in ("json", "jsonb") and shape.kind in BUILT_KINDS:
            converted = self._converted(shape) if shape.kind == "scalar" else None
            return converted or self._json(shape).wrapped(*BUILT_MARK)
        if base.kind == "array" and base.element is not None and shape.kind == "array" and shape.parts:
            (element,) = shape.parts
            # An array type has any number of dimensions.
            while element.kind == "array" and element.parts and below_domains(base.element).kind != "array":
                (element,) = element.parts
            inner = replace(self, path=(*self.path[:-1], singular(self.path[-1]))).of(base.element, element)
            return (inner.or_null() if element.nullable else inner).wrapped("list[{}]")
        if base.name == "record" and shape.kind == "row" and shape.parts:
            return self._record(base, shape.parts)
        return self._usual(type)

    def _usual(self, type: PgType) -> Annotation:
        """Return the annotation of a value without its shape."""
        own = self.own
        return self.own_types.annotate(type) if own is None else self.own_types.at_leaf(type, own)

    def _record(self, type: PgType, parts: Sequence[Shape]) -> Annotation:
        """Return the annotation of an anonymous row, and add its class.

        Raises ``LookupError`` with the type of a field that no driver reads there.
        """
        fields: list[Field] = []
        types: list[str] = []
        for name, part in zip(field_names([part.name for part in parts]), parts, strict=True):
            # The type of JSON is not kept in its shape.
            field = below_domains(part.type) if part.type is not None else _JSON_TYPE
            if field.kind != "base" or field.name not in _IN_RECORDS:
                raise LookupError(field)
            own = self.own_types.in_json(field, part.origins)
            fields.append(Field(name, own or annotate(field), part.nullable))
            types.append(field.name)
        key = self._add(fields, "Composite", f"The row `{'.'.join(self.path[1:])}`.")
        mark = f"RecordMark({', '.join(map(string_literal, types))})"
        imports = ("typing", "Annotated"), ("plainsql.types", "RecordMark")
        return Annotation(reference(key)).wrapped(f"Annotated[{{}}, {mark}]", *imports)

    def _json(self, shape: Shape) -> Annotation:
        match shape.kind:
            case "scalar" if shape.type is not None:
                base = below_domains(shape.type)
                own = self.own_types.in_json(shape.type, shape.origins) if _is_same(base) else None
                named = self.own_types.usual(base) if base.kind == "enum" else None
                return own or named or json_value(shape.type)
            case "null":
                return Annotation("None")
            case "list":
                part = replace(self, path=(*self.path[:-1], singular(self.path[-1])))
                return (part._with_null(shape.parts[0]) if shape.parts else _ANY).wrapped("list[{}]")
            case "map":
                return self._with_null(shape.parts[0]).wrapped("dict[str, {}]")
            case "tuple":
                parts = [self._with_null(part) for part in shape.parts]
                text = ", ".join(part.text for part in parts)
                return Annotation(f"tuple[{text}]", frozenset().union(*(part.imports for part in parts)))
            case "object" if shape.parts:
                return self._object(shape.parts)
            case "object":
                return _ANY.wrapped("dict[str, {}]")
            case _:
                return _ANY

    def _converted(self, shape: Shape) -> Annotation | None:
        """Return the annotation of a document that is one value, if a function of the project makes it."""
        if shape.type is None or not _is_same(below_domains(shape.type)):
            return None
        return self.own_types.document(shape.type, shape.origins)

    def _with_null(self, shape: Shape) -> Annotation:
        annotation = self._json(shape)
        return annotation.or_null() if shape.nullable and shape.kind != "json" else annotation

    def _object(self, parts: Sequence[Shape]) -> Annotation:
        fields: list[Field] = []
        for name, part in zip(field_names([part.name for part in parts]), parts, strict=True):
            inner = replace(self, path=(*self.path, part.name))._json(part)
            nullable = (part.nullable and part.kind != "json") or part.optional
            key = part.name if part.name != name else ""
            fields.append(Field(name, inner, nullable, key=key, optional=part.optional))
        described = f"The JSON object `{'.'.join(self.path[1:])}` of a row."
        return Annotation(reference(self._add(fields, "JsonObject", described)))

    def _add(self, fields: list[Field], base: str, described: str) -> str:
        """Add a class that is named by its place, and return its key."""
        name = class_name(self.path[-1])
        # Two objects of one name and with the same fields are one class, whatever query builds them.
        written = base + "".join(f"{field.name}\0{field.key}\0{field.annotation.text}\0" for field in fields)
        key = f"json {name} {hashlib.blake2b(written.encode(), digest_size=8).hexdigest()}"
        qualified = "".join(map(class_name, self.path))
        self.classes.add(
            RowClass(key, name, qualified, fields, base, described, self.statement), self.statement
        )
        return key


def json_path(statement: Statement, column: ColumnFact) -> tuple[str, ...]:
    """Return the names for the classes of a column's JSON: those of its row and of the column."""
    if statement.returns.row is not None:
        return (statement.returns.row, *column.name.split("."))
    # The column has its function's name if the query gives it none.
    is_named = not column.name.startswith(("json", "row", "to_json", "coalesce", "?"))
    return (class_name(statement.function), column.name if is_named else statement.function)


def nullable_fields(type: PgType, shape: Shape | None) -> dict[int, tuple[bool, ...]]:
    """Return, for the oid of each composite type in a value, the fields of it that can be null."""
    found: dict[int, tuple[bool, ...]] = {}

    def visit(type: PgType, shape: Shape | None) -> None:
        base = below_domains(type)
        if base.kind == "array" and base.element is not None:
            inner = shape.parts[0] if shape is not None and shape.kind == "array" and shape.parts else None
            while inner is not None and inner.kind == "array" and below_domains(base.element).kind != "array":
                inner = inner.parts[0] if inner.parts else None
            visit(base.element, inner)
        elif base.kind == "composite":
            is_row = shape is not None and shape.kind == "row" and len(shape.parts) == len(base.attributes)
            parts: Sequence[Shape | None] = [None] * len(base.attributes)
            parts = shape.parts if shape is not None and is_row else parts
            flags = [part is None or part.nullable for part in parts]
            if base.oid in found:
                flags = [one or other for one, other in zip(flags, found[base.oid], strict=True)]
            found[base.oid] = tuple(flags)
            for attribute, part in zip(base.attributes, parts, strict=True):
                visit(attribute.type, part)

    visit(type, shape)
    return found


def json_keys(fields: Sequence[Field]) -> str:
    """Return the keys of fields that are called otherwise in Python, as source; empty if there are none."""
    renamed = ", ".join(f"{string_literal(f.name)}: {string_literal(f.key)}" for f in fields if f.key)
    return f"{{{renamed}}}" if renamed else ""
