"""The rows that a cached read depends on and that a write changes, from what a statement reads and writes.

A table counts as a whole unless all its uses are bound. One of several bound columns of a use is enough, and
the one that identifies the fewest rows is taken. Only columns by which rows are looked up count: those of
keys and foreign keys, and the first of each index. So the result depends on the schema
alone. A new cached read changes no other query's generated code, and fits the writes of a package that does
not know about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from plainsql.analysis.catalog.relations import Relation
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.effects.effects import Effects
from plainsql.analysis.effects.parameter_bindings import exact_class
from plainsql.analysis.model import Analysis, TableUse
from plainsql.dependencies import EVERYTHING, CachedRead, Change, Dependency, Known
from plainsql.statements.model import CachePolicy

__all__ = ["cached_read", "changes_of", "changes_of_variants", "dependencies_of"]

_PARTITION_CLASSES = ("integer", "text", "uuid", "oid")
"""The classes of types whose values Python writes in one way only, or nearly: not times, which have zones."""


def dependencies_of(catalog: Catalog, effects: Effects) -> tuple[Dependency, ...]:
    """Return the rows that a statement's result depends on, table by table."""
    return _union(_dependency(catalog, use) for use in effects.reads)


def changes_of(catalog: Catalog, effects: Effects) -> tuple[Change, ...]:
    """Return the rows that a statement may change, by table; ``EVERYTHING`` if a write is hidden."""
    if effects.hidden_writes:
        return EVERYTHING
    return _merge_changes(Change(str(use), _known_values(catalog, use)) for use in effects.writes)


def changes_of_variants(variants: Sequence[Analysis]) -> tuple[Change, ...]:
    """Return the rows that a statement may change in any of its variants."""
    return _merge_changes(change for variant in variants for change in variant.changes)


def cached_read(policy: CachePolicy, variants: Sequence[Analysis]) -> CachedRead:
    """Return how a statement is cached, in all its variants."""
    return CachedRead(
        policy.ttl,
        _union(dependency for variant in variants for dependency in variant.dependencies),
        local=policy.local,
        stale=policy.stale,
        negative=policy.negative,
        scoped=any(variant.row_security or _may_read_tenant_setting(variant) for variant in variants),
        settings=tuple(sorted({name for variant in variants for name in variant.settings_read} - {"*"})),
    )


def _may_read_tenant_setting(analysis: Analysis) -> bool:
    """Return whether the statement reads a setting that may be a tenant's.

    Such settings have a dot in their name; the server's own have none.
    """
    return any(name == "*" or "." in name for name in analysis.settings_read)


def _union(dependencies: Iterable[Dependency]) -> tuple[Dependency, ...]:
    found = set(dependencies)
    whole = {dependency.table for dependency in found if dependency.column is None}
    return tuple(
        sorted(
            (each for each in found if each.column is None or each.table not in whole),
            key=lambda each: (each.table, each.column or "", each.parameter or ""),
        )
    )


def _dependency(catalog: Catalog, use: TableUse) -> Dependency:
    relation = catalog.relation_named(use.schema, use.table)
    if relation is None:
        return Dependency(str(use))
    listed = catalog.key_columns(relation)
    bound = [pair for pair in use.bound if pair[0] in listed and _is_partition(catalog, relation, pair[0])]
    if not bound:
        return Dependency(str(use))
    keys = [relation.column_names(key.columns) for key in relation.unique_keys]
    column, parameter = min(bound, key=lambda pair: ((pair[0],) not in keys, *pair))
    return Dependency(str(use), column, parameter)


def _is_partition(catalog: Catalog, relation: Relation | None, name: str) -> bool:
    columns = relation.columns.values() if relation is not None else ()
    kinds = (exact_class(catalog, column.type) for column in columns if column.name == name)
    return any(kind in _PARTITION_CLASSES or kind.startswith("enum ") for kind in kinds)


def _known_values(catalog: Catalog, use: TableUse) -> tuple[Known, ...]:
    relation = catalog.relation_named(use.schema, use.table)
    if relation is None:
        return ()
    found: dict[str, list[Known]] = {}
    for column, result in use.returned:
        found.setdefault(column, []).append((column, "returned", result))
    for column, parameter in reversed(use.bound):
        # Known before the statement runs: better than a value that it returns.
        found[column] = [(column, "parameter", parameter)]
    moved: dict[str, list[Known]] = {}
    for column, parameter in use.moved:
        moved.setdefault(column, []).append((column, "parameter", parameter))
    found |= moved
    listed = catalog.key_columns(relation)
    return tuple(
        known
        for column in sorted(found)
        if column in listed and _is_partition(catalog, relation, column)
        for known in found[column]
    )


def _merge_changes(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Return one change for each table: for the columns that all of its changes know, the values that any
    knows.
    """
    by_table: dict[str, list[Change]] = {}
    for change in changes:
        by_table.setdefault(change.table, []).append(change)
    if "*" in by_table:
        return EVERYTHING
    merged: list[Change] = []
    for table in sorted(by_table):
        knowns = [change.known for change in by_table[table]]
        shared = set.intersection(*({column for column, _, _ in known} for known in knowns))
        merged.append(Change(table, tuple(sorted({k for known in knowns for k in known if k[0] in shared}))))
    return tuple(merged)
