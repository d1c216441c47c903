"""Exclusion constraints and keys ``without overlaps`` that leave one row.

No two rows have equal values in the columns of ``=`` and overlapping ranges. Rows whose range contains the
same moment overlap, and so do rows whose ranges have no end. Two empty ranges are equal and do not overlap.
"""

from __future__ import annotations

from collections.abc import Callable

from plainsql.analysis.catalog.relations import ExclusionKey
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.conditions.equalities import conditions, plain_variable
from plainsql.analysis.nodes import Node
from plainsql.analysis.tree.query_tree import RangeTableEntry, Scope

__all__ = ["leaves_one_row"]

_OVERLAPS = frozenset({"range_overlaps", "multirange_overlaps_multirange"})
"""The functions of the ``&&`` of ranges."""

_CONTAINS = frozenset({"range_contains_elem", "multirange_contains_elem"})
_CONTAINED = frozenset({"elem_contained_by_range", "elem_contained_by_multirange"})
_ENDLESS = frozenset({"upper_inf", "lower_inf"})
_BOUNDS = frozenset({"upper", "lower"})


def leaves_one_row(
    catalog: Catalog,
    key: ExclusionKey,
    entry: RangeTableEntry,
    scope: Scope,
    equal: Callable[[int, frozenset[int]], bool],
    determined: Callable[[Node], bool],
) -> bool:
    """Return whether the query's conditions leave one row of an entry, by an exclusion constraint.

    ``equal`` returns whether a column has one value by the equality of one of these families, and
    ``determined`` whether an expression has one value.
    """
    for column, operator in zip(key.columns, key.operators, strict=True):
        families = frozenset(catalog.routines.families_of_equality.get(operator, ()))
        if families:
            if not equal(column, families):
                return False
            continue
        if _function(catalog, operator=operator) not in _OVERLAPS:
            return False
        # Every range type of the server is compared by one family: equal ranges that are not empty overlap.
        same = key.without_empty and equal(column, _families_of_ranges(catalog, operator))
        if not same and not _share_a_moment(catalog, key, (entry.index, column), scope, determined):
            return False
    return True


def _share_a_moment(
    catalog: Catalog,
    key: ExclusionKey,
    column: tuple[int, int],
    scope: Scope,
    determined: Callable[[Node], bool],
) -> bool:
    """Return whether the ranges in all rows that remain have a moment in common."""
    entry = scope.query.entry(column[0])
    relation = catalog.relation(entry.relation) if entry is not None else None
    # An empty range has no bounds either, and neither has null.
    endless_if_null = (
        key.without_empty
        and entry is not None
        and relation is not None
        and catalog.column_is_not_null(relation, column[1], with_children=entry.with_children)[0]
    )
    for node, only_for in conditions(scope):
        if only_for is not None and column[0] not in only_for:
            continue
        args = node.nodes("args")
        if node.kind == "OPEXPR" and len(args) == 2:
            function = _function(catalog, operator=node.number("opno"))
            range_, moment = (args[0], args[1]) if function in _CONTAINS else (args[1], args[0])
            if function not in _CONTAINS | _CONTAINED:
                continue
            if plain_variable(range_, scope) == column and determined(moment):
                return True
        elif node.kind == "FUNCEXPR" and len(args) == 1:
            function = _function(catalog, function=node.number("funcid"))
            if function in _ENDLESS and plain_variable(args[0], scope) == column:
                return True
        elif node.kind == "NULLTEST" and endless_if_null and _is_no_bound(catalog, node, column, scope):
            return True
    return False


def _is_no_bound(catalog: Catalog, node: Node, column: tuple[int, int], scope: Scope) -> bool:
    """Return whether a condition is `upper(range) is null` or `lower(range) is null`."""
    call = node.node("arg")
    if node.number("nulltesttype") or call is None or call.kind != "FUNCEXPR":
        return False
    args = call.nodes("args")
    return (
        len(args) == 1
        and _function(catalog, function=call.number("funcid")) in _BOUNDS
        and plain_variable(args[0], scope) == column
    )


def _function(catalog: Catalog, *, function: int = 0, operator: int = 0) -> str:
    """Return the name of a function of the server's own; empty for any other."""
    if operator:
        known = catalog.operator(operator)
        function = known.function if known is not None else 0
    found = catalog.function(function)
    return found.name if found is not None and found.is_builtin else ""


def _families_of_ranges(catalog: Catalog, overlaps: int) -> frozenset[int]:
    """Return the families of the equality of the ranges, or multiranges, that an operator compares."""
    operator = catalog.operator(overlaps)
    return frozenset(
        family
        for oid, families in catalog.routines.families_of_equality.items()
        if (each := catalog.operator(oid)) is not None
        and operator is not None
        and (each.left, each.right) == (operator.left, operator.right)
        for family in families
    )
