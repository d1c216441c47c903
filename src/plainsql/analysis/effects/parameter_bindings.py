"""Which columns every row must have equal to a parameter: `where l.id = $1`, and what follows through joins.

Only types for which equal means the same value are followed: 1.0 and 1.00 are equal as numerics, and not
the same.
"""

from __future__ import annotations

from collections.abc import Iterable

from plainsql.analysis.catalog.server_catalog import Catalogue
from plainsql.analysis.conditions.equalities import (
    Equality,
    collect_equalities,
    plain_variable,
    strip_relabel,
)
from plainsql.analysis.nodes import Node
from plainsql.analysis.tree.query_sites import Place
from plainsql.analysis.tree.query_tree import Command, Kind, Scope

__all__ = ["Bounds", "exact_class"]

_Variable = tuple[int, int, int]
"""A query's id, range table index, column."""

_EXACT = {
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


def exact_class(catalogue: Catalogue, oid: int) -> str:
    """A name that is the same for types whose equal values are the same value; empty for other types."""
    base = catalogue.types.base(oid)
    row = catalogue.types.row(base)
    if row is None:
        return ""
    if row.typtype == "e":
        return f"enum {base}"
    return _EXACT.get(row.name, "") if row.schema == "pg_catalog" else ""


class Bounds:
    """The parameters that columns are bound to, in all queries of one statement."""

    def __init__(self, catalogue: Catalogue, places: Iterable[Place]) -> None:
        self._catalogue = catalogue
        self._bound: dict[_Variable, set[int]] = {}
        places = list(places)
        equalities = {
            place.scope.query.id: collect_equalities(catalogue, place.scope)
            for place in places
            if place.scope.query.command != Command.MERGE
        }
        size = -1
        while size != (size := sum(map(len, self._bound.values()))):
            for place in places:
                for equality in equalities.get(place.scope.query.id, ()):
                    self._equate(equality, place.scope)
                if place.reader is not None and place.entry is not None:
                    self._pass(place)

    def of(self, scope: Scope, index: int) -> dict[int, set[int]]:
        """For one relation of a query: each bound column with its parameters."""
        return {
            column: parameters
            for (query, relation, column), parameters in self._bound.items()
            if query == scope.query.id and relation == index and parameters
        }

    def value(self, node: Node | None, scope: Scope, type_: int) -> set[int]:
        """The parameters that a value of the given type is equal to, if it is one as it stands."""
        if node is None:
            return set()
        node = strip_relabel(node)
        if node.kind == "PARAM" and not node.number("paramkind"):
            wanted = exact_class(self._catalogue, type_)
            same = exact_class(self._catalogue, node.number("paramtype")) == wanted
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
            wanted = exact_class(self._catalogue, type_)
            if not wanted or exact_class(self._catalogue, other.number("vartype")) != wanted:
                return
        self._add((scope.query.id, *equality.variable), self.value(other, scope, type_))

    def _pass(self, place: Place) -> None:
        """Between a query's output and the variable by which the outer query reads it, both ways."""
        query, reader, entry = place.scope.query, place.reader, place.entry
        if reader is None or entry is None:
            return
        for position, output in enumerate(query.outputs, 1):
            outer = (reader.query.id, entry.index, position)
            expression = _ungrouped(output.node("expr"), place.scope)
            if expression is None:
                continue
            if query.set_operation() is None:
                self._add(outer, self.value(expression, place.scope, _type_of(expression)))
            if query.set_operation() is not None:
                # A row of any arm matters only where its column has the value asked for.
                if self._may_filter_before(place, output):
                    for arm in query.members or {e.index for e in query.entries if e.kind is Kind.SUBQUERY}:
                        self._add((query.id, arm, position), self._bound.get(outer, set()))
                continue
            inner = self._variable(expression, place.scope)
            if (
                inner is not None
                and not expression.number("varlevelsup")
                and self._may_filter_before(place, output)
            ):
                self._add(inner, self._bound.get(outer, set()))

    def _may_filter_before(self, place: Place, output: Node) -> bool:
        """Whether rows with other values could be left out before, with the same result."""
        node = place.scope.query.node
        if place.scope.query.command != Command.SELECT or node.flag("hasWindowFuncs"):
            return False
        if (
            node.node("limitCount") is not None
            or node.node("limitOffset") is not None
            or node.nodes("groupingSets")
        ):
            return False
        if node.flag("hasDistinctOn") or place.scope.query.returned_sets():
            return False
        if place.scope.query.is_aggregated:
            reference = output.number("ressortgroupref")
            return any(clause.number("tleSortGroupRef") == reference for clause in node.nodes("groupClause"))
        return True

    def _add(self, variable: _Variable, parameters: Iterable[int]) -> None:
        self._bound.setdefault(variable, set()).update(parameters)


def _ungrouped(node: Node | None, scope: Scope) -> Node | None:
    """What stands behind a reference to a ``group by`` column (from PostgreSQL 18 on)."""
    if node is not None and node.kind == "VAR" and not node.number("varlevelsup"):
        entry = scope.query.entry(node.number("varno"))
        if entry is not None and entry.kind is Kind.GROUP:
            expressions = entry.node.nodes("groupexprs")
            column = node.number("varattno")
            return expressions[column - 1] if 0 < column <= len(expressions) else None
    return node


def _type_of(node: Node) -> int:
    return node.number("vartype") or node.number("paramtype") or node.number("resulttype")
