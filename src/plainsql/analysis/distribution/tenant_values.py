"""The values that are the same for all rows of a call: parameters, settings of the session, constants."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from plainsql.analysis.catalog.policies import setting_name
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.conditions.equalities import strip_relabel
from plainsql.analysis.conditions.expression_keys import ExpressionKeys
from plainsql.analysis.effects.parameter_bindings import exact_class
from plainsql.analysis.nodes import Node
from plainsql.analysis.tree.function_calls import called_function
from plainsql.analysis.tree.query_tree import Command, QueryTree, Scope, Sublink

__all__ = ["TenantValue", "TenantValues"]

_COERCIONS = ("RELABELTYPE", "COLLATEEXPR", "COERCEVIAIO", "COERCETODOMAIN")
_IMPLICIT_CAST = 2
"""``COERCE_IMPLICIT_CAST``."""
_MAX_DEPTH = 20
"""The depth to which functions that call functions are followed."""
_NOT_OF_ONE_CALL = frozenset({"VAR", "QUERY", "SUBLINK", "AGGREF", "GROUPINGFUNC", "WINDOWFUNC"})
"""The nodes whose value is of a row or a group, not of a call."""
_TEXT_CLASSES = frozenset({"bool", "integer", "oid", "uuid", "text"})
"""The types that are written as text, and read from it, in one way: times depend on settings."""
_TYPES = ("vartype", "paramtype", "consttype", "funcresulttype", "opresulttype", "resulttype")


@dataclass(frozen=True, slots=True)
class TenantValue:
    """One value of a call; equal keys are equal values."""

    key: Hashable
    text: str = field(compare=False)
    """The value as messages name it."""
    is_fixed: bool = field(default=False, compare=False)
    """True for a parameter, a constant, and what immutable functions make of them: known before a statement
    runs."""
    is_column: bool = False
    """True for the column of one mention of a table: it has one value for one row only."""


class TenantValues:
    """The values of one statement."""

    def __init__(self, catalog: Catalog, names: tuple[str, ...]) -> None:
        """``names`` are those of the statement's parameters, in order."""
        self._catalog = catalog
        self._names = names
        self._keys = ExpressionKeys(catalog)

    def value_class(self, oid: int) -> str:
        """Return a name shared by types whose equal values are stored on the same server."""
        return exact_class(self._catalog, oid) or f"type {self._catalog.types.base(oid)}"

    def of(self, node: Node, scope: Scope, type_: int) -> TenantValue | None:
        """Return the value of an expression of the given type; ``None`` if it may differ by row."""
        return self._parameter(node, type_) or self._setting(node, 0) or self._constant(node, scope)

    def structure(self, node: Node, scope: Scope) -> Hashable:
        """Return a key of an expression as it is written."""
        return self._keys.structure(node, scope)

    def unchanged(self, node: Node) -> Node:
        """Return the expression below casts that keep the value, or fail: to `varchar(50)` in an insert."""
        while True:
            node = strip_relabel(node)
            args = node.nodes("args")
            if node.kind != "FUNCEXPR" or node.number("funcformat") != _IMPLICIT_CAST or len(args) != 3:
                return node
            function = self._catalog.function(node.number("funcid"))
            if function is None or not function.is_builtin or function.name != "varchar":
                return node
            node = args[0]

    def _parameter(self, node: Node, type_: int) -> TenantValue | None:
        node = self.unchanged(node)
        if node.kind != "PARAM" or node.number("paramkind"):
            return None
        if self.value_class(node.number("paramtype")) != self.value_class(type_):
            return None
        number = node.number("paramid")
        name = self._names[number - 1] if number <= len(self._names) else f"${number}"
        return TenantValue(("parameter", number), name if name.startswith("$") else f":{name}", is_fixed=True)

    def _setting(self, node: Node, depth: int) -> TenantValue | None:
        """Return the setting that an expression reads, also through casts, `nullif` and functions."""
        node = self.unchanged(node)
        while node.kind in _COERCIONS and (arg := node.node("arg")) is not None:
            node = self.unchanged(arg)
        args = node.nodes("args")
        if depth > _MAX_DEPTH:
            return None
        if node.kind == "NULLIFEXPR" and len(args) == 2 and args[1].kind == "CONST":
            return self._setting(args[0], depth + 1)
        if node.kind == "SUBLINK" and node.number("subLinkType") == Sublink.EXPR:
            inner = node.node("subselect")
            return self._of_query(inner, depth) if inner is not None else None
        if node.kind != "FUNCEXPR":
            return None
        function = self._catalog.function(node.number("funcid"))
        if function is None:
            return None
        if function.is_builtin and function.name == "current_setting":
            name = setting_name(node)
            return TenantValue(("setting", name.lower()), f"the setting {name}") if name else None
        if args or function.language != "sql" or function.volatility == "volatile":
            return None
        body = self._catalog.body(function)
        return self._of_query(body.trees[0], depth) if body is not None and len(body.trees) == 1 else None

    def _of_query(self, node: Node, depth: int) -> TenantValue | None:
        """Return the setting that a query without a table returns as its only value."""
        query = QueryTree(node)
        if query.command != Command.SELECT or query.entries or query.where is not None:
            return None
        outputs = query.outputs
        value = outputs[0].node("expr") if len(outputs) == 1 else None
        return self._setting(value, depth + 1) if value is not None else None

    def _constant(self, node: Node, scope: Scope) -> TenantValue | None:
        if any(part.kind in _NOT_OF_ONE_CALL for part in node.walk()):
            return None
        if node.kind == "CONST" and node.flag("constisnull"):
            return None
        key = self._keys.key(node, scope)
        if key is None:
            return None
        is_fixed = all(self._is_immutable(part) for part in node.walk())
        text = "a constant" if node.kind == "CONST" else "one expression"
        return TenantValue(("value", key), text, is_fixed=is_fixed)

    def _is_immutable(self, node: Node) -> bool:
        """Return whether a node calls immutable functions alone."""
        if node.kind == "SQLVALUEFUNCTION":
            return False
        if node.kind == "COERCEVIAIO":
            arg = node.node("arg")
            types = [node.number("resulttype")]
            types += [next((arg.number(each) for each in _TYPES if arg.number(each)), 0)] if arg else []
            return all(exact_class(self._catalog, each) in _TEXT_CLASSES for each in types)
        oid = called_function(node, self._catalog)
        function = self._catalog.function(oid) if oid is not None else None
        return oid is None or (function is not None and function.volatility == "immutable")
