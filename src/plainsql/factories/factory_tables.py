"""The tables of a database, as far as a valid row depends on them; read from the catalog."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

__all__ = ["Column", "ForeignKey", "Rule", "Table", "TypeFacts", "read_tables"]

_TYPES: Final = """
select
  t.oid::int8 as oid,
  format_type(t.oid, -1) as sql,
  t.typname::text as name,
  t.typtype::text as kind,
  t.typcategory::text as category,
  t.typbasetype::int8 as base,
  t.typtypmod as modifier,
  t.typnotnull as not_null,
  case when t.typcategory = 'A' then t.typelem::int8 else 0 end as element,
  coalesce((select r.rngsubtype::int8 from pg_range as r where r.rngtypid = t.oid), 0) as subtype,
  coalesce((select r.rngtypid::int8 from pg_range as r where r.rngmultitypid = t.oid), 0) as ranges,
  array(
    select e.enumlabel::text from pg_enum as e where e.enumtypid = t.oid order by e.enumsortorder
  ) as labels,
  case when t.typtype = 'c' then (
    select count(*) from pg_attribute as a
    where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
  ) else 0 end as fields,
  array(
    select c.conname::text from pg_constraint as c where c.contypid = t.oid order by c.conname
  ) as rules,
  array(
    select pg_get_constraintdef(c.oid) from pg_constraint as c where c.contypid = t.oid order by c.conname
  ) as rule_texts
from pg_type as t
"""

_COLUMNS: Final = """
select
  c.oid::int8 as relation,
  n.nspname::text as schema,
  c.relname::text as table,
  pg_table_is_visible(c.oid) as is_visible,
  a.attname::text as name,
  a.atttypid::int8 as type,
  a.atttypmod as modifier,
  a.attnotnull as not_null,
  a.atthasdef as has_default,
  a.attidentity <> '' as is_identity,
  a.attgenerated <> '' as is_generated,
  pg_get_expr(d.adbin, d.adrelid) as default_text,
  case when a.attidentity <> '' then pg_get_serial_sequence(c.oid::regclass::text, a.attname) end as sequence
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef as d on d.adrelid = c.oid and d.adnum = a.attnum
where
  c.relkind in ('r', 'p')
  and n.nspname not in ('pg_catalog', 'information_schema')
  and n.nspname !~ '^pg_(toast|temp)'
order by c.oid, a.attnum
"""

_CONSTRAINTS: Final = """
select
  r.conrelid::int8 as relation,
  r.conname::text as name,
  r.contype::text as kind,
  r.condeferrable as is_deferrable,
  pg_get_constraintdef(r.oid) as text,
  array(
    select a.attname::text
    from unnest(r.conkey) with ordinality as k (number, position)
    inner join pg_attribute as a on a.attrelid = r.conrelid and a.attnum = k.number
    order by k.position
  ) as columns,
  r.confrelid::int8 as target,
  array(
    select a.attname::text
    from unnest(r.confkey) with ordinality as k (number, position)
    inner join pg_attribute as a on a.attrelid = r.confrelid and a.attnum = k.number
    order by k.position
  ) as target_columns
from pg_constraint as r
where r.conrelid <> 0 and r.contype in ('c', 'f', 'x')
union all
select
  i.indrelid,
  c.relname::text,
  'u',
  false,
  pg_get_indexdef(i.indexrelid),
  array(
    select a.attname::text from pg_attribute as a
    where
      a.attrelid = i.indrelid and a.attnum > 0
      and (
        a.attnum = any(i.indkey)
        or strpos(coalesce(pg_get_expr(i.indexprs, i.indrelid), ''), quote_ident(a.attname)) > 0
      )
  ),
  0,
  '{}'
from pg_index as i
inner join pg_class as c on i.indexrelid = c.oid
where i.indisunique
union all
select
  c.oid,
  '',
  'p',
  false,
  coalesce(pg_get_partition_constraintdef(c.oid), '') || ' ' || coalesce((
    select string_agg(pg_get_expr(p.relpartbound, p.oid), ' ' order by t.level, p.relname)
    from pg_partition_tree(c.oid) as t
    inner join pg_class as p on t.relid = p.oid
    where t.level > 0
  ), ''),
  array(
    select a.attname::text from pg_attribute as a
    where
      a.attrelid = c.oid and a.attnum > 0
      and exists (
        select from pg_partition_tree(c.oid) as t
        where strpos(
          coalesce(pg_get_partkeydef(t.relid), '') || coalesce(pg_get_partition_constraintdef(c.oid), ''),
          quote_ident(a.attname)
        ) > 0
      )
  ),
  0,
  '{}'
from pg_class as c
where c.relkind = 'p' or c.relispartition
"""

_STRING: Final = re.compile(r"'((?:[^']|'')*)'")
_NUMBER: Final = re.compile(r"(?<![\w.$])-?\d+(?:\.\d+)?")


class TypeFacts(msgspec.Struct, frozen=True):
    """A type of the database."""

    oid: int
    sql: str
    """The name as a cast has it."""
    name: str
    kind: str
    category: str
    base: int
    modifier: int
    not_null: bool
    element: int
    subtype: int
    ranges: int
    labels: list[str]
    fields: int
    rules: list[str]
    rule_texts: list[str]


class Rule(msgspec.Struct, frozen=True):
    """A constraint, a unique index, or the bounds of partitions (without a name)."""

    relation: int
    name: str
    kind: str
    is_deferrable: bool
    text: str
    columns: list[str]
    target: int
    target_columns: list[str]

    def literals(self) -> tuple[list[str], list[str]]:
        """Return the strings and the numbers that its text compares with."""
        return literals(self.text)


ForeignKey = Rule


class Column(msgspec.Struct, frozen=True):
    """A column of a table."""

    relation: int
    schema: str
    table: str
    is_visible: bool
    name: str
    type: int
    modifier: int
    not_null: bool
    has_default: bool
    is_identity: bool
    is_generated: bool
    default_text: str | None
    sequence: str | None

    @property
    def fills_itself(self) -> bool:
        """True if the column has a value without one in the insert."""
        return self.has_default or self.is_identity or self.is_generated


@dataclass(slots=True)
class Table:
    """A table with its rules."""

    relation: int
    schema: str
    name: str
    is_visible: bool
    columns: dict[str, Column] = field(default_factory=dict)
    foreign_keys: list[Rule] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)

    @property
    def full_name(self) -> str:
        """The name with its schema."""
        return f"{self.schema}.{self.name}"


def read_tables(db: Any) -> tuple[dict[int, Table], dict[int, TypeFacts]]:
    """Return the tables and the types of a database, by their object identifiers."""
    tables: dict[int, Table] = {}
    for column in db.sql(_COLUMNS, type=Column):
        table = tables.setdefault(
            column.relation, Table(column.relation, column.schema, column.table, column.is_visible)
        )
        table.columns[column.name] = column
    for rule in db.sql(_CONSTRAINTS, type=Rule):
        if rule.relation in tables:
            found = tables[rule.relation]
            (found.foreign_keys if rule.kind == "f" else found.rules).append(rule)
    for table in tables.values():
        # A key of several columns first: its parent's values go to the keys that share a column.
        table.foreign_keys.sort(key=lambda key: -len(key.columns))
    return tables, {each.oid: each for each in db.sql(_TYPES, type=TypeFacts)}


def literals(text: str) -> tuple[list[str], list[str]]:
    """Return the strings and the numbers of a condition, each once, in their order."""
    strings = [found.replace("''", "'") for found in _STRING.findall(text)]
    numbers = _NUMBER.findall(_STRING.sub(" ", text))
    numbers += [each for each in strings if _NUMBER.fullmatch(each)]
    return list(dict.fromkeys(strings)), list(dict.fromkeys(numbers))
