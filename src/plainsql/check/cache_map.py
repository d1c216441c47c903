"""The map of writes to the cached reads that they make stale, which ``plainsql check --cache-map`` prints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from plainsql.analysis.effects.cache_dependencies import cached_read, changes_of_variants
from plainsql.cache_times import CacheTimes, project_cache_times
from plainsql.codegen import Checked
from plainsql.dependencies import Change, Dependency
from plainsql.errors import SettingsError
from plainsql.settings import Project

__all__ = ["CacheEntry", "Invalidation", "invalidations", "times_of"]


NO_TIMES: Final = CacheTimes()
"""The times of a project that sets none."""


class Invalidation(msgspec.Struct, frozen=True):
    """A write that makes results of a cached read stale."""

    write: str
    """The name of the query."""
    tables: tuple[str, ...]
    """The tables that the write and the read share."""
    by: tuple[str, ...] = ()
    """The columns by which results for other values stay valid; empty if all results of the read become
    stale.
    """


class CacheEntry(msgspec.Struct, frozen=True):
    """A cached read, its dependencies, and the writes that make it stale."""

    read: str
    ttl: float | None
    """The time to live in seconds, which the project may set; None if it sets ``off``: nothing is stored."""
    depends: tuple[str, ...]
    """``realty.messages where conversation_id = :conversation_id``, or the name of a whole table."""
    invalidated: tuple[Invalidation, ...]
    set_by: str = ""
    """The entry of the project that sets the time; empty if it is the header's."""
    header_ttl: float | None = None
    """The header's time, if an entry of the project sets another; else None."""


def times_of(project: Project) -> CacheTimes:
    """Return the times to live that a project sets; none if one is no time: the check reports that."""
    try:
        return project_cache_times(project)
    except SettingsError:
        return CacheTimes()


def invalidations(checked: Iterable[Checked], times: CacheTimes = NO_TIMES) -> list[CacheEntry]:
    """Return the cached reads among statements, in the order of their names, with the writes that affect
    them. ``times`` are those that the project sets.
    """
    statements = sorted(checked, key=lambda item: item.statement.name)
    writes = [(item.statement.name, changes_of_variants(item.variants)) for item in statements]
    entries: list[CacheEntry] = []
    for item in statements:
        if item.statement.cache is None:
            continue
        read = cached_read(item.statement.cache, item.variants)
        time = times.time_of(item.statement.name)
        found = (_invalidation(name, changes, read.dependencies) for name, changes in writes)
        entries.append(
            CacheEntry(
                item.statement.name,
                read.ttl if time is None else time.ttl,
                tuple(_text(dependency) for dependency in read.dependencies),
                tuple(each for each in found if each is not None),
                set_by="" if time is None else f'[tool.plainsql.cache] "{time.pattern}"',
                header_ttl=None if time is None else read.ttl,
            )
        )
    return entries


def _text(dependency: Dependency) -> str:
    if dependency.column is None:
        return dependency.table
    return f"{dependency.table} where {dependency.column} = :{dependency.parameter}"


def _invalidation(
    write: str, changes: Iterable[Change], dependencies: tuple[Dependency, ...]
) -> Invalidation | None:
    tables: set[str] = set()
    by: set[str] | None = set()
    for change in changes:
        for dependency in dependencies:
            if change.table not in ("*", dependency.table):
                continue
            tables.add(dependency.table)
            named = dependency.column is not None and any(
                column == dependency.column for column, _, _ in change.known
            )
            by = by | {str(dependency.column)} if named and by is not None else None
    return Invalidation(write, tuple(sorted(tables)), tuple(sorted(by or ()))) if tables else None
