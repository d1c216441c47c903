"""The annotations of columns and parameters, with the classes that they need, or the error if there is
none.
"""

from __future__ import annotations

from dataclasses import dataclass

from plainsql.analysis.model import ColumnFact, PgType
from plainsql.codegen.classes import Classes, Field, composite_class
from plainsql.codegen.driver_support import unsupported
from plainsql.codegen.encryption import annotate_encrypted
from plainsql.codegen.header_types import USUAL, type_of_hint
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

    def error(self, problem: str) -> ContractError:
        cast = f"{self.name}::text" + "[]" * (below_domains(self.type).kind == "array")
        if self.type.kind == "pseudo":
            hint = f"cast it to the type that is meant: {self.name}::…"
        else:
            hint = f"take it as text: {cast}::{self.type}" if self.is_parameter else f"cast it: {cast}"
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
            subject = _Subject(statement, column.name, column.type, hint.place, own=named, in_header=True)
            return _annotate(classes, subject, own_types)
    chosen = own_types.types.of_column(column)
    own = chosen.type if chosen is not None else None
    place = column_place(statement, column)
    return _annotate(classes, _Subject(statement, column.name, column.type, place, own=own), own_types)


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
        if subject.own is not None and subject.own != USUAL:
            _check_own(subject.own, subject.type, subject, own_types)
            annotation = own_types.at_leaf(subject.type, subject.own, subject.is_parameter)
            _add_composites(classes, annotation, subject, own_types)
        else:
            annotation = own_types.annotate(subject.type, parameter=subject.is_parameter)
            if subject.is_parameter and annotation == own_types.usual(subject.type):
                annotation = annotate_parameter(subject.type, own_types.project_types.annotation)
            for held, own in own_types.used_in(subject.type):
                _check_own(own, held, subject, own_types)
            _add_composites(classes, annotation, subject, own_types)
    except LookupError as error:
        part: PgType = error.args[0]
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
    for type in annotation.composites:
        fields = []
        names = field_names([attribute.name for attribute in type.attributes])
        for name, attribute in zip(names, type.attributes, strict=True):
            chosen = own_types.types.of_attribute(type.schema, type.name, attribute.name)
            if chosen is not None:
                _check_own(chosen.type, attribute.type, subject, own_types)
                inner = own_types.at_leaf(attribute.type, chosen.type)
            else:
                inner = own_types.annotate(attribute.type)
            _add_composites(classes, inner, subject, own_types)
            fields.append(Field(name, inner, not attribute.not_null))
        classes.add(composite_class(type, fields, subject.statement), subject.statement)
