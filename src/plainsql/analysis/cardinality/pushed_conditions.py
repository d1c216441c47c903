"""Conditions of a query that are pushed down into the query of a view, a ``with`` item or a subquery.

`select … from v where v.email = $1 and v.active` reads those rows of `v` that its own query gives with both
conditions added to its ``where``. A partial index below `v` then proves what it proves in a plain query.
"""

from __future__ import annotations

from collections.abc import Callable

from plainsql.analysis.conditions.equalities import conditions
from plainsql.analysis.nodes import Node, Value
from plainsql.analysis.tree.query_tree import Command, EntryKind, QueryTree, RangeTableEntry, Scope

__all__ = ["PushedConditions"]

_MAX_DEPTH = 4
"""The number of queries, one inside the other, into which a condition is pushed."""

_CONSTANT_ID = -(1 << 32)
"""The number of the first parameter that represents a determined column: no statement has such a number."""


class PushedConditions:
    """The queries that result, each made once for the same conditions."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, int, tuple[int, ...]], Scope] = {}
        self._depths: dict[int, int] = {}
        self._constants: dict[tuple[int, int, int, int], int] = {}

    def into(
        self, scope: Scope, entry: RangeTableEntry, inner: Scope, determined: Callable[[Node], bool]
    ) -> Scope | None:
        """Return an entry's query with the conditions of the query around it; ``None`` if there are none.

        ``determined`` returns whether a variable of the outer query has one value: it becomes a constant.
        """
        depth = self._depths.get(scope.query.id, 0)
        if depth >= _MAX_DEPTH or scope.query.command == Command.MERGE or not _keeps_rows(inner.query):
            return None
        taken = [
            node
            for node, only_for in conditions(scope)
            if (only_for is None or entry.index in only_for)
            and self._is_pushable(node, scope, entry, determined)
        ]
        key = scope.query.id, entry.index, tuple(id(node) for node in taken)
        if taken and key not in self._made:
            added = [_replaced(node, lambda var: self._value(var, scope, entry, inner)) for node in taken]
            pushed = Scope(_with_conditions(inner.query, added), inner.parent)
            self._depths[pushed.query.id] = depth + 1
            self._made[key] = pushed
        return self._made.get(key)

    def _is_pushable(
        self, node: Node, scope: Scope, entry: RangeTableEntry, determined: Callable[[Node], bool]
    ) -> bool:
        """Return whether a condition reads columns of the entry, and otherwise determined values alone."""
        own = False
        for part in node.walk():
            if part.kind in ("SUBLINK", "QUERY", "GROUPINGFUNC", "AGGREF", "WINDOWFUNC"):
                return False
            if part.kind != "VAR" or part.number("varlevelsup"):
                continue
            if part.number("varreturningtype") or part.number("varattno") <= 0:
                return False
            variable = _below_join(part, scope)
            if variable is None:
                return False
            if variable.number("varno") == entry.index:
                own = True
            elif not determined(variable):
                return False
        return own

    def _value(self, variable: Node, scope: Scope, entry: RangeTableEntry, inner: Scope) -> Node:
        """Return the inner expression for a column of the entry, and a constant for any other variable."""
        below = variable if variable.number("varlevelsup") else _below_join(variable, scope)
        if below is not None and not below.number("varlevelsup") and below.number("varno") == entry.index:
            column = below.number("varattno")
            outputs = inner.query.outputs
            expression = outputs[column - 1].node("expr") if column <= len(outputs) else None
            if expression is not None:
                return expression
        # The value is the same in all rows: what reads it sees a parameter of its own.
        levels, index, column = map(variable.number, ("varlevelsup", "varno", "varattno"))
        number = self._constants.setdefault(
            (scope.query.id, levels, index, column), _CONSTANT_ID - len(self._constants)
        )
        constant = Node("PARAM")
        constant.fields |= {"paramkind": "0", "paramid": str(number), "paramtype": variable.text("vartype")}
        return constant


def _keeps_rows(query: QueryTree) -> bool:
    """Return whether a query gives rows of its ``from``, and not groups or rows of several queries."""
    return not (
        query.command != Command.SELECT
        or query.is_aggregated
        or query.set_operation() is not None
        or query.returned_sets()
    )


def _below_join(variable: Node, scope: Scope) -> Node | None:
    """Return the variable behind a join's column; ``None`` if it is computed."""
    entry = scope.query.entry(variable.number("varno"))
    if entry is None or entry.kind is EntryKind.GROUP:
        return None
    if entry.kind is not EntryKind.JOIN:
        return variable
    aliases = entry.node.items("joinaliasvars")
    column = variable.number("varattno")
    alias = aliases[column - 1] if 0 < column <= len(aliases) else None
    if not isinstance(alias, Node) or alias.kind != "VAR" or alias.number("varlevelsup"):
        return None
    return _below_join(alias, scope)


def _replaced(node: Node, value: Callable[[Node], Node]) -> Node:
    """Return a copy of an expression with another value in place of each variable."""
    if node.kind == "VAR":
        return value(node)
    copy = Node(node.kind)
    copy.extra = node.extra
    copy.fields = {name: _replaced_value(field, value) for name, field in node.fields.items()}
    return copy


def _replaced_value(field: Value, value: Callable[[Node], Node]) -> Value:
    if isinstance(field, Node):
        return _replaced(field, value)
    if isinstance(field, list):
        return [_replaced_value(item, value) for item in field]
    return field


def _with_conditions(query: QueryTree, added: list[Node]) -> QueryTree:
    """Return a query with more conditions in its ``where``."""
    both = Node("BOOLEXPR")
    both.fields |= {"boolop": "and", "args": [*([query.where] if query.where is not None else []), *added]}
    tree = query.node.node("jointree")
    from_ = Node("FROMEXPR")
    from_.fields |= (tree.fields if tree is not None else {}) | {"quals": both}
    copy = Node(query.node.kind)
    copy.extra = query.node.extra
    copy.fields = query.node.fields | {"jointree": from_}
    return QueryTree(copy)
