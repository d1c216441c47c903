"""The annotations of columns and parameters, with the classes that they need, or the error if there is
none.
"""

from __future__ import annotations

from dataclasses import dataclass

from plainsql.analysis.model import ColumnFact, PgType, Shape
from plainsql.codegen.classes import Classes, Field, composite_class
from plainsql.codegen.driver_support import unsupported
from plainsql.codegen.encryption import annotate_encrypted
from plainsql.codegen.header_types import USUAL, type_of_hint
from plainsql.codegen.json_classes import ShapeAnnotations, json_path, nullable_fields
from plainsql.codegen.json_types import JsonTypes
from plainsql.codegen.own_types import OwnAnnotations, OwnType
from plainsql.codegen.python_types import Annotation, annotate_parameter, below_domains
from plainsql.codegen.source_names import field_names
from plainsql.codegen.source_places import column_place
from plainsql.errors import ContractError, Place
from plainsql.statements import Parameter, Statement

__all__ = ["annotate_column", "annotate_value", "column_description"]


@dataclass(frozen=True, slots=True)
class _Subject:
    """A column or a parameter."""

    statement: Statement
    name: str
    type: PgType
    place: Place
    is_parameter: bool = False
    own: OwnType | None = None
    """The type of the project that its values, or the elements of its arrays, have."""
    in_header: bool = False
    """True if the header names that type."""
    shape: Shape | None = None
    path: tuple[str, ...] = ()
    """The names for the classes of its JSON, the row's first."""

    def error(self, problem: str) -> ContractError:
        cast = f"{self.name}::text" + "[]" * (below_domains(self.type).kind == "array")
        if self.type.kind == "pseudo":
            hint = f"cast it to the type that is meant: {self.name}::…"
        else:
            hint = f"take it as text: {cast}::{self.type}" if self.is_parameter else f"cast it: {cast}"
        return ContractError(f"{self.statement.name}: {self.name} {problem}", place=self.place, hint=hint)

    def row_error(self, part: PgType, row: PgType) -> ContractError:
        """Return the error about an anonymous row, or an array of them, that no struct is made for."""
        problem = "is a row without a type"
        if part.name not in ("record", "_record") and row.kind != "array":
            problem += f", and it holds {part}, which the drivers do not read there"
        hint = f"cast it: row(…)::some_type, or build JSON: jsonb_build_object(…) as {self.name}"
        if part.name == "unknown":
            hint = "cast its text: row('a'::text)"
        return ContractError(f"{self.statement.name}: {self.name} {problem}", place=self.place, hint=hint)


def annotate_column(
    classes: Classes,
    statement: Statement,
    column: ColumnFact,
    json_types: JsonTypes,
    own_types: OwnAnnotations,
) -> Annotation:
    """Return the annotation of a result column without its null, and add the classes that it names.

    Raises ``ContractError`` if there is no annotation, or if a driver does not support the type.
    """
    for hint in statement.columns:
        if hint.name == column.name and hint.encryption is not None:
            return annotate_encrypted(hint.encryption)
        if hint.name == column.name and hint.type is not None:
            named = type_of_hint(hint, column, statement, json_types, own_types)
            if named is None:
                return json_types.annotate(hint.type, hint.place, column, statement)
            subject = _Subject(
                statement,
                column.name,
                column.type,
                hint.place,
                own=named,
                in_header=True,
                shape=column.shape,
                path=json_path(statement, column),
            )
            return _annotate(classes, subject, own_types)
    chosen = own_types.types.of_column(column)
    own = chosen.type if chosen is not None else None
    place = column_place(statement, column)
    shape, path = column.shape, json_path(statement, column)
    subject = _Subject(statement, column.name, column.type, place, own=own, shape=shape, path=path)
    return _annotate(classes, subject, own_types)


def annotate_value(
    classes: Classes,
    statement: Statement,
    parameter: Parameter,
    type: PgType,
    own_types: OwnAnnotations,
    own: OwnType | None,
) -> Annotation:
    """Return the annotation of a parameter without its null, and add the classes that it names.

    Raises ``ContractError`` as ``annotate_column`` does.
    """
    place = (parameter.type and parameter.bounds and parameter.bounds.place) or parameter.places[0]
    subject = _Subject(
        statement, f":{parameter.name}", type, place, True, own, in_header=parameter.type is not None
    )
    return _annotate(classes, subject, own_types)


def column_description(statement: Statement, column: ColumnFact) -> str:
    """Return the text of a column in the header or, without one, the comment on the table's column."""
    texts = (hint.description for hint in statement.columns if hint.name == column.name)
    return next(filter(None, texts), column.comment)


def _annotate(classes: Classes, subject: _Subject, own_types: OwnAnnotations) -> Annotation:
    problem = unsupported(
        subject.type,
        parameter=subject.is_parameter,
        is_text_only=own_types.project_types.codecs.is_text_only,
    )
    if problem is not None:
        raise subject.error(f"is {subject.type}: it {problem}")
    if subject.own == USUAL:
        own_types = own_types.without_types
    try:
        own = subject.own if subject.own != USUAL else None
        if own is not None:
            _check_own(own, subject.type, subject, own_types)
        if not subject.is_parameter:
            shapes = ShapeAnnotations(classes, subject.statement, subject.path, own_types, own)
            annotation = shapes.of(subject.type, subject.shape)
        elif own is not None:
            annotation = own_types.at_leaf(subject.type, own, True)
        else:
            annotation = own_types.annotate(subject.type, parameter=True)
            if annotation == own_types.usual(subject.type):
                annotation = annotate_parameter(subject.type, own_types.project_types.annotation)
        for held, used in own_types.used_in(subject.type) if own is None else ():
            _check_own(used, held, subject, own_types)
        _add_composites(classes, annotation, subject, own_types)
    except LookupError as error:
        part: PgType = error.args[0]
        row = below_domains(subject.type)
        if row.name in ("record", "_record") and not subject.is_parameter:
            raise subject.row_error(part, row) from None
        if part is subject.type:
            raise subject.error(f"has the type {part}, which plainsql has no Python type for") from None
        raise subject.error(
            f"is {subject.type}: it holds {part}, which plainsql has no Python type for"
        ) from None
    return annotation


def _check_own(own: OwnType, type: PgType, subject: _Subject, own_types: OwnAnnotations) -> None:
    """Raise ``ContractError`` if values of a type cannot have an own type."""
    if (problem := own_types.problem(own, type)) is not None:
        message, hint = problem
        place = None if subject.in_header else own_types.types.places.get(own)
        raise ContractError(
            f"{subject.statement.name}: {subject.name} is {own.path}: {message}",
            place=subject.place,
            detail=f"{own.path} is named at {place}" if place else None,
            hint=hint,
        )


def _add_composites(
    classes: Classes, annotation: Annotation, subject: _Subject, own_types: OwnAnnotations
) -> None:
    nullable = nullable_fields(subject.type, subject.shape)
    for type in annotation.composites:
        flags = nullable.get(type.oid) or tuple(not attribute.not_null for attribute in type.attributes)
        fields = []
        names = field_names([attribute.name for attribute in type.attributes])
        for name, attribute, can_be_null in zip(names, type.attributes, flags, strict=True):
            chosen = own_types.types.of_attribute(type.schema, type.name, attribute.name)
            if chosen is not None:
                _check_own(chosen.type, attribute.type, subject, own_types)
                inner = own_types.at_leaf(attribute.type, chosen.type)
            else:
                inner = own_types.annotate(attribute.type)
            _add_composites(classes, inner, subject, own_types)
            fields.append(Field(name, inner, can_be_null))
        classes.add(composite_class(type, fields, subject.statement), subject.statement)
