"""Lints of tables and indexes: foreign keys without an index, redundant indexes, missing primary keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from plainsql.analysis.findings.schema_lints import USER_RELATIONS, SchemaLint, quoted

__all__ = ["table_lints"]

# An index serves a foreign key if it begins with its columns, in any order, or is unique in some of them.
# A partial index without nulls is enough: a null references nothing.
_FOREIGN_KEYS: Final = f"""
select
  c.relname,
  format('%I.%I', n.nspname, c.relname),
  k.conname,
  k.confrelid::regclass::text,
  k.columns,
  (
    select string_agg(quote_ident(u.name), ', ' order by u.at)
    from unnest(k.columns) with ordinality as u (name, at)
  )
from (
  select
    f.*,
    array(
      select a.attname::text
      from unnest(f.conkey) with ordinality as u (number, at)
      inner join pg_catalog.pg_attribute as a on a.attrelid = f.conrelid and a.attnum = u.number
      order by u.at
    ) as columns
  from pg_catalog.pg_constraint as f
  where f.contype = 'f' and f.conparentid = 0
) as k
inner join pg_catalog.pg_class as c on c.oid = k.conrelid
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where
  {USER_RELATIONS}
  and not exists (
    select
    from pg_catalog.pg_index as i
    inner join pg_catalog.pg_class as ic on ic.oid = i.indexrelid
    inner join pg_catalog.pg_am as m on m.oid = ic.relam
    where
      i.indrelid = k.conrelid
      and m.amname in ('btree', 'hash')
      and (
        i.indpred is null
        or pg_catalog.pg_get_expr(i.indpred, i.indrelid) = any (
          select format('(%I IS NOT NULL)', u.name) from unnest(k.columns) as u (name)
        )
      )
      and (
        (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey
        or i.indisunique and i.indpred is null and (i.indkey::int2[])[0:i.indnkeyatts - 1] <@ k.conkey
      )
  )
order by n.nspname, c.relname, k.conname
"""

# A replica identity that was chosen says how rows are identified.
_WITHOUT_KEY: Final = f"""
select c.relname, format('%I.%I', n.nspname, c.relname)
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where
  c.relkind in ('r', 'p')
  and not c.relispartition
  and c.relreplident not in ('i', 'f')
  and not exists (select from pg_catalog.pg_index as i where i.indrelid = c.oid and i.indisprimary)
  and {USER_RELATIONS}
order by n.nspname, c.relname
"""

_INDEXES: Final = f"""
select
  i.indexrelid::bigint,
  c.relname,
  format('%I.%I', n.nspname, c.relname),
  x.relname,
  format('%I.%I', n.nspname, x.relname),
  m.amname,
  i.indisunique,
  i.indisprimary,
  k.conname,
  coalesce(k.condeferrable, false),
  coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false),
  i.indisreplident
  or exists (select from pg_catalog.pg_constraint as f where f.conindid = i.indexrelid and f.contype = 'f'),
  coalesce(pg_catalog.pg_get_expr(i.indpred, i.indrelid), ''),
  coalesce(x.reloptions::text, ''),
  array(
    select
      format(
        '%s|%s|%s',
        pg_catalog.pg_get_indexdef(i.indexrelid, s.at, true), i.indclass[s.at - 1], i.indcollation[s.at - 1]
      )
    from generate_series(1, i.indnkeyatts) as s (at)
    order by s.at
  ),
  i.indoption::int2[]::int[],
  array(
    select pg_catalog.pg_get_indexdef(i.indexrelid, s.at, true)
    from generate_series(1, i.indnatts) as s (at)
    order by s.at
  )
from pg_catalog.pg_index as i
inner join pg_catalog.pg_class as c on c.oid = i.indrelid
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
inner join pg_catalog.pg_class as x on x.oid = i.indexrelid
inner join pg_catalog.pg_am as m on m.oid = x.relam
left join pg_catalog.pg_constraint as k on k.conindid = i.indexrelid and k.contype in ('p', 'u')
where not i.indisexclusion and not x.relispartition and {USER_RELATIONS}
order by n.nspname, c.relname, x.relname
"""

_ALONE: Final = "in a migration of its own that starts with '-- transactional: false'"
_OTHER_DIRECTION: Final = 3
"""The bits of a column's options that reading an index backwards inverts: descending, nulls first."""


@dataclass(frozen=True, slots=True)
class _Index:
    """An index of a table."""

    oid: int
    table: str
    qualified_table: str
    name: str
    qualified_name: str
    method: str
    is_unique: bool
    is_primary: bool
    constraint: str | None
    is_deferrable: bool
    nulls_not_distinct: bool
    is_needed: bool
    """True if a foreign key or the replica identity refers to it."""
    predicate: str
    options: str
    keys: list[str]
    """Each key column: its definition, its operator class, its collation."""
    directions: list[int]
    columns: list[str]
    """The definitions of all columns, with those that are only included."""

    @property
    def worth(self) -> tuple[bool, bool, bool, bool, int]:
        """The reasons to keep it and not its duplicate, the earliest in doubt."""
        return (self.is_primary, self.is_needed, self.constraint is not None, self.is_unique, -self.oid)


def table_lints(connection: Any) -> Iterator[SchemaLint]:
    """Yield the lints of the tables and indexes of a scratch database."""
    for table, qualified, name, referenced, columns, listed in connection.execute(_FOREIGN_KEYS.encode()):
        yield SchemaLint(
            "foreign-key-unindexed",
            f"no index serves the foreign key {quoted(name)} of {qualified} ({listed})",
            f"each delete or change of a key in {referenced} reads all of {qualified}",
            f"{_ALONE}: create index concurrently on {qualified} ({listed})",
            ((name,), (table, "references", *columns), (table, "foreign", *columns)),
            table,
        )
    for table, qualified in connection.execute(_WITHOUT_KEY.encode()):
        yield SchemaLint(
            "missing-primary-key",
            f"the table {qualified} has no primary key",
            "equal rows cannot be distinguished, and logical replication refuses their updates and deletes",
            f"in a new migration: alter table {qualified} add primary key (…)",
            ((f"create table {table}",), (f"table {table}",)),
            table,
        )
    indexes = [_Index(*row) for row in connection.execute(_INDEXES.encode())]
    for _, of_table in groupby(indexes, lambda index: index.qualified_table):
        yield from _redundant(list(of_table))


def _redundant(indexes: list[_Index]) -> Iterator[SchemaLint]:
    for index in indexes:
        better = [other for other in indexes if other is not index and _does_the_work(other, index)]
        if not better or index.is_primary or index.is_needed:
            continue
        other = max(better, key=lambda each: (len(each.keys), each.worth))
        same = len(other.keys) == len(index.keys)
        what = "has the same columns" if same else "begins with its columns"
        drop = f"{_ALONE}: drop index concurrently {index.qualified_name}"
        if index.constraint is not None:
            constraint = quoted(index.constraint)
            drop = f"in a new migration: alter table {index.qualified_table} drop constraint {constraint}"
        columns = [column for column in index.columns if re.fullmatch(r"\w+", column)]
        yield SchemaLint(
            "redundant-index",
            f"the index {index.qualified_name} is redundant: {other.qualified_name} {what}",
            "each write maintains both, and each takes space in memory and on disk",
            drop,
            ((index.name,), ("index", f"on {index.table}", *columns), (index.table, *columns)),
            index.table,
        )


def _does_the_work(other: _Index, index: _Index) -> bool:
    """Return whether an index serves all that another one of its table serves."""
    if other.method != index.method or other.predicate != index.predicate:
        return False
    same = other.keys == index.keys
    if index.method == "btree":
        count = len(index.keys)
        if other.keys[:count] != index.keys:
            return False
        turned = [direction ^ _OTHER_DIRECTION for direction in index.directions]
        if other.directions[:count] not in (index.directions, turned):
            return False
    elif not same or other.options != index.options:
        return False
    if not set(index.columns) <= set(other.columns):
        return False
    if index.is_unique and not (
        same
        and other.is_unique
        and (other.is_deferrable, other.nulls_not_distinct) == (index.is_deferrable, index.nulls_not_distinct)
    ):
        return False
    is_duplicate = same and set(index.columns) == set(other.columns)
    both_are = is_duplicate and other.is_unique == index.is_unique
    return not both_are or other.worth > index.worth
