"""The query behind a subquery, a sub-select, a ``with`` item or a view, and the queries around it."""

from __future__ import annotations

from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.nodes import Node, read_tree
from plainsql.analysis.tree.query_tree import EntryKind, QueryTree, RangeTableEntry, Scope

__all__ = ["Scopes"]


class Scopes:
    """The scopes of one statement, each made once, so that a query's id stays the same."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._by_query: dict[int, Scope] = {}
        self._sublinks: dict[int, QueryTree] = {}
        self._views: dict[int, Scope | None] = {}

    def of_entry(self, entry: RangeTableEntry, scope: Scope) -> Scope | None:
        """Return the query that a range table entry reads from: a subquery, a ``with`` item or a view."""
        if entry.kind is EntryKind.SUBQUERY and entry.subquery is not None:
            return self._scope(entry.subquery, scope)
        if entry.kind is EntryKind.CTE:
            found = scope.cte(entry)
            return self._scope(found[2], found[0]) if found is not None else None
        if entry.kind is EntryKind.RELATION:
            return self.of_view(entry.relation)
        return None

    def of_cte(self, name: str, scope: Scope) -> Scope | None:
        """Return the query of a ``with`` item of this query itself."""
        query = scope.query.cte_query(name)
        return self._scope(query, scope) if query is not None else None

    def of_sublink(self, node: Node, scope: Scope) -> Scope | None:
        """Return the query of a sub-select in an expression."""
        inner = node.node("subselect")
        if inner is None or inner.kind != "QUERY":
            return None
        query = self._sublinks.get(id(inner))
        if query is None:
            query = self._sublinks[id(inner)] = QueryTree(inner)
        return self._scope(query, scope)

    def of_view(self, oid: int) -> Scope | None:
        """Return a view's query, which has no query around it; ``None`` if the relation is not a view."""
        if oid not in self._views:
            relation = self._catalog.relation(oid)
            text = self._catalog.view_text(oid) if relation is not None and relation.is_view else None
            value = read_tree(text) if text else None
            nodes = [item for item in value if isinstance(item, Node)] if isinstance(value, list) else []
            self._views[oid] = Scope(QueryTree(nodes[0])) if len(nodes) == 1 else None
        return self._views[oid]

    def children(self, scope: Scope) -> list[Scope]:
        """Return every query inside this one: subqueries, ``with`` items and sub-selects, but not those of
        views.
        """
        query = scope.query
        ctes = (self.of_cte(name, scope) for name in query.ctes)
        subqueries = (
            self.of_entry(entry, scope) for entry in query.entries if entry.kind is EntryKind.SUBQUERY
        )
        sublinks = (self.of_sublink(node, scope) for node in query.expressions() if node.kind == "SUBLINK")
        return [child for child in (*ctes, *subqueries, *sublinks) if child is not None]

    def all(self, scope: Scope) -> list[Scope]:
        """Return this query and all queries inside it, except those of views."""
        found = [scope]
        for child in self.children(scope):
            found.extend(self.all(child))
        return found

    def _scope(self, query: QueryTree, parent: Scope) -> Scope:
        scope = self._by_query.get(query.id)
        if scope is None:
            scope = self._by_query[query.id] = Scope(query, parent)
        return scope
