"""Comparisons that do not use the index that exists for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from plainsql.analysis.catalog.relations import Relation
from plainsql.analysis.conditions.equalities import plain_variable, strip_relabel
from plainsql.analysis.findings.examined import Examined
from plainsql.analysis.model import Finding
from plainsql.analysis.nodes import Node
from plainsql.analysis.tree.query_tree import EntryKind, Scope

__all__ = ["examine_indexes"]


def examine_indexes(examined: Examined) -> Iterator[Finding]:
    """Yield the findings about indexes, in all queries that the statement itself contains."""
    for scope in examined.prover.scopes.all(examined.scope):
        each = replace(examined, scope=scope)
        for node in scope.query.expressions():
            if node.kind in ("OPEXPR", "SCALARARRAYOPEXPR"):
                yield from _casts(each, node)


def _column(examined: Examined, node: Node, scope: Scope) -> tuple[Relation, int] | None:
    """Return the table's column that an expression is."""
    variable = plain_variable(node, scope)
    entry = scope.query.entry(variable[0]) if variable is not None else None
    if variable is None or entry is None or entry.kind is not EntryKind.RELATION:
        return None
    relation = examined.prover.catalog.relation(entry.relation)
    return (relation, variable[1]) if relation is not None and variable[1] in relation.columns else None


def _casts(examined: Examined, node: Node) -> Iterator[Finding]:
    """Yield columns that are cast to be compared: an index on the column itself cannot serve that."""
    routines = examined.prover.catalog.routines
    if node.number("opno") not in routines.search_families:
        return
    for arg in node.nodes("args"):
        inner = _below_cast(arg)
        found = _column(examined, inner, examined.scope) if inner is not None else None
        if found is None:
            continue
        relation, column = found
        indexes = [index.name for index in relation.indexes if index.columns[0] == column]
        if not indexes or _has_expression_index(relation):
            continue
        name = relation.columns[column].name
        target = examined.prover.catalog.type(_result_type(arg))
        yield Finding(
            "cast-defeats-index",
            f"{name} is cast to {target} to be compared: the index {indexes[0]} does not serve that",
            examined.places.of(inner) or examined.places.of(node),
            f"cast the other side to {examined.prover.catalog.type(relation.columns[column].type)},"
            " or compare with a range",
        )


def _below_cast(node: Node) -> Node | None:
    """Return the argument of a cast that computes; a relabelling computes nothing."""
    node = strip_relabel(node)
    if node.kind == "FUNCEXPR" and node.number("funcformat") in (1, 2) and node.nodes("args"):
        return node.nodes("args")[0]
    if node.kind == "COERCEVIAIO":
        return node.node("arg")
    return None


def _result_type(node: Node) -> int:
    node = strip_relabel(node)
    return node.number("funcresulttype") or node.number("resulttype")


def _has_expression_index(relation: Relation) -> bool:
    # Its expression is not compared: no finding is better than a wrong one.
    return any(index.columns[0] == 0 for index in relation.indexes)
