"""The origins of a statement's columns and parameters, added to the facts about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.model import ColumnFact, ColumnRef, Origin, ParameterFact
from plainsql.analysis.origins.parameter_origins import parameter_origins
from plainsql.analysis.origins.value_origins import ValueOrigins
from plainsql.analysis.tree.query_tree import Scope
from plainsql.analysis.tree.scopes import Scopes

__all__ = ["FactsWithOrigins", "with_origins"]


class FactsWithOrigins(NamedTuple):
    """The facts of a statement, with the origins of each."""

    parameters: tuple[ParameterFact, ...]
    columns: tuple[ColumnFact, ...]


def with_origins(
    catalog: Catalog,
    scopes: Scopes,
    scope: Scope,
    parameters: Sequence[ParameterFact],
    columns: Sequence[ColumnFact],
) -> FactsWithOrigins:
    """Return the facts with the origins of the values that they are about."""
    values = ValueOrigins(catalog, scopes)
    outputs = values.outputs(scope) if columns else []
    known = len(outputs) == len(columns)
    uses = parameter_origins(catalog, scopes, scope, values)
    return FactsWithOrigins(
        tuple(
            replace(fact, origins=found, elements_not_null=_are_not_null(catalog, found))
            for fact, found in ((fact, uses.get(number, ())) for number, fact in enumerate(parameters, 1))
        ),
        tuple(
            replace(column, origins=tuple(sorted(outputs[index] or ()))) if known else column
            for index, column in enumerate(columns)
        ),
    )


def _are_not_null(catalog: Catalog, origins: Sequence[Origin]) -> bool:
    """Return whether there are columns among the origins, and all of them are never null."""
    return bool(origins) and all(
        origin.columns and _is_not_null(catalog, origin.columns[0]) for origin in origins
    )


def _is_not_null(catalog: Catalog, column: ColumnRef) -> bool:
    relation = catalog.relation_named(column.schema, column.table)
    if relation is None:
        return False
    numbers = [number for number, each in relation.columns.items() if each.name == column.column]
    return bool(numbers) and catalog.column_is_not_null(relation, numbers[0])[0]
