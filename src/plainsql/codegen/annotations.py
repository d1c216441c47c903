"""The annotations of columns and parameters, with the classes that they need, or the error if there is
none.
"""

from __future__ import annotations

from dataclasses import dataclass

from plainsql.analysis.model import ColumnFact, PgType
from plainsql.codegen.classes import Classes, Field, composite_class
from plainsql.codegen.driver_support import unsupported
from plainsql.codegen.encryption import annotate_encrypted
from plainsql.codegen.json_types import JsonTypes
from plainsql.codegen.python_types import Annotation, annotate, annotate_parameter, below_domains
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

    def error(self, problem: str) -> ContractError:
        cast = f"{self.name}::text" + "[]" * (below_domains(self.type).kind == "array")
        if self.type.kind == "pseudo":
            hint = f"cast it to the type that is meant: {self.name}::…"
        else:
            hint = f"take it as text: {cast}::{self.type}" if self.is_parameter else f"cast it: {cast}"
        return ContractError(f"{self.statement.name}: {self.name} {problem}", place=self.place, hint=hint)


def annotate_column(
    classes: Classes, statement: Statement, column: ColumnFact, json_types: JsonTypes
) -> Annotation:
    """Return the annotation of a result column without its null, and add the classes that it names.

    Raises ``ContractError`` if there is no annotation, or if a driver does not support the type.
    """
    for hint in statement.columns:
        if hint.name == column.name and hint.encryption is not None:
            return annotate_encrypted(hint.encryption)
        if hint.name == column.name and hint.type is not None:
            return json_types.annotate(hint.type, hint.place, column, statement)
    return _annotate(classes, _Subject(statement, column.name, column.type, column_place(statement, column)))


def annotate_value(classes: Classes, statement: Statement, parameter: Parameter, type: PgType) -> Annotation:
    """Return the annotation of a parameter without its null, and add the classes that it names.

    Raises ``ContractError`` as ``annotate_column`` does.
    """
    return _annotate(classes, _Subject(statement, f":{parameter.name}", type, parameter.places[0], True))


def column_description(statement: Statement, column: ColumnFact) -> str:
    """Return the text of a column in the header or, without one, the comment on the table's column."""
    texts = (hint.description for hint in statement.columns if hint.name == column.name)
    return next(filter(None, texts), column.comment)


def _annotate(classes: Classes, subject: _Subject) -> Annotation:
    problem = unsupported(
        subject.type, parameter=subject.is_parameter, is_text_only=classes.codecs.is_text_only
    )
    if problem is not None:
        raise subject.error(f"is {subject.type}: it {problem}")
    try:
        choose = annotate_parameter if subject.is_parameter else annotate
        annotation = choose(subject.type, classes.own_annotation)
        _add_composites(classes, annotation, subject)
    except LookupError as error:
        part: PgType = error.args[0]
        if part is subject.type:
            raise subject.error(f"has the type {part}, which plainsql has no Python type for") from None
        raise subject.error(
            f"is {subject.type}: it holds {part}, which plainsql has no Python type for"
        ) from None
    return annotation


def _add_composites(classes: Classes, annotation: Annotation, subject: _Subject) -> None:
    for type in annotation.composites:
        fields = []
        names = field_names([attribute.name for attribute in type.attributes])
        for name, attribute in zip(names, type.attributes, strict=True):
            inner = annotate(attribute.type, classes.own_annotation)
            _add_composites(classes, inner, subject)
            fields.append(Field(name, inner, not attribute.not_null))
        classes.add(composite_class(type, fields, subject.statement), subject.statement)
