"""The rows that ``limit`` and ``offset`` leave, if they are constants."""

from __future__ import annotations

from plainsql.analysis.nodes import Node
from plainsql.analysis.tree.query_tree import QueryTree

__all__ = ["constant_count", "keeps_every_row", "keeps_first_row"]

_INTEGERS = {21: 2, 23: 4, 20: 8}
"""``int2``, ``int4`` and ``int8``, each with its number of bytes."""

_FROM_INT2, _FROM_INT4 = 754, 481
"""The functions behind the casts of ``int2`` and ``int4`` to ``int8``, the type of every count."""


def constant_count(node: Node | None) -> int | None:
    """Return the constant of a ``limit`` or ``offset``; ``None`` if it is computed, a parameter or null."""
    if node is None:
        return None
    args = node.nodes("args")
    # Any other call computes something, and the cast of a fraction rounds it.
    if node.kind == "FUNCEXPR" and node.number("funcid") in (_FROM_INT2, _FROM_INT4) and len(args) == 1:
        node = args[0]
    value, size = node.datum("constvalue"), _INTEGERS.get(node.number("consttype"))
    if node.kind != "CONST" or node.flag("constisnull") or value is None or size is None:
        return None
    return int.from_bytes(value[:size], "little", signed=True)


def keeps_first_row(query: QueryTree) -> bool:
    """Return whether limit and offset are constants and leave the first row."""
    limit, offset = query.node.node("limitCount"), query.node.node("limitOffset")
    return (limit is None or (constant_count(limit) or 0) > 0) and (
        offset is None or constant_count(offset) == 0
    )


def keeps_every_row(query: QueryTree) -> bool:
    """Return whether no row is left out by a limit, an offset or ``distinct``."""
    left_out = ("limitCount", "limitOffset")
    return not query.node.nodes("distinctClause") and all(query.node.node(name) is None for name in left_out)
