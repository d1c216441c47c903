"""The rules for ``returning``: rows as they were written, or as they were before."""

from __future__ import annotations

from dataclasses import replace

from plainsql.analysis.catalog.relations import Relation
from plainsql.analysis.conditions.equalities import plain_variable
from plainsql.analysis.conditions.known_facts import ExpressionKey, Facts, mentions
from plainsql.analysis.nodes import Node, read_tree
from plainsql.analysis.nullability.column_nullability import stored_column
from plainsql.analysis.nullability.prover import Prover
from plainsql.analysis.nullability.verdict import Context, Verdict, never, nullable
from plainsql.analysis.tree.query_tree import Command, QueryTree, RangeTableEntry, Scope

__all__ = ["excluded_verdict", "facts_after_write", "target_verdict"]

_OLD, _NEW = 1, 2
"""``varreturningtype`` (from PostgreSQL 18 on)."""

_EVENTS = {Command.INSERT: "insert", Command.UPDATE: "update", Command.DELETE: "delete"}


def facts_after_write(prover: Prover, scope: Scope, context: Context) -> Context:
    """Return the facts that still hold in ``returning``: the condition held for the rows as they were
    found.
    """
    query = scope.query
    context = replace(context, returning=context.returning | {query.id})
    if query.command != Command.UPDATE:
        return context
    entry = query.entry(query.result_relation)
    relation = prover.catalog.relation(entry.relation) if entry is not None else None
    changed: frozenset[int] | None = None
    if relation is not None and not relation.is_view:
        triggered = prover.catalog.changed_by_triggers(relation, "update")
        if triggered is not None:
            assigned = {target.number("resno") for target in query.target_list if not target.flag("resjunk")}
            generated = {column.number for column in relation.columns.values() if column.generated}
            changed = triggered | assigned | generated

    def gone(key: ExpressionKey) -> bool:
        # The whole row (column 0) changes with any of its columns.
        return mentions(
            key,
            query.id,
            query.result_relation,
            lambda column: changed is None or column <= 0 or column in changed,
        )

    facts = Facts(frozenset(key for key in context.facts.keys if not gone(key)), context.facts.matched)
    return replace(context, facts=facts)


def target_verdict(prover: Prover, node: Node, home: Scope, context: Context) -> Verdict:
    """Return the verdict for a column of the written table in ``returning``."""
    query, column = home.query, node.number("varattno")
    entry = query.entry(query.result_relation)
    relation = prover.catalog.relation(entry.relation) if entry is not None else None
    if entry is None or relation is None:
        return nullable("unknown table")
    version = node.number("varreturningtype")
    commands = {action.number("commandType") for action in query.node.nodes("mergeActionList")} or {
        query.command
    }
    if version == _OLD and Command.INSERT in commands:
        return nullable("an inserted row has no old values")
    if version == _NEW and Command.DELETE in commands:
        return nullable("a deleted row has no new values")
    stored = _stored(prover, relation, column, entry)
    if not stored.nullable or relation.rules or relation.is_view:
        return stored
    if version == _OLD and query.command in (Command.UPDATE, Command.DELETE):
        # The condition held for the row as it was found.
        known = ("var", query.id, query.result_relation, column) in prover.rows(home).facts.keys
        return never("a condition excludes null") if known else stored
    if column <= 0 or version == _OLD or query.command in (Command.DELETE, Command.MERGE):
        known = ("var", query.id, query.result_relation, column) in context.facts.keys
        return never("a condition excludes null") if known and query.command == Command.DELETE else stored
    if ("var", query.id, query.result_relation, column) in context.facts.keys:
        return never("a condition excludes null")
    written = relation.columns.get(column)
    if written is None or written.generated or _triggered(prover, relation, query.command, column):
        return stored
    return _written(prover, home, relation, column) or stored


def excluded_verdict(prover: Prover, home: Scope, column: int) -> Verdict:
    """Return the verdict for a column of ``excluded``, the row as it was to be inserted.

    Its triggers have run and its constraints hold.
    """
    query = home.query
    entry = query.entry(query.result_relation)
    relation = prover.catalog.relation(entry.relation) if entry is not None else None
    if entry is None or relation is None:
        return nullable("unknown table")
    stored = _stored(prover, relation, column, entry)
    written = relation.columns.get(column)
    if not stored.nullable or relation.is_view or relation.rules or written is None or written.generated:
        return stored
    if _triggered(prover, relation, Command.INSERT, column):
        return stored
    verdict = _assigned(prover, home, relation, column, query.target_list)
    return (verdict or _default(prover, relation, column)).alone()


def _stored(prover: Prover, relation: Relation, column: int, entry: RangeTableEntry) -> Verdict:
    """Return the verdict for a column by its constraints alone, through updatable views."""
    if relation.rules or any(trigger.instead for trigger in relation.triggers):
        return nullable("a rule or trigger replaces the table")
    if not relation.is_view:
        if column == 0:
            return never("a whole row")
        return stored_column(prover, relation, column, with_children=entry.with_children)
    inner = prover.scopes.of_view(relation.oid)
    outputs = inner.query.outputs if inner is not None else []
    expression = outputs[column - 1].node("expr") if 0 < column <= len(outputs) else None
    variable = plain_variable(expression, inner) if expression is not None and inner is not None else None
    below = inner.query.entry(variable[0]) if inner is not None and variable is not None else None
    base = prover.catalog.relation(below.relation) if below is not None else None
    if variable is None or below is None or base is None or len(inner.query.members if inner else ()) != 1:
        return nullable("a view's expression over the written row")
    return _stored(prover, base, variable[1], below)


def _written(prover: Prover, home: Scope, relation: Relation, column: int) -> Verdict | None:
    """Return the verdict for the value that the statement itself writes there, if it is never null."""
    query = home.query
    if query.command == Command.UPDATE:
        verdict = _assigned(prover, home, relation, column, query.target_list)
        is_set = verdict is not None and not verdict.nullable
        return never("set to a value that is never null") if is_set else None
    verdict = _assigned(prover, home, relation, column, query.target_list)
    verdict = verdict or _default(prover, relation, column)
    if verdict.nullable:
        return None
    conflict = query.node.node("onConflict")
    if conflict is not None and conflict.number("action") == 2:
        verdict = _assigned(prover, home, relation, column, conflict.nodes("onConflictSet"))
        if verdict is None or verdict.nullable or _triggered(prover, relation, Command.UPDATE, column):
            return None
    return never("inserted with a value that is never null")


def _assigned(
    prover: Prover, home: Scope, relation: Relation, column: int, targets: list[Node]
) -> Verdict | None:
    """Return the verdict for the value that one of the targets gives a column; ``None`` if none does."""
    for target in targets:
        expression = target.node("expr")
        if target.number("resno") == column and not target.flag("resjunk") and expression is not None:
            if expression.kind == "SETTODEFAULT":
                return _default(prover, relation, column)
            return prover.expression(expression, prover.rows(home))
    return None


def _default(prover: Prover, relation: Relation, column: int) -> Verdict:
    text = relation.columns[column].default
    tree = read_tree(text) if text else None
    if not isinstance(tree, Node):
        return nullable("no default")
    return prover.expression(tree, Context(Scope(QueryTree(Node("QUERY")))))


def _triggered(prover: Prover, relation: Relation, command: int, column: int) -> bool:
    """Return whether a trigger may change the column of the row that is written."""
    if command == Command.UPDATE and prover.catalog.may_keep_old_row(relation):
        return True
    changed = prover.catalog.changed_by_triggers(relation, _EVENTS[Command(command)])
    return changed is None or column in changed
