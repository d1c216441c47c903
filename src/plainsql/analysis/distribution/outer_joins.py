"""The conditions of a query, with outer joins that are inner joins in effect:
`a left join b … where b.x = 1`.
"""

from __future__ import annotations

from collections.abc import Iterable

from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.conditions.equalities import plain_variable
from plainsql.analysis.nodes import Node, conjuncts
from plainsql.analysis.tree.function_calls import called_function
from plainsql.analysis.tree.query_tree import Join, JoinType, Scope

__all__ = ["null_extended", "reduced_conditions"]

_Members = frozenset[int]


def reduced_conditions(catalog: Catalog, scope: Scope) -> list[tuple[Node, _Members | None]]:
    """Return the conditions that a query's rows fulfil, as ``conditions`` does, outer joins reduced.

    A condition that is not true for nulls removes the rows that an outer join fills with nulls. The join is
    an inner one then, and its condition restricts both sides: planners treat it so.
    """
    return _Reduction(catalog, scope).found


def null_extended(scope: Scope) -> _Members:
    """Return the relations that an outer join may fill with nulls, before any reduction."""
    sides = (members for join in scope.query.joins.values() for _, members in join.nullable_sides())
    return frozenset[int]().union(*sides)


class _Reduction:
    """The walk through the joins of one query, from the outermost inwards."""

    def __init__(self, catalog: Catalog, scope: Scope) -> None:
        self._catalog = catalog
        self._scope = scope
        self.found: list[tuple[Node, _Members | None]] = []
        where = conjuncts(scope.query.where)
        self._add(where, None)
        required = self._required_by(where)
        for item in scope.query.from_items:
            self._visit(item, required)

    def _visit(self, node: Node, required: _Members) -> None:
        """Follow a join; ``required`` are the relations that are not filled with nulls in any row needed."""
        join = self._scope.query.joins.get(node.number("rtindex")) if node.kind == "JOINEXPR" else None
        if join is None:
            return
        parts = conjuncts(join.condition)
        own = self._required_by(parts)
        left, right = frozenset[int](), frozenset[int]()
        match _reduced(join, required):
            case JoinType.INNER:
                self._add(parts, None)
                left = right = required | own
            case JoinType.LEFT:
                self._add(parts, join.right_members)
                left, right = required, own
            case JoinType.RIGHT:
                self._add(parts, join.left_members)
                left, right = own, required
            case _:
                pass
        self._visit(join.left, left)
        self._visit(join.right, right)

    def _add(self, parts: Iterable[Node], only_for: _Members | None) -> None:
        self.found.extend((part, only_for) for part in parts)

    def _required_by(self, parts: Iterable[Node]) -> _Members:
        """Return the relations whose columns are arguments of strict operators in conditions."""
        found: set[int] = set()
        for part in parts:
            function = called_function(part, self._catalog) if part.kind == "OPEXPR" else None
            called = self._catalog.function(function) if function is not None else None
            if called is None or not called.strict:
                continue
            for side in part.nodes("args"):
                variable = plain_variable(side, self._scope)
                if variable is not None:
                    found.add(variable[0])
        return frozenset(found)


def _reduced(join: Join, required: _Members) -> JoinType | None:
    """Return the type of join that has the same rows, if the relations are required."""
    needs_left = join.type is JoinType.INNER or bool(required & join.left_members)
    needs_right = join.type is JoinType.INNER or bool(required & join.right_members)
    match join.type:
        case JoinType.LEFT:
            return JoinType.INNER if needs_right else JoinType.LEFT
        case JoinType.RIGHT:
            return JoinType.INNER if needs_left else JoinType.RIGHT
        case JoinType.FULL if needs_left and needs_right:
            return JoinType.INNER
        case JoinType.FULL if needs_left:
            return JoinType.LEFT
        case JoinType.FULL if needs_right:
            return JoinType.RIGHT
        case _:
            return join.type
