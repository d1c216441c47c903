"""Timestamps that are compared or combined with timestamps with time zone.

PostgreSQL takes the timestamp as one in the session's time zone: two sessions get different answers. A cast
that is written out, and `at time zone`, are the author's decision. A value that is stored is not compared.
"""

from __future__ import annotations

from collections.abc import Iterator

from plainsql.analysis.findings.examined import Examined
from plainsql.analysis.model import Finding
from plainsql.analysis.nodes import Node
from plainsql.analysis.tree.query_tree import Command, EntryKind, QueryTree

__all__ = ["session_time_zones"]

_BOTH = {1114, 1184}
"""The oids of ``timestamp`` and ``timestamptz``, which are the same on all servers."""

_CONVERSIONS = {2027, 2028}
"""The oids of the functions behind the casts between them."""

_IMPLICIT_CAST = 2
"""``COERCE_IMPLICIT_CAST``."""


def session_time_zones(examined: Examined) -> Iterator[Finding]:
    """Yield the places of a statement whose answer depends on the session's time zone."""
    seen: set[int] = set()
    for scope in examined.prover.scopes.all(examined.scope):
        stored = {id(node) for node in _stored(scope.query)}
        for node in scope.query.expressions():
            if id(node) in stored or not _mixes(examined, node):
                continue
            position = examined.places.of(node)
            if position not in seen:
                seen.add(position)
                yield Finding(
                    "session-time-zone",
                    "a timestamp is compared or combined with one with time zone:"
                    " the result depends on the session's time zone",
                    position,
                    "convert one of them: x at time zone 'UTC'",
                )


def _mixes(examined: Examined, node: Node) -> bool:
    """Return whether a node compares or combines the two types."""
    if node.kind == "FUNCEXPR":
        return node.number("funcid") in _CONVERSIONS and node.number("funcformat") == _IMPLICIT_CAST
    operators = node.numbers("opnos") if node.kind == "ROWCOMPAREEXPR" else (node.number("opno"),)
    for oid in operators:
        operator = examined.prover.catalog.operator(oid) if oid else None
        if operator is not None and {operator.left, operator.right} == _BOTH:
            return True
    return False


def _stored(query: QueryTree) -> Iterator[Node]:
    """Yield the expressions whose values are stored as they are."""
    if query.command not in (Command.INSERT, Command.UPDATE, Command.MERGE):
        return
    targets = list(query.target_list)
    conflict = query.node.node("onConflict")
    targets += conflict.nodes("onConflictSet") if conflict is not None else []
    for action in query.node.nodes("mergeActionList"):
        targets += action.nodes("targetList")
    yield from (expression for target in targets if (expression := target.node("expr")) is not None)
    for entry in query.entries:
        for row in entry.node.items("values_lists") if entry.kind is EntryKind.VALUES else ():
            yield from (value for value in row if isinstance(value, Node)) if isinstance(row, list) else ()
