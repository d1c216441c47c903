"""The tables, foreign keys, sequences and applied migrations of the schemas to transfer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from plainsql.migrate.ledger import Ledger, find_schema
from plainsql.transfer import file_format

__all__ = ["Source", "in_order", "read_migrations", "read_sequences", "read_tables", "shape"]

Connection = psycopg.Connection[Any]

# Partitions, and not the partitioned tables, which hold no rows themselves. The records of migrations are no
# layer's data; the objects of an extension belong to the extension.
_TABLES = """
select c.oid, n.nspname, c.relname, format('%%I.%%I', n.nspname, c.relname), greatest(c.reltuples, 0)::bigint
from pg_class as c
inner join pg_namespace as n on n.oid = c.relnamespace
where n.nspname = any(%s)
  and c.relkind = 'r'
  and c.relname not in ('_yoyo_log', '_yoyo_version', 'yoyo_lock', 'plainsql_migration')
  and c.relname !~ '^_yoyo_migration'
  and not exists (
    select from pg_depend as d
    where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
  )
order by n.nspname collate "C", c.relname collate "C"
"""

_COLUMNS = """
select a.attrelid, a.attname, format_type(a.atttypid, a.atttypmod), a.atttypid
from pg_attribute as a
where a.attrelid = any(%s) and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
order by a.attrelid, a.attnum
"""

_KEYS = """
select i.indrelid, array_agg(a.attname::text order by k.place)
from pg_index as i
cross join lateral unnest(i.indkey::smallint[]) with ordinality as k (attnum, place)
inner join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum
where i.indrelid = any(%s) and i.indisprimary
group by i.indrelid
"""

_REFERENCES = """
select c.conrelid, c.confrelid
from pg_constraint as c
where c.contype = 'f' and c.conrelid = any(%(tables)s) and c.confrelid = any(%(tables)s)
"""

_SEQUENCES = """
select n.nspname, c.relname
from pg_class as c
inner join pg_namespace as n on n.oid = c.relnamespace
where n.nspname = any(%s)
  and c.relkind = 'S'
  and not exists (
    select from pg_depend as d
    where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
  )
order by n.nspname collate "C", c.relname collate "C"
"""

_INTEGERS = {21, 23}
_BOOLEAN = 16


@dataclass(frozen=True, slots=True)
class Source:
    """A table as it is in the database."""

    oid: int
    table: file_format.Table
    name: str
    """``schema.name``, quoted if PostgreSQL would."""
    rows: int
    """An estimate; 0 if there is none."""
    key: tuple[str, ...]
    """The columns of its primary key, empty without one."""
    integers: tuple[int, ...]
    """The indexes of the columns that are JSON numbers."""
    booleans: tuple[int, ...]
    """The indexes of the columns that are JSON booleans."""

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.table.schema, self.table.name)

    @property
    def columns(self) -> sql.Composed:
        """The list of its columns, for a statement."""
        return sql.SQL(", ").join(sql.Identifier(column.name) for column in self.table.columns)


def read_tables(connection: Connection, schemas: Sequence[str]) -> list[Source]:
    """Return the tables of schemas, by name. Types are qualified if the ``search_path`` is pg_catalog."""
    tables = connection.execute(_TABLES, [list(schemas)]).fetchall()
    oids = [row[0] for row in tables]
    columns: dict[int, list[tuple[file_format.Column, int]]] = {oid: [] for oid in oids}
    for oid, name, type_, type_oid in connection.execute(_COLUMNS, [oids]):
        columns[oid].append((file_format.Column(name, type_), type_oid))
    keys = {oid: tuple(names) for oid, names in connection.execute(_KEYS, [oids])}
    return [
        Source(
            oid,
            file_format.Table(schema, name, tuple(column for column, _ in columns[oid])),
            full_name,
            rows,
            keys.get(oid, ()),
            tuple(place for place, (_, type_) in enumerate(columns[oid]) if type_ in _INTEGERS),
            tuple(place for place, (_, type_) in enumerate(columns[oid]) if type_ == _BOOLEAN),
        )
        for oid, schema, name, full_name, rows in tables
        if columns[oid]
    ]


def in_order(connection: Connection, tables: Iterable[Source]) -> list[Source]:
    """Return the tables, each after those it refers to; in a circle, the first by name comes first."""
    left = {table.oid: table for table in tables}
    refers: dict[int, set[int]] = {oid: set() for oid in left}
    for oid, other in connection.execute(_REFERENCES, {"tables": list(left)}):
        if oid != other:
            refers[oid].add(other)
    ordered: list[Source] = []
    while left:
        free = next((oid for oid in left if not refers[oid] & left.keys()), next(iter(left)))
        ordered.append(left.pop(free))
    return ordered


def read_sequences(connection: Connection, schemas: Sequence[str]) -> tuple[file_format.Sequence, ...]:
    """Return the state of the sequences of schemas, by name, including those of identity columns."""
    found = []
    for schema, name in connection.execute(_SEQUENCES, [list(schemas)]).fetchall():
        query = sql.SQL("select last_value::text, is_called from {}").format(sql.Identifier(schema, name))
        last, called = connection.execute(query).fetchall()[0]
        found.append(file_format.Sequence(schema, name, last, called))
    return tuple(found)


def read_migrations(connection: Connection, schemas: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the ids of the applied migrations by layer, without the schemas that have none."""
    where = find_schema(connection)
    applied = {
        layer or "": tuple(sorted(Ledger(connection, where, layer).applied()))
        for layer in [*schemas, *([None] if "public" in schemas else [])]
    }
    return {layer: ids for layer, ids in applied.items() if ids}


def shape(table: file_format.Table) -> dict[str, str]:
    """Return the types of a table's columns by their names, which both sides must have."""
    return {column.name: column.type for column in table.columns}
