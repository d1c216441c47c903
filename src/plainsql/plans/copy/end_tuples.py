"""Leaf pages with the first and the last entry of B-trees, which PostgreSQL itself writes.

For ``<`` and ``>`` near the ends of a histogram, the planner reads the extreme values from an index. A table
with two rows and the same index has a leaf with just these entries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql

from plainsql.plans.copy.catalog_of_copy import CopiedIndex, CopiedTable
from plainsql.plans.statistics.production_statistics import TableStatistics

__all__ = ["LEAF_BLOCK", "EndIndex", "make_end_indexes"]

LEAF_BLOCK = 1
"""The block of the leaf: a tree of two entries has only one, after the metapage."""

_REFUSED: Final = (
    *(psycopg.DataError, psycopg.ProgrammingError, psycopg.IntegrityError),
    *(psycopg.InternalError, psycopg.NotSupportedError),
)


class EndIndex(NamedTuple):
    """An index with two entries, and the one on the copy that gets its leaf."""

    table: CopiedTable
    target: CopiedIndex
    name: str


def make_end_indexes(
    connection: psycopg.Connection[Any],
    schema: str,
    tables: list[CopiedTable],
    statistics: Mapping[tuple[str, str], TableStatistics],
) -> list[EndIndex]:
    """Create a small table for each table whose indexes have known ends; return its indexes.

    A value that the column's type refuses, or an expression that fails on it, leaves out that table.

    Args:
        connection: in autocommit mode, without triggers.
        schema: a schema of our own.
        tables: those of the copy.
        statistics: by schema and name.
    """
    made: list[EndIndex] = []
    for number, table in enumerate(tables):
        found = statistics.get((table.schema, table.name))
        if found is None or table.path is None:
            continue
        ends: dict[str, tuple[str, str]] = {}
        indexes: list[CopiedIndex] = []
        for index in table.indexes:
            own = found.indexes.get(index.name)
            if own is None or own.first is None or own.last is None or not index.keys[0] or index.is_partial:
                continue
            indexes.append(index)
            ends[index.keys[0]] = (own.first, own.last)
        if not indexes:
            continue
        helper = sql.Identifier(schema, f"t{number}")
        columns = sql.SQL(", ").join(map(sql.Identifier, ends))
        source = sql.Identifier(table.schema, table.name)
        try:
            with connection.transaction():
                connection.execute(
                    sql.SQL("create unlogged table {} as select * from {} limit 0").format(helper, source)
                )
                for end in (0, 1):
                    values = sql.SQL(", ").join(sql.Literal(each[end]) for each in ends.values())
                    connection.execute(
                        sql.SQL("insert into {} ({}) values ({})").format(helper, columns, values)
                    )
                for position, index in enumerate(indexes):
                    name = f"t{number}_{position}"
                    connection.execute(
                        sql.SQL("create index {} on {} using {}").format(
                            sql.Identifier(name), helper, sql.SQL(index.definition)
                        )
                    )
        except _REFUSED:
            continue
        made += [EndIndex(table, target, f"t{number}_{at}") for at, target in enumerate(indexes)]
    return made
