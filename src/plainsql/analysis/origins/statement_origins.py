"""The origins of a statement's columns and parameters, added to the facts about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.model import ColumnFact, ParameterFact
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
        tuple(replace(fact, origins=uses.get(number, ())) for number, fact in enumerate(parameters, 1)),
        tuple(
            replace(column, origins=tuple(sorted(outputs[index] or ()))) if known else column
            for index, column in enumerate(columns)
        ),
    )
