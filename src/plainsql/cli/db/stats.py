"""``plainsql db stats``: rows, sizes, dead rows and index use of the tables of each layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
import psycopg
from psycopg import sql

from plainsql.cli.db.common import COMMON, Common, connected, print_json
from plainsql.cli.db.layer_selection import present_layers, report_left_out_schemas
from plainsql.cli.exit_codes import FINE
from plainsql.cli.tables import Column, print_rows, size_of

__all__ = ["TableStats", "stats", "table_stats"]

_MAX_COUNTED_BYTES: Final = 16 * 1024 * 1024
"""The rows of a larger table are estimated, not counted."""

_TABLES = """
select
  n.nspname,
  c.relname,
  -- The planner's estimate: the density at the last vacuum or analyze, times the size of today.
  case
    when c.reltuples >= 0 and c.relpages > 0
      then c.reltuples / c.relpages * pg_relation_size(c.oid) / current_setting('block_size')::integer
    else s.n_live_tup
  end::bigint,
  -- The rows of a table cannot be counted if the role may not read all of them.
  pg_relation_size(c.oid) <= %(counted_up_to)s
  and has_table_privilege(c.oid, 'select')
  and not row_security_active(c.oid),
  pg_relation_size(c.oid),
  pg_indexes_size(c.oid),
  coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0),
  pg_total_relation_size(c.oid),
  s.n_dead_tup,
  greatest(s.last_vacuum, s.last_autovacuum),
  greatest(s.last_analyze, s.last_autoanalyze),
  coalesce(s.seq_scan, 0),
  coalesce(s.idx_scan, 0)
from pg_class as c
inner join pg_namespace as n on n.oid = c.relnamespace
inner join pg_stat_all_tables as s on s.relid = c.oid
where n.nspname = any(%(schemas)s)
  and c.relkind in ('r', 'm')
  and c.relname not in ('_yoyo_log', '_yoyo_version', 'yoyo_lock', 'plainsql_migration')
  and c.relname !~ '^_yoyo_migration'
order by n.nspname, c.relname
"""

_INDEXES = """
select s.schemaname, s.relname, s.indexrelname, pg_relation_size(s.indexrelid), s.idx_scan, i.indisunique
from pg_stat_all_indexes as s
inner join pg_index as i on i.indexrelid = s.indexrelid
where s.schemaname = any(%(schemas)s)
order by s.schemaname, s.relname, s.indexrelname
"""

_SINCE = "select stats_reset from pg_stat_database where datname = current_database()"


class IndexStats(msgspec.Struct, frozen=True):
    """One index."""

    name: str
    bytes: int
    scans: int
    """The number of scans since the statistics were reset."""
    is_unique: bool
    """A unique index is useful even if no query scans it."""


class TableStats(msgspec.Struct, frozen=True, kw_only=True):
    """One table or materialized view. Sizes are in bytes."""

    layer: str
    table: str
    rows: int
    rows_are_exact: bool
    """False if ``rows`` is the server's estimate: the table is large, or hides rows from this role."""
    table_bytes: int
    index_bytes: int
    toast_bytes: int
    total_bytes: int
    dead_rows: int
    last_vacuum: datetime | None
    last_analyze: datetime | None
    sequential_scans: int
    index_scans: int
    indexes: tuple[IndexStats, ...]


def stats(*layers: str, common: Common = COMMON) -> int:
    """Show the rows, sizes, dead rows and index use of every table, with sums by layer and in total.

    Rows are counted in tables up to 16 MB, and estimated in larger ones, with a ~. Scans are those since the
    server's statistics were reset.

    Parameters
    ----------
    layers
        The layers; by default all that the database has.
    """
    with connected(common.database) as session:
        present = present_layers(session.connection, layers)
        names = [layer.name for layer in present]
        if not layers:
            report_left_out_schemas(session.connection, present)
        tables = table_stats(session.connection, names)
        since = session.connection.execute(_SINCE).fetchall()[0][0]
    if common.json:
        sums = {name: _sum(table for table in tables if table.layer == name) for name in names}
        print_json({"statistics_since": since, "tables": tables, "layers": sums, "total": _sum(tables)})
    else:
        _show(names, tables)
    return FINE


def table_stats(connection: psycopg.Connection[Any], schemas: Sequence[str]) -> list[TableStats]:
    """Return the statistics of the tables of schemas, by name."""
    indexes: dict[tuple[str, str], list[IndexStats]] = {}
    for schema, table, *rest in connection.execute(_INDEXES, {"schemas": list(schemas)}):
        indexes.setdefault((schema, table), []).append(IndexStats(*rest))
    parameters = {"schemas": list(schemas), "counted_up_to": _MAX_COUNTED_BYTES}
    found = []
    for schema, table, estimate, counts, *rest in connection.execute(_TABLES, parameters).fetchall():
        rows = estimate
        if counts:
            query = sql.SQL("select count(*) from only {}").format(sql.Identifier(schema, table))
            rows = connection.execute(query).fetchall()[0][0]
        heap, index, toast, total, dead, vacuum, analyze, sequential, scans = rest
        found.append(
            TableStats(
                layer=schema,
                table=table,
                rows=rows,
                rows_are_exact=counts,
                table_bytes=heap,
                index_bytes=index,
                toast_bytes=toast,
                total_bytes=total,
                dead_rows=dead,
                last_vacuum=vacuum,
                last_analyze=analyze,
                sequential_scans=sequential,
                index_scans=scans,
                indexes=tuple(indexes.get((schema, table), ())),
            )
        )
    return found


def _sum(tables: Iterable[TableStats]) -> dict[str, object]:
    those = list(tables)
    numbers: dict[str, object] = {
        name: sum(getattr(table, name) for table in those)
        for name in ("rows", "table_bytes", "index_bytes", "toast_bytes", "total_bytes", "dead_rows")
    }
    return {"tables": len(those), "rows_are_exact": all(table.rows_are_exact for table in those), **numbers}


_HEADINGS = [
    Column("layer"),
    Column("table"),
    *(Column(name, right=True) for name in ("rows", "size", "table", "indexes", "toast", "dead")),
    Column("by index", right=True),
    Column("vacuumed"),
    Column("analyzed"),
]


def _show(names: Sequence[str], tables: Sequence[TableStats]) -> None:
    lines = []
    for name in names:
        those = [table for table in tables if table.layer == name]
        lines += [_line(table) for table in those]
        if len(those) != 1:
            lines.append(_sum_line(name, those))
    if len(names) > 1:
        lines.append(_sum_line("all", tables))
    print_rows(_HEADINGS, lines)
    unused = [
        (f"{table.layer}.{index.name}", index.bytes)
        for table in tables
        for index in table.indexes
        if index.scans == 0 and not index.is_unique
    ]
    if unused:
        size = size_of(sum(size for _, size in unused))
        what = "1 index" if len(unused) == 1 else f"{len(unused)} indexes"
        print(f"{what} that no query has used yet, {size} (--json names them)")
    print("the queries that take the time: plainsql slow")


def _line(table: TableStats) -> list[str | None]:
    scans = table.sequential_scans + table.index_scans
    return [
        table.layer,
        table.table,
        f"{'' if table.rows_are_exact else '~'}{table.rows:,}",
        *map(size_of, (table.total_bytes, table.table_bytes, table.index_bytes, table.toast_bytes)),
        f"{table.dead_rows:,}",
        f"{table.index_scans / scans:.0%}" if scans else "-",
        *(f"{time:%Y-%m-%d %H:%M}" if time else "never" for time in (table.last_vacuum, table.last_analyze)),
    ]


def _sum_line(name: str, tables: Sequence[TableStats]) -> list[str | None]:
    sums = _sum(tables)
    return [
        name,
        f"{len(tables)} tables",
        f"{'' if sums['rows_are_exact'] else '~'}{sums['rows']:,}",
        *(size_of(sums[key]) for key in ("total_bytes", "table_bytes", "index_bytes", "toast_bytes")),
        f"{sums['dead_rows']:,}",
        "",
        "",
        "",
    ]
