"""The order of a statement's rows as a key: total, and of selected columns, so that a page can begin behind
a row.
"""

from __future__ import annotations

from plainsql.analysis.findings.examined import Examined
from plainsql.analysis.findings.row_findings import is_total
from plainsql.analysis.nodes import Node
from plainsql.analysis.nullability.verdict import Verdict
from plainsql.analysis.tree.query_tree import Command
from plainsql.statements.column_paths import has_lists
from plainsql.statements.page_text import PageKey

__all__ = ["page_order"]


def page_order(examined: Examined, verdicts: list[Verdict]) -> tuple[tuple[PageKey, ...], str]:
    """Return the columns of the order, or none and the reason why the rows have no such order."""
    query = examined.scope.query
    if query.command != Command.SELECT or query.set_operation() is not None:
        return (), "it is no plain select"
    if query.node.node("limitCount") is not None or query.node.node("limitOffset") is not None:
        return (), "it has a limit or an offset of its own"
    if has_lists(output.text("resname") or "" for output in query.outputs):
        return (), "a page of it would count children, not parents"
    if query.node.items("rowMarks"):
        return (), "it locks rows"
    if query.returned_sets():
        return (), "a function in its select list returns several rows"
    sort = query.node.nodes("sortClause")
    if not sort:
        return (), "it has no order by"
    outputs = {output.number("resno"): number for number, output in enumerate(query.outputs)}
    keys: list[PageKey] = []
    expressions: list[Node] = []
    for clause in sort:
        target = query.sort_group_expression(clause.number("tleSortGroupRef"))
        expression = target.node("expr") if target is not None else None
        if target is None or expression is None:
            return (), "its order is not understood"
        operator = examined.prover.catalog.operator(clause.number("sortop"))
        if operator is None or operator.name not in ("<", ">"):
            return (), "it orders by an operator of its own"
        number = outputs.get(target.number("resno"))
        if number is None:
            where = examined.places.text_from(expression, 40).split("\n")[0]
            return (), f"its order has an expression that is not selected{f' ({where})' if where else ''}"
        nullable = number >= len(verdicts) or verdicts[number].nullable
        if not nullable:  # a unique key may hold several nulls
            expressions.append(expression)
        descending, nulls_first = operator.name == ">", clause.flag("nulls_first")
        keys.append(PageKey(target.text("resname") or "", descending, nullable, nulls_first))
    if not is_total(examined, expressions):
        return (), "rows may be equal in its order"
    return tuple(keys), ""
