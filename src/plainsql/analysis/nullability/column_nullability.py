"""The nullability of a table's stored column: by a constraint, by a check, or computed from such columns."""

from __future__ import annotations

from collections.abc import Iterator

from plainsql.analysis.catalog.relations import Relation
from plainsql.analysis.nodes import Node, conjuncts, read_tree
from plainsql.analysis.nullability.prover import Prover
from plainsql.analysis.nullability.verdict import Context, Verdict, never, nullable
from plainsql.analysis.tree.query_tree import QueryTree, Scope

__all__ = ["enforced_checks", "excludes_null", "stored_column"]


def stored_column(prover: Prover, relation: Relation, column: int, *, with_children: bool) -> Verdict:
    """Return whether a column can be null in a row that is in the table."""
    if prover.in_the_past:
        return nullable("a materialised view may hold rows from before its tables refused null")
    proved, because = prover.catalog.column_is_not_null(relation, column, with_children=with_children)
    verdict = Verdict(not proved, because)
    if proved or relation.kind == "f":
        return verdict
    for check in enforced_checks(prover, relation, with_children=with_children):
        if excludes_null(check, column):
            return never("a check constraint excludes null")
    alone = not (with_children and relation.children)
    known = relation.columns.get(column)
    if known is not None and known.generated and known.default and alone:
        return _generated(prover, relation, known.default) or verdict
    return verdict


def enforced_checks(prover: Prover, relation: Relation, *, with_children: bool) -> Iterator[str]:
    """Yield the expressions of the check constraints that hold for every row that is read."""
    alone = not (with_children and relation.children)
    # A foreign table that is a partition has the check, but its server decides about its rows.
    enforced = alone or not any(each.kind == "f" for each in prover.catalog.descendants(relation))
    if relation.kind == "f" or not enforced:
        return
    for check in relation.checks:
        if check.holds and (alone or (check.inherited and relation.kind == "p")):
            yield check.expression


def excludes_null(text: str, column: int) -> bool:
    """Return whether a check constraint's expression requires that the column is not null."""
    # A check passes if it is null: only `is not null` itself excludes null, a comparison does not.
    tree = read_tree(text)
    for part in conjuncts(tree if isinstance(tree, Node) else None):
        arg = part.node("arg")
        is_not_null = (
            part.kind == "NULLTEST" and part.number("nulltesttype") == 1 and not part.flag("argisrow")
        )
        if is_not_null and arg is not None and arg.kind == "VAR" and arg.number("varattno") == column:
            return True
    return False


def _generated(prover: Prover, relation: Relation, text: str) -> Verdict | None:
    """Return a verdict for a generated column: it cannot be null if its expression cannot be null."""
    tree = read_tree(text)
    table = read_tree(f"{{QUERY :rtable ({{RANGETBLENTRY :rtekind 0 :relid {relation.oid} :inh false}})}}")
    if not isinstance(tree, Node) or not isinstance(table, Node):
        return None
    verdict = prover.expression(tree, Context(Scope(QueryTree(table))))
    if verdict.nullable:
        return None
    return never(f"generated from values that are never null: {verdict.because}")
