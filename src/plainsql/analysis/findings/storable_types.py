"""Columns whose values are never stored: a cached query with such a column reads from PostgreSQL each
time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from plainsql.analysis.model import ColumnFact, Finding, PgType

__all__ = ["is_storable", "unstorable_columns"]

# Values of the driver's own classes, or of pgvector's: MessagePack has no form for them that is restored
# unchanged.
_OWN_CLASSES = frozenset(
    [
        *("bit", "varbit", "inet", "cidr", "vector", "halfvec", "sparsevec"),
        *("box", "circle", "line", "lseg", "path", "point", "polygon"),
    ]
)


def unstorable_columns(columns: Iterable[ColumnFact]) -> Iterator[Finding]:
    """Yield the columns that prevent a statement's result from being stored."""
    for column in columns:
        if not is_storable(column.type):
            yield Finding(
                "cache-unstorable",
                f"{column.name} is {column.type}, which is never stored: each call goes to PostgreSQL",
                hint="select its text or its parts, or leave out 'cache'",
            )


def is_storable(type: PgType) -> bool:
    """Return whether values of a type can be stored and restored unchanged."""
    if type.kind in ("range", "multirange") or (type.kind == "base" and type.name in _OWN_CLASSES):
        return False
    return (type.element is None or is_storable(type.element)) and all(
        is_storable(attribute.type) for attribute in type.attributes
    )
