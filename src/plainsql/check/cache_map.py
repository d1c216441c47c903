"""Which writes make which cached reads stale: the map that ``plainsql check --cache`` prints."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from plainsql.analysis.effects.cache_dependencies import cached_read, changes_of_variants
from plainsql.codegen import Checked
from plainsql.dependencies import Change, Dependency

__all__ = ["CacheEntry", "Invalidation", "invalidations"]


class Invalidation(msgspec.Struct, frozen=True):
    """A write that makes results of a cached read stale."""

    write: str
    """The name of the query."""
    tables: tuple[str, ...]
    """The tables through which it does."""
    by: tuple[str, ...] = ()
    """The columns that leave results of other values alone; empty: all results of the read are stale."""


class CacheEntry(msgspec.Struct, frozen=True):
    """A cached read, what it depends on, and what makes it stale."""

    read: str
    ttl: float
    """Seconds."""
    depends: tuple[str, ...]
    """``realty.messages where conversation_id = :conversation_id``, or the name of a whole table."""
    invalidated: tuple[Invalidation, ...]


def invalidations(checked: Iterable[Checked]) -> list[CacheEntry]:
    """The cached reads among statements, in the order of their names, each with the writes among them."""
    statements = sorted(checked, key=lambda item: item.statement.name)
    writes = [(item.statement.name, changes_of_variants(item.variants)) for item in statements]
    entries: list[CacheEntry] = []
    for item in statements:
        if item.statement.cache is None:
            continue
        read = cached_read(item.statement.cache, item.variants)
        found = (_invalidation(name, changes, read.dependencies) for name, changes in writes)
        entries.append(
            CacheEntry(
                item.statement.name,
                read.ttl,
                tuple(_text(dependence) for dependence in read.dependencies),
                tuple(each for each in found if each is not None),
            )
        )
    return entries


def _text(dependence: Dependency) -> str:
    if dependence.column is None:
        return dependence.table
    return f"{dependence.table} where {dependence.column} = :{dependence.parameter}"


def _invalidation(
    write: str, changes: Iterable[Change], dependences: tuple[Dependency, ...]
) -> Invalidation | None:
    tables: set[str] = set()
    by: set[str] | None = set()
    for change in changes:
        for dependence in dependences:
            if change.table not in ("*", dependence.table):
                continue
            tables.add(dependence.table)
            named = dependence.column is not None and any(
                column == dependence.column for column, _, _ in change.known
            )
            by = by | {str(dependence.column)} if named and by is not None else None
    return Invalidation(write, tuple(sorted(tables)), tuple(sorted(by or ()))) if tables else None
