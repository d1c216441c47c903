"""The sizes of tables and indexes, from production's statistics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from plainsql.plans.statistics.production_statistics import ProductionStatistics, TableStatistics
from plainsql.plans.statistics.statistics_files import read_statistics
from plainsql.plans.statistics.statistics_folder import statistics_folder
from plainsql.review.model.sheets import IndexSheet, TableSheet
from plainsql.settings import Project

__all__ = ["read_project_statistics", "with_sizes"]

_PAGE_BYTES: Final = 8192


def read_project_statistics(project: Project) -> ProductionStatistics | None:
    """Return production's statistics; ``None`` if the project has none.

    Raises ``SettingsError`` if a file cannot be read.
    """
    folder = statistics_folder(project)
    return None if folder is None else read_statistics(folder)


def with_sizes(
    tables: Iterable[TableSheet], statistics: ProductionStatistics | None
) -> tuple[TableSheet, ...]:
    """Return the tables with the sizes that they and their indexes have in production."""
    known = _by_name(statistics)
    return tuple(_with_size(table, known[table.name]) if table.name in known else table for table in tables)


def _by_name(statistics: ProductionStatistics | None) -> dict[str, TableStatistics]:
    if statistics is None:
        return {}
    return {
        f"{schema}.{name}": table
        for schema, tables in statistics.schemas.items()
        for name, table in tables.items()
    }


def _with_size(table: TableSheet, found: TableStatistics) -> TableSheet:
    return replace(
        table,
        rows=found.rows if found.rows >= 0 else None,
        size_bytes=found.file_pages * _PAGE_BYTES,
        indexes=tuple(_index_with_size(index, found) for index in table.indexes),
    )


def _index_with_size(index: IndexSheet, found: TableStatistics) -> IndexSheet:
    known = found.indexes.get(index.name)
    return index if known is None else replace(index, size_bytes=known.file_pages * _PAGE_BYTES)
