"""The subqueries that a planner merges into the query around them: it plans both as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.conditions.equalities import calls_volatile, conditions, outer_variables
from plainsql.analysis.nodes import Node
from plainsql.analysis.tree.query_sites import QuerySite
from plainsql.analysis.tree.query_tree import Command, EntryKind, QueryTree, Scope, Sublink
from plainsql.analysis.tree.scopes import Scopes

__all__ = ["merged_queries"]

_MATERIALIZED = 1
"""``CTEMaterializeAlways``."""


def merged_queries(catalog: Catalog, scopes: Scopes, sites: Sequence[QuerySite]) -> frozenset[int]:
    """Return the ids of the queries that are planned as a part of the query around them.

    Views are left out: one with a security barrier is planned by itself.
    """
    found: set[int] = set()
    for site in sites:
        for inner in _candidates(scopes, site.scope):
            if _is_plain(inner.query) and not any(
                calls_volatile(catalog, target) for target in inner.query.target_list
            ):
                found.add(inner.query.id)
    return frozenset(found)


def _candidates(scopes: Scopes, scope: Scope) -> Iterator[Scope]:
    for entry in scope.query.entries:
        if entry.kind is EntryKind.SUBQUERY and (inner := scopes.of_entry(entry, scope)) is not None:
            yield inner
    for name, cte in scope.query.ctes.items():
        is_inlined = cte.number("cterefcount") == 1 and cte.number("ctematerialized") != _MATERIALIZED
        inner = scopes.of_cte(name, scope)
        if inner is not None and is_inlined and not cte.flag("cterecursive"):
            yield inner
    if scope.query.command == Command.MERGE:
        return
    for condition, _ in conditions(scope):
        node = condition
        if node.kind == "BOOLEXPR" and node.text("boolop") == "not":
            args = node.nodes("args")
            # `not in` is not merged: it is not the opposite of `in` if there are nulls.
            if args and args[0].number("subLinkType") != Sublink.EXISTS:
                continue
            node = args[0] if args else node
        if node.kind == "SUBLINK" and node.number("subLinkType") in (Sublink.EXISTS, Sublink.ANY):
            inner = scopes.of_sublink(node, scope)
            # An `in` whose query refers to the one around it stays a query of its own, or becomes lateral.
            is_list = node.number("subLinkType") == Sublink.ANY
            if inner is not None and not (is_list and _refers_outwards(inner.query)):
                yield inner


def _is_plain(query: QueryTree) -> bool:
    """Return whether a query only filters and joins: no limit, no group, no order that decides on rows."""
    node = query.node
    return (
        query.command == Command.SELECT
        and query.set_operation() is None
        and not query.is_aggregated
        and not query.ctes
        and not query.returned_sets()
        and not any(node.flag(each) for each in ("hasWindowFuncs", "hasDistinctOn"))
        and not any(
            _given(node, each) for each in ("limitCount", "limitOffset", "distinctClause", "rowMarks")
        )
    )


def _refers_outwards(query: QueryTree) -> bool:
    return any(levels > 0 for _, levels in outer_variables(query.node))


def _given(node: Node, name: str) -> bool:
    return node.node(name) is not None or bool(node.items(name))
