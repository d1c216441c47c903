"""The tables and indexes of the copy, with the facts from which sizes are guessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import psycopg

from plainsql.plans.statistics.production_statistics import USER_TABLES

__all__ = ["CopiedIndex", "CopiedTable", "read_catalog"]

_MAY_BE_LONG: Final = 1_800
"""The bytes from which on a value is kept out of its row, with a pointer in the row."""


@dataclass(frozen=True, slots=True)
class CopiedIndex:
    """An index of the copy that has a file."""

    oid: int
    schema: str
    name: str
    method: str
    path: str
    """The file, below the data folder."""
    file: int
    """The file's number, as the buffers of the server have it."""
    keys: tuple[str, ...]
    """The names of the table's columns in the key; an empty one for an expression."""
    width: int
    """The assumed bytes of an entry's values."""
    fill: int
    """``fillfactor``, in percent."""
    is_unique: bool
    is_partial: bool
    condition: LiteralString
    """The predicate of a partial index, with qualified names."""
    definition: LiteralString
    """The text after ``using`` in the definition: the method and the columns."""


@dataclass(frozen=True, slots=True)
class CopiedTable:
    """A table, partitioned table or materialized view of the copy."""

    oid: int
    schema: str
    name: str
    path: str | None
    """The file, below the data folder; None for a partitioned table."""
    file: int
    columns: tuple[str, ...]
    width: int
    """The assumed bytes of a row's values."""
    fill: int
    partitions: int
    """The tables among which the rows of the partitioned table around it are divided; 1 for any other."""
    indexes: tuple[CopiedIndex, ...]


# Widths are those that PostgreSQL assumes of a column without statistics (get_typavgwidth).
_COLUMNS: Final = f"""
select a.attrelid, a.attname::text, a.attnum,
  case
    when a.attlen > 0 then a.attlen
    when t.typname in ('bpchar', 'varchar') and a.atttypmod > 4 then least(a.atttypmod - 4, 32)
    when t.typname = 'vector' and a.atttypmod > 0 then case
      when a.atttypmod * 4 + 8 > {_MAY_BE_LONG} then 18 else a.atttypmod * 4 + 8 end
    else 32
  end
from pg_catalog.pg_attribute as a
inner join pg_catalog.pg_class as c on c.oid = a.attrelid
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
inner join pg_catalog.pg_type as t on t.oid = a.atttypid
where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'm', 'p', 'i')
  and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
order by a.attrelid, a.attnum
"""
_TABLES: Final = f"""
select c.oid, n.nspname::text, c.relname::text, pg_catalog.pg_relation_filepath(c.oid), c.relfilenode::bigint,
  coalesce((select o.option_value::integer from pg_catalog.pg_options_to_table(c.reloptions) as o
    where o.option_name = 'fillfactor'), 100),
  case when c.relispartition then (
    select greatest(1, count(*)) from pg_catalog.pg_partition_tree(pg_catalog.pg_partition_root(c.oid)) as p
    where p.isleaf) else 1 end
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where c.relkind in ('r', 'm', 'p') and {USER_TABLES}
order by 2, 3
"""
_INDEXES: Final = """
select i.indrelid, c.oid, n.nspname::text, c.relname::text, m.amname::text,
  pg_catalog.pg_relation_filepath(c.oid), c.relfilenode::bigint,
  array(
    select coalesce(a.attname::text, '')
    from pg_catalog.unnest(i.indkey::smallint[]) with ordinality as k (number, position)
    left join pg_catalog.pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.number
    where k.position <= i.indnkeyatts order by k.position),
  coalesce((select o.option_value::integer from pg_catalog.pg_options_to_table(c.reloptions) as o
    where o.option_name = 'fillfactor'), 90),
  i.indisunique, i.indpred is not null,
  coalesce(pg_catalog.pg_get_expr(i.indpred, i.indrelid), ''), pg_catalog.pg_get_indexdef(c.oid)
from pg_catalog.pg_index as i
inner join pg_catalog.pg_class as c on c.oid = i.indexrelid
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
inner join pg_catalog.pg_am as m on m.oid = c.relam
where c.relkind = 'i' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
order by 3, 4
"""


def read_catalog(connection: psycopg.Connection[Any]) -> list[CopiedTable]:
    """Return the tables outside of the system's schemas, in the order of schema and name.

    The names in conditions and definitions are qualified if the session's search path is empty.
    """
    columns: dict[int, list[tuple[str, int]]] = {}
    for oid, name, _, width in connection.execute(_COLUMNS.encode()).fetchall():
        columns.setdefault(oid, []).append((name, width))
    indexes: dict[int, list[CopiedIndex]] = {}
    for table, oid, schema, name, method, path, file, keys, fill, *more in connection.execute(
        _INDEXES
    ).fetchall():
        unique, partial, condition, definition = more
        found = CopiedIndex(
            oid,
            schema,
            name,
            method,
            path,
            file,
            tuple(keys),
            _row_width([width for _, width in columns.get(oid, [])]),
            fill,
            unique,
            partial,
            condition,
            _after_using(definition),
        )
        indexes.setdefault(table, []).append(found)
    return [
        CopiedTable(
            oid,
            schema,
            name,
            path,
            file,
            tuple(each for each, _ in columns.get(oid, [])),
            _row_width([width for _, width in columns.get(oid, [])]),
            fill,
            partitions,
            tuple(indexes.get(oid, [])),
        )
        for oid, schema, name, path, file, fill, partitions in connection.execute(_TABLES).fetchall()
    ]


def _row_width(widths: Sequence[int]) -> int:
    return sum(widths) or 8


def _after_using(definition: LiteralString) -> LiteralString:
    """Return the method, the columns and the predicate of an index.

    A quoted name may contain the word, so the text is read as PostgreSQL's scanner does.
    """
    quoted = False
    for at, character in enumerate(definition):
        if character == '"':
            quoted = not quoted
        elif not quoted and definition.startswith(" USING ", at):
            return definition[at + len(" USING ") :]
    return definition
