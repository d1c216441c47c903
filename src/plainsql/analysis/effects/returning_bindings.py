"""The written columns whose values, before and after, a statement's result contains for all written rows."""

from __future__ import annotations

from plainsql.analysis.catalog.relations import Relation
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.conditions.equalities import plain_variable, strip_relabel
from plainsql.analysis.tree.query_tree import Command, EntryKind, QueryTree, Scope

__all__ = ["returned_columns"]

_OLD, _NEW = 1, 2
"""``varreturningtype`` (from PostgreSQL 18 on)."""


def returned_columns(catalog: Catalog, top: Scope, scope: Scope, relation: Relation) -> dict[int, set[int]]:
    """Return the columns of the table that ``scope`` writes, each with one or two outputs of ``top``, from 0.

    Each written row appears in the result, and its column had and has the value of one of the outputs: one
    output if both sides are the same, two if one is the row's old value and the other its new value.
    """
    query = scope.query
    if query.command == Command.MERGE or relation.rules:
        return {}
    sides: dict[int, dict[int, int]] = {}
    default = _OLD if query.command == Command.DELETE else _NEW
    for position, output in _passed_outputs(top, scope).items():
        node = query.outputs[position].node("expr")
        variable = plain_variable(node, scope) if node is not None else None
        if node is not None and variable is not None and variable[0] == query.result_relation:
            side = strip_relabel(node).number("varreturningtype") or default
            sides.setdefault(variable[1], {}).setdefault(side, output)
    changed = _changed_columns(catalog, query, relation)
    found: dict[int, set[int]] = {}
    for column, outputs in sides.items():
        if changed is None or column in changed:
            if outputs.keys() == {_OLD, _NEW}:
                found[column] = set(outputs.values())
        elif default in outputs:
            found[column] = {outputs[default]}
    return found


def _changed_columns(catalog: Catalog, query: QueryTree, relation: Relation) -> set[int] | None:
    """Return the columns whose values before and after may differ; ``None`` for any column.

    An inserted or deleted row has only one side.
    """
    conflict = query.node.node("onConflict")
    if query.command == Command.UPDATE:
        targets = query.target_list
    elif conflict is not None and conflict.number("action") == 2:
        targets = conflict.nodes("onConflictSet")
    else:
        return set()
    triggered = catalog.changed_by_triggers(relation, "update")
    if triggered is None:
        return None
    assigned = {target.number("resno") for target in targets if not target.flag("resjunk")}
    return assigned | triggered | {c.number for c in relation.columns.values() if c.generated}


def _passed_outputs(top: Scope, scope: Scope) -> dict[int, int]:
    """Map each output of ``scope`` to the same output of ``top``, if no row is left out."""
    query = top.query
    names = [output.text("resname") or "" for output in query.outputs]
    # A dotted name is inside of a nested row.
    plain = [name.isidentifier() and names.count(name) == 1 for name in names]
    if query is scope.query:
        return {position: position for position in range(len(names)) if plain[position]}
    found: dict[int, int] = {}
    item = _single_source(query)
    entry = query.entry(item)
    if entry is None or entry.node.number("ctelevelsup") or entry.kind is not EntryKind.CTE:
        return found
    if query.cte_query(entry.node.text("ctename") or "") is not scope.query:
        return found
    for output, target in enumerate(query.outputs):
        node = target.node("expr")
        variable = plain_variable(node, top) if node is not None else None
        if variable is not None and variable[0] == item and plain[output]:
            found.setdefault(variable[1] - 1, output)
    return found


def _single_source(query: QueryTree) -> int:
    """Return the one item that a query selects from, with a row for each of its rows; 0 if that is not so."""
    node = query.node
    leaves_out = (
        query.command != Command.SELECT
        or query.where is not None
        or query.is_aggregated
        or query.set_operation() is not None
        or query.returned_sets()
        or node.flag("hasTargetSRFs")
        or node.nodes("distinctClause")
        or node.node("limitCount") is not None
        or node.node("limitOffset") is not None
    )
    return 0 if leaves_out or query.joins or len(query.members) != 1 else min(query.members)
