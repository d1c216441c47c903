"""The types that headers give to columns and parameters, in place of those of the settings."""

from __future__ import annotations

import re
from typing import Final

from plainsql.analysis.model import ColumnFact, ParameterFact, PgType
from plainsql.codegen.json_types import JsonTypes
from plainsql.codegen.own_types import OwnAnnotations, OwnType, contradiction
from plainsql.codegen.python_types import annotate, below_domains
from plainsql.errors import ContractError, Place
from plainsql.statements import ColumnHint, Parameter, Statement

__all__ = ["USUAL", "own_type_of", "type_in_header", "type_of_hint"]

USUAL: Final = OwnType("")
"""The type that values have without any setting."""
_NAME: Final = re.compile(r"[\w.]+")
_ARRAYS: Final = {
    name: OwnType(f"plainsql.vector.ndarrays.Float{bits}Array", f"plainsql.vector.ndarrays.to_float{bits}")
    for name, bits in {"vector": 32, "halfvec": 16, "sparsevec": 32}.items()
}
"""By the type of a vector: the array of NumPy that the word ``ndarray`` means."""


def type_of_hint(
    hint: ColumnHint, column: ColumnFact, statement: Statement, json_types: JsonTypes, own: OwnAnnotations
) -> OwnType | None:
    """Return the type that a header's line gives a column; ``None`` if it is that of a JSON value.

    Raises ``ContractError`` if the line does not fit the column.
    """
    if hint.type is None:
        return None
    if _leaf(column.type).name in ("json", "jsonb"):
        inner = hint.type.removeprefix("list[").removesuffix("]")
        named = own.types.named(json_types.path_of(inner, statement)) if _NAME.fullmatch(inner) else None
        if named is None or not named.from_db:
            return None
    json_types.not_json.add(hint)
    return type_in_header(hint.name, hint.type, hint.place, column.type, statement, json_types, own)


def type_in_header(
    name: str,
    written: str,
    place: Place,
    type: PgType,
    statement: Statement,
    json_types: JsonTypes,
    own: OwnAnnotations,
) -> OwnType:
    """Return the type that a header gives to a column or parameter; ``USUAL`` for the one it has anyway.

    Raises ``ContractError`` if it is no name, or does not say whether the value is an array.
    """
    if written == annotate(type).text:
        return USUAL
    is_array = below_domains(type).kind == "array"
    inner = written.removeprefix("list[").removesuffix("]") if is_array else written
    if not _NAME.fullmatch(inner) or (is_array and not written.startswith("list[")):
        raise ContractError(
            f"{statement.name}: the header gives {name} the type {written}, but it is {type}",
            place=place,
            hint="write list[…] around the type of its elements"
            if is_array
            else "write the name of one type",
        )
    if inner == annotate(_leaf(type)).text:
        return USUAL
    if inner == "ndarray" and _leaf(type).name in _ARRAYS:
        return _ARRAYS[_leaf(type).name]
    in_settings = any(each.path == inner for each in own.types.all())
    return own.types.named(inner if in_settings else json_types.path_of(inner, statement))


def own_type_of(
    statement: Statement,
    parameter: Parameter,
    fact: ParameterFact,
    own_types: OwnAnnotations,
    json_types: JsonTypes,
) -> OwnType | None:
    """Return the own type of a parameter: the header's, or that of the columns that it is compared with or
    stored in.

    Raises ``ContractError`` if these have different ones.
    """
    if parameter.type is not None:
        place = (parameter.bounds and parameter.bounds.place) or parameter.places[0]
        return type_in_header(
            parameter.name, parameter.type, place, fact.type, statement, json_types, own_types
        )
    found = own_types.types.of_parameter(fact)
    if len(found) > 1:
        raise contradiction(f":{parameter.name}", found, parameter.places[0], statement.name)
    return found[0].type if found else None


def _leaf(type: PgType) -> PgType:
    while type.kind in ("array", "domain") and type.element is not None:
        type = type.element
    return type
