"""Unique keys that hold under a condition: of partial indexes, of expressions, and with equal nulls.

A partial index keeps rows unique among those that fulfil its predicate, so it counts if the query's own
conditions imply the predicate. Only three simple implications are recognised: the query has the same
condition, it compares with one value of a list, or the condition follows from a value that cannot be null.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from plainsql.analysis.catalog.relations import ConditionalKey, Relation
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.conditions.equalities import (
    Equality,
    conditions,
    equality_families,
    is_repeatable,
    not_distinct,
    plain_variable,
    strip_relabel,
)
from plainsql.analysis.conditions.expression_keys import LOCATION_FIELDS
from plainsql.analysis.conditions.known_facts import ExpressionKey, Facts
from plainsql.analysis.nodes import Node, Value
from plainsql.analysis.tree.query_tree import Command, RangeTableEntry, Scope, expression_children

__all__ = ["expression_equalities", "expression_shape", "implied_keys", "is_implied"]

_IS_NULL, _IS_NOT_NULL = 0, 1
_IS_TRUE, _IS_FALSE = 0, 2

_BOOLEAN_EQUALS = 91
"""The oid of `=` of booleans, which is the same on all servers."""


def implied_keys(
    catalog: Catalog, relation: Relation, entry: RangeTableEntry, scope: Scope, facts: Facts
) -> Iterator[tuple[ConditionalKey, frozenset[int]]]:
    """Yield the keys whose condition holds in every row.

    Each has the positions of its columns that are null there, or are not distinct from one value.
    """
    if not relation.conditional_keys or scope.query.command == Command.MERGE:
        return
    known = _known(entry, scope)
    shapes = _shapes(known, entry)
    nulls = {
        variable[1]
        for node in known
        if node.kind == "NULLTEST" and node.number("nulltesttype") == _IS_NULL and not node.flag("argisrow")
        if (arg := node.node("arg")) is not None
        if (variable := plain_variable(arg, scope)) is not None and variable[0] == entry.index
    }
    same = {
        (variable[1], family)
        for node in known
        for variable, _, other, families, _ in not_distinct(catalog, node, scope)
        if variable[0] == entry.index and _is_one_value(catalog, other)
        for family in families
    }
    for key in relation.conditional_keys:
        if _all_hold(key.predicate, shapes, entry, scope, facts):
            pairs = enumerate(zip(key.columns, key.families, strict=False))
            alike = {i for i, (column, family) in pairs if column in nulls or (column, family) in same}
            yield key, frozenset(alike) if key.nulls_not_distinct else frozenset()


def is_implied(predicate: Iterable[Node], entry: RangeTableEntry, scope: Scope, facts: Facts) -> bool:
    """Return whether the conditions of a partial index hold in every row of an entry."""
    return _all_hold(predicate, _shapes(_known(entry, scope), entry), entry, scope, facts)


def _known(entry: RangeTableEntry, scope: Scope) -> list[Node]:
    """Return the conditions that the rows of an entry fulfil."""
    return [node for node, only_for in conditions(scope) if only_for is None or entry.index in only_for]


def _shapes(known: Iterable[Node], entry: RangeTableEntry) -> set[ExpressionKey]:
    """Return the forms of these conditions."""
    shapes: set[ExpressionKey] = set()
    for node in known:
        shapes.add(expression_shape(_plain_test(node), entry.index))
        args = node.nodes("args")
        if node.kind == "OPEXPR" and len(args) == 2 and args[1].kind == "CONST":
            shapes.add(_compared(node, args[0], args[1], entry.index))
    return shapes


def _all_hold(
    predicate: Iterable[Node],
    shapes: set[ExpressionKey],
    entry: RangeTableEntry,
    scope: Scope,
    facts: Facts,
) -> bool:
    return all(
        expression_shape(_plain_test(part), 1) in shapes
        or any(shape in shapes for shape in _each_of_list(part))
        or _follows(part, entry, scope, facts)
        for part in predicate
    )


def _is_one_value(catalog: Catalog, node: Node) -> bool:
    """Return whether an expression has the same value in all rows: it reads no column of this query."""
    return is_repeatable(catalog, node) and not any(
        part.kind == "VAR" and not part.number("varlevelsup") for part in expression_children(node)
    )


def _each_of_list(predicate: Node) -> Iterator[ExpressionKey]:
    """Yield the form of `x = a` and of `x = b` for a predicate `x in (a, b)`."""
    args = predicate.nodes("args")
    if predicate.kind != "SCALARARRAYOPEXPR" or not predicate.flag("useOr") or len(args) != 2:
        return
    for element in args[1].nodes("elements") if args[1].kind == "ARRAYEXPR" else ():
        yield _compared(predicate, args[0], element, 1)


def _compared(node: Node, left: Node, right: Node, index: int) -> ExpressionKey:
    operator, collation = node.number("opno"), node.number("inputcollid")
    return ("compared", operator, collation, expression_shape(left, index), expression_shape(right, index))


def expression_equalities(
    catalog: Catalog, expression: Node, entry: RangeTableEntry, scope: Scope
) -> Iterator[Equality]:
    """Yield the equalities of a query that have an index's expression over the entry on one side."""
    wanted = expression_shape(strip_relabel(expression), 1)
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
            if expression_shape(one, entry.index) == wanted and not any(
                n.bits("varnullingrels") for n in one.walk()
            ):
                yield Equality((entry.index, 0), other, families, only_for, node, one)


def _plain_test(node: Node) -> Node:
    """Return `x` for `x is true` and `x = true`, `not x` for `x is false` and `x = false`.

    If one of them holds, so does the other.
    """
    arg, args = node.node("arg"), node.nodes("args")
    if node.kind == "BOOLEXPR" and node.text("boolop") == "not":
        return _negated(args[0])
    if (
        node.kind == "BOOLEANTEST"
        and arg is not None
        and node.number("booltesttype") in (_IS_TRUE, _IS_FALSE)
    ):
        return _plain_test(arg) if node.number("booltesttype") == _IS_TRUE else _negated(arg)
    if node.kind == "OPEXPR" and node.number("opno") == _BOOLEAN_EQUALS:
        for one, other in (args, args[::-1]):
            value = other.datum("constvalue")
            if other.kind == "CONST" and not other.flag("constisnull") and value:
                return _plain_test(one) if any(value) else _negated(one)
    return node


def _negated(node: Node) -> Node:
    negation = Node("BOOLEXPR")
    negation.fields |= {"boolop": "not", "args": [_plain_test(node)]}
    return negation


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


def expression_shape(value: Value, index: int) -> ExpressionKey:
    """Return a form of an expression over one relation: equal forms are equal values in the same row."""
    if isinstance(value, Node):
        if value.kind == "VAR":
            own = value.number("varno") == index and not value.number("varlevelsup")
            place = () if own else (value.number("varlevelsup"), value.number("varno"))
            return ("column", value.number("varattno"), value.number("varreturningtype"), *place)
        return (
            value.kind,
            *(
                (name, expression_shape(item, index))
                for name, item in value.fields.items()
                if name not in LOCATION_FIELDS
            ),
        )
    if isinstance(value, list):
        return tuple(expression_shape(item, index) for item in value)
    return value
