"""The rules for variables: the source of a value and the joins above it.

A source is a table's column, a subquery, a function or a list of values.
"""

from __future__ import annotations

from plainsql.analysis.conditions.known_facts import Facts, NullingJoin
from plainsql.analysis.nodes import Node, Value
from plainsql.analysis.nullability.column_nullability import stored_column
from plainsql.analysis.nullability.expression_rules import elements_never_null
from plainsql.analysis.nullability.nonnull_functions import SET_COLUMNS
from plainsql.analysis.nullability.prover import Prover
from plainsql.analysis.nullability.returning_rules import excluded_verdict, target_verdict
from plainsql.analysis.nullability.verdict import Context, Verdict, never, nullable
from plainsql.analysis.tree.query_tree import Command, EntryKind, JoinType, RangeTableEntry, Scope

__all__ = ["returned_set", "variable_verdict"]

_JOIN_REASONS = {
    JoinType.LEFT: "left join may not match",
    JoinType.RIGHT: "right join may not match",
    JoinType.FULL: "full join may not match",
}

_NOT_MATCHED_BY_SOURCE = 1


def variable_verdict(prover: Prover, node: Node, context: Context) -> Verdict:
    """Return whether a ``VAR`` can be null: its source's value, then the outer joins above it."""
    home = context.scope.up(node.number("varlevelsup"))
    number, column = node.number("varno"), node.number("varattno")
    entry = home.query.entry(number) if home is not None else None
    if home is None or entry is None:
        return nullable("unknown variable")
    query = home.query
    if query.id in context.returning:
        if number == query.result_relation:
            return target_verdict(prover, node, home, context)
        if query.command == Command.MERGE and any(
            action.number("matchKind", -1) == _NOT_MATCHED_BY_SOURCE
            for action in query.node.nodes("mergeActionList")
        ):
            return nullable("not matched by source")
    base = _source(prover, entry, column, home, context)
    if base.nullable and ("var", query.id, number, column) in context.facts.keys:
        base = never("a condition excludes null")
    joins: set[NullingJoin] = set()
    because = ""
    for index in node.numbers("varnullingrels"):
        if index == number and entry.kind is EntryKind.GROUP:
            if ("not left out", query.id, number, column) not in context.facts.keys:
                return nullable("grouping sets leave it out")
            continue
        join = query.joins.get(index)
        if join is None:
            return nullable("an outer join that is not understood")
        for side, members in join.nullable_sides():
            if number in members and (query.id, index, side) not in context.facts.matched:
                joins.add((query.id, index, side))
                because = (
                    _JOIN_REASONS.get(join.type, "a join may not match")
                    if join.type
                    else "a join may not match"
                )
    return base.through(joins, because) if joins else base


def _source(prover: Prover, entry: RangeTableEntry, column: int, home: Scope, context: Context) -> Verdict:
    """Return the verdict for the value below all outer joins."""
    if column == 0:
        if entry.kind in (EntryKind.RELATION, EntryKind.SUBQUERY, EntryKind.CTE, EntryKind.VALUES):
            return never("a whole row")
        return nullable("a whole row of a function's result")
    match entry.kind:
        case EntryKind.RELATION | EntryKind.SUBQUERY | EntryKind.CTE:
            return _stored(prover, entry, column, home, context)
        case EntryKind.JOIN:
            return _at(prover, entry.node.items("joinaliasvars"), column, home, context)
        case EntryKind.GROUP:
            return _at(prover, entry.node.items("groupexprs"), column, home, context.before_grouping())
        case EntryKind.VALUES:
            return _values(prover, entry, column, home)
        case EntryKind.FUNCTION:
            return _function(prover, entry, column, home)
        case EntryKind.TABLEFUNC:
            return _table_function(entry, column)
        case _:
            pass
    return nullable("its source is not known")


def _stored(prover: Prover, entry: RangeTableEntry, column: int, home: Scope, context: Context) -> Verdict:
    conflict = home.query.node.node("onConflict")
    if conflict is not None and entry.index == conflict.number("exclRelIndex"):
        return excluded_verdict(prover, home, column)
    inner = prover.scopes.of_entry(entry, home)
    relation = prover.catalog.relation(entry.relation) if entry.kind is EntryKind.RELATION else None
    if relation is not None and prover.catalog.is_assumed_not_null(relation, column):
        return never("declared not null in pyproject.toml")
    if relation is not None and relation.kind == "m":
        filled = prover.past.scopes.of_view(relation.oid)
        outputs = prover.past.outputs(filled) if filled is not None else []
        known = 0 < column <= len(outputs)
        return (
            outputs[column - 1].read_by(home.query.id, entry.index) if known else nullable("unknown column")
        )
    if inner is not None:
        # A `with` item sees the queries around its own query, and none of that query's rows.
        outside = prover.rows(home) if entry.kind is EntryKind.SUBQUERY else None
        outputs = prover.outputs(inner, outside, _of_row_read(prover, inner, entry, home, context))
        if 0 < column <= len(outputs):
            return outputs[column - 1].read_by(home.query.id, entry.index)
        return _search_or_cycle(entry, column, len(outputs), home)
    if relation is None:
        return nullable("its source is not known")
    return stored_column(prover, relation, column, with_children=entry.with_children)


def _of_row_read(
    prover: Prover, inner: Scope, entry: RangeTableEntry, home: Scope, context: Context
) -> Facts:
    """Return the facts about the inner row that follow from its columns that are known not to be null."""
    query, facts = inner.query, Facts()
    # A window function looks at other rows, and an arm of a union is another query.
    if (
        query.command != Command.SELECT
        or query.set_operation() is not None
        or query.node.flag("hasWindowFuncs")
    ):
        return facts
    for column, output in enumerate(query.outputs, 1):
        expression = output.node("expr")
        if ("var", home.query.id, entry.index, column) in context.facts.keys and expression is not None:
            facts |= prover.inference.if_not_null(expression, inner)
    return facts


def _search_or_cycle(entry: RangeTableEntry, column: int, width: int, home: Scope) -> Verdict:
    """Return the verdict for the columns that ``search`` and ``cycle`` add after a recursive query's own."""
    found = home.cte(entry)
    if found is None:
        return nullable("unknown column")
    extra: list[Verdict] = []
    _, cte, _ = found
    if cte.node("search_clause") is not None:
        extra.append(never("search fills it in every row"))
    if (cycle := cte.node("cycle_clause")) is not None:
        marks = (cycle.node("cycle_mark_value"), cycle.node("cycle_mark_default"))
        constant = all(
            mark is not None and mark.kind == "CONST" and not mark.flag("constisnull") for mark in marks
        )
        extra.append(never("cycle marks every row") if constant else nullable("a cycle mark may be null"))
        extra.append(never("cycle fills it in every row"))
    position = column - width - 1
    return extra[position] if 0 <= position < len(extra) else nullable("unknown column")


def _at(prover: Prover, items: list[Value], column: int, home: Scope, context: Context) -> Verdict:
    node = items[column - 1] if 0 < column <= len(items) else None
    if not isinstance(node, Node):
        return nullable("unknown column")
    return prover.expression(node, Context(home, context.facts, context.left_out, context.returning))


def _values(prover: Prover, entry: RangeTableEntry, column: int, home: Scope) -> Verdict:
    place = prover.rows(home)
    for row in entry.node.items("values_lists"):
        node = row[column - 1] if isinstance(row, list) and 0 < column <= len(row) else None
        if not isinstance(node, Node):
            return nullable("unknown column of values")
        verdict = prover.expression(node, place)
        if verdict.nullable:
            return verdict.alone()
    return never("no row of values has a null there")


def _function(prover: Prover, entry: RangeTableEntry, column: int, home: Scope) -> Verdict:
    calls = entry.node.nodes("functions")
    width = sum(call.number("funccolcount") for call in calls)
    if entry.node.flag("funcordinality") and column == width + 1:
        return never("ordinality numbers every row")
    if len(calls) != 1:
        expressions = [call.node("funcexpr") for call in calls]
        if not 0 < column <= width == len(calls) or not _are_of_one_length(prover, expressions):
            return nullable("the shorter of several sets is filled with nulls")
        calls = calls[column - 1 : column]
        column = 1
    expression = calls[0].node("funcexpr")
    if expression is None:
        return nullable("unknown function")
    place = prover.rows(home)
    if expression.flag("funcretset") or expression.flag("opretset"):
        function = prover.catalog.function(expression.number("funcid"))
        result = expression.number("funcresulttype")
        if function is not None and function.name == "unnest" and prover.catalog.types.is_composite(result):
            return nullable("a field of a composite may be null")
        return returned_set(prover, expression, column, place)
    if calls[0].number("funccolcount") != 1:
        return nullable("a function's row may be null")
    type_field = expression.number("funcresulttype")
    if prover.catalog.types.is_composite(type_field):
        return nullable("a field of a composite may be null")
    return prover.expression(expression, place).alone()


def _are_of_one_length(prover: Prover, calls: list[Node | None]) -> bool:
    """Return whether calls are of ``unnest``, over constant-length arrays with the same number of
    elements.
    """
    lengths: set[int | None] = set()
    for call in calls:
        function = prover.catalog.function(call.number("funcid")) if call is not None else None
        if call is None or function is None or not function.is_builtin or function.name != "unnest":
            return False
        lengths.add(_length(call.nodes("args")[0]) if function.arguments == "anyarray" else None)
    return None not in lengths and len(lengths) == 1


def _length(node: Node) -> int | None:
    """Return the number of elements of an array that is written out; ``None`` for any other array."""
    while node.kind in ("RELABELTYPE", "ARRAYCOERCEEXPR") and (arg := node.node("arg")) is not None:
        node = arg
    if node.kind == "ARRAYEXPR":
        return None if node.flag("multidims") else len(node.nodes("elements"))
    value = node.datum("constvalue")
    if node.kind != "CONST" or node.flag("constisnull") or value is None or len(value) < 20:
        return None
    # An array's header: length, dimensions, offset of the data, type of the elements, the first dimension.
    dimensions = int.from_bytes(value[4:8], "little")
    return int.from_bytes(value[16:20], "little") if dimensions == 1 else None


def returned_set(prover: Prover, node: Node, column: int, context: Context) -> Verdict:
    """Return the verdict for a column of a set-returning function, which gives no row for a null argument."""
    function = prover.catalog.function(node.number("funcid"))
    if function is None or not function.is_builtin:
        return nullable("nothing is known of this function's rows")
    if function.name == "unnest" and function.arguments == "anyarray" and node.nodes("args"):
        if elements_never_null(prover, node.nodes("args")[0], context):
            return never("no element is null")
        return nullable("an element may be null")
    if function.name == "string_to_table" and len(node.nodes("args")) == 2:
        return never("a part of a text is a text")
    columns = SET_COLUMNS.get(function.name, ())
    if 0 < column <= len(columns) and columns[column - 1]:
        return never(f"{function.name} gives no nulls")
    return nullable(f"{function.name} may give nulls")


def _table_function(entry: RangeTableEntry, column: int) -> Verdict:
    table = entry.node.node("tablefunc")
    if table is None:
        return nullable("unknown table function")
    if not table.number("functype"):
        numbered = table.number("ordinalitycol", -1) == column - 1
    else:
        # `json_table` has no expression for the number, and leaves it out in rows of other nested paths.
        plan, values = table.node("plan"), table.items("colvalexprs")
        nested = plan is None or plan.kind != "JSONTABLEPATHSCAN" or plan.node("child") is not None
        numbered = not nested and 0 < column <= len(values) and values[column - 1] is None
    if numbered:
        return never("ordinality numbers every row")
    return nullable("a path may find nothing")
