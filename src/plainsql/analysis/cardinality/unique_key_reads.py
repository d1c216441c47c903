"""Reads that find at most one row by a unique key, whatever the values of their parameters.

Such a read may run as one statement for many calls. The planner then sees no values, but it plans an equality
with a unique key in the same way for all values. Anything else that depends
on a value (an order, a limit, a filter with an estimate) would get another plan. With an approximate index
it would get other rows.

A query that is not understood is not a read by key.
"""

from __future__ import annotations

from collections.abc import Iterator

from plainsql.analysis.cardinality.row_counts import Cardinality
from plainsql.analysis.cardinality.unique_rows import from_entries
from plainsql.analysis.conditions.equalities import collect_equalities, is_repeatable
from plainsql.analysis.nodes import Node
from plainsql.analysis.tree.query_tree import (
    Command,
    EntryKind,
    QueryTree,
    RangeTableEntry,
    Scope,
    expression_children,
)

__all__ = ["reads_by_key"]

_REFUSED_CLAUSES = (
    "sortClause",
    "limitCount",
    "limitOffset",
    "distinctClause",
    "groupClause",
    "groupingSets",
    "windowClause",
    "havingQual",
    "setOperations",
    "cteList",
    "rowMarks",
)
"""Clauses that a read by key does not have."""


def reads_by_key(cardinality: Cardinality, scope: Scope) -> bool:
    """Return whether a query reads at most one row by unique keys, from tables only.

    All its parameters are compared with these keys; otherwise they may appear only in the select list.
    """
    query = scope.query
    if query.command != Command.SELECT or query.is_aggregated or query.returned_sets():
        return False
    if any(query.node.fields.get(clause) for clause in _REFUSED_CLAUSES):
        return False
    entries = from_entries(query)
    if not entries or any(entry.kind is not EntryKind.RELATION for entry in entries):
        return False
    for entry in entries:
        relation = cardinality.catalog.relation(entry.relation)
        if relation is None or relation.is_view or entry.node.node("tablesample") is not None:
            return False
    if any(part.kind == "SUBLINK" for part in query.expressions()):
        return False
    if not cardinality.at_most_one(scope).proved:
        return False
    keyed = _equalities_with_keys(cardinality, scope)
    return all(id(parameter) in keyed for parameter in _parameters_of_conditions(query))


def _equalities_with_keys(cardinality: Cardinality, scope: Scope) -> set[int]:
    """Return the parameters that are compared for equality with a column of a unique key, by the ids of their
    nodes.

    All columns of that key are compared in this way.
    """
    equalities = collect_equalities(cardinality.catalog, scope)
    found: set[int] = set()
    for entry in from_entries(scope.query):
        own = [
            equality
            for equality in equalities
            if equality.variable[0] == entry.index
            and (equality.only_for is None or entry.index in equality.only_for)
            and _is_known_before(cardinality, entry, equality.other)
        ]
        for key, _ in cardinality.keys(entry, scope):
            compared = [
                equality for equality in own if equality.families & key.get(equality.variable[1], frozenset())
            ]
            if {equality.variable[1] for equality in compared} != set(key):
                continue
            found.update(
                id(part)
                for equality in compared
                for part in expression_children(equality.other)
                if part.kind == "PARAM"
            )
    return found


def _is_known_before(cardinality: Cardinality, entry: RangeTableEntry, value: Node) -> bool:
    """Return whether a value is known before the row is found with which it is compared."""
    return is_repeatable(cardinality.catalog, value) and not any(
        part.kind == "VAR" and part.number("varno") == entry.index for part in expression_children(value)
    )


def _parameters_of_conditions(query: QueryTree) -> Iterator[Node]:
    tree = query.node.node("jointree")
    for part in expression_children(tree) if tree is not None else ():
        if part.kind == "PARAM":
            yield part
