"""The known values of the rows that a statement writes, before and after."""

from __future__ import annotations

from typing import Literal, TypeAlias

from plainsql.analysis.catalog.relations import Relation
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.effects.parameter_bindings import ParameterBindings
from plainsql.analysis.nodes import Node
from plainsql.analysis.tree.query_sites import QuerySite
from plainsql.analysis.tree.query_tree import Command, RangeTableEntry

__all__ = ["Event", "WriteBindings", "columns_set_by_every_insert", "default_columns"]

Event: TypeAlias = Literal["insert", "update", "delete", "truncate"]


class WriteBindings:
    """The parameters that columns of written rows are equal to, in the queries of one statement."""

    def __init__(self, catalog: Catalog, bindings: ParameterBindings) -> None:
        self._catalog = catalog
        self._bindings = bindings

    def bound(
        self, site: QuerySite, entry: RangeTableEntry, relation: Relation, event: Event, conflict: Node | None
    ) -> dict[int, set[int]]:
        """Return the columns with the same value before and after, or with one side only, and their
        parameters.
        """
        query = site.scope.query
        if query.command == Command.MERGE or relation.rules:
            return {}
        if query.command == Command.INSERT:
            inserted = {
                target.number("resno"): self._bindings.value(target.node("expr"), site.scope, column.type)
                for target in query.target_list
                if not target.flag("resjunk") and (column := relation.columns.get(target.number("resno")))
            }
            # With `overriding user value` an identity column gets its own value, whatever is given.
            overridden = query.node.number("override") == 1
            inserted = {
                column: bound
                for column, bound in inserted.items()
                if bound and not (overridden and relation.columns[column].identity)
            }
            if event == "insert":
                return self.untouched(relation, event, inserted)
            # The existing row shares with the new one only the columns that they conflict on.
            keys = self._arbiters(conflict, relation)
            changed = (
                {target.number("resno") for target in conflict.nodes("onConflictSet")} if conflict else set()
            )
            shared = {
                column: bound
                for column, bound in inserted.items()
                if column in keys and column not in changed
            }
            return self.untouched(relation, event, self.untouched(relation, "insert", shared))
        found = self._bindings.of(site.scope, entry.index)
        if event == "update":
            changed = {target.number("resno") for target in query.target_list if not target.flag("resjunk")}
            changed |= {column.number for column in relation.columns.values() if column.generated}
            found = {column: bound for column, bound in found.items() if column not in changed}
            return self.untouched(relation, event, found)
        return found

    def moved(self, site: QuerySite, entry: RangeTableEntry, relation: Relation) -> dict[int, set[int]]:
        """Return both parameters of each column that an update changes from one parameter to another."""
        query = site.scope.query
        if query.command != Command.UPDATE or relation.rules:
            return {}
        before, moved = self._bindings.of(site.scope, entry.index), dict[int, set[int]]()
        for target in query.target_list:
            column = relation.columns.get(target.number("resno"))
            if target.flag("resjunk") or column is None or column.number not in before:
                continue
            after = self._bindings.value(target.node("expr"), site.scope, column.type)
            if after:
                moved[column.number] = {min(before[column.number]), min(after)}
        return self.untouched(relation, "update", moved)

    def _arbiters(self, conflict: Node | None, relation: Relation) -> set[int]:
        columns: set[int] = set()
        for element in conflict.nodes("arbiterElems") if conflict is not None else ():
            expression = element.node("expr")
            if expression is None or expression.kind != "VAR":
                continue
            # If the index treats different texts as equal, the existing row may have another text.
            if expression.number("varcollid") not in self._catalog.routines.nondeterministic_collations:
                columns.add(expression.number("varattno"))
        return columns

    def untouched(self, relation: Relation, event: Event, bound: dict[int, set[int]]) -> dict[int, set[int]]:
        """Return the bindings without the columns that triggers may change."""
        changed = self._catalog.changed_by_triggers(relation, event)
        if changed is None:
            return {}
        return {column: names for column, names in bound.items() if column not in changed}


def default_columns(query: Node, relation: Relation) -> frozenset[int]:
    """Return the columns that a write may set to their ``default`` by name; all columns for rows of
    values.
    """
    targets = list(query.nodes("targetList"))
    if (conflict := query.node("onConflict")) is not None:
        targets += conflict.nodes("onConflictSet")
    for action in query.nodes("mergeActionList"):
        targets += action.nodes("targetList")
    named = [target for target in targets if _is_default(target.node("expr"))]
    pending, count = list(query.children()), 0
    while pending:
        node = pending.pop()
        count += node.kind == "SETTODEFAULT"
        pending.extend(child for child in node.children() if child.kind != "QUERY")
    if count > len(named):
        return frozenset(relation.columns)
    return frozenset(target.number("resno") for target in named)


def columns_set_by_every_insert(merge: Node) -> frozenset[int]:
    """Return the columns to which every insert of a merge gives a value."""
    inserts = [
        {target.number("resno") for target in action.nodes("targetList")}
        for action in merge.nodes("mergeActionList")
        if action.number("commandType") == Command.INSERT
    ]
    return frozenset(set.intersection(*inserts)) if inserts else frozenset()


def _is_default(node: Node | None) -> bool:
    return node is not None and node.kind == "SETTODEFAULT"
