"""Searches whose rows nothing sorts again, though a relaxed iterative scan gives them out of order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from plainsql.analysis.cardinality.conditional_keys import expression_shape
from plainsql.analysis.catalog.relations import Index
from plainsql.analysis.conditions.equalities import plain_variable, strip_relabel
from plainsql.analysis.findings.examined import Examined
from plainsql.analysis.model import Finding
from plainsql.analysis.nodes import Node
from plainsql.analysis.tree.query_tree import Command, Scope

__all__ = ["relaxed_orders"]

_SCAN: Final = "iterative_scan"
_RELAXED: Final = "relaxed_order"


def relaxed_orders(examined: Examined, top: Scope, distance: Node, index: Index) -> Iterator[Finding]:
    """Yield where the statement relies on the order in which an index gives the rows of a search.

    ``examined`` is the search, ``top`` the scope of the statement. The planner takes the order of the inner
    query for given, also that of a ``with`` item: it sorts by another expression only.
    """
    shape = expression_shape(distance, 0)
    outputs = {
        number
        for number, output in enumerate(examined.scope.query.outputs, 1)
        if (expression := output.node("expr")) is not None
        and expression_shape(strip_relabel(expression), 0) == shape
    }
    setting = f"{index.method}.{_SCAN}"
    for place, name in _relied_on(examined, top, examined.scope, outputs):
        sorted_by = f"{name} + 0" if name else "the distance + 0"
        what = "they are ordered by it alone" if name else "nothing sorts them again"
        yield Finding(
            "vector-order",
            f"with {setting} = {_RELAXED} the index {index.name} gives the rows out of order, and {what}",
            place or examined.places.of(distance),
            f"select the distance in an inner query, and sort its rows outside: order by {sorted_by}, …;"
            " the planner takes the distance alone for sorted",
            setting=(setting, _RELAXED),
        )


def _relied_on(examined: Examined, top: Scope, search: Scope, outputs: set[int]) -> Iterator[tuple[int, str]]:
    """Yield the position and the distance's name of each order that is the one of a search's rows.

    ``outputs`` are the columns that have the distance.
    """
    if search.query is top.query:
        yield 0, ""
        return
    scopes = examined.prover.scopes
    for reader in scopes.all(top):
        query = reader.query
        for entry in query.entries:
            inner = scopes.of_entry(entry, reader) if entry.index in query.members else None
            if inner is None or inner.query is not search.query:
                continue
            own = [(entry.index, number) for number in outputs]
            order = query.node.nodes("sortClause")
            windows = query.node.nodes("windowClause")
            of_windows = [each.nodes("orderClause") for each in windows if not each.nodes("partitionClause")]
            for clauses in (order, *of_windows):
                first = _first(reader, clauses)
                variable = plain_variable(first, reader) if first is not None else None
                if variable in own:
                    yield examined.places.of(first), _name(reader, variable)
            if order or query.command != Command.SELECT or _combines(reader):
                continue
            passed = {
                number
                for number, output in enumerate(query.outputs, 1)
                if (expression := output.node("expr")) is not None
                and plain_variable(expression, reader) in own
            }
            yield from _relied_on(examined, top, reader, passed)


def _first(reader: Scope, clauses: list[Node]) -> Node | None:
    """Return the first expression of an order, if it is ascending."""
    if not clauses or clauses[0].flag("reverse_sort"):
        return None
    target = reader.query.sort_group_expression(clauses[0].number("tleSortGroupRef"))
    return target.node("expr") if target is not None else None


def _combines(reader: Scope) -> bool:
    """Return whether a query makes other rows of those that it reads: it has no order of theirs."""
    query = reader.query
    return (
        query.is_aggregated or bool(query.node.nodes("distinctClause")) or query.set_operation() is not None
    )


def _name(reader: Scope, variable: tuple[int, int] | None) -> str:
    """Return a column as the reader of a search names it."""
    entry = reader.query.entry(variable[0]) if variable is not None else None
    names = entry.node.node("eref") if entry is not None else None
    columns = names.texts("colnames") if names is not None else ()
    if entry is None or variable is None or len(columns) < variable[1]:
        return ""
    return f"{entry.alias}.{columns[variable[1] - 1]}"
