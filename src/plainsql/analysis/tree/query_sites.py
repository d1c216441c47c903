"""All queries that one statement runs, with the queries of its views: a view has a site for each mention."""

from __future__ import annotations

from dataclasses import dataclass

from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.nodes import Node, read_tree
from plainsql.analysis.tree.query_tree import EntryKind, QueryTree, RangeTableEntry, Scope
from plainsql.analysis.tree.scopes import Scopes

__all__ = ["QuerySite", "query_sites"]


@dataclass(frozen=True, slots=True)
class QuerySite:
    """A query, and the range table entry through which an outer query reads it, if there is one."""

    scope: Scope
    via: str = ""
    """The view that leads here; empty if the statement itself contains the query."""
    reader: Scope | None = None
    entry: RangeTableEntry | None = None
    """The subquery, view or ``with`` item of ``reader`` that reads this query."""


def query_sites(catalog: Catalog, scopes: Scopes, scope: Scope) -> list[QuerySite]:
    """Return the statement's queries, outer ones first."""
    found: list[QuerySite] = []
    _visit(catalog, scopes, QuerySite(scope), found, ())
    return found


def _visit(
    catalog: Catalog, scopes: Scopes, site: QuerySite, found: list[QuerySite], views: tuple[int, ...]
) -> None:
    found.append(site)
    scope = site.scope
    by_query: dict[int, RangeTableEntry] = {}
    for entry in scope.query.entries:
        if entry.kind is EntryKind.SUBQUERY and (inner := scopes.of_entry(entry, scope)) is not None:
            by_query[inner.query.id] = entry
        if entry.kind is EntryKind.RELATION and entry.relation not in views:
            _open_view(catalog, scopes, site, entry, found, views)
    for child in scopes.children(scope):
        via = by_query.get(child.query.id)
        _visit(catalog, scopes, QuerySite(child, site.via, scope if via else None, via), found, views)


def _open_view(
    catalog: Catalog,
    scopes: Scopes,
    site: QuerySite,
    entry: RangeTableEntry,
    found: list[QuerySite],
    views: tuple[int, ...],
) -> None:
    relation = catalog.relation(entry.relation)
    if relation is None or relation.kind != "v":
        return
    text = catalog.view_text(entry.relation)
    tree = read_tree(text) if text else None
    for node in tree if isinstance(tree, list) else []:
        if isinstance(node, Node):
            inner = QuerySite(Scope(QueryTree(node)), site.via or f"view {relation}", site.scope, entry)
            _visit(catalog, scopes, inner, found, (*views, entry.relation))
