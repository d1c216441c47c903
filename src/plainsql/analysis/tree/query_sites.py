"""All queries that one statement runs, views opened: each view anew wherever it is mentioned."""

from __future__ import annotations

from dataclasses import dataclass

from plainsql.analysis.catalog.server_catalog import Catalogue
from plainsql.analysis.nodes import Node, read_tree
from plainsql.analysis.tree.query_tree import Entry, Kind, Query, Scope
from plainsql.analysis.tree.scopes import Scopes

__all__ = ["Place", "places_of"]


@dataclass(frozen=True, slots=True)
class Place:
    """A query, and the range table entry through which an outer query reads it, if it does."""

    scope: Scope
    via: str = ""
    """The view that led here; empty where the statement itself wrote the query."""
    reader: Scope | None = None
    entry: Entry | None = None
    """The subquery, view or ``with`` item of ``reader`` that this is."""


def places_of(catalogue: Catalogue, scopes: Scopes, scope: Scope) -> list[Place]:
    """The statement's queries, outer ones first."""
    found: list[Place] = []
    _visit(catalogue, scopes, Place(scope), found, ())
    return found


def _visit(
    catalogue: Catalogue, scopes: Scopes, place: Place, found: list[Place], views: tuple[int, ...]
) -> None:
    found.append(place)
    scope = place.scope
    by_query: dict[int, Entry] = {}
    for entry in scope.query.entries:
        if entry.kind is Kind.SUBQUERY and (inner := scopes.of_entry(entry, scope)) is not None:
            by_query[inner.query.id] = entry
        if entry.kind is Kind.RELATION and entry.relation not in views:
            _open_view(catalogue, scopes, place, entry, found, views)
    for child in scopes.children(scope):
        via = by_query.get(child.query.id)
        _visit(catalogue, scopes, Place(child, place.via, scope if via else None, via), found, views)


def _open_view(
    catalogue: Catalogue,
    scopes: Scopes,
    place: Place,
    entry: Entry,
    found: list[Place],
    views: tuple[int, ...],
) -> None:
    relation = catalogue.relation(entry.relation)
    if relation is None or relation.kind != "v":
        return
    text = catalogue.view_text(entry.relation)
    tree = read_tree(text) if text else None
    for node in tree if isinstance(tree, list) else []:
        if isinstance(node, Node):
            inner = Place(Scope(Query(node)), place.via or f"view {relation}", place.scope, entry)
            _visit(catalogue, scopes, inner, found, (*views, entry.relation))
