"""Findings about the rows, the order and the nulls of a statement."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from plainsql.analysis.cardinality.unique_rows import from_entries
from plainsql.analysis.conditions.equalities import plain_variable, strip_relabel
from plainsql.analysis.findings.examined import Examined
from plainsql.analysis.model import Finding
from plainsql.analysis.nodes import Node, conjuncts
from plainsql.analysis.tree.function_calls import called_function
from plainsql.analysis.tree.query_tree import (
    Command,
    EntryKind,
    JoinType,
    RangeTableEntry,
    Scope,
    Sublink,
    once_per_query,
    ungrouped,
)

__all__ = ["examine", "is_total"]

_ON_CONFLICT_NOTHING = 1


def examine(examined: Examined) -> Iterator[Finding]:
    """Yield these findings, in all queries that the statement itself contains."""
    yield from _many(examined)
    yield from _conflicts(examined)
    for scope in examined.prover.scopes.all(examined.scope):
        each = replace(examined, scope=scope)
        yield from _order(each)
        yield from _not_in(each)
        yield from _idle_parameters(each)


def _many(examined: Examined) -> Iterator[Finding]:
    """Yield findings about a statement that may return more than one row; the header decides which count."""
    scope, cardinality = examined.scope, examined.prover.cardinality
    query = scope.query
    answer = cardinality.at_most_one(scope)
    if answer.proved or query.command == Command.UTILITY or not query.outputs:
        return
    yield Finding(
        "unproved-one",
        f"more than one row may come back: {answer.because}",
        hint=_key_hint(examined) or "add a limit, an aggregate or equality on a unique key",
    )
    if query.command == Command.SELECT and not _is_bounded(examined, scope):
        yield Finding(
            "unbounded",
            "nothing bounds the number of rows: no limit, and no key is compared with a parameter",
            hint="add a limit, or bind the leading column of an index",
        )


def _conflicts(examined: Examined) -> Iterator[Finding]:
    """Yield an insert that returns no row for a conflict; the header decides whether one row is promised."""
    words = _skipped(examined, examined.scope)
    if words:
        yield Finding(
            "conflict-without-row",
            f"no row comes back for a conflict {words}",
            examined.places.of_words("on", "conflict"),
            "write returns: optional",
        )


@once_per_query
def _skipped(examined: Examined, scope: Scope) -> str:
    """Return the conflicts for which the query's insert returns no row; empty if there are none."""
    query = scope.query
    conflict = query.node.node("onConflict")
    if query.command == Command.INSERT and conflict is not None and query.outputs:
        if conflict.number("action") == _ON_CONFLICT_NOTHING:
            return "that does nothing"
        return "that the `where` of the update leaves out" if conflict.node("onConflictWhere") else ""
    # A query of a `with` item's rows has no row if the item has none, unless it adds rows of its own.
    if (
        query.command != Command.SELECT
        or query.set_operation() is not None
        or (query.is_aggregated and not query.is_grouped)
        or any(join.type is not JoinType.INNER for join in query.joins.values())
    ):
        return ""
    for entry in from_entries(query):
        inner = examined.prover.scopes.of_entry(entry, scope) if entry.kind is EntryKind.CTE else None
        recursive = entry.node.flag("self_reference")
        if inner is not None and not recursive and (words := _skipped(examined, inner)):
            return words
    return ""


def _key_hint(examined: Examined) -> str:
    """Return the unique key of the first relation that prevents the proof, if it has one."""
    scope, cardinality = examined.scope, examined.prover.cardinality
    fixed = cardinality.unique_rows(scope)
    for entry in from_entries(scope.query):
        relation = examined.prover.catalog.relation(entry.relation) if entry.relation else None
        if entry.index in fixed.relations or relation is None or relation.is_view:
            continue
        # A constraint and an index may be on the same columns.
        keys = dict.fromkeys(
            ", ".join(relation.columns[column].name for column in key.columns)
            for key in sorted(relation.unique_keys, key=lambda key: (not key.primary, key.name))
        )
        return (
            f"compare a unique key of {entry.alias} for equality: {' or '.join(f'({key})' for key in keys)}"
            if keys
            else ""
        )
    return ""


@once_per_query
def _is_bounded(examined: Examined, scope: Scope) -> bool:
    query = scope.query
    if query.node.node("limitCount") is not None:
        return True
    scopes = examined.prover.scopes
    if query.set_operation() is not None:
        if _has_few_distinct_rows(examined, scope):
            return True
        arms = [scopes.of_entry(entry, scope) for entry in query.entries if entry.kind is EntryKind.SUBQUERY]
        return all(arm is not None and _is_bounded(examined, arm) for arm in arms)
    if _has_few_groups(examined, scope):
        return True
    fixed = examined.prover.cardinality.unique_rows(scope)
    entries = from_entries(query)
    keyed = _keyed_by_array(examined, scope)
    return any(
        _bounds(examined, entry, scope, set(fixed.columns) | keyed, fixed.relations) for entry in entries
    )


def _has_few_groups(examined: Examined, scope: Scope) -> bool:
    """Return whether rows are grouped, or distinct, by booleans and enums alone."""
    query = scope.query
    lists = [query.node.nodes("distinctClause")]
    if not query.returned_sets():
        lists.append(query.node.nodes("groupClause"))
    for clauses in lists:
        entries = [query.sort_group_expression(clause.number("tleSortGroupRef")) for clause in clauses]
        if entries and all(
            entry is not None and _has_few_values(examined, examined.prover.type_of(entry.node("expr")))
            for entry in entries
        ):
            return True
    return False


def _has_few_distinct_rows(examined: Examined, scope: Scope) -> bool:
    """Return whether a `union` without `all` gives booleans and enums alone."""
    operation = scope.query.set_operation()
    return (
        operation is not None
        and not operation.flag("all")
        and all(
            _has_few_values(examined, examined.prover.type_of(output.node("expr")))
            for output in scope.query.outputs
        )
    )


def _has_few_values(examined: Examined, oid: int) -> bool:
    types = examined.prover.catalog.types
    row = types.row(types.base(oid))
    return row is not None and (row.typtype == "e" or (row.schema, row.name) == ("pg_catalog", "bool"))


def _bounds(
    examined: Examined,
    entry: RangeTableEntry,
    scope: Scope,
    columns: set[tuple[int, int]],
    relations: set[int],
) -> bool:
    if entry.index in relations and len(from_entries(scope.query)) == 1:
        return True
    if entry.kind in (EntryKind.VALUES, EntryKind.FUNCTION):
        return True
    relation = examined.prover.catalog.relation(entry.relation) if entry.relation else None
    if relation is not None and not relation.is_view:
        return any((entry.index, index.columns[0]) in columns for index in relation.indexes)
    inner = examined.prover.scopes.of_entry(entry, scope)
    if inner is None or entry.node.flag("self_reference"):
        return False
    if _is_bounded(examined, inner):
        return True
    # A subquery's column that is compared from outside.
    for position, output in enumerate(inner.query.outputs, 1):
        expression = output.node("expr")
        variable = plain_variable(ungrouped(expression, inner), inner) if expression is not None else None
        below = inner.query.entry(variable[0]) if variable is not None else None
        if variable is None or below is None or (entry.index, position) not in columns:
            continue
        if _bounds(examined, below, inner, {variable}, set()):
            return True
    return False


def _keyed_by_array(examined: Examined, scope: Scope) -> set[tuple[int, int]]:
    """Return columns that are compared with the elements of an array or list: `id = any ($1)`."""
    found: set[tuple[int, int]] = set()
    conditions = conjuncts(scope.query.where)
    for join in scope.query.joins.values():
        conditions += conjuncts(join.condition)
    for node in conditions:
        args = node.nodes("args")
        if node.kind == "SCALARARRAYOPEXPR" and node.flag("useOr") and len(args) == 2:
            variable = plain_variable(args[0], scope)
            if variable is not None and not any(part.kind == "VAR" for part in args[1].walk()):
                found.add(variable)
    return found


def _order(examined: Examined) -> Iterator[Finding]:
    """Yield limits over an order in which two rows may be equal: chance decides which one is cut off."""
    scope, prover = examined.scope, examined.prover
    query = scope.query
    limit = query.node.node("limitCount")
    if limit is None or query.command != Command.SELECT:
        return
    unlimited = prover.cardinality.at_most_one_but_for_limit(scope)
    if unlimited or _exists_only(examined):
        return
    sort = query.node.nodes("sortClause")
    if not sort:
        yield Finding(
            "partial-order",
            "a limit without an order: chance decides which rows come back",
            examined.places.of(limit),
            "add an order by that ends in a unique key",
        )
        return
    targets = [query.sort_group_expression(clause.number("tleSortGroupRef")) for clause in sort]
    expressions = [t.node("expr") for t in targets if t is not None]
    if scope.parent is not None and any(
        e is not None and e.kind == "OPEXPR" and e.number("opno") in prover.catalog.routines.ordering_families
        for e in expressions
    ):
        # Inside an index scan by distance: ties are broken outside.
        return
    sorted_outputs = {t.number("resno") for t in targets if t is not None}
    if {output.number("resno") for output in query.outputs} <= sorted_outputs:
        return
    if query.set_operation() is None and is_total(examined, [e for e in expressions if e is not None]):
        return
    last = examined.places.of(expressions[-1])
    clause = examined.places.order_by(examined.places.of(limit))
    yield Finding(
        "partial-order",
        "the order under a limit is not total: rows that are equal in it come back by chance",
        # An expression that is also selected has its position in the select list.
        max(clause, last),
        "end the order by with a unique key",
    )


def is_total(examined: Examined, expressions: list[Node]) -> bool:
    """Return whether no two rows are equal in these expressions."""
    scope, cardinality = examined.scope, examined.prover.cardinality
    query = scope.query
    variables = {
        variable
        for expression in expressions
        if (variable := plain_variable(ungrouped(expression, scope), scope)) is not None
    }
    if query.is_aggregated or query.node.nodes("distinctClause"):
        clauses = query.node.nodes("distinctClause") or query.node.nodes("groupClause")
        if query.node.nodes("groupingSets"):
            return False
        fixed = cardinality.unique_rows(scope, columns=variables)
        return bool(clauses) and fixed.clauses(clauses)
    fixed = cardinality.unique_rows(scope, columns=variables)
    return not fixed.full_join and all(entry.index in fixed.relations for entry in from_entries(query))


def _exists_only(examined: Examined) -> bool:
    """Return whether the query is inside of `exists`, which ignores the rows' values."""
    parent = examined.scope.parent
    if parent is None:
        return False
    return any(
        node.kind == "SUBLINK"
        and node.number("subLinkType") == Sublink.EXISTS
        and examined.prover.scopes.of_sublink(node, parent) is examined.scope
        for node in parent.query.expressions()
    )


def _not_in(examined: Examined) -> Iterator[Finding]:
    """Yield each `not in` over a nullable value: with a single null it is never true, and no row comes
    back.
    """
    scope, prover = examined.scope, examined.prover
    for node in scope.query.expressions():
        inner: Node | None = None
        if node.kind == "BOOLEXPR" and node.text("boolop") == "not":
            inner = next((arg for arg in node.nodes("args") if arg.kind == "SUBLINK"), None)
            if inner is not None and inner.number("subLinkType") != Sublink.ANY:
                inner = None
        elif node.kind == "SUBLINK" and node.number("subLinkType") == Sublink.ALL:
            inner = node
        if inner is not None:
            query = prover.scopes.of_sublink(inner, scope)
            outputs = prover.outputs(query, prover.rows(scope)) if query is not None else []
            nullable = next((output for output in outputs if output.nullable), None)
            if nullable is not None:
                yield Finding(
                    "not-in-nullable",
                    f"not in is never true once the sub-select has a null, and it may: {nullable.because}",
                    examined.places.of(inner),
                    "use not exists, or leave the nulls out of the sub-select",
                )
        if node.kind == "SCALARARRAYOPEXPR" and not node.flag("useOr") and len(node.nodes("args")) == 2:
            yield from _not_in_list(examined, node)


def _not_in_list(examined: Examined, node: Node) -> Iterator[Finding]:
    for element in node.nodes("args")[1].nodes("elements"):
        verdict = examined.prover.expression(element, examined.prover.rows(examined.scope))
        if verdict.nullable and strip_relabel(element).kind in ("VAR", "CONST"):
            yield Finding(
                "not-in-nullable",
                f"not in is never true once an element is null, and one may be: {verdict.because}",
                examined.places.of(element) or examined.places.of(node),
                "leave the null out, or compare with is distinct from",
            )


def _idle_parameters(examined: Examined) -> Iterator[Finding]:
    """Yield each `order by :column`: it orders by a constant, not by the column of that name."""
    query = examined.scope.query
    for clause, word in (("sortClause", "order by"), ("groupClause", "group by")):
        for item in query.node.nodes(clause):
            target = query.sort_group_expression(item.number("tleSortGroupRef"))
            expression = target.node("expr") if target is not None else None
            if expression is None:
                continue
            expression = ungrouped(expression, examined.scope)
            bare = strip_relabel(expression)
            if (
                bare.kind == "PARAM"
                and not bare.number("paramkind")
                and called_function(bare, examined.prover.catalog) is None
            ):
                yield Finding(
                    "unused-parameter",
                    f"{word} a parameter: it is the same for every row",
                    examined.places.of(bare),
                    "write the column, or one line for each choice with --? order=…",
                )
