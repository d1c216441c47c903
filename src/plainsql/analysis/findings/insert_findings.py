"""Inserts that always fail: a column that refuses null gets no value, and has no default."""

from __future__ import annotations

from collections.abc import Iterator

from plainsql.analysis.catalog.relations import Relation, RelationColumn
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.findings.examined import Examined
from plainsql.analysis.model import Finding
from plainsql.analysis.nodes import Node
from plainsql.analysis.nullability.column_nullability import excludes_null
from plainsql.analysis.tree.query_tree import Command, EntryKind, QueryTree

__all__ = ["examine_inserts"]


def examine_inserts(examined: Examined) -> Iterator[Finding]:
    """Yield the inserts of a statement that fail for every row, those of its ``merge`` actions too."""
    for scope in examined.prover.scopes.all(examined.scope):
        query = scope.query
        entry = query.entry(query.result_relation)
        relation = examined.prover.catalog.relation(entry.relation) if entry is not None else None
        if relation is None:
            continue
        for targets in _inserts(query):
            left = ", ".join(c.name for c in _unfilled(examined.prover.catalog, query, relation, targets))
            if left:
                yield Finding(
                    "insert-fails",
                    f"the insert into {relation} always fails: no value for {left}, not null and without"
                    " a default",
                    next((place for t in targets if (place := examined.places.of(t.node("expr")))), 0),
                    f"insert a value for {left}, or add a default in a migration",
                )


def _inserts(query: QueryTree) -> Iterator[list[Node]]:
    if query.command == Command.INSERT:
        yield query.target_list
    if query.command == Command.MERGE:
        for action in query.node.nodes("mergeActionList"):
            if action.number("commandType") == Command.INSERT:
                yield action.nodes("targetList")


def _unfilled(
    catalog: Catalog, query: QueryTree, relation: Relation, targets: list[Node]
) -> list[RelationColumn]:
    """Return the columns that are null in every inserted row, and refuse null."""
    # The rows that an insert into a view, a foreign table or a table with rules writes are not analysed here.
    if relation.kind not in "rp" or relation.rules:
        return []
    # A row that a trigger drops does not fail; nor does one that it fills.
    if catalog.may_drop_rows(relation, "insert"):
        return []
    filled = catalog.changed_by_triggers(relation, "insert")
    if filled is None:
        return []
    written = {t.number("resno"): _written(t, query) for t in targets if not t.flag("resjunk")}
    return [
        column
        for column in relation.columns.values()
        if column.number not in filled
        and _is_left_null(column, written.get(column.number))
        and _refuses_null(catalog, relation, column)
    ]


def _is_left_null(column: RelationColumn, values: list[Node | None] | None) -> bool:
    """Return whether a column is null in every row, as the statement writes it or because it has no
    default.
    """
    has_default = bool(column.default or column.generated or column.identity)
    if values is None:
        return not has_default
    return all(_is_null(value) or (_is_default(value) and not has_default) for value in values)


def _written(target: Node, query: QueryTree) -> list[Node | None]:
    """Return the expressions that a column gets: one for each row of values, or the only one."""
    node = target.node("expr")
    if node is not None and node.kind == "VAR" and not node.number("varlevelsup"):
        entry = query.entry(node.number("varno"))
        rows = (
            entry.node.items("values_lists") if entry is not None and entry.kind is EntryKind.VALUES else []
        )
        column = node.number("varattno") - 1
        values = [row[column] for row in rows if isinstance(row, list) and 0 <= column < len(row)]
        if values:
            return [value if isinstance(value, Node) else None for value in values]
    return [node]


def _is_default(node: Node | None) -> bool:
    return node is not None and node.kind == "SETTODEFAULT"


def _is_null(node: Node | None) -> bool:
    return node is not None and node.kind == "CONST" and node.flag("constisnull")


def _refuses_null(catalog: Catalog, relation: Relation, column: RelationColumn) -> bool:
    return (
        column.not_null
        or catalog.type(column.type).not_null
        or any(check.holds and excludes_null(check.expression, column.number) for check in relation.checks)
    )
