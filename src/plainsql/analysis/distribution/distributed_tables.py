"""The tables of a database that is distributed by one column: their keys and foreign keys must hold it.

A unique key is checked by the server that has the row, and a foreign key by the server that has both rows. So
both hold the column, or the table has a copy on each server.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any, Final

from psycopg import Connection

from plainsql.analysis.distribution.model import DistributedTable, TableFault
from plainsql.analysis.findings.schema_lints import USER_RELATIONS, quoted

__all__ = ["column_names", "distributed_tables", "is_reference"]

# A partition has the keys of its table, and an extension is responsible for its own tables.
_TABLES: Final = f"""
select
  c.oid::bigint,
  n.nspname,
  c.relname,
  (
    select pg_catalog.format_type(a.atttypid, null)
    from pg_catalog.pg_attribute as a
    where a.attrelid = c.oid and a.attname = %(column)s and a.attnum > 0 and not a.attisdropped
  ),
  exists (
    select
    from pg_catalog.pg_attribute as a
    where a.attrelid = c.oid and a.attname = %(column)s and a.attgenerated <> ''
  ),
  array(
    select p.polname::text
    from pg_catalog.pg_policy as p
    where
      p.polrelid = c.oid
      and concat(p.polqual::text, p.polwithcheck::text) ~ '\\{{SUBLINK '
    order by p.polname
  ),
  array(
    select t.tgname::text from pg_catalog.pg_trigger as t where t.tgrelid = c.oid and not t.tgisinternal
    order by t.tgname
  ),
  array(
    select k.conname::text
    from pg_catalog.pg_constraint as k
    where
      k.conrelid = c.oid
      and k.contype = 'f'
      and k.conparentid = 0
      and (k.confdeltype in ('n', 'd') or k.confupdtype in ('n', 'd'))
    order by k.conname
  )
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and not c.relispartition and {USER_RELATIONS}
order by n.nspname, c.relname
"""

# The plain columns of a key, but not those of its expressions, its predicate or its `include`.
_KEYS: Final = """
select
  i.indrelid::bigint,
  x.relname,
  i.indisprimary,
  i.indisexclusion,
  array(
    select a.attname::text
    from unnest(i.indkey::int2[]) with ordinality as u (number, at)
    inner join pg_catalog.pg_attribute as a on a.attrelid = i.indrelid and a.attnum = u.number
    left join pg_catalog.pg_constraint as k
      on k.conindid = i.indexrelid and k.contype in ('x', 'p', 'u') and k.conexclop is not null
    where
      u.at <= i.indnkeyatts
      and (
        k.oid is null
        or exists (
          select
          from pg_catalog.pg_amop as o
          inner join pg_catalog.pg_am as m on m.oid = o.amopmethod
          where o.amopopr = k.conexclop[u.at] and m.amname = 'btree' and o.amopstrategy = 3
        )
      )
    order by u.at
  )
from pg_catalog.pg_index as i
inner join pg_catalog.pg_class as x on x.oid = i.indexrelid
where (i.indisunique or i.indisexclusion) and not x.relispartition
order by x.relname
"""

_FOREIGN_KEYS: Final = """
select
  k.conrelid::bigint,
  k.conname,
  k.confrelid::bigint,
  (
    select jsonb_agg(jsonb_build_array(a.attname, r.attname) order by u.at)
    from unnest(k.conkey, k.confkey) with ordinality as u (own, other, at)
    inner join pg_catalog.pg_attribute as a on a.attrelid = k.conrelid and a.attnum = u.own
    inner join pg_catalog.pg_attribute as r on r.attrelid = k.confrelid and r.attnum = u.other
  ),
  k.confdeltype in ('n', 'd')
  and (
    k.confdelsetcols is null
    or exists (
      select
      from unnest(k.confdelsetcols) as u (number)
      inner join pg_catalog.pg_attribute as a on a.attrelid = k.conrelid and a.attnum = u.number
      where a.attname = %(column)s
    )
  ),
  k.confupdtype in ('c', 'n', 'd')
from pg_catalog.pg_constraint as k
where k.contype = 'f' and k.conparentid = 0
order by k.conname
"""


def distributed_tables(
    connection: Connection[Any], column: str, reference: Collection[str] = ()
) -> list[DistributedTable]:
    """Return the tables of a database in the order of their names, with what prevents their distribution.

    Args:
        connection: the database.
        column: the distribution column.
        reference: the tables that every server has a copy of, as ``schema.table`` or ``schema.*``.
    """
    rows = connection.execute(_TABLES.encode(), {"column": column}).fetchall()
    names: dict[int, str] = {}
    found: dict[int, DistributedTable] = {}
    for oid, schema, relation, type_, generated, policies, triggers, setting in rows:
        name = names[oid] = f"{quoted(schema)}.{quoted(relation)}"
        if is_reference(schema, relation, reference):
            found[oid] = DistributedTable(name, schema, relation, "reference")
        elif type_ is None:
            found[oid] = DistributedTable(
                name, schema, relation, "undecided", faults=(_without(name, column),)
            )
        else:
            faults = (_generated(name, column),) if generated else ()
            citus = (*_of_citus(policies, triggers, setting),)
            found[oid] = DistributedTable(name, schema, relation, "distributed", type_, faults, citus)
    for oid, key, primary, exclusion, columns in connection.execute(_KEYS.encode()):
        if oid in found and found[oid].place == "distributed" and column not in columns:
            kind = "primary key" if primary else "exclusion constraint" if exclusion else "unique key"
            found[oid] = _with_fault(found[oid], _of_key(found[oid].name, kind, key, column))
    for oid, key, other, pairs, sets_null, follows in connection.execute(
        _FOREIGN_KEYS.encode(), {"column": column}
    ):
        if oid in found and other in found:
            for fault in _of_foreign_key(found[oid], found[other], key, pairs, sets_null, follows, column):
                found[oid] = _with_fault(found[oid], fault)
    return [*found.values()]


def column_names(connection: Connection[Any]) -> set[str]:
    """Return the names of the columns of all tables."""
    rows = connection.execute(
        "select distinct a.attname::text from pg_catalog.pg_attribute as a"
        " inner join pg_catalog.pg_class as c on c.oid = a.attrelid"
        " inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace"
        " where c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped"
        f" and {USER_RELATIONS}".encode()
    )
    return {name for (name,) in rows}


def is_reference(schema: str, table: str, reference: Collection[str]) -> bool:
    """Return whether each server has a copy of a table: by its name, or as ``schema.*``."""
    return f"{schema}.{table}" in reference or f"{schema}.*" in reference


def _with_fault(table: DistributedTable, fault: TableFault) -> DistributedTable:
    return replace(table, faults=(*table.faults, fault))


def _without(name: str, column: str) -> TableFault:
    return TableFault(
        "table-without-tenant",
        f"the table {name} has no column {quoted(column)}",
        f"add the column to it and to its keys; or give each server a copy: --reference {name}",
        "",
    )


def _generated(name: str, column: str) -> TableFault:
    return TableFault(
        "key-without-tenant",
        f"{quoted(column)} of {name} is generated: the row's server is not known before it is written",
        "make it a plain column with a default",
        "",
    )


def _of_key(table: str, kind: str, key: str, column: str) -> TableFault:
    return TableFault(
        "key-without-tenant",
        f"the {kind} {quoted(key)} of {table} does not hold {quoted(column)}: each server would check"
        " its own rows only",
        f"make it begin with {quoted(column)}, in a new migration",
        key,
    )


def _of_foreign_key(
    table: DistributedTable,
    other: DistributedTable,
    key: str,
    pairs: list[list[str]],
    sets_null: bool,
    follows: bool,
    column: str,
) -> Iterator[TableFault]:
    def fault(because: str, hint: str) -> TableFault:
        message = f"the foreign key {quoted(key)} of {table.name} to {other.name} {because}"
        return TableFault("reference-without-tenant", message, hint, key)

    name = quoted(column)
    if table.place == "reference" and other.place == "distributed":
        yield fault(
            f"leads from a copy on each server to a table that is distributed by {name}",
            f"remove it, or distribute {table.name} too",
        )
    if table.place != "distributed" or other.place != "distributed":
        return
    if [column, column] not in pairs:
        yield fault(
            f"does not compare {name}: the rows may be on different servers",
            f"make it ({name}, …) references {other.name} ({name}, …), in a new migration",
        )
        return
    if table.column_type != other.column_type:
        yield fault(
            f"compares {name} as {table.column_type} with {other.column_type}: equal tenants may be on"
            " different servers",
            f"give {name} one type in both tables",
        )
    if sets_null:
        yield fault(
            f"sets {name} to null or its default when a row is deleted",
            "name the other column: on delete set null (column)",
        )
    if follows:
        yield fault(
            f"follows updates of {name}: the row would move to another server",
            "leave on update out",
        )


def _of_citus(policies: list[str], triggers: list[str], setting: list[str]) -> Iterator[str]:
    """Yield what Citus refuses on a distributed table."""
    for key in setting:
        yield f"the foreign key {quoted(key)} sets columns to null or their defaults"
    for policy in policies:
        yield f"the policy {quoted(policy)} has a sub-select"
    for trigger in triggers:
        yield f"the trigger {quoted(trigger)} needs citus.enable_unsafe_triggers"
