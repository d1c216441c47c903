"""The order of a statement's rows: proved to be the same in each execution, or left to chance."""

from __future__ import annotations

from plainsql.analysis.findings.examined import Examined
from plainsql.analysis.findings.row_findings import is_total
from plainsql.analysis.nodes import Node
from plainsql.analysis.nullability.verdict import Verdict
from plainsql.analysis.tree.query_tree import Command

__all__ = ["in_total_order"]


def in_total_order(examined: Examined, verdicts: list[Verdict]) -> bool:
    """Return True if no two rows are equal in the order of the statement, unless they are equal as a whole.

    Unlike a page, the rows may have a limit or child rows.
    """
    query = examined.scope.query
    if query.command != Command.SELECT:
        return False
    targets = [
        query.sort_group_expression(clause.number("tleSortGroupRef"))
        for clause in query.node.nodes("sortClause")
    ]
    sorted_outputs = {target.number("resno") for target in targets if target is not None}
    outputs = {output.number("resno"): number for number, output in enumerate(query.outputs)}
    if targets and outputs.keys() <= sorted_outputs:
        return True
    if not targets or query.set_operation() is not None or query.returned_sets():
        return False
    expressions: list[Node] = []
    for target in targets:
        expression = target.node("expr") if target is not None else None
        number = outputs.get(target.number("resno")) if target is not None else None
        # A unique key may hold several nulls. Without a part of its order, rows may still be distinct.
        if expression is not None and number is not None and number < len(verdicts):
            expressions += [] if verdicts[number].nullable else [expression]
    return is_total(examined, expressions)
