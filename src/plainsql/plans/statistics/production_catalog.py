"""The tables, indexes and columns of production, with their sizes and statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from plainsql.plans.statistics.column_values import ColumnType, Values
from plainsql.plans.statistics.production_statistics import (
    USER_TABLES,
    ColumnStatistics,
    IndexStatistics,
    TableStatistics,
)
from plainsql.plans.statistics.tree_heights import Tree

__all__ = ["ProductionIndex", "ProductionTable", "read_columns", "read_indexes", "read_tables"]

_PAGES: Final = "coalesce(pg_catalog.pg_relation_size(c.oid), 0) / current_setting('block_size')::bigint"


@dataclass(frozen=True, slots=True)
class ProductionTable:
    """A table of production."""

    oid: int
    schema: str
    name: str
    statistics: TableStatistics


@dataclass(frozen=True, slots=True)
class ProductionIndex:
    """An index of production that has a file."""

    oid: int
    name: str
    table: int
    column: str
    """The first column of a B-tree that covers the whole table; empty for others, and for an expression."""
    column_type: ColumnType | None
    tree: Tree | None
    """None for other methods, and for an index that is not valid."""
    statistics: IndexStatistics


_TABLES: Final = f"""
select c.oid, n.nspname::text, c.relname::text, c.reltuples, c.relpages, c.relallvisible,
  {_PAGES} as file_pages
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where c.relkind in ('r', 'm', 'p') and {USER_TABLES}
  and (%(schemas)s::text[] is null or n.nspname = any(%(schemas)s))
order by 2, 3
"""

# The base of a domain, and then the element of an array.
_TYPE: Final = """
lateral (
  with recursive base (oid, depth) as (
    select a.atttypid, 0
    union all
    select t.typbasetype, b.depth + 1
    from base as b
    inner join pg_catalog.pg_type as t on t.oid = b.oid
    where t.typtype = 'd'
  )
  select coalesce(e.typname, t.typname)::text as name, coalesce(e.typtype, t.typtype)::text as kind,
    e.oid is not null as is_array, b.depth > 0 as is_domain
  from base as b
  inner join pg_catalog.pg_type as t on t.oid = b.oid
  left join pg_catalog.pg_type as e on e.oid = t.typelem and t.typcategory = 'A'
  order by b.depth desc
  limit 1
) as y
"""
_TYPE_COLUMNS: Final = """
y.name, y.kind, y.is_array, y.is_domain,
case when y.name in ('varchar', 'bpchar') and a.atttypmod > 4 then a.atttypmod - 4 else 0 end,
pg_catalog.format_type(a.atttypid, null),
case when a.attcollation <> 0 then (
  select pg_catalog.format('%%I.%%I', l.nspname, o.collname)
  from pg_catalog.pg_collation as o
  inner join pg_catalog.pg_namespace as l on l.oid = o.collnamespace
  where o.oid = a.attcollation) else '' end
"""

_INDEXES: Final = f"""
select c.oid, c.relname::text, i.indrelid, m.amname::text, c.reltuples, c.relpages, {_PAGES},
  i.indisvalid, i.indpred is null,
  pg_catalog.format('%%I.%%I', n.nspname, t.relname),
  coalesce(' where ' || pg_catalog.pg_get_expr(i.indpred, i.indrelid), ''),
  case when m.amname = 'btree' then (
    select pg_catalog.string_agg(
      pg_catalog.format('(%%s)%%s using operator(%%I.%%s)%%s',
        pg_catalog.pg_get_indexdef(c.oid, k.number, true),
        case when i.indcollation[k.number - 1] <> 0 then (
          select pg_catalog.format(' collate %%I.%%I', l.nspname, o.collname)
          from pg_catalog.pg_collation as o
          inner join pg_catalog.pg_namespace as l on l.oid = o.collnamespace
          where o.oid = i.indcollation[k.number - 1]) else '' end,
        on_.nspname, op.oprname,
        case when i.indoption[k.number - 1] & 2 = 2 then ' nulls first' else ' nulls last' end),
      ', ' order by k.number)
    from pg_catalog.generate_series(1, i.indnkeyatts) as k (number)
    inner join pg_catalog.pg_opclass as oc on oc.oid = i.indclass[k.number - 1]
    inner join pg_catalog.pg_amop as ao on ao.amopfamily = oc.opcfamily
      and ao.amoplefttype = oc.opcintype and ao.amoprighttype = oc.opcintype
      and ao.amopstrategy = case when i.indoption[k.number - 1] & 1 = 1 then 5 else 1 end
    inner join pg_catalog.pg_operator as op on op.oid = ao.amopopr
    inner join pg_catalog.pg_namespace as on_ on on_.oid = op.oprnamespace) end,
  a.attname::text, {_TYPE_COLUMNS}
from pg_catalog.pg_index as i
inner join pg_catalog.pg_class as c on c.oid = i.indexrelid
inner join pg_catalog.pg_am as m on m.oid = c.relam
inner join pg_catalog.pg_class as t on t.oid = i.indrelid
inner join pg_catalog.pg_namespace as n on n.oid = t.relnamespace
left join pg_catalog.pg_attribute as a on a.attrelid = i.indrelid and a.attnum = i.indkey[0] and a.attnum > 0
left join {_TYPE} on true
where c.relkind = 'i' and i.indrelid = any(%(tables)s)
order by n.nspname, c.relname
"""


def read_tables(connection: psycopg.Connection[Any], schemas: Sequence[str] | None) -> list[ProductionTable]:
    """Return the tables of all schemas, or of some, in the order of their names."""
    return [
        ProductionTable(
            oid,
            schema,
            name,
            TableStatistics(
                rows=rows,
                pages=max(0, pages),
                all_visible=visible,
                file_pages=file_pages,
                columns={},
                inherited={},
                indexes={},
                extended={},
            ),
        )
        for oid, schema, name, rows, pages, visible, file_pages in connection.execute(
            _TABLES, {"schemas": schemas}
        ).fetchall()
    ]


def read_indexes(connection: psycopg.Connection[Any], tables: Sequence[int]) -> list[ProductionIndex]:
    """Return the indexes of tables, in the order of their names."""
    found: list[ProductionIndex] = []
    for row in connection.execute(_INDEXES, {"tables": [*tables]}).fetchall():
        oid, name, table, method, rows, pages, file_pages, valid, whole, source, condition, keys, *more = row
        column, *type_facts = more
        tree = None
        if method == "btree" and valid and keys:
            query = f"select from only {source}{condition} order by {keys}"
            tree = Tree(oid, name, file_pages, query, keys + condition, table)
        has_ends = method == "btree" and valid and whole and column is not None
        statistics = IndexStatistics(
            method=method, rows=max(0.0, rows), pages=pages, file_pages=file_pages, columns={}
        )
        type_ = ColumnType(*type_facts) if has_ends else None
        first = column if has_ends and column else ""
        found.append(ProductionIndex(oid, name, table, first, type_, tree, statistics))
    return found


_FACTS: Final = (
    *("null_frac", "avg_width", "n_distinct", "correlation", "most_common_freqs", "most_common_elem_freqs"),
    "elem_count_histogram",
)
_FACTS_OF_17: Final = ("range_empty_frac", "range_length_histogram", "range_bounds_histogram")
_ARRAYS: Final = ("most_common_vals", "histogram_bounds", "most_common_elems")


def read_columns(
    connection: psycopg.Connection[Any], relations: Sequence[int]
) -> list[tuple[int, int, bool, Values]]:
    """Return the statistics of the columns of tables and indexes, each with its oid, number and inheritance.

    The arrays of values are lists: nothing is in the statistics yet.
    """
    facts = [*_FACTS, *(_FACTS_OF_17 if connection.info.server_version >= 170_000 else ())]
    numbers = {"null_frac", "avg_width", "n_distinct", "correlation", "range_empty_frac"}
    selected = [f"s.{name}" if name in numbers else f"s.{name}::text" for name in facts]
    selected += [f"s.{name}::text::text[]" for name in _ARRAYS]
    query = f"""
    select a.attrelid, a.attnum, s.inherited,
      case when c.relkind = 'i' then pg_catalog.pg_get_indexdef(c.oid, a.attnum, true)
        else a.attname::text end,
      {_TYPE_COLUMNS}, {", ".join(selected)}
    from pg_catalog.pg_stats as s
    inner join pg_catalog.pg_namespace as n on n.nspname = s.schemaname
    inner join pg_catalog.pg_class as c on c.relnamespace = n.oid and c.relname = s.tablename
    inner join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attname = s.attname
    left join {_TYPE} on true
    where c.oid = any(%s)
    order by n.nspname, c.relname, a.attnum, s.inherited
    """
    found: list[tuple[int, int, bool, Values]] = []
    first = len(ColumnType._fields)
    last = first + len(facts)
    for oid, number, inherited, column, *more in connection.execute(query.encode(), [[*relations]]):
        statistics = ColumnStatistics(**dict(zip(facts, more[first:last], strict=True)))
        values = Values(column, ColumnType(*more[:first]), statistics, *more[last:])
        found.append((oid, number, inherited, values))
    return found
