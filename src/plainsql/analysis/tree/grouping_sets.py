"""Grouping sets: the columns that all of them have, and whether one of them can be the empty set."""

from __future__ import annotations

from enum import IntEnum

from plainsql.analysis.nodes import Node
from plainsql.analysis.tree.query_tree import QueryTree

__all__ = ["columns_in_every_set", "groups_are_never_empty"]


class _GroupingSet(IntEnum):
    """``GroupingSetKind``; the others (empty, rollup, cube) all hold the empty set."""

    SIMPLE = 1
    SETS = 4


def columns_in_every_set(query: QueryTree) -> frozenset[int]:
    """Return the sort-group references that no grouping set leaves out."""
    items = query.node.nodes("groupingSets")
    return frozenset().union(*(_common(item) for item in items))


def groups_are_never_empty(query: QueryTree) -> bool:
    """Return whether each group in the result holds at least one row.

    The empty grouping set, and an aggregate without ``group by``, give a group even if there are no rows.
    """
    if not query.node.nodes("groupClause"):
        return False
    items = query.node.nodes("groupingSets")
    return not items or any(_never_empty(item) for item in items)


def _common(item: Node) -> frozenset[int]:
    match item.number("kind"):
        case _GroupingSet.SIMPLE:
            return frozenset(item.numbers("content"))
        case _GroupingSet.SETS:
            parts = [_common(part) for part in item.nodes("content")]
            return frozenset.intersection(*parts) if parts else frozenset()
        case _:
            pass
    return frozenset()


def _never_empty(item: Node) -> bool:
    if item.number("kind") == _GroupingSet.SETS:
        return all(_never_empty(part) for part in item.nodes("content"))
    return item.number("kind") == _GroupingSet.SIMPLE and bool(item.numbers("content"))
