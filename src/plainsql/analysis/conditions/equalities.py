"""The equalities that hold in every row of a query: `column = expression` joined by ``and``."""

from __future__ import annotations

from dataclasses import dataclass

from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.nodes import Node, conjuncts
from plainsql.analysis.tree.function_calls import called_function
from plainsql.analysis.tree.query_tree import (
    Command,
    EntryKind,
    JoinType,
    RangeTableEntry,
    Scope,
    expression_children,
)

__all__ = [
    "Equality",
    "calls_volatile",
    "collect_equalities",
    "conditions",
    "equality_families",
    "is_repeatable",
    "lateral_variables",
    "not_distinct",
    "outer_variables",
    "plain_variable",
    "strip_relabel",
]


@dataclass(frozen=True, slots=True)
class Equality:
    """``variable = other`` by an operator that btree families know as equality."""

    variable: tuple[int, int]
    """The range table index and the column, in this query."""
    other: Node
    families: frozenset[int]
    only_for: frozenset[int] | None
    """The relations that it restricts; ``None`` for all.

    An outer join's condition restricts its nullable side alone.
    """
    node: Node
    variable_node: Node
    null_is_equal: bool = False
    """True for ``is not distinct from``, of a variable or a value that cannot be null itself."""


def equality_families(catalog: Catalog, operator: int) -> frozenset[int]:
    """Return the btree families in which an operator is the equality."""
    return frozenset(catalog.routines.families_of_equality.get(operator, ()))


def strip_relabel(node: Node) -> Node:
    """Return the expression below casts that do not change the value."""
    while node.kind in ("RELABELTYPE", "COLLATEEXPR") and (arg := node.node("arg")) is not None:
        node = arg
    return node


def plain_variable(node: Node, scope: Scope) -> tuple[int, int] | None:
    """Return the variable of this query that an expression is, through relabelling and join aliases."""
    node = strip_relabel(node)
    if node.kind != "VAR" or node.number("varlevelsup") or node.number("varattno") <= 0:
        return None
    entry = scope.query.entry(node.number("varno"))
    if entry is not None and entry.kind is EntryKind.JOIN:
        aliases = entry.node.items("joinaliasvars")
        column = node.number("varattno")
        alias = aliases[column - 1] if column <= len(aliases) else None
        return plain_variable(alias, scope) if isinstance(alias, Node) else None
    return node.number("varno"), node.number("varattno")


def is_repeatable(catalog: Catalog, node: Node) -> bool:
    """Return whether an expression has one value for one row: no volatile call, no aggregate.

    A sub-select qualifies only if it does not refer to the queries around it.
    """
    for part in expression_children(node):
        if part.kind in ("AGGREF", "GROUPINGFUNC", "WINDOWFUNC", "SETTODEFAULT", "NEXTVALUEEXPR"):
            return False
        if part.kind == "SUBLINK":
            inner = part.node("subselect")
            if inner is None or _reaches_out(inner, 1) or part.node("testexpr") is not None:
                return False
        elif (oid := called_function(part, catalog)) is not None:
            function = catalog.function(oid)
            if function is None or function.volatility == "volatile" or function.returns_set:
                return False
    return True


def _reaches_out(query: Node, levels: int) -> bool:
    """Return whether a query refers to one this many levels around it, or farther out."""
    pending = [(query, levels)]
    while pending:
        node, depth = pending.pop()
        if node.kind == "VAR" and node.number("varlevelsup") >= depth:
            return True
        if node.kind in ("AGGREF", "GROUPINGFUNC") and node.number("agglevelsup") >= depth:
            return True
        # A `with` item of an outer query is read once as a whole: it gives the same rows each time.
        pending.extend((child, depth + 1 if child.kind == "QUERY" else depth) for child in node.children())
    return False


def calls_volatile(catalog: Catalog, node: Node) -> bool:
    """Return whether an expression, or a sub-select in it, calls a volatile or unknown function."""
    for part in node.walk():
        if (oid := called_function(part, catalog)) is not None:
            function = catalog.function(oid)
            if function is None or function.volatility == "volatile":
                return True
    return False


def outer_variables(node: Node) -> list[tuple[Node, int]]:
    """Return the variables of the query of an expression, and of queries around it, in all sub-selects too.

    Each comes with the number of queries between: 0 for a variable of the expression's own query.
    """
    found: list[tuple[Node, int]] = []
    pending = [(node, 0)]
    while pending:
        part, depth = pending.pop()
        if part.kind == "VAR" and part.number("varlevelsup") >= depth:
            found.append((part, part.number("varlevelsup") - depth))
        pending.extend((child, depth + 1 if child.kind == "QUERY" else depth) for child in part.children())
    return found


def lateral_variables(entry: RangeTableEntry) -> list[Node]:
    """Return the variables by which a lateral item refers to other items of the same ``from``."""
    if not entry.node.flag("lateral"):
        return []
    found: list[Node] = []
    pending = [(child, 1 if child.kind == "QUERY" else 0) for child in entry.node.children()]
    while pending:
        node, depth = pending.pop()
        if node.kind == "VAR" and node.number("varlevelsup") == depth:
            found.append(node)
        pending.extend((child, depth + 1 if child.kind == "QUERY" else depth) for child in node.children())
    return found


def collect_equalities(
    catalog: Catalog, scope: Scope, among: list[tuple[Node, frozenset[int] | None]] | None = None
) -> list[Equality]:
    """Return all equalities that a query's rows fulfil, each with the relations that it restricts.

    ``among`` are the query's conditions, by default those of ``conditions``.
    """
    return [
        equality
        for node, only_for in (conditions(scope) if among is None else among)
        for equality in _equalities_in(catalog, node, only_for, scope)
    ]


def conditions(scope: Scope) -> list[tuple[Node, frozenset[int] | None]]:
    """Return the conditions that a query's rows fulfil.

    Each has the relations that it restricts, or ``None`` for all.
    """
    query = scope.query
    found: list[tuple[Node, frozenset[int] | None]] = []

    def add(condition: Node | None, only_for: frozenset[int] | None) -> None:
        found.extend((part, only_for) for part in conjuncts(condition))

    if query.command == Command.MERGE:
        # Rows of the source that match nothing count too: the condition restricts the target alone. Before 17
        # the condition is in the place of the `where` of other statements.
        for condition in (query.where, query.node.node("mergeJoinCondition")):
            add(condition, frozenset({query.result_relation}))
    else:
        add(query.where, None)
    for join in query.joins.values():
        match join.type:
            case JoinType.INNER:
                add(join.condition, None)
            case JoinType.LEFT:
                add(join.condition, join.right_members)
            case JoinType.RIGHT:
                add(join.condition, join.left_members)
            case _:
                pass
    return found


def not_distinct(
    catalog: Catalog, node: Node, scope: Scope
) -> list[tuple[tuple[int, int], Node, Node, frozenset[int], Node]]:
    """Return the variables that a condition with ``is not distinct from`` compares.

    Each has its own node, the other side, the operator families, and the node of the comparison.
    """
    arg = node.nodes("args")[0] if node.kind == "BOOLEXPR" and node.text("boolop") == "not" else None
    if arg is None:
        return []
    # Two rows are compared column by column: `not (a is distinct from … or b is distinct from …)`.
    rows = arg.kind == "BOOLEXPR" and arg.text("boolop") == "or"
    found: list[tuple[tuple[int, int], Node, Node, frozenset[int], Node]] = []
    for part in arg.nodes("args") if rows else [arg]:
        args = part.nodes("args")
        families = equality_families(catalog, part.number("opno"))
        if (
            part.kind != "DISTINCTEXPR"
            or len(args) != 2
            or not families
            or part.number("inputcollid") in catalog.routines.nondeterministic_collations
        ):
            continue
        for one, other in (args, args[::-1]):
            if (variable := plain_variable(one, scope)) is not None:
                found.append((variable, strip_relabel(one), other, families, part))
    return found


def _cannot_both_be_null(catalog: Catalog, variable: tuple[int, int], other: Node, scope: Scope) -> bool:
    """Return whether a variable and another value are never both null, if they are not distinct."""
    if other.kind == "CONST" and not other.flag("constisnull"):
        return True
    entry = scope.query.entry(variable[0])
    relation = catalog.relation(entry.relation) if entry is not None and entry.relation else None
    return (
        entry is not None
        and relation is not None
        and catalog.column_is_not_null(relation, variable[1], with_children=entry.with_children)[0]
    )


def _equalities_in(
    catalog: Catalog, node: Node, only_for: frozenset[int] | None, scope: Scope
) -> list[Equality]:
    if node.kind == "BOOLEXPR":
        return [
            Equality(variable, other, families, only_for, part, own, null_is_equal=True)
            for variable, own, other, families, part in not_distinct(catalog, node, scope)
            if _cannot_both_be_null(catalog, variable, other, scope)
        ]
    args = node.nodes("args")
    if node.kind == "OPEXPR" and len(args) == 2:
        families = equality_families(catalog, node.number("opno"))
        if not families:
            return []
        # A collation that treats different texts as equal makes `=` weaker than a unique index.
        if node.number("inputcollid") in catalog.routines.nondeterministic_collations:
            return []
        return [
            Equality(variable, other, families, only_for, node, strip_relabel(one))
            for one, other in (args, args[::-1])
            if (variable := plain_variable(one, scope)) is not None
        ]
    return []
