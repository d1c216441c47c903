"""Keys of expressions: equal keys are equal values in one row.

A long chain of operators has a key for each of its parts, and each holds those below it. So a key is made
once for each node, from the keys of the nodes below, and keeps its hash.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from plainsql.analysis.calls import function_of
from plainsql.analysis.catalogue import Catalogue
from plainsql.analysis.reader import Node, Value
from plainsql.analysis.tree import Scope

__all__ = ["PLACES", "Key", "Keys"]

Key = Hashable
"""An expression, written so that equal keys are equal values in one row."""

PLACES = frozenset(
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
"""Fields that say where an expression was written, not what it is."""


class _Structure(tuple[Any, ...]):  # noqa: SLOT001 (tuples have no slots)
    """A tuple that computes its hash once: Python's own walks all that is nested in it each time."""

    _hash: int

    def __hash__(self) -> int:
        try:
            return self._hash
        except AttributeError:
            self._hash = tuple.__hash__(self)
            return self._hash


class Keys:
    """The keys of one statement's expressions."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        # By the node's identity, which is its own only while it is kept.
        self._structures: dict[tuple[int, int], tuple[Node, Key]] = {}
        self._steady: dict[int, tuple[Node, bool]] = {}
        self._same: dict[Key, Key] = {}

    def key(self, node: Node, scope: Scope) -> Key | None:
        """The expression's key; ``None`` where two evaluations may differ (volatile calls, sub-selects)."""
        if node.kind == "VAR":
            home = scope.up(node.number("varlevelsup"))
            if home is None or node.number("varreturningtype"):
                return None
            return ("var", home.query.id, node.number("varno"), node.number("varattno"))
        return self.structure(node, scope) if self._is_steady(node) else None

    def structure(self, node: Node, scope: Scope) -> Key:
        """A key of the expression as it is written, whatever it calls."""
        known = self._structures.get((id(node), scope.query.id))
        if known is None:
            made = self._made(node, scope)
            # One object for equal keys: comparing two that are as deep as a long chain would walk both.
            known = self._structures[id(node), scope.query.id] = node, self._same.setdefault(made, made)
        return known[1]

    def _is_steady(self, node: Node) -> bool:
        known = self._steady.get(id(node))
        if known is None:
            steady = self._calls_are_steady(node)
            for child in node.children() if steady else ():
                if child.kind != "QUERY" and not self._is_steady(child):
                    steady = False
                    break
            known = self._steady[id(node)] = node, steady
        return known[1]

    def _calls_are_steady(self, node: Node) -> bool:
        if node.kind == "PARAM" and node.number("paramkind"):
            return False
        if node.kind in ("SUBLINK", "WINDOWFUNC", "SETTODEFAULT", "NEXTVALUEEXPR", "CASETESTEXPR"):
            return False
        if (oid := function_of(node, self._catalogue)) is None:
            return True
        function = self._catalogue.function(oid)
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
            # Two queries may hold the same aggregate of the same constant.
            home = scope.up(node.number("agglevelsup"))
        return _Structure(
            (
                node.kind,
                home.query.id if home is not None else None,
                # A list: a generator would take a piece of C's stack for each level of the tree.
                *[
                    (name, self._value(field, scope))
                    for name, field in node.fields.items()
                    if name not in PLACES
                ],
            )
        )

    def _value(self, value: Value, scope: Scope) -> Key:
        if isinstance(value, Node):
            return self.structure(value, scope)
        if isinstance(value, list):
            return tuple([self._value(item, scope) for item in value])
        return value
