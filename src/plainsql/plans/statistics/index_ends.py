"""The first and the last value in B-trees, which the planner reads beyond the histogram's bounds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql

from plainsql.plans.statistics.production_session import with_settings

__all__ = ["EndColumn", "read_ends"]

_PROBES: Final = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    "jit": "off",
    # Rows that were deleted and not vacuumed yet are in the way of a probe.
    "statement_timeout": "1s",
}


class EndColumn(NamedTuple):
    """The first column of a B-tree that covers the whole table."""

    schema: str
    table: str
    column: str


def read_ends(
    connection: psycopg.Connection[Any], columns: Iterable[EndColumn]
) -> tuple[dict[EndColumn, tuple[str, str]], list[EndColumn]]:
    """Return the smallest and the greatest value of each column, and the columns that take too long.

    A column without values is in neither.
    """
    ends: dict[EndColumn, tuple[str, str]] = {}
    slow: list[EndColumn] = []
    with with_settings(connection, _PROBES):
        for column in columns:
            try:
                row = connection.execute(_probe(column)).fetchone()
            except psycopg.errors.QueryCanceled:
                slow.append(column)
                continue
            if row is not None and row[0] is not None:
                ends[column] = row[0], row[1]
    return ends, slow


def _probe(column: EndColumn) -> sql.Composed:
    source, value = sql.Identifier(column.schema, column.table), sql.Identifier(column.column)
    probe = "(select q.{1}::text from only {0} as q where q.{1} is not null order by q.{1}{2} limit 1)"
    first, last = (sql.SQL(probe).format(source, value, sql.SQL(way)) for way in ("", " desc"))
    return sql.SQL("select {}, {}").format(first, last)
