"""The subqueries that a planner plans together with the query around them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.conditions.equalities import calls_volatile, conditions, outer_variables
from plainsql.analysis.nodes import Node
from plainsql.analysis.tree.query_sites import QuerySite
from plainsql.analysis.tree.query_tree import Command, EntryKind, QueryTree, Scope, Sublink
from plainsql.analysis.tree.row_limits import keeps_first_row
from plainsql.analysis.tree.scopes import Scopes

__all__ = ["PlannedTogether", "is_inlined", "planned_together"]

_MATERIALIZED, _NOT_MATERIALIZED = 1, 2
"""``CTEMaterializeAlways`` and ``CTEMaterializeNever``."""


@dataclass(frozen=True, slots=True)
class PlannedTogether:
    """The queries, by id, that a planner does not plan by themselves."""

    merged: frozenset[int]
    """Those whose tables become tables of the query around them."""
    joined: frozenset[int]
    """Those of an `in` that becomes a join: its comparisons are seen inside, merged or not."""


def planned_together(catalog: Catalog, scopes: Scopes, sites: Sequence[QuerySite]) -> PlannedTogether:
    """Return the queries that are planned as a part of the query around them.

    Views are left out: one with a security barrier is planned by itself.
    """
    merged, joined, nested = set[int](), set[int](), set[int]()
    for site in sites:
        for inner in _subqueries(catalog, scopes, site.scope):
            if _is_plain(inner.query) and not any(
                calls_volatile(catalog, target) for target in inner.query.target_list
            ):
                merged.add(inner.query.id)
        for inner, is_list in _joined(catalog, scopes, site.scope, site.scope.query.id in nested):
            nested.add(inner.query.id)
            if is_list:
                joined.add(inner.query.id)
            if not is_list or _is_plain(inner.query):
                merged.add(inner.query.id)
    return PlannedTogether(frozenset(merged), frozenset(joined))


def is_inlined(catalog: Catalog, cte: Node, query: QueryTree) -> bool:
    """Return whether a planner puts a `with` item into the places that read it."""
    kind = cte.number("ctematerialized")
    return (
        (kind == _NOT_MATERIALIZED or (kind != _MATERIALIZED and cte.number("cterefcount") == 1))
        and not cte.flag("cterecursive")
        and not any(
            part.kind == "QUERY" and (part.number("commandType") != Command.SELECT or part.items("rowMarks"))
            for part in query.node.walk()
        )
        and not calls_volatile(catalog, query.node)
    )


def _subqueries(catalog: Catalog, scopes: Scopes, scope: Scope) -> Iterator[Scope]:
    for entry in scope.query.entries:
        if entry.kind is EntryKind.SUBQUERY and (inner := scopes.of_entry(entry, scope)) is not None:
            yield inner
    for name, cte in scope.query.ctes.items():
        inner = scopes.of_cte(name, scope)
        if inner is not None and cte.number("cterefcount") == 1 and is_inlined(catalog, cte, inner.query):
            yield inner


def _joined(catalog: Catalog, scopes: Scopes, scope: Scope, is_nested: bool) -> Iterator[tuple[Scope, bool]]:
    """Yield the queries of `exists` and `in` that become joins, and whether it is an `in`."""
    if scope.query.command == Command.MERGE:
        return
    for condition, only_for in conditions(scope):
        node, is_not = condition, False
        if node.kind == "BOOLEXPR" and node.text("boolop") == "not":
            args = node.nodes("args")
            node, is_not = (args[0] if args else node), True
        inner = scopes.of_sublink(node, scope) if node.kind == "SUBLINK" else None
        if inner is None:
            continue
        if node.number("subLinkType") == Sublink.EXISTS:
            if _is_plain_exists(catalog, inner.query):
                where = inner.query.where
                found = [(var, levels) for var, levels in outer_variables(where) if levels] if where else []
                if _of_one_side(found, 1, only_for, is_nested):
                    yield inner, False
        # `not in` is no join: it is not the opposite of `in` if there are nulls.
        elif node.number("subLinkType") == Sublink.ANY and not is_not:
            test = node.node("testexpr")
            # An `in` whose query refers to the one around it is a query of its own until PostgreSQL 16.
            if test is None or calls_volatile(catalog, test) or _refers_outwards(inner.query):
                continue
            if _of_one_side(outer_variables(test), 0, only_for, is_nested):
                yield inner, True


def _of_one_side(
    variables: Sequence[tuple[Node, int]], own: int, only_for: frozenset[int] | None, is_nested: bool
) -> bool:
    """Return whether the variables by which a sub-select refers to its query are of relations that it joins.

    ``own`` is the level of that query. In an outer join's condition, they are of the nullable side. In a
    sub-select that is a join itself, all are of this query, or all of the one around it.
    """
    levels = {level for _, level in variables}
    if is_nested:
        return len(levels) == 1
    numbers = {var.number("varno") for var, level in variables if level == own}
    return own in levels and (only_for is None or numbers <= only_for)


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


def _is_plain_exists(catalog: Catalog, query: QueryTree) -> bool:
    """Return whether an `exists` becomes a join: its columns, order, groups and a limit of a row count for
    nothing, and it refers to the query around it in its `where` alone.
    """
    node = query.node
    return (
        query.command == Command.SELECT
        and query.set_operation() is None
        and not query.ctes
        and not query.returned_sets()
        and not any(node.flag(each) for each in ("hasWindowFuncs", "hasAggs"))
        and not any(_given(node, each) for each in ("limitOffset", "rowMarks", "groupingSets", "havingQual"))
        and keeps_first_row(query)
        and query.where is not None
        and not calls_volatile(catalog, query.where)
        and not any(
            levels > 0
            for part in (*query.node.nodes("rtable"), *query.from_items)
            for _, levels in outer_variables(part)
        )
    )


def _refers_outwards(query: QueryTree) -> bool:
    return any(levels > 0 for _, levels in outer_variables(query.node))


def _given(node: Node, name: str) -> bool:
    return node.node(name) is not None or bool(node.items(name))
