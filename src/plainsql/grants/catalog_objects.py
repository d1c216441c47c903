"""The objects of a database on which privileges are granted, and those that every role has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec

__all__ = ["CatalogObjects", "FunctionObject", "RelationObject", "read_objects"]

_SCHEMAS: Final = """
select n.oid::bigint, n.nspname, quote_ident(n.nspname), has_schema_privilege('public', n.oid, 'usage'),
  n.nspname = any (current_schemas(false)),
  array(select t.typname::text from pg_catalog.pg_type as t where t.typnamespace = n.oid order by 1)
from pg_catalog.pg_namespace as n
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
order by n.nspname
"""

_RELATIONS: Final = """
select c.oid::bigint, n.nspname, c.relname, format('%I.%I', n.nspname, c.relname), c.relkind::text,
  c.relnamespace::bigint,
  array(
    select json_build_array(
      a.attnum, a.attname, quote_ident(a.attname),
      a.attgenerated <> '' or a.attidentity = 'a', coalesce(a.attnum = any (k.conkey), false)
    )::text
    from pg_catalog.pg_attribute as a
    left join pg_catalog.pg_constraint as k on k.conrelid = c.oid and k.contype = 'p'
    where a.attrelid = c.oid and not a.attisdropped
    order by a.attnum
  )
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
  and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
order by n.nspname, c.relname
"""

_FUNCTIONS: Final = """
select p.oid::bigint, n.nspname, p.proname,
  format('%I.%I(%s)', n.nspname, p.proname, oidvectortypes(p.proargtypes)),
  p.pronamespace::bigint, l.lanname, p.prosecdef, has_function_privilege('public', p.oid, 'execute'),
  exists (
    select from pg_catalog.pg_depend as d
    where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
  ),
  p.prosrc, p.prokind = 'p',
  coalesce((
    select c.value from pg_catalog.pg_options_to_table(p.proconfig) as c (name, value)
    where c.name = 'search_path'
  ), '')
from pg_catalog.pg_proc as p
inner join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
inner join pg_catalog.pg_language as l on l.oid = p.prolang
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
order by 4
"""

# The expressions that the server evaluates with the role's rights when a row is written.
_ROW_EXPRESSIONS: Final = """
select k.conrelid::bigint, k.conname::text, k.conbin::text
from pg_catalog.pg_constraint as k where k.conrelid <> 0 and k.conbin is not null
union all
select d.adrelid::bigint, a.attname, d.adbin::text
from pg_catalog.pg_attrdef as d
inner join pg_catalog.pg_attribute as a on a.attrelid = d.adrelid and a.attnum = d.adnum
where a.attgenerated <> ''
union all
select i.indrelid::bigint, c.relname, concat(i.indexprs::text, i.indpred::text)
from pg_catalog.pg_index as i inner join pg_catalog.pg_class as c on c.oid = i.indexrelid
where i.indexprs is not null or i.indpred is not null
union all
select t.tgrelid::bigint, t.tgname, t.tgqual::text
from pg_catalog.pg_trigger as t where t.tgqual is not null
order by 1, 2
"""

_TRIGGERS: Final = """
select t.tgrelid::bigint, t.tgfoid::bigint, (t.tgtype & 4) <> 0, (t.tgtype & 16) <> 0, (t.tgtype & 8) <> 0,
  (t.tgtype & 32) <> 0
from pg_catalog.pg_trigger as t
where not t.tgisinternal and t.tgenabled <> 'D'
order by t.tgname
"""

_EVENTS: Final = ("insert", "update", "delete", "truncate")
"""The events of triggers, in the order of the columns of ``_TRIGGERS``."""

_CHILDREN: Final = "select i.inhparent::bigint, i.inhrelid::bigint from pg_catalog.pg_inherits as i"


@dataclass(frozen=True, slots=True)
class SchemaObject:
    """A schema that is not the server's own."""

    oid: int
    name: str
    shown: str
    """The name as SQL writes it."""
    is_open: bool
    """True if every role may use it."""
    in_path: bool
    types: list[str]


@dataclass(frozen=True, slots=True)
class ColumnObject:
    """A column; the server's own have negative numbers."""

    number: int
    name: str
    shown: str
    is_fixed: bool
    """True if no statement gives it a value of its own: generated, or ``generated always as identity``."""
    is_key: bool


@dataclass(frozen=True, slots=True)
class RelationObject:
    """A table, a view or a sequence."""

    oid: int
    schema: str
    name: str
    shown: str
    kind: str
    """``pg_class.relkind``."""
    schema_oid: int
    columns: tuple[ColumnObject, ...]

    def column(self, number: int) -> ColumnObject | None:
        return next((column for column in self.columns if column.number == number), None)

    @property
    def own_columns(self) -> tuple[ColumnObject, ...]:
        """The columns that its definition names."""
        return tuple(column for column in self.columns if column.number > 0)


@dataclass(frozen=True, slots=True)
class FunctionObject:
    """A function, a procedure or an aggregate."""

    oid: int
    schema: str
    name: str
    shown: str
    """The name with its arguments, as ``grant execute`` takes it."""
    schema_oid: int
    language: str
    as_owner: bool
    """True for ``security definer``."""
    is_open: bool
    """True if every role may execute it."""
    of_extension: bool
    source: str
    is_procedure: bool
    search_path: str
    """The function's own setting; empty if it has none."""


@dataclass(frozen=True, slots=True)
class CatalogObjects:
    """All objects of a database, the server's own left out."""

    schemas: dict[int, SchemaObject]
    relations: dict[int, RelationObject]
    functions: dict[int, FunctionObject]
    triggers: dict[int, list[tuple[int, frozenset[str]]]]
    """For each table, the function of each trigger, and the privileges on which it fires."""
    row_expressions: dict[int, list[tuple[str, str]]]
    """For each table, the expressions that a write evaluates: the name of the object and the node text."""
    children: dict[int, list[int]]
    """For each table, those that inherit from it, partitions too."""

    def with_descendants(self, relation: int) -> set[int]:
        """Return a table and all that inherit from it."""
        found, pending = set[int](), [relation]
        while pending:
            oid = pending.pop()
            if oid not in found:
                found.add(oid)
                pending += self.children.get(oid, ())
        return found


def _columns(texts: list[str]) -> tuple[ColumnObject, ...]:
    return tuple(ColumnObject(*msgspec.json.decode(text)) for text in texts)


def read_objects(connection: Any) -> CatalogObjects:
    """Read the objects of a database. Names are whole, whatever the ``search_path`` is."""
    schemas = {row[0]: SchemaObject(*row) for row in connection.execute(_SCHEMAS)}
    with connection.transaction(force_rollback=True):  # which restores the search_path
        connection.execute("select pg_catalog.set_config('search_path', '', true)")
        functions = {row[0]: FunctionObject(*row) for row in connection.execute(_FUNCTIONS)}
        relations = {
            oid: RelationObject(oid, schema, name, shown, kind, schema_oid, _columns(columns))
            for oid, schema, name, shown, kind, schema_oid, columns in connection.execute(_RELATIONS)
        }
        expressions: dict[int, list[tuple[str, str]]] = {}
        for table, name, text in connection.execute(_ROW_EXPRESSIONS):
            expressions.setdefault(table, []).append((name, text))
        triggers: dict[int, list[tuple[int, frozenset[str]]]] = {}
        for table, function, *fires in connection.execute(_TRIGGERS):
            events = frozenset(name for name, on in zip(_EVENTS, fires, strict=True) if on)
            triggers.setdefault(table, []).append((function, events))
        children: dict[int, list[int]] = {}
        for parent, child in connection.execute(_CHILDREN):
            children.setdefault(parent, []).append(child)
    return CatalogObjects(schemas, relations, functions, triggers, expressions, children)
