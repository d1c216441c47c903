"""The facts about a production database from which PostgreSQL's planner computes its plans."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

__all__ = [
    "FORMAT",
    "USER_TABLES",
    "ColumnStatistics",
    "ExtendedStatistics",
    "GinCounters",
    "IndexStatistics",
    "Production",
    "ProductionStatistics",
    "TableStatistics",
    "masked_columns",
    "never_analysed",
]

FORMAT = 1
"""The version of the files' format."""
USER_TABLES: Final = (
    r"n.nspname !~ '^pg_' and n.nspname <> 'information_schema'"
    r" and c.relname !~ '^(_yoyo_|yoyo_lock$|plainsql_migration$)'"
)
"""The condition that leaves out the system's tables and the records of migrations: ``n`` is their schema."""

_PLACEHOLDER: Final = re.compile(r'\{"(\{\\")?~[0-9a-z]+["\\]')
"""The beginning of an array of placeholders such as ``~07``, or of arrays of them."""

_MAX_ROWS: Final = 10**15
"""More than the 4,294,967,295 pages of PostgreSQL's largest table can hold."""
_MAX_COUNT: Final = 2**32 - 1
_MAX_HEIGHT: Final = 32
Count = Annotated[int, Meta(ge=0, le=_MAX_COUNT)]
Height = Annotated[int, Meta(ge=0, le=_MAX_HEIGHT)]
Rows = Annotated[float, Meta(ge=0, le=_MAX_ROWS)]
Share = Annotated[float, Meta(ge=0, le=1)]


class ColumnStatistics(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A row of ``pg_stats``, under the names of its columns. Arrays are texts as PostgreSQL writes them."""

    null_frac: Share = 0.0
    avg_width: Count = 0
    n_distinct: Annotated[float, Meta(ge=-1, le=_MAX_ROWS)] = 0.0
    correlation: Annotated[float, Meta(ge=-1.001, le=1.001)] | None = None
    most_common_vals: str | None = None
    most_common_freqs: str | None = None
    histogram_bounds: str | None = None
    most_common_elems: str | None = None
    most_common_elem_freqs: str | None = None
    elem_count_histogram: str | None = None
    range_empty_frac: Share | None = None
    range_length_histogram: str | None = None
    range_bounds_histogram: str | None = None


class GinCounters(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The counters in the metapage of a GIN index: the pending ones of now, the others of its last vacuum."""

    pending_pages: Count
    pending_rows: Count = 0
    total_pages: Count | None = None
    """None, as the three below, if the role could not read them."""
    entry_pages: Count | None = None
    data_pages: Count | None = None
    entries: Count | None = None


class IndexStatistics(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The size of an index, and what the planner reads in its first pages."""

    method: str
    """The access method: ``btree``, ``gin``, …"""
    rows: Rows = 0.0
    """Rows at the last analyze or vacuum (``reltuples``)."""
    pages: Count = 0
    """Pages at that time (``relpages``)."""
    file_pages: Count = 0
    """Pages of its file when it was read."""
    height: Height | None = None
    """The levels above the leaves of a B-tree; None for other methods, and if production did not show it."""
    first: str | None = None
    """The smallest value of the first column in a B-tree, and with ``last`` the greatest."""
    last: str | None = None
    gin: GinCounters | None = None
    columns: dict[str, ColumnStatistics] = {}
    """The statistics of expressions, by the column's position from 1."""


class ExtendedStatistics(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The statistics of several columns together. An entry is the names of columns, and a number last."""

    inherited: bool = False
    """True for those of a partitioned table."""
    n_distinct: list[list[str | float]] = []
    """The distinct combinations of columns."""
    dependencies: list[list[str | float]] = []
    """The share of rows in which the columns decide the last one."""
    left_out: list[str] = []
    """The parts that are not kept, as words."""


class TableStatistics(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The size of a table, a partitioned table or a materialized view, with its columns and indexes."""

    rows: Annotated[float, Meta(ge=-1, le=_MAX_ROWS)] = -1.0
    """Rows at the last analyze or vacuum (``reltuples``); -1 if there was none."""
    pages: Count = 0
    """Pages at that time (``relpages``)."""
    all_visible: Count = 0
    """Pages at that time whose rows every transaction sees (``relallvisible``)."""
    file_pages: Count = 0
    """Pages of its file when it was read."""
    columns: dict[str, ColumnStatistics] = {}
    inherited: dict[str, ColumnStatistics] = {}
    """The statistics of the table together with its children or partitions."""
    indexes: dict[str, IndexStatistics] = {}
    extended: dict[str, ExtendedStatistics] = {}


class Production(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The facts about the server, and about how its statistics were read."""

    format: int
    taken: datetime
    server: str
    """The server's version, such as ``15.8``."""
    collation: str
    """The collation of texts in this database."""
    values: Literal["few", "all"]
    """``few``: texts of columns with few distinct values; ``all``: every value in the statistics."""
    hidden: list[str] = []
    """The tables whose statistics the role could not read."""
    unread: list[str] = []
    """Further facts that could not be read, as words."""
    settings: dict[str, str] = {}
    """The planner's settings in this database, by name."""
    roles: dict[str, dict[str, str]] = {}
    """The planner's settings that a role has of its own, by the role's name."""

    @property
    def major(self) -> int:
        """The major version of the server."""
        return int(self.server.partition(".")[0])


class ProductionStatistics(msgspec.Struct, kw_only=True):
    """The statistics of one production database."""

    production: Production
    schemas: dict[str, dict[str, TableStatistics]]
    """The tables of each schema by their names."""


def never_analysed(statistics: ProductionStatistics) -> list[str]:
    """Return the tables that have pages and no statistics, as ``schema.table``."""
    return [
        f"{schema}.{name}"
        for schema, tables in statistics.schemas.items()
        for name, table in tables.items()
        if table.rows < 0 and table.file_pages > 0
    ]


def masked_columns(statistics: ProductionStatistics) -> frozenset[str]:
    """Return the columns whose texts are placeholders, as ``schema.table.column``."""
    return frozenset(
        f"{schema}.{name}.{column}"
        for schema, tables in statistics.schemas.items()
        for name, table in tables.items()
        for own in (table.columns, table.inherited)
        for column, facts in own.items()
        if any(_PLACEHOLDER.match(each or "") for each in (facts.most_common_vals, facts.histogram_bounds))
    )
