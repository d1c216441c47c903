"""Keys of expressions: equal keys are equal values in one row.

A long chain of operators has a key for each of its parts, and each key contains those below it. So a key is
made once for each node, from the keys of the nodes below, and keeps its hash.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.nodes import Node, Value
from plainsql.analysis.tree.function_calls import called_function
from plainsql.analysis.tree.query_tree import Scope

__all__ = ["LOCATION_FIELDS", "ExpressionKey", "ExpressionKeys"]

ExpressionKey = Hashable
"""An expression in a form whose equal keys are equal values in one row."""

LOCATION_FIELDS = frozenset(
    {
        "location",
        "stmt_location",
        "stmt_len",
        "varnosyn",
        "varattnosyn",
        "coerceformat",
        "funcformat",
        "relabelformat",
        "convertformat",
        "row_format",
        "rexpr_list_start",
        "rexpr_list_end",
        "list_start",
        "list_end",
        "opfuncid",
    }
)
"""The fields with the location or the written form of an expression, not its meaning."""


class _Structure(tuple[Any, ...]):  # noqa: SLOT001 (tuples have no slots)
    """A tuple that computes its hash once: Python's own walks everything nested in it each time."""

    _hash: int

    def __hash__(self) -> int:
        try:
            return self._hash
        except AttributeError:
            self._hash = tuple.__hash__(self)
            return self._hash


class ExpressionKeys:
    """The keys of one statement's expressions."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        # By the node's identity, which is unique only while the node is kept.
        self._structures: dict[tuple[int, int], tuple[Node, ExpressionKey]] = {}
        self._repeatable: dict[int, tuple[Node, bool]] = {}
        self._same: dict[ExpressionKey, ExpressionKey] = {}

    def key(self, node: Node, scope: Scope) -> ExpressionKey | None:
        """Return the expression's key; ``None`` if two evaluations may differ (volatile calls,
        sub-selects).
        """
        if node.kind == "VAR":
            home = scope.up(node.number("varlevelsup"))
            if home is None or node.number("varreturningtype"):
                return None
            return ("var", home.query.id, node.number("varno"), node.number("varattno"))
        return self.structure(node, scope) if self._is_repeatable(node) else None

    def structure(self, node: Node, scope: Scope) -> ExpressionKey:
        """Return a key of the expression as it is written, whatever it calls."""
        known = self._structures.get((id(node), scope.query.id))
        if known is None:
            made = self._made(node, scope)
            # One object for equal keys: a comparison of two deep keys would walk both.
            known = self._structures[id(node), scope.query.id] = node, self._same.setdefault(made, made)
        return known[1]

    def _is_repeatable(self, node: Node) -> bool:
        known = self._repeatable.get(id(node))
        if known is None:
            steady = self._calls_are_repeatable(node)
            for child in node.children() if steady else ():
                if child.kind != "QUERY" and not self._is_repeatable(child):
                    steady = False
                    break
            known = self._repeatable[id(node)] = node, steady
        return known[1]

    def _calls_are_repeatable(self, node: Node) -> bool:
        if node.kind == "PARAM" and node.number("paramkind"):
            return False
        if node.kind in ("SUBLINK", "WINDOWFUNC", "SETTODEFAULT", "NEXTVALUEEXPR", "CASETESTEXPR"):
            return False
        if (oid := called_function(node, self._catalog)) is None:
            return True
        function = self._catalog.function(oid)
        return function is not None and function.volatility != "volatile" and not function.returns_set

    def _made(self, node: Node, scope: Scope) -> _Structure:
        if node.kind == "VAR":
            home = scope.up(node.number("varlevelsup"))
            return _Structure(
                (
                    "var",
                    home.query.id if home else None,
                    node.number("varno"),
                    node.number("varattno"),
                    node.number("varreturningtype"),
                    node.numbers("varnullingrels"),
                )
            )
        home = None
        if node.kind in ("AGGREF", "GROUPINGFUNC"):
            # Two queries may have the same aggregate of the same constant.
            home = scope.up(node.number("agglevelsup"))
        return _Structure(
            (
                node.kind,
                home.query.id if home is not None else None,
                # A list: a generator would use a piece of C's stack for each level of the tree.
                *[
                    (name, self._value(field, scope))
                    for name, field in node.fields.items()
                    if name not in LOCATION_FIELDS
                ],
            )
        )

    def _value(self, value: Value, scope: Scope) -> ExpressionKey:
        if isinstance(value, Node):
            return self.structure(value, scope)
        if isinstance(value, list):
            return tuple([self._value(item, scope) for item in value])
        return value
