"""The tables of a database as its catalog has them: columns, constraints, indexes, policies, triggers.

Each kind of object is read by one query over all tables, not by one for each table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from plainsql.review.model.sheets import (
    ColumnSheet,
    IncomingKey,
    IndexSheet,
    PolicySheet,
    TableConstraint,
    TableSheet,
    TriggerSheet,
)

__all__ = ["table_definitions"]

T = TypeVar("T")

_KINDS: Final = {
    "r": "table",
    "p": "partitioned table",
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
}
_CONSTRAINTS: Final = {
    "p": "primary key",
    "f": "foreign key",
    "u": "unique",
    "c": "check",
    "x": "exclusion",
    "t": "trigger",
}
_CONSTRAINT_ORDER: Final = ("p", "u", "x", "f", "c", "t")
_COMMANDS: Final = {"r": "select", "a": "insert", "w": "update", "d": "delete", "*": "all"}

# The users' relations: not the server's own, not those of an extension, not those of another session.
_RELATIONS: Final = """
relations as (
  select c.oid, c.relname, c.relkind, c.relrowsecurity, c.relforcerowsecurity, n.nspname,
    n.nspname || '.' || c.relname as name, c.relispartition, c.relpartbound
  from pg_catalog.pg_class as c
    inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
  where c.relkind in ('r', 'p', 'v', 'm', 'f')
    and n.nspname <> 'information_schema'
    and n.nspname !~ '^pg_'
    -- The ledger of the migrations.
    and c.relname not in ('_yoyo_log', '_yoyo_version', 'yoyo_lock', 'plainsql_migration')
    and not starts_with(c.relname, '_yoyo_migration')
    and not exists (
      select from pg_catalog.pg_depend as d
      where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
    )
)
"""

_TABLES: Final = f"""
with {_RELATIONS}
select r.name, r.relkind::text, coalesce(obj_description(r.oid, 'pg_class'), ''),
  case when r.relkind in ('v', 'm') then pg_get_viewdef(r.oid, true) else '' end,
  case when r.relforcerowsecurity and r.relrowsecurity then 'forced'
    when r.relrowsecurity then 'on' else '' end,
  coalesce((
    select parent.name || ' ' || pg_get_expr(r.relpartbound, r.oid)
    from pg_catalog.pg_inherits as i inner join relations as parent on i.inhparent = parent.oid
    where i.inhrelid = r.oid and r.relispartition
  ), ''),
  coalesce((
    select parent.name
    from pg_catalog.pg_inherits as i inner join relations as parent on i.inhparent = parent.oid
    where i.inhrelid = r.oid and r.relispartition
  ), ''),
  case when r.relkind = 'p' then pg_get_partkeydef(r.oid) else '' end
from relations as r
order by r.name
"""

_COLUMNS: Final = f"""
with {_RELATIONS}
select r.name, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
  coalesce(pg_get_expr(d.adbin, d.adrelid), ''),
  case when a.attidentity <> '' then 'identity'
    when a.attgenerated = 's' then 'stored' when a.attgenerated = 'v' then 'virtual' else '' end,
  coalesce(col_description(r.oid, a.attnum), '')
from relations as r
  inner join pg_catalog.pg_attribute as a on r.oid = a.attrelid
  left join pg_catalog.pg_attrdef as d on a.attrelid = d.adrelid and a.attnum = d.adnum
where a.attnum > 0 and not a.attisdropped
order by r.name, a.attnum
"""

_CONSTRAINT_ROWS: Final = f"""
with {_RELATIONS}
select r.name, k.conname, k.contype::text, pg_get_constraintdef(k.oid, true), k.convalidated,
  coalesce((
    select array_agg(a.attname::text order by u.place)
    from unnest(k.conkey) with ordinality as u (number, place)
      inner join pg_catalog.pg_attribute as a on a.attrelid = k.conrelid and u.number = a.attnum
  ), '{{}}'),
  coalesce(other.name, '')
from relations as r
  inner join pg_catalog.pg_constraint as k on r.oid = k.conrelid
  left join relations as other on k.confrelid = other.oid
-- Each "not null" is a constraint from PostgreSQL 18 on: the column says it already.
where k.contype <> 'n'
order by r.name, k.conname
"""

_INDEXES: Final = f"""
with {_RELATIONS}
select r.name, c.relname, pg_get_indexdef(i.indexrelid), m.amname, i.indisunique, i.indisprimary,
  i.indisvalid, coalesce(pg_get_expr(i.indpred, i.indrelid), ''),
  array(
    select pg_get_indexdef(i.indexrelid, place, true) from generate_series(1, i.indnkeyatts) as place
    order by place
  ),
  array_remove(array[
    case when i.indisunique and not exists (
      select from pg_catalog.pg_constraint as k
      where i.indexrelid = k.conindid and k.contype in ('p', 'u', 'x')
    ) then 'unique rows' end,
    case when i.indisreplident then 'replica identity' end,
    case when i.indisclustered then 'cluster' end
  ], null),
  -- The indexes of the partitions, on all levels.
  array(
    select p.relname::text
    from pg_partition_tree(i.indexrelid) as t inner join pg_catalog.pg_class as p on t.relid = p.oid
    where t.relid <> i.indexrelid
    order by 1
  ),
  c.relispartition
from relations as r
  inner join pg_catalog.pg_index as i on r.oid = i.indrelid
  inner join pg_catalog.pg_class as c on i.indexrelid = c.oid
  inner join pg_catalog.pg_am as m on c.relam = m.oid
order by r.name, not i.indisprimary, c.relname
"""

_POLICIES: Final = f"""
with {_RELATIONS}
select r.name, p.polname, p.polcmd::text, p.polpermissive,
  array(
    select case when role = 0 then 'public' else pg_get_userbyid(role)::text end
    from unnest(p.polroles) as role order by 1
  ),
  coalesce(pg_get_expr(p.polqual, p.polrelid), ''), coalesce(pg_get_expr(p.polwithcheck, p.polrelid), '')
from relations as r inner join pg_catalog.pg_policy as p on r.oid = p.polrelid
order by r.name, p.polname
"""

_TRIGGERS: Final = f"""
with {_RELATIONS}
select r.name, t.tgname, pg_get_triggerdef(t.oid, true), t.tgenabled <> 'D'
from relations as r inner join pg_catalog.pg_trigger as t on r.oid = t.tgrelid
where not t.tgisinternal
order by r.name, t.tgname
"""


def table_definitions(connection: Any) -> tuple[TableSheet, ...]:
    """Return the tables and views of a database in the order of their names, without their users."""
    columns = _by_table(
        (
            table,
            ColumnSheet(
                name, type_, not_null, "" if generated == "identity" else default, generated, comment
            ),
        )
        for table, name, type_, not_null, default, generated, comment in connection.execute(_COLUMNS)
    )
    constraints: dict[str, list[tuple[int, TableConstraint]]] = defaultdict(list)
    incoming: dict[str, list[IncomingKey]] = defaultdict(list)
    for table, name, kind, definition, valid, names, other in connection.execute(_CONSTRAINT_ROWS):
        constraint = TableConstraint(name, _CONSTRAINTS[kind], definition, tuple(names), other, valid)
        constraints[table].append((_CONSTRAINT_ORDER.index(kind), constraint))
        if other:
            incoming[other].append(IncomingKey(name, table, definition))
    indexes = _by_table(
        (
            table,
            IndexSheet(
                name,
                definition,
                tuple(key),
                method,
                unique,
                primary,
                valid,
                predicate,
                needs=tuple(needs),
                partitions=tuple(partitions),
                is_attached=attached,
            ),
        )
        for (
            table,
            name,
            definition,
            method,
            unique,
            primary,
            valid,
            predicate,
            key,
            needs,
            partitions,
            attached,
        ) in connection.execute(_INDEXES)
    )
    policies = _by_table(
        (table, PolicySheet(name, _COMMANDS[command], permissive, tuple(roles), using, check))
        for table, name, command, permissive, roles, using, check in connection.execute(_POLICIES)
    )
    triggers = _by_table(
        (table, TriggerSheet(name, definition, enabled))
        for table, name, definition, enabled in connection.execute(_TRIGGERS)
    )
    found: list[TableSheet] = []
    for name, kind, comment, definition, security, partition_of, parent, key in connection.execute(_TABLES):
        own = tuple(each for _, each in sorted(constraints[name], key=lambda pair: pair[0]))
        found.append(
            TableSheet(
                name,
                _KINDS[kind],
                comment=comment,
                definition=definition.strip(),
                partition_of=partition_of,
                parent=parent,
                partition_key=key,
                row_security=security,
                columns=tuple(_with_keys(column, own) for column in columns[name]),
                constraints=own,
                referenced_by=tuple(incoming[name]),
                indexes=tuple(indexes[name]),
                policies=tuple(policies[name]),
                triggers=tuple(triggers[name]),
            )
        )
    return tuple(found)


def _by_table(rows: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    found: dict[str, list[T]] = defaultdict(list)
    for table, item in rows:
        found[table].append(item)
    return found


def _with_keys(column: ColumnSheet, constraints: Iterable[TableConstraint]) -> ColumnSheet:
    keys = tuple(each.name for each in constraints if column.name in each.columns)
    return replace(column, keys=keys) if keys else column
