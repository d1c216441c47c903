"""The facts that follow from a condition that holds: values that are not null, outer joins that found a
match.

A fact about a variable is about its *base* value, below the outer joins that may fill it with nulls. A match
of these joins is a separate fact. `b.x > 1` over `a left join b` proves both: `b.x` is not null in `b`, and
the join found a `b`. Because of that split, every fact can be used wherever the variable is mentioned, above
or below the join.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.conditions.expression_keys import ExpressionKey, ExpressionKeys
from plainsql.analysis.nodes import Node
from plainsql.analysis.tree.query_tree import EntryKind, Scope, Sublink

__all__ = [
    "NO_FACTS",
    "ExpressionKey",
    "Facts",
    "Inference",
    "NullingJoin",
    "is_true",
    "mentions",
    "nulling_joins",
]

NullingJoin = tuple[int, int, str]
"""A query's id, a join's index there, and the side that it fills with nulls."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Values that are not null, and outer joins that did not fill a side with nulls."""

    keys: frozenset[ExpressionKey] = frozenset()
    matched: frozenset[NullingJoin] = frozenset()

    def __or__(self, other: Facts) -> Facts:
        if not other.keys and not other.matched:
            return self
        return Facts(self.keys | other.keys, self.matched | other.matched)

    def __and__(self, other: Facts) -> Facts:
        return Facts(self.keys & other.keys, self.matched & other.matched)


NO_FACTS = Facts()


def union(facts: Iterable[Facts]) -> Facts:
    """Return the facts that hold if all of these hold."""
    result = NO_FACTS
    for fact in facts:
        result |= fact
    return result


def is_true(node: Node | None) -> bool:
    """Return whether a condition is missing or the constant ``true``."""
    if node is None:
        return True
    value = node.datum("constvalue")
    return node.kind == "CONST" and not node.flag("constisnull") and bool(value and value[0])


def _is_false(node: Node) -> bool:
    value = node.datum("constvalue")
    return node.kind == "CONST" and not node.flag("constisnull") and bool(value) and not any(value or b"")


def mentions(
    key: ExpressionKey, query: int, relation: int, columns: Callable[[int], bool] = lambda column: True
) -> bool:
    """Return whether a key refers to a relation's columns (those that ``columns`` accepts)."""
    if not isinstance(key, tuple):
        return False
    if len(key) >= 4 and key[0] == "var" and key[1:3] == (query, relation):
        return columns(key[3])
    return any(mentions(part, query, relation, columns) for part in key)


class Inference:
    """The inference of facts from conditions."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._keys = ExpressionKeys(catalog)

    def key(self, node: Node, scope: Scope) -> ExpressionKey | None:
        """Return the expression's key; ``None`` if two evaluations may differ (volatile calls,
        sub-selects).
        """
        return self._keys.key(node, scope)

    def grouping_key(self, node: Node, scope: Scope) -> ExpressionKey:
        """Return a key by which ``group by`` recognises an expression, whatever it calls."""
        key = self._keys.key(node, scope)
        return key if key is not None else ("as written", self._keys.structure(node, scope))

    def if_true(self, node: Node | None, scope: Scope) -> Facts:
        """Return the facts of a row for which the condition is true."""
        if node is None:
            return NO_FACTS
        args = node.nodes("args")
        match node.kind:
            case "BOOLEXPR":
                return self._boolean(node, scope, truth=True)
            case "NULLTEST":
                return self._null_test(node, scope, holds=True)
            case "BOOLEANTEST":
                return self._boolean_test(node, scope)
            case "SCALARARRAYOPEXPR" if len(args) == 2:
                # `x = any (array)` needs an element that matches; `x <> all ('{}')` is true whatever x is.
                strict = self._is_strict(node.number("opfuncid"), node.number("opno"))
                facts = self.if_not_null(args[1], scope)
                return facts | self.if_not_null(args[0], scope) if node.flag("useOr") and strict else facts
            case "SUBLINK" if node.number("subLinkType") == Sublink.ANY:
                return self.if_true(node.node("testexpr"), scope)
            case "COALESCEEXPR" if len(args) == 2 and _is_false(args[1]):
                return self.if_true(args[0], scope)
            case "ROWCOMPAREEXPR":
                return union(
                    self.if_not_null(side[0], scope)
                    for side in (node.nodes("largs"), node.nodes("rargs"))
                    if side
                )
            case _:
                pass
        return self.if_not_null(node, scope)

    def if_false(self, node: Node, scope: Scope) -> Facts:
        """Return the facts of a row for which the condition is false (and not null)."""
        args = node.nodes("args")
        match node.kind:
            case "BOOLEXPR":
                return self._boolean(node, scope, truth=False)
            case "NULLTEST":
                return self._null_test(node, scope, holds=False)
            case "BOOLEANTEST":
                return NO_FACTS
            case "SCALARARRAYOPEXPR" if len(args) == 2:
                strict = self._is_strict(node.number("opfuncid"), node.number("opno"))
                facts = self.if_not_null(args[1], scope)
                return facts if node.flag("useOr") or not strict else facts | self.if_not_null(args[0], scope)
            case "SUBLINK" | "ROWCOMPAREEXPR" | "DISTINCTEXPR":
                return NO_FACTS
            case _:
                pass
        return self.if_not_null(node, scope)

    def if_not_true(self, node: Node, scope: Scope) -> Facts:
        """Return the facts of a row for which the condition is false or null: there ``case`` continues."""
        if node.kind == "NULLTEST":
            return self.if_false(node, scope)
        if node.kind == "BOOLEXPR" and node.text("boolop") == "or":
            return union([self.if_not_true(arg, scope) for arg in node.nodes("args")])
        return NO_FACTS

    def if_not_null(self, node: Node, scope: Scope) -> Facts:
        """Return the facts of a row in which the expression is not null."""
        key = self.key(node, scope)
        facts = Facts(frozenset({key})) if key is not None else NO_FACTS
        args = node.nodes("args")
        match node.kind:
            case "VAR":
                return facts | self._variable(node, scope)
            case "FUNCEXPR" if self._is_strict(node.number("funcid"), 0):
                return facts | union([self.if_not_null(arg, scope) for arg in args])
            case "OPEXPR" | "NULLIFEXPR" if self._is_strict(node.number("opfuncid"), node.number("opno")):
                # `nullif(a, b)` is not null only if a is not.
                needed = args if node.kind == "OPEXPR" else args[:1]
                return facts | union([self.if_not_null(arg, scope) for arg in needed])
            case (
                "COERCETODOMAIN"
                | "RELABELTYPE"
                | "COERCEVIAIO"
                | "ARRAYCOERCEEXPR"
                | "COLLATEEXPR"
                | "CONVERTROWTYPEEXPR"
                | "FIELDSELECT"
            ):
                arg = node.node("arg")
                return facts | self.if_not_null(arg, scope) if arg is not None else facts
            case "SCALARARRAYOPEXPR" if len(args) == 2:
                return facts | self.if_not_null(args[1], scope)
            case "BOOLEXPR" if node.text("boolop") == "not":
                return facts | union([self.if_not_null(arg, scope) for arg in args])
            case "SUBSCRIPTINGREF" if node.node("refassgnexpr") is None:
                arg = node.node("refexpr")
                return facts | self.if_not_null(arg, scope) if arg is not None else facts
            case "COALESCEEXPR" if len(args) == 1:
                return facts | self.if_not_null(args[0], scope)
            case _:
                pass
        return facts

    def _boolean(self, node: Node, scope: Scope, *, truth: bool) -> Facts:
        args, operator = node.nodes("args"), node.text("boolop")
        if operator == "not":
            infer = self.if_false if truth else self.if_true
            return infer(args[0], scope) if args else NO_FACTS
        each = [(self.if_true if truth else self.if_false)(arg, scope) for arg in args]
        if (operator == "and") is truth:
            return union(each)
        common = each[0] if each else NO_FACTS
        for facts in each[1:]:
            common &= facts
        return common

    def _null_test(self, node: Node, scope: Scope, *, holds: bool) -> Facts:
        arg = node.node("arg")
        if arg is None:
            return NO_FACTS
        is_not_null = node.number("nulltesttype") == 1
        if is_not_null is not holds:
            return NO_FACTS
        # A failed `is null` of a row proves that it is a row, not that its values are not null.
        facts = self.if_not_null(arg, scope)
        return facts | self._whole_row(arg, scope) if is_not_null and node.flag("argisrow") else facts

    def _whole_row(self, row: Node, scope: Scope) -> Facts:
        """Return the facts of a row value that `is not null`: none of its columns is null."""
        if row.kind == "ROWEXPR":
            return union(self.if_not_null(arg, scope) for arg in row.nodes("args"))
        is_whole = row.kind == "VAR" and not row.number("varattno")
        home = scope.up(row.number("varlevelsup")) if is_whole else None
        entry = home.query.entry(row.number("varno")) if home is not None else None
        relation = self._catalog.relation(entry.relation) if entry is not None and entry.relation else None
        if home is None or entry is None or relation is None or row.number("varreturningtype"):
            return NO_FACTS
        return Facts(frozenset(("var", home.query.id, entry.index, column) for column in relation.columns))

    def _boolean_test(self, node: Node, scope: Scope) -> Facts:
        arg = node.node("arg")
        if arg is None:
            return NO_FACTS
        match node.number("booltesttype"):
            case 0:
                return self.if_true(arg, scope)
            case 2:
                return self.if_false(arg, scope)
            case 5:
                return self.if_not_null(arg, scope)
            case _:
                pass
        return NO_FACTS

    def _variable(self, node: Node, scope: Scope) -> Facts:
        home = scope.up(node.number("varlevelsup"))
        if home is None:
            return NO_FACTS
        query, number, column = home.query, node.number("varno"), node.number("varattno")
        facts = Facts(matched=frozenset(nulling_joins(node, home)))
        entry = query.entry(number)
        if entry is not None and entry.kind is EntryKind.GROUP:
            expressions = entry.node.nodes("groupexprs")
            facts |= Facts(frozenset({("not left out", query.id, number, column)}))
            if 0 < column <= len(expressions):
                facts |= self.if_not_null(expressions[column - 1], home)
        if entry is not None and entry.kind is EntryKind.JOIN:
            aliases = entry.node.items("joinaliasvars")
            alias = aliases[column - 1] if 0 < column <= len(aliases) else None
            if isinstance(alias, Node):
                facts |= self.if_not_null(alias, home)
        return facts

    def _is_strict(self, function: int, operator: int) -> bool:
        if not function and operator:
            found = self._catalog.operator(operator)
            function = found.function if found is not None else 0
        known = self._catalog.function(function)
        return known is not None and known.strict


def nulling_joins(variable: Node, home: Scope) -> list[NullingJoin]:
    """Return the outer joins that can fill a variable with nulls, each with the variable's side of it."""
    found: list[NullingJoin] = []
    for index in variable.numbers("varnullingrels"):
        join = home.query.joins.get(index)
        if join is None:
            continue
        for side, members in join.nullable_sides():
            if variable.number("varno") in members:
                found.append((home.query.id, index, side))
    return found
