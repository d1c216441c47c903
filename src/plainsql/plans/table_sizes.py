"""The sizes of production's tables, for the time that a migration works on them."""

from __future__ import annotations

from typing import Final

from plainsql.migrate.trace import TableSize
from plainsql.migrate.trace.catalog_changes import quoted
from plainsql.plans.statistics.production_statistics import ProductionStatistics
from plainsql.plans.statistics.statistics_files import read_statistics
from plainsql.plans.statistics.statistics_folder import statistics_folder
from plainsql.settings import Project

__all__ = ["large_tables", "table_sizes"]

_PAGE_BYTES: Final = 8192
_MANY_ROWS: Final = 10_000
"""The rows from which a comparison of all vectors takes longer than a search in an index by far."""


def large_tables(project: Project) -> dict[str, float]:
    """Return the rows of each table of which production has many, by ``schema.name``; none without
    statistics.

    Raises ``SettingsError`` if the statistics cannot be read.
    """
    folder = statistics_folder(project)
    schemas = read_statistics(folder).schemas if folder is not None else {}
    return {
        f"{schema}.{name}": table.rows
        for schema, tables in schemas.items()
        for name, table in tables.items()
        if table.rows >= _MANY_ROWS
    }


def table_sizes(statistics: ProductionStatistics) -> dict[str, TableSize]:
    """Return the size of each table, by ``schema.name``.

    PostgreSQL also quotes its key words: each name is there with quotes and, if it is plain, without.
    """
    found: dict[str, TableSize] = {}
    for schema, tables in statistics.schemas.items():
        for name, table in tables.items():
            size = TableSize(
                rows=max(table.rows, 0.0),
                bytes=table.file_pages * _PAGE_BYTES,
                index_bytes=sum(index.file_pages for index in table.indexes.values()) * _PAGE_BYTES,
            )
            for left in {quoted(schema), f'"{schema}"'}:
                for right in {quoted(name), f'"{name}"'}:
                    found[f"{left}.{right}"] = size
    return found
