"""The joins of a query with outer joins that are inner joins in effect: `a left join b … where b.x = 1`."""

from __future__ import annotations

from collections.abc import Iterable

from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.conditions.equalities import plain_variable
from plainsql.analysis.nodes import Node, conjuncts
from plainsql.analysis.tree.function_calls import called_function
from plainsql.analysis.tree.query_tree import Join, JoinType, Scope, expression_children

__all__ = ["ReducedJoins"]

_Members = frozenset[int]


class ReducedJoins:
    """The conditions of a query, and the relations that its outer joins fill with nulls.

    A condition that is not true for nulls removes the rows that an outer join fills with nulls. The join is
    an inner one then, and its condition restricts both sides: planners treat it so.
    """

    def __init__(self, catalog: Catalog, scope: Scope) -> None:
        self._catalog = catalog
        self._scope = scope
        self.conditions: list[tuple[Node, _Members | None, Join | None]] = []
        """The conditions, each with the relations that it restricts (``None`` for all), and its join."""
        self._nulled: dict[int, _Members] = {}
        where = conjuncts(scope.query.where)
        self._add(where, None, None)
        required = self._required_by(where)
        for item in scope.query.from_items:
            self._visit(item, required)

    @property
    def nulled(self) -> _Members:
        """Return the relations that an outer join may fill with nulls."""
        return frozenset[int]().union(*self._nulled.values())

    @property
    def nulled_as_written(self) -> _Members:
        """Return the relations that an outer join may fill with nulls, before any reduction."""
        joins = self._scope.query.joins.values()
        return frozenset[int]().union(*(members for join in joins for _, members in join.nullable_sides()))

    def sees(self, join: Join, condition: Node, relation: int) -> bool:
        """Return whether planners follow an equality with a column that another join may fill with nulls.

        They do if both are left joins that may change places: the condition refers to the nullable sides
        alone.
        """
        own = self._nulled.get(join.index, frozenset())
        variables = (
            plain_variable(part, self._scope) for part in expression_children(condition) if part.kind == "VAR"
        )
        outside = {each[0] if each is not None else 0 for each in variables} - own
        return all(
            self._scope.query.joins[index].type is not JoinType.FULL and outside <= members
            for index, members in self._nulled.items()
            if index != join.index and relation in members
        )

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
                self._add(parts, None, join)
                left = right = required | own
            case JoinType.LEFT:
                self._nulled[join.index] = join.right_members
                self._add(parts, join.right_members, join)
                left, right = required, own
            case JoinType.RIGHT:
                self._nulled[join.index] = join.left_members
                self._add(parts, join.left_members, join)
                left, right = own, required
            case _:
                self._nulled[join.index] = join.left_members | join.right_members
        self._visit(join.left, left)
        self._visit(join.right, right)

    def _add(self, parts: Iterable[Node], only_for: _Members | None, join: Join | None) -> None:
        self.conditions.extend((part, only_for, join) for part in parts)

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
    needs_left, needs_right = bool(required & join.left_members), bool(required & join.right_members)
    match join.type:
        case JoinType.LEFT if needs_right:
            return JoinType.INNER
        case JoinType.RIGHT if needs_left:
            return JoinType.INNER
        case JoinType.FULL if needs_left and needs_right:
            return JoinType.INNER
        case JoinType.FULL if needs_left:
            return JoinType.LEFT
        case JoinType.FULL if needs_right:
            return JoinType.RIGHT
        case _:
            return join.type
