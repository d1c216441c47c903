"""Columns that equal a parameter in every row: `where l.id = $1`, and equalities that follow through joins.

Only types in which equal values are the same value are followed: as numerics, 1.0 and 1.00 are equal and not
the same.
"""

from __future__ import annotations

from collections.abc import Iterable

from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.conditions.equalities import (
    Equality,
    collect_equalities,
    plain_variable,
    strip_relabel,
)
from plainsql.analysis.nodes import Node
from plainsql.analysis.tree.query_sites import QuerySite
from plainsql.analysis.tree.query_tree import Command, EntryKind, Scope, ungrouped

__all__ = ["ParameterBindings", "exact_class"]

_Variable = tuple[int, int, int]
"""A query's id, range table index, column."""

_EXACT_CLASSES = {
    "bool": "bool",
    "int2": "integer",
    "int4": "integer",
    "int8": "integer",
    "oid": "oid",
    "uuid": "uuid",
    "text": "text",
    "varchar": "text",
    "date": "date",
    "timestamp": "timestamp",
    "timestamptz": "timestamptz",
    "bytea": "bytea",
}


def exact_class(catalog: Catalog, oid: int) -> str:
    """Return a name shared by types whose equal values are the same value; empty for other types."""
    base = catalog.types.base(oid)
    row = catalog.types.row(base)
    if row is None:
        return ""
    if row.typtype == "e":
        return f"enum {base}"
    return _EXACT_CLASSES.get(row.name, "") if row.schema == "pg_catalog" else ""


class ParameterBindings:
    """The parameters that columns are bound to, in all queries of one statement."""

    def __init__(self, catalog: Catalog, sites: Iterable[QuerySite]) -> None:
        self._catalog = catalog
        self._bound: dict[_Variable, set[int]] = {}
        sites = list(sites)
        equalities = {
            site.scope.query.id: collect_equalities(catalog, site.scope)
            for site in sites
            if site.scope.query.command != Command.MERGE
        }
        size = -1
        while size != (size := sum(map(len, self._bound.values()))):
            for site in sites:
                for equality in equalities.get(site.scope.query.id, ()):
                    self._equate(equality, site.scope)
                if site.reader is not None and site.entry is not None:
                    self._pass_between_queries(site)

    def of(self, scope: Scope, index: int) -> dict[int, set[int]]:
        """Return each bound column of one relation of a query, with its parameters."""
        return {
            column: parameters
            for (query, relation, column), parameters in self._bound.items()
            if query == scope.query.id and relation == index and parameters
        }

    def value(self, node: Node | None, scope: Scope, type_: int) -> set[int]:
        """Return the parameters that a value of the given type is equal to, if it is unchanged."""
        if node is None:
            return set()
        node = strip_relabel(node)
        if node.kind == "PARAM" and not node.number("paramkind"):
            wanted = exact_class(self._catalog, type_)
            same = exact_class(self._catalog, node.number("paramtype")) == wanted
            return {node.number("paramid")} if wanted and same else set()
        variable = self._variable(node, scope)
        return set(self._bound.get(variable, ())) if variable is not None else set()

    def _variable(self, node: Node, scope: Scope) -> _Variable | None:
        levels = node.number("varlevelsup")
        if node.kind == "VAR" and levels:
            home = scope.up(levels)
            if home is None or node.number("varattno") <= 0:
                return None
            return home.query.id, node.number("varno"), node.number("varattno")
        plain = plain_variable(node, scope)
        return (scope.query.id, *plain) if plain is not None else None

    def _equate(self, equality: Equality, scope: Scope) -> None:
        if equality.only_for is not None and equality.variable[0] not in equality.only_for:
            return
        type_ = equality.variable_node.number("vartype")
        other = strip_relabel(equality.other)
        if other.kind == "VAR":
            wanted = exact_class(self._catalog, type_)
            if not wanted or exact_class(self._catalog, other.number("vartype")) != wanted:
                return
        self._add((scope.query.id, *equality.variable), self.value(other, scope, type_))

    def _pass_between_queries(self, site: QuerySite) -> None:
        """Pass bindings between a query's output and the variable by which the outer query reads it, both
        ways.
        """
        query, reader, entry = site.scope.query, site.reader, site.entry
        if reader is None or entry is None:
            return
        for position, output in enumerate(query.outputs, 1):
            outer = (reader.query.id, entry.index, position)
            expression = output.node("expr")
            if expression is None:
                continue
            expression = ungrouped(expression, site.scope)
            if query.set_operation() is None:
                self._add(outer, self.value(expression, site.scope, _type_of(expression)))
            if query.set_operation() is not None:
                # A row of any arm matters only if its column has the wanted value.
                if self._may_filter_before(site, output):
                    for arm in query.members or {
                        e.index for e in query.entries if e.kind is EntryKind.SUBQUERY
                    }:
                        self._add((query.id, arm, position), self._bound.get(outer, set()))
                continue
            inner = self._variable(expression, site.scope)
            if (
                inner is not None
                and not expression.number("varlevelsup")
                and self._may_filter_before(site, output)
            ):
                self._add(inner, self._bound.get(outer, set()))

    def _may_filter_before(self, site: QuerySite, output: Node) -> bool:
        """Return whether rows with other values could be removed earlier, with the same result."""
        node = site.scope.query.node
        if site.scope.query.command != Command.SELECT or node.flag("hasWindowFuncs"):
            return False
        if (
            node.node("limitCount") is not None
            or node.node("limitOffset") is not None
            or node.nodes("groupingSets")
        ):
            return False
        if node.flag("hasDistinctOn") or site.scope.query.returned_sets():
            return False
        if site.scope.query.is_aggregated:
            reference = output.number("ressortgroupref")
            return any(clause.number("tleSortGroupRef") == reference for clause in node.nodes("groupClause"))
        return True

    def _add(self, variable: _Variable, parameters: Iterable[int]) -> None:
        self._bound.setdefault(variable, set()).update(parameters)


def _type_of(node: Node) -> int:
    return node.number("vartype") or node.number("paramtype") or node.number("resulttype")
