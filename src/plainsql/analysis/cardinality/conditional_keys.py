"""Unique keys that hold under a condition: of partial indexes, of expressions, and with equal nulls.

A partial index keeps rows unique among those that fulfil its predicate, so it counts if the query's own
conditions imply the predicate. Only two simple implications are recognised: the query has the same condition,
or the condition follows from a value that cannot be null.
"""

from __future__ import annotations

from collections.abc import Iterator

from plainsql.analysis.catalog.relations import ConditionalKey, Relation
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.conditions.equalities import (
    Equality,
    conditions,
    equality_families,
    plain_variable,
    strip_relabel,
)
from plainsql.analysis.conditions.expression_keys import LOCATION_FIELDS
from plainsql.analysis.conditions.known_facts import ExpressionKey, Facts
from plainsql.analysis.nodes import Node, Value
from plainsql.analysis.tree.query_tree import Command, RangeTableEntry, Scope

__all__ = ["expression_equalities", "implied_keys"]

_IS_NULL, _IS_NOT_NULL, _IS_TRUE = 0, 1, 0


def implied_keys(
    relation: Relation, entry: RangeTableEntry, scope: Scope, facts: Facts
) -> Iterator[tuple[ConditionalKey, frozenset[int]]]:
    """Yield the keys whose condition holds in every row, with the positions of their columns that are null
    there.
    """
    if not relation.conditional_keys or scope.query.command == Command.MERGE:
        return
    known = [node for node, only_for in conditions(scope) if only_for is None or entry.index in only_for]
    shapes = {_shape(_plain_test(node), entry.index) for node in known}
    nulls = {
        variable[1]
        for node in known
        if node.kind == "NULLTEST" and node.number("nulltesttype") == _IS_NULL and not node.flag("argisrow")
        if (arg := node.node("arg")) is not None
        if (variable := plain_variable(arg, scope)) is not None and variable[0] == entry.index
    }
    for key in relation.conditional_keys:
        if all(
            _shape(_plain_test(part), 1) in shapes or _follows(part, entry, scope, facts)
            for part in key.predicate
        ):
            alike = {i for i, column in enumerate(key.columns) if key.nulls_not_distinct and column in nulls}
            yield key, frozenset(alike)


def expression_equalities(
    catalog: Catalog, expression: Node, entry: RangeTableEntry, scope: Scope
) -> Iterator[Equality]:
    """Yield the equalities of a query that have an index's expression over the entry on one side."""
    wanted = _shape(strip_relabel(expression), 1)
    for node, only_for in conditions(scope):
        args = node.nodes("args")
        families = equality_families(catalog, node.number("opno")) if node.kind == "OPEXPR" else frozenset()
        # A collation that treats different texts as equal makes `=` weaker than a unique index.
        if (
            len(args) != 2
            or not families
            or node.number("inputcollid") in catalog.routines.nondeterministic_collations
        ):
            continue
        for one, other in ((strip_relabel(args[0]), args[1]), (strip_relabel(args[1]), args[0])):
            # Above an outer join the expression may belong to a row that does not exist.
            if _shape(one, entry.index) == wanted and not any(n.bits("varnullingrels") for n in one.walk()):
                yield Equality((entry.index, 0), other, families, only_for, node, one)


def _plain_test(node: Node) -> Node:
    """Return `x` for `x is true`: if one of them holds, so does the other."""
    arg = node.node("arg")
    if node.kind == "BOOLEANTEST" and node.number("booltesttype") == _IS_TRUE and arg is not None:
        return arg
    return node


def _follows(predicate: Node, entry: RangeTableEntry, scope: Scope, facts: Facts) -> bool:
    """Return whether a predicate `x is not null` follows from another condition."""
    arg = predicate.node("arg")
    return (
        predicate.kind == "NULLTEST"
        and predicate.number("nulltesttype") == _IS_NOT_NULL
        and not predicate.flag("argisrow")
        and arg is not None
        and arg.kind == "VAR"
        and ("var", scope.query.id, entry.index, arg.number("varattno")) in facts.keys
    )


def _shape(value: Value, index: int) -> ExpressionKey:
    """Return a form of an expression over one relation: equal forms are equal values in the same row."""
    if isinstance(value, Node):
        if value.kind == "VAR":
            own = value.number("varno") == index and not value.number("varlevelsup")
            place = () if own else (value.number("varlevelsup"), value.number("varno"))
            return ("column", value.number("varattno"), value.number("varreturningtype"), *place)
        return (
            value.kind,
            *(
                (name, _shape(item, index))
                for name, item in value.fields.items()
                if name not in LOCATION_FIELDS
            ),
        )
    if isinstance(value, list):
        return tuple(_shape(item, index) for item in value)
    return value
