"""The typical calls of a query: those that its header names, or those drawn from the statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from psycopg import Connection

from plainsql.plans.explain.compared_columns import compared_parameters
from plainsql.plans.explain.query_plans import Call, default_text
from plainsql.plans.explain.typical_values import (
    TypicalValues,
    range_columns,
    read_columns,
    read_types,
    values_of,
)
from plainsql.statements import Statement
from plainsql.statements.model import Bounds

__all__ = ["drawn_calls", "example_calls"]

_NAMES: Final = ("common", "rare", "absent")


def example_calls(statement: Statement) -> tuple[Call, ...]:
    """Return the calls of the header's examples."""
    calls = []
    choices = {choice.name for choice in statement.choices}
    defaults = {choice.name: choice.default for choice in statement.choices if choice.default is not None}
    for number, example in enumerate(statement.examples, 1):
        given = dict(example.values)
        chosen = {name: value for name, value in given.items() if isinstance(value, str | bool)}
        calls.append(
            Call(
                name=f"example {number}" if len(statement.examples) > 1 else "example",
                values={name: _text(value) for name, value in given.items() if name not in choices},
                choices=defaults | {name: value for name, value in chosen.items() if name in choices},
                place=str(example.place),
                required=True,
            )
        )
    return tuple(calls)


def drawn_calls(connection: Connection[Any], statement: Statement) -> tuple[tuple[Call, ...], list[str]]:
    """Return calls with a common, a rare and an absent value of each parameter, and notes about them.

    A parameter that is compared with a column has values from the statistics of the column. Others have the
    default of the header, or a value of their type. Calls that equal an earlier one are left out, and without
    statistics there is one call, ``assumed``. A query without parameters has no calls.

    Raises ``RefusedError`` if PostgreSQL refuses the query.
    """
    comparisons, type_oids = compared_parameters(connection, statement)
    if not type_oids:
        return (), []
    every = [each for found in comparisons.values() for each in found]
    columns, ranges = read_columns(connection, every), range_columns(every)
    types = read_types(connection, [*type_oids.values(), *(column.type for column in columns.values())])
    values: dict[str, TypicalValues] = {}
    notes: list[str] = []
    for name, oid in type_oids.items():
        found = values_of(comparisons.get(name, ()), columns, types[oid], types, ranges)
        bounds = statement.parameter(name).bounds
        if not found.source and bounds is not None:
            if bounds.has_default:
                found = TypicalValues.same(default_text(statement, name))
            else:
                found = TypicalValues.same(_within(found.common, bounds))
        if found.common is None and not (bounds is not None and bounds.has_default):
            # A null would make most conditions false, and the plan would be about nothing.
            notes.append(f"no calls with :{name} are drawn: no value of its type {types[oid].name} is known")
        else:
            values[name] = found
    return _calls(values), notes


def _calls(values: Mapping[str, TypicalValues]) -> tuple[Call, ...]:
    if not any(each.source for each in values.values()):
        return (Call(name="assumed", values={name: each.common for name, each in values.items()}),)
    calls: list[Call] = []
    for index, name in enumerate(_NAMES):
        drawn = {parameter: each[index] for parameter, each in values.items()}
        if all(call.values != drawn for call in calls):
            calls.append(Call(name=name, values=drawn))
    return tuple(calls)


def _within(text: str | None, bounds: Bounds) -> str | None:
    """Return a number within the bounds of the header."""
    if text is None or not text.lstrip("-").isdigit():
        return text
    number = int(text)
    if bounds.low is not None and number < bounds.low:
        return str(bounds.low)
    return str(bounds.high) if bounds.high is not None and number > bounds.high else text


def _text(value: object) -> str | None:
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)
