"""The parameters of a query: their annotations, defaults and nulls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from plainsql.analysis.model import ParameterFact, PgType, SettingFact
from plainsql.codegen.enums import EnumTypes
from plainsql.codegen.python_types import Annotation, below_domains
from plainsql.codegen.source_names import string_literal
from plainsql.errors import ContractError, Place
from plainsql.statements import Bounds, Choice, Parameter, Statement

__all__ = ["PlannedParameter", "RowField", "plan_choices", "plan_parameter", "plan_settings"]

_INTEGERS: Final = {
    "int2": (-(2**15), 2**15 - 1),
    "int4": (-(2**31), 2**31 - 1),
    "int8": (-(2**63), 2**63 - 1),
    "oid": (0, 2**32 - 1),
}
_FLOATS: Final = {"float4": 3.4028234663852886e38, "float8": 1.7976931348623157e308}
_TYPES_OF_SETTINGS: Final = {"bool": "bool", "integer": "int", "real": "float"}
_TEXTS: Final = frozenset({"text", "varchar", "bpchar", "name", "citext"})


@dataclass(frozen=True, slots=True)
class PlannedParameter:
    """A parameter of a function to generate."""

    name: str
    annotation: Annotation
    default: str
    """The default as source; empty if the parameter is required."""
    wrap: str = ""
    """The function of ``plainsql.query`` that the value passes through; empty if there is none."""
    required: bool = False
    """True if null is refused."""
    convert: str = ""
    """The function of ``plainsql.query`` that sends the value through ``to_db``; empty if there is none."""
    to_db: str = ""
    """A reference to the project's function that makes the value to send."""
    fields: tuple[RowField, ...] = ()
    """The fields of a row, if the parameter is a list of rows."""


@dataclass(frozen=True, slots=True)
class RowField:
    """A field of the rows that a parameter takes: a column of ``unnest``."""

    name: str
    annotation: Annotation
    wrap: str
    """The function that the list of its values passes through; empty if there is none."""
    convert: str = ""
    """The function of ``plainsql.query`` that sends the list through ``to_db``; empty if there is none."""
    to_db: str = ""
    """A reference to the project's function that makes the values to send."""


def plan_parameter(
    statement: Statement,
    parameter: Parameter,
    fact: ParameterFact,
    annotation: Annotation,
    enums: EnumTypes | None = None,
) -> PlannedParameter:
    """Plan a parameter of the SQL; ``annotation`` is that of its type.

    Raises ``ContractError`` if bounds or a default do not fit the type.
    """
    bounds, nullable, default = parameter.bounds, fact.nullable, ""
    if bounds is not None:
        _check_bounds(statement, parameter.name, bounds, fact.type)
    if bounds is not None and bounds.has_default:
        default = _default(statement, parameter.name, bounds, fact.type)
        if bounds.default is not None and enums is not None:
            default = enums.default(below_domains(fact.type), default)
        nullable = nullable or bounds.default is None
    elif parameter.optional:
        default = "UNSET"
    annotation = annotation.or_null() if nullable else annotation
    if default == "UNSET":
        annotation = annotation.wrapped(
            "{} | UnsetType", ("plainsql.types", "UNSET"), ("plainsql.types", "UnsetType")
        )
    if "Decimal(" in default or (bounds and "Decimal(" in f"{bounds.low!r} {bounds.high!r}"):
        annotation = annotation.wrapped("{}", ("decimal", "Decimal"))
    return PlannedParameter(parameter.name, annotation, default, _wrap(fact.type), not nullable)


def plan_choices(statement: Statement) -> list[PlannedParameter]:
    """Plan the parameters that choose lines."""
    return [
        PlannedParameter(choice.name, _annotate_choice(choice), _default_of_choice(choice))
        for choice in statement.choices
    ]


def plan_settings(statement: Statement, facts: Sequence[SettingFact]) -> list[PlannedParameter]:
    """Plan the parameters that only settings take. Null leaves the setting as the session has it.

    Raises ``ContractError`` if a default is no value of its setting.
    """
    # A setting may be analysed by its name alone: two of one parameter are of one type.
    known = {setting.parameter: fact for setting, fact in zip(statement.settings, facts, strict=False)}
    planned = []
    for parameter in statement.setting_parameters:
        fact, bounds = known[parameter.name], parameter.bounds
        annotation = Annotation(_TYPES_OF_SETTINGS.get(fact.type, "str"), frozenset())
        if fact.type == "enum":
            labels = ", ".join(map(string_literal, fact.labels))
            annotation = Annotation(f"Literal[{labels}]", frozenset({("typing", "Literal")}))
        default = ""
        if bounds is not None and bounds.has_default:
            default = _default_of_setting(statement, parameter, fact)
        nullable = default == "None"
        annotation = annotation.or_null() if nullable else annotation
        if "Decimal(" in f"{bounds and bounds.low!r} {bounds and bounds.high!r}":
            annotation = annotation.wrapped("{}", ("decimal", "Decimal"))
        planned.append(PlannedParameter(parameter.name, annotation, default, required=not nullable))
    return planned


def _default_of_setting(statement: Statement, parameter: Parameter, fact: SettingFact) -> str:
    """Return the default as source, in the type of the setting."""
    assert parameter.bounds is not None
    value = parameter.bounds.default
    if value is None:
        return "None"
    if fact.type == "bool" and isinstance(value, bool):
        return repr(value)
    if isinstance(value, str) and (fact.type == "string" or value in fact.labels):
        return string_literal(value)
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        if fact.type == "integer" and value == int(value):
            return repr(int(value))
        if fact.type == "real":
            return repr(float(value))
    raise _error(
        statement,
        parameter.bounds,
        f"the default of {parameter.name} is no value of {fact.name}, which is of the type {fact.type}",
        f"write one of {', '.join(fact.labels)}" if fact.labels else "write a value of that type",
    )


def _annotate_choice(choice: Choice) -> Annotation:
    if choice.is_flag:
        return Annotation("bool", frozenset())
    values = ", ".join(string_literal(str(value)) for value in choice.values)
    return Annotation(f"Literal[{values}]", frozenset({("typing", "Literal")}))


def _default_of_choice(choice: Choice) -> str:
    if choice.default is None:
        return ""
    return repr(choice.default) if isinstance(choice.default, bool) else string_literal(choice.default)


def _check_bounds(statement: Statement, name: str, bounds: Bounds, type: PgType) -> None:
    ends = [end for end in (bounds.low, bounds.high) if end is not None]
    base = below_domains(type)
    if not ends:
        return
    if base.name not in {*_INTEGERS, *_FLOATS, "numeric"}:
        raise _error(
            statement,
            bounds,
            f"{name} has bounds, and is {type}, which is no number",
            f"remove the bounds, and compare :{name} in the SQL",
        )
    for end in ends:
        if not _in_range(base, end):
            raise _error(
                statement,
                bounds,
                f"the bound {end} of {name} is out of the range of {type}",
                "leave that bound out: values outside of the type are refused without it",
            )


def _in_range(type: PgType, number: int | Decimal) -> bool:
    if type.name in _INTEGERS:
        low, high = _INTEGERS[type.name]
        return low <= number <= high
    greatest = _FLOATS.get(type.name)
    return greatest is None or -greatest <= number <= greatest


def _default(statement: Statement, name: str, bounds: Bounds, type: PgType) -> str:
    """Return the default as source, in the parameter's own type."""
    value, shown = bounds.default, type
    type = below_domains(type)
    if value is None:
        return "None"
    written = _written(value, type)
    if written is None:
        raise _error(
            statement,
            bounds,
            f"the default of {name} is no {shown}, which is its type",
            "defaults are numbers, texts, labels, true, false or null; else, use coalesce in the SQL",
        )
    return written


def _written(value: bool | str | int | Decimal, type: PgType) -> str | None:
    """Return a value of a type as source; ``None`` if it does not belong to the type."""
    if isinstance(value, bool):
        return repr(value) if type.name == "bool" else None
    if isinstance(value, str):
        return string_literal(value) if type.name in _TEXTS or value in type.labels else None
    if type.name == "numeric":
        return f"Decimal({str(value)!r})"
    if not _in_range(type, value):
        return None
    if type.name in _FLOATS:
        return repr(float(value))
    return repr(int(value)) if type.name in _INTEGERS and value == int(value) else None


def _wrap(type: PgType) -> str:
    """Return the function that a parameter of this type passes through on its way to the driver, if any."""
    type = below_domains(type)
    if type.kind == "composite":
        return "composite"
    if type.name in ("bit", "varbit"):
        return "bits"
    if type.kind == "array" and type.element is not None:
        inner = below_domains(type.element)
        if inner.kind == "composite":
            return "composite"
        if inner.name in ("json", "jsonb", "vector", "halfvec", "sparsevec"):
            return "elements"
        if inner.kind in ("array", "multirange") or inner.name == "polygon":
            return "tuples"
    return ""


def _error(statement: Statement, bounds: Bounds, message: str, hint: str) -> ContractError:
    place = bounds.place or Place(statement.path, statement.body_line)
    return ContractError(f"{statement.name}: {message}", place=place, hint=hint)
