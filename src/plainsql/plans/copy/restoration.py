"""Statistics, loaded into the catalogs of the copy as a dump of statistics would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import psycopg

from plainsql.plans.copy.catalog_of_copy import CopiedTable
from plainsql.plans.statistics.production_statistics import ColumnStatistics, TableStatistics

__all__ = ["RelationSize", "Restored", "restore_sizes", "restore_statistics"]

_RELATIONS: Final = """
select pg_catalog.pg_restore_relation_stats(
  'version', 180000, 'schemaname', x.schema, 'relname', x.name,
  'relpages', x.pages, 'reltuples', x.rows, 'relallvisible', x.all_visible)
from pg_catalog.jsonb_to_recordset(%s::jsonb)
  as x (schema text, name text, pages integer, rows real, all_visible integer)
"""
_COLUMNS: Final = """
select pg_catalog.pg_restore_attribute_stats(
  'version', 180000, 'schemaname', x.schema, 'relname', x.relation, 'attname', x.name,
  'attnum', x.number, 'inherited', x.inherited,
  'null_frac', x.null_frac, 'avg_width', x.avg_width, 'n_distinct', x.n_distinct,
  'correlation', x.correlation,
  'most_common_vals', x.most_common_vals, 'most_common_freqs', x.most_common_freqs::real[],
  'histogram_bounds', x.histogram_bounds,
  'most_common_elems', x.most_common_elems, 'most_common_elem_freqs', x.most_common_elem_freqs::real[],
  'elem_count_histogram', x.elem_count_histogram::real[],
  'range_length_histogram', x.range_length_histogram, 'range_empty_frac', x.range_empty_frac,
  'range_bounds_histogram', x.range_bounds_histogram)
from pg_catalog.jsonb_to_recordset(%s::jsonb) as x (
  schema text, relation text, name text, number smallint, inherited boolean,
  null_frac real, avg_width integer, n_distinct real, correlation real,
  most_common_vals text, most_common_freqs text, histogram_bounds text,
  most_common_elems text, most_common_elem_freqs text, elem_count_histogram text,
  range_length_histogram text, range_empty_frac real, range_bounds_histogram text)
"""
_MAX_PAGES: Final = 2**31 - 1
"""The most that ``relpages`` holds; a file may be larger."""


class RelationSize(msgspec.Struct, kw_only=True):
    """The size of a relation as its statistics say it."""

    schema: str
    name: str
    pages: int
    rows: float
    all_visible: int = 0


@dataclass(slots=True)
class Restored:
    """The differences between the statistics and the copy."""

    gone: list[str] = field(default_factory=list)
    """Tables, columns and indexes of production that the copy does not have."""
    refused: list[str] = field(default_factory=list)
    """Values that the copy's types do not accept, as the server reports them."""


def restore_sizes(connection: psycopg.Connection[Any], sizes: Sequence[RelationSize]) -> None:
    """Write the sizes of relations into the catalog. All of them exist."""
    connection.execute(_RELATIONS, [msgspec.json.encode(sizes).decode()])


def restore_statistics(
    connection: psycopg.Connection[Any],
    tables: Sequence[CopiedTable],
    schemas: Mapping[str, Mapping[str, TableStatistics]],
) -> Restored:
    """Load what the copy has a place for, and return the rest."""
    restored = Restored()
    sizes: list[RelationSize] = []
    columns: list[dict[str, Any]] = []
    copied = {(table.schema, table.name): table for table in tables}
    for schema, name, found in ((s, n, t) for s, own in schemas.items() for n, t in own.items()):
        table = copied.get((schema, name))
        if table is None:
            restored.gone.append(f"the table {schema}.{name}")
            continue
        if found.rows >= 0:
            pages = min(found.pages, _MAX_PAGES)
            size = RelationSize(schema=schema, name=name, pages=pages, rows=found.rows)
            size.all_visible = min(found.all_visible, _MAX_PAGES)
            sizes.append(size)
        for inherited, own in ((False, found.columns), (True, found.inherited)):
            for column, statistics in own.items():
                if column in table.columns:
                    place = {"schema": schema, "relation": name, "name": column, "inherited": inherited}
                    columns.append(place | _facts(statistics))
                elif (text := f"the column {schema}.{name}.{column}") not in restored.gone:
                    restored.gone.append(text)
        indexes = {index.name: index for index in table.indexes}
        for index, own_index in found.indexes.items():
            if index not in indexes:
                restored.gone.append(f"the index {schema}.{index}")
                continue
            pages = min(own_index.pages, _MAX_PAGES)
            sizes.append(RelationSize(schema=schema, name=index, pages=pages, rows=own_index.rows))
            for number, statistics in own_index.columns.items():
                # An expression's column is named by its number: the name may be another one on the copy.
                if number.isdecimal() and 0 < int(number) <= len(indexes[index].keys):
                    place = {"schema": schema, "relation": index, "number": int(number), "inherited": False}
                    columns.append(place | _facts(statistics))

    def refuse(diagnostic: psycopg.errors.Diagnostic) -> None:
        restored.refused.append(diagnostic.message_primary or "")

    connection.add_notice_handler(refuse)
    try:
        restore_sizes(connection, sizes)
        connection.execute(_COLUMNS, [msgspec.json.encode(columns).decode()])
    finally:
        connection.remove_notice_handler(refuse)
    return restored


def _facts(statistics: ColumnStatistics) -> dict[str, Any]:
    return {key: value for key, value in msgspec.structs.asdict(statistics).items() if value is not None}
