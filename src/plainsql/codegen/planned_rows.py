"""The parameters that are lists of rows: one parameter of the function for the columns of an ``unnest``."""

from __future__ import annotations

from collections.abc import Mapping

from plainsql.analysis.model import ParameterFact
from plainsql.codegen.annotations import annotate_value
from plainsql.codegen.classes import Classes
from plainsql.codegen.header_types import own_type_of
from plainsql.codegen.json_types import JsonTypes
from plainsql.codegen.own_types import OwnAnnotations
from plainsql.codegen.planned_parameters import PlannedParameter, RowField, plan_parameter
from plainsql.codegen.python_types import Annotation, below_domains, reference
from plainsql.errors import ContractError
from plainsql.statements import Statement

__all__ = ["plan_rows"]


def plan_rows(
    classes: Classes,
    statement: Statement,
    rows: str,
    names: tuple[str, ...],
    facts: Mapping[str, ParameterFact],
    own_types: OwnAnnotations,
    json_types: JsonTypes,
) -> PlannedParameter:
    """Plan the parameter of a list of rows; ``names`` are those of its fields.

    Raises ``ContractError`` if one of its columns is no array.
    """
    fields = []
    default = ""
    for name in names:
        parameter = statement.parameter(f"{rows}.{name}")
        fact = facts[parameter.name]
        array = below_domains(fact.type)
        if array.kind != "array" or array.element is None:
            raise ContractError(
                f"{statement.name}: :{parameter.name} is {fact.type}, and unnest takes an array",
                place=parameter.places[0],
                hint=f"write :{parameter.name}::{fact.type}[]",
            )
        own = own_type_of(statement, parameter, fact, own_types, json_types)
        annotation = annotate_value(classes, statement, parameter, array.element, own_types, own)
        planned = plan_parameter(statement, parameter, fact, annotation)
        annotation = annotation if fact.elements_not_null else annotation.or_null()
        convert, to_db = own_types.conversion(array, own)
        fields.append(RowField(name, annotation, planned.wrap, convert, to_db))
        default = planned.default
    imports = frozenset(pair for field in fields for pair in field.annotation.imports)
    text = f"Iterable[{reference(f'rows {statement.function}.{rows}')}]" + (" | UnsetType" if default else "")
    needed = {("collections.abc", "Iterable")}
    if default:
        needed |= {("plainsql.types", "UNSET"), ("plainsql.types", "UnsetType")}
    return PlannedParameter(rows, Annotation(text, imports | needed), default, "", True, fields=tuple(fields))
