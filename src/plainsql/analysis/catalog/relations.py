"""The tables and views of a database: columns, keys, triggers, rules, policies and inheritance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from psycopg import Connection

from plainsql.analysis.catalog.trigger_bodies import TriggerBody
from plainsql.analysis.nodes import Node, conjuncts, read_tree

__all__ = [
    "Check",
    "ConditionalKey",
    "ExclusionKey",
    "ForeignKey",
    "Index",
    "Policy",
    "Relation",
    "RelationColumn",
    "Trigger",
    "UniqueKey",
    "load_relations",
]

# Bits of pg_trigger.tgtype.
_ROW, _BEFORE, _INSERT, _DELETE, _UPDATE, _TRUNCATE, _INSTEAD = 1, 2, 4, 8, 16, 32, 64
_EVENT_BITS = {"insert": _INSERT, "delete": _DELETE, "update": _UPDATE, "truncate": _TRUNCATE}


@dataclass(frozen=True, slots=True)
class RelationColumn:
    """A column of a relation, as the catalog has it."""

    number: int
    name: str
    type: int
    modifier: int
    not_null: bool
    """True if a validated constraint marks it not null."""
    inherited_not_null: bool
    """True if the constraint also binds the tables that inherit from this one."""
    generated: bool
    identity: bool
    default: str | None
    """The expression of the default, the generation or the domain's default, in the server's node format."""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class UniqueKey:
    """A unique index that holds at every moment: not partial, not deferrable, on plain columns."""

    name: str
    columns: tuple[int, ...]
    families: tuple[int, ...]
    """The operator family of each column, by whose equality the index keeps its rows unique."""
    collations: tuple[int, ...]
    primary: bool
    nulls_not_distinct: bool


@dataclass(frozen=True, slots=True)
class ConditionalKey:
    """A unique index that is partial, on expressions, or treats nulls as equal."""

    name: str
    columns: tuple[int, ...]
    """The columns in order; 0 for an expression."""
    families: tuple[int, ...]
    expressions: tuple[Node, ...]
    """The expressions of the columns that are 0, in order."""
    predicate: tuple[Node, ...]
    """The conditions that must all hold; empty for an index of all rows."""
    nulls_not_distinct: bool


@dataclass(frozen=True, slots=True)
class ExclusionKey:
    """An exclusion constraint, or a key ``without overlaps``, on plain columns: it holds at every moment."""

    name: str
    columns: tuple[int, ...]
    operators: tuple[int, ...]
    """The operator of each column: no two rows fulfil all of them."""
    without_empty: bool
    """True if no range is empty: a key ``without overlaps`` refuses empty ranges."""


@dataclass(frozen=True, slots=True)
class Index:
    """An index that the planner may use."""

    name: str
    method: str
    """``btree``, ``hash``, ``gin``, ``hnsw``, ``ivfflat`` …"""
    columns: tuple[int, ...]
    """The indexed columns in order; 0 for an expression."""
    families: tuple[int, ...]
    expressions: tuple[Node, ...] = ()
    """The expressions of the columns that are 0, in order."""
    predicate: tuple[Node, ...] = ()
    """The conditions of a partial index, which must all hold; empty for an index of all rows."""
    expression: str = ""
    """The first of its columns as SQL, if it is an expression."""
    condition: str = ""
    """The predicate as SQL."""


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key, seen from the referenced table."""

    name: str
    table: int
    columns: tuple[int, ...]
    referenced: int
    referenced_columns: tuple[int, ...]
    on_delete: str
    """``a`` no action, ``r`` restrict, ``c`` cascade, ``n`` set null, ``d`` set default."""
    on_update: str
    holds: bool = False
    """True if every row has its match at the end of every statement: enforced, validated, not deferrable."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """A user's trigger that is enabled."""

    name: str
    function: int
    kind: int
    source: str = ""
    """The text of a PL/pgSQL function."""
    body: TriggerBody | None = None
    """The proved effects of its function; ``None`` if nothing is proved."""

    def fires_on(self, event: str) -> bool:
        """Return whether it fires on ``insert``, ``update``, ``delete`` or ``truncate``."""
        return bool(self.kind & _EVENT_BITS[event])

    @property
    def rewrites(self) -> bool:
        """Return whether it can change or drop the row: a row trigger before or instead of the event."""
        return bool(self.kind & _ROW and self.kind & (_BEFORE | _INSTEAD))

    @property
    def instead(self) -> bool:
        """Return whether it replaces the event, on a view."""
        return bool(self.kind & _INSTEAD)


@dataclass(frozen=True, slots=True)
class Policy:
    """A row-level security policy: its expressions in the server's node format."""

    name: str
    command: str
    permissive: bool
    for_all: bool
    """True if it applies to every role, not only to some that it names."""
    expressions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """A check constraint."""

    expression: str
    """The expression, in the server's node format."""
    holds: bool
    """True if it is enforced and was validated for the rows that existed before it."""
    inherited: bool


@dataclass(slots=True)
class Relation:
    """A table, view, materialised view, foreign table or sequence."""

    oid: int
    schema: str
    name: str
    kind: str
    """``pg_class.relkind``."""
    temporary: bool = False
    row_security: bool = False
    columns: dict[int, RelationColumn] = field(default_factory=dict)
    unique_keys: list[UniqueKey] = field(default_factory=list)
    conditional_keys: list[ConditionalKey] = field(default_factory=list)
    exclusion_keys: list[ExclusionKey] = field(default_factory=list)
    indexes: list[Index] = field(default_factory=list)
    referenced_by: list[ForeignKey] = field(default_factory=list)
    triggers: list[Trigger] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)
    """The names of rules other than a view's own."""
    policies: list[Policy] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    children: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def is_view(self) -> bool:
        """Return whether it is a plain or a materialised view."""
        return self.kind in "vm"

    @property
    def is_system(self) -> bool:
        """Return whether it is one of the server's own relations."""
        return self.schema in ("pg_catalog", "information_schema")

    def column_names(self, numbers: Iterable[int]) -> tuple[str, ...]:
        """Return the names of these columns, sorted; system columns and whole rows are left out."""
        return tuple(sorted(self.columns[n].name for n in numbers if n in self.columns))

    def numbers_in(self, other: Relation) -> dict[int, int]:
        """Map the numbers of its columns to those of the same names in another table."""
        theirs = {column.name: column.number for column in other.columns.values()}
        return {c.number: theirs[c.name] for c in self.columns.values() if c.name in theirs}

    def triggers_on(self, event: str) -> list[Trigger]:
        """Return the user's triggers that fire on the event."""
        return [trigger for trigger in self.triggers if trigger.fires_on(event)]


def _relations_query(where: str) -> str:
    return f"""
select c.oid, n.nspname, c.relname, c.relkind, c.relpersistence = 't', c.relrowsecurity
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where c.relkind in ('r', 'v', 'm', 'f', 'p', 'S', 't') and {where}"""


# From 18 on a not-null constraint can be unvalidated (rows may break it) or not inherited.
_CONSTRAINTS_18 = """
left join pg_catalog.pg_constraint as k
  on k.conrelid = a.attrelid and k.contype = 'n' and k.conkey = array[a.attnum]
"""


def _columns_query(where: str, version: int) -> str:
    valid, inherited, join = "true", "true", ""
    if version >= 180000:
        valid, inherited, join = (
            "coalesce(k.convalidated, true)",
            "not coalesce(k.connoinherit, false)",
            _CONSTRAINTS_18,
        )
    return f"""
select a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull and {valid}, {inherited},
  a.attgenerated <> '', a.attidentity <> '', coalesce(d.adbin, t.typdefaultbin)::text,
  coalesce(pg_catalog.col_description(a.attrelid, a.attnum), '')
from pg_catalog.pg_attribute as a
inner join pg_catalog.pg_class as c on c.oid = a.attrelid
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
inner join pg_catalog.pg_type as t on t.oid = a.atttypid
left join pg_catalog.pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
{join}
where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'v', 'm', 'f', 'p') and {where}"""


# `indimmediate` leaves deferrable constraints out: inside a transaction they may not hold yet. Temporal keys
# (`indisexclusion`) are unique by overlap, not by equality.
_UNIQUE_KEYS = """
select i.indrelid, c.relname, i.indkey::text, i.indnkeyatts,
  array(
    select o.opcfamily::text from unnest(i.indclass) with ordinality as u(oid, n)
    inner join pg_catalog.pg_opclass as o on o.oid = u.oid order by u.n
  ),
  i.indcollation::text, i.indisprimary, i.indnullsnotdistinct
from pg_catalog.pg_index as i
inner join pg_catalog.pg_class as c on c.oid = i.indexrelid
where i.indisunique and i.indisvalid and i.indislive and i.indimmediate and not i.indisexclusion
  and i.indpred is null and i.indexprs is null
"""

_CONDITIONAL_KEYS = """
select i.indrelid, c.relname, i.indkey::text, i.indnkeyatts,
  array(
    select o.opcfamily::text from unnest(i.indclass) with ordinality as u(oid, n)
    inner join pg_catalog.pg_opclass as o on o.oid = u.oid order by u.n
  ),
  i.indexprs::text, i.indpred::text, i.indnullsnotdistinct
from pg_catalog.pg_index as i
inner join pg_catalog.pg_class as c on c.oid = i.indexrelid
where i.indisunique and i.indisvalid and i.indislive and i.indimmediate and not i.indisexclusion
  and (i.indpred is not null or i.indexprs is not null or i.indnullsnotdistinct)
"""


def _exclusion_keys_query(version: int) -> str:
    # From 18 on a key may be `without overlaps`: it is an exclusion that refuses empty ranges.
    period = "k.conperiod" if version >= 180000 else "false"
    return f"""
select k.conrelid, k.conname, k.conkey::int[], k.conexclop::int8[], {period}
from pg_catalog.pg_constraint as k
inner join pg_catalog.pg_index as i on i.indexrelid = k.conindid
where k.conexclop is not null and i.indisexclusion and i.indisvalid and i.indislive and i.indimmediate
  and not k.condeferrable and i.indpred is null and i.indexprs is null
"""


_INDEXES = """
select i.indrelid, c.relname, m.amname, i.indkey::text, i.indnkeyatts,
  array(
    select o.opcfamily::text from unnest(i.indclass) with ordinality as u(oid, n)
    inner join pg_catalog.pg_opclass as o on o.oid = u.oid order by u.n
  ),
  i.indexprs::text, i.indpred::text,
  case when i.indkey[0] = 0 then pg_catalog.pg_get_indexdef(i.indexrelid, 1, true) else '' end,
  coalesce(pg_catalog.pg_get_expr(i.indpred, i.indrelid, true), '')
from pg_catalog.pg_index as i
inner join pg_catalog.pg_class as c on c.oid = i.indexrelid
inner join pg_catalog.pg_am as m on m.oid = c.relam
where i.indisvalid and i.indislive
"""


def _foreign_keys_query(version: int) -> str:
    # From 18 on a foreign key may be on periods: it is matched by overlap, not by equality.
    period = "k.conperiod" if version >= 180000 else "false"
    # Each partition, on either side, has a constraint and triggers of its own, which can be disabled alone.
    return f"""
select k.conname, k.conrelid, k.conkey::int[], k.confrelid, k.confkey::int[], k.confdeltype, k.confupdtype,
  not k.condeferrable and not {period} and not exists (
    with recursive parts as (
      select k.oid, k.convalidated
      union all
      select c.oid, c.convalidated
      from parts as p
      inner join pg_catalog.pg_constraint as c on c.conparentid = p.oid
    )
    select from parts as p
    left join pg_catalog.pg_trigger as t on t.tgconstraint = p.oid
    where not p.convalidated or t.tgenabled <> 'O'
  )
from pg_catalog.pg_constraint as k
where k.contype = 'f' and k.conparentid = 0
"""


_TRIGGERS = """
select t.tgrelid, t.tgname, t.tgfoid, t.tgtype::int, case l.lanname when 'plpgsql' then p.prosrc else '' end
from pg_catalog.pg_trigger as t
inner join pg_catalog.pg_proc as p on p.oid = t.tgfoid
inner join pg_catalog.pg_language as l on l.oid = p.prolang
where not t.tgisinternal and t.tgenabled <> 'D'
"""

_RULES = """
select r.ev_class, r.rulename from pg_catalog.pg_rewrite as r
where r.rulename <> '_RETURN' and r.ev_enabled <> 'D'
"""

_POLICIES = """
select
  p.polrelid, p.polname, p.polcmd, p.polpermissive, 0 = any(p.polroles), p.polqual::text,
  p.polwithcheck::text
from pg_catalog.pg_policy as p
"""

_CHECKS = """
select k.conrelid, k.conbin::text, k.convalidated, not k.connoinherit
from pg_catalog.pg_constraint as k where k.contype = 'c' and k.conrelid <> 0
"""

_INHERITS = "select i.inhparent, i.inhrelid from pg_catalog.pg_inherits as i"


def _nodes(text: str | None) -> tuple[Node, ...]:
    """Return the nodes of a list: a predicate is a list of conditions that are joined by ``and``."""
    value = read_tree(text) if text else None
    items = value if isinstance(value, list) else [value]
    return tuple(part for item in items if isinstance(item, Node) for part in conjuncts(item))


def load_relations(
    connection: Connection[Any], version: int, *, oid: int | None = None
) -> dict[int, Relation]:
    """Read the relations of all user schemas, or the one with this oid, with everything that belongs to
    them.
    """
    where = (
        "n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')"
        if oid is None
        else f"c.oid = {oid:d}"
    )

    def rows(query: str) -> list[tuple[Any, ...]]:
        return connection.execute(query.encode()).fetchall()

    found = {row[0]: Relation(*row) for row in rows(_relations_query(where))}
    for relation, *column in rows(_columns_query(where, version)):
        if relation in found:
            found[relation].columns[column[0]] = RelationColumn(*column)
    for relation, name, keys, count, families, collations, primary, nulls in rows(_UNIQUE_KEYS):
        if relation in found:
            columns = tuple(map(int, keys.split()))[:count]
            found[relation].unique_keys.append(
                UniqueKey(
                    name,
                    columns,
                    tuple(map(int, families)),
                    tuple(map(int, collations.split())),
                    primary,
                    nulls,
                )
            )
    if oid is not None:
        return found
    for relation, name, keys, count, families, expressions, predicate, nulls in rows(_CONDITIONAL_KEYS):
        if relation in found:
            found[relation].conditional_keys.append(
                ConditionalKey(
                    name,
                    tuple(map(int, keys.split()))[:count],
                    tuple(map(int, families)),
                    _nodes(expressions),
                    _nodes(predicate),
                    nulls,
                )
            )
    for relation, name, columns, operators, period in rows(_exclusion_keys_query(version)):
        if relation in found:
            found[relation].exclusion_keys.append(
                ExclusionKey(name, tuple(columns), tuple(operators), period)
            )
    for relation, name, method, keys, count, families, expressions, predicate, *written in rows(_INDEXES):
        if relation in found:
            columns = tuple(map(int, keys.split()))[:count]
            found[relation].indexes.append(
                Index(
                    name,
                    method,
                    columns,
                    tuple(map(int, families)),
                    _nodes(expressions),
                    _nodes(predicate),
                    *written,
                )
            )
    for name, table, columns, referenced, others, *rest in rows(_foreign_keys_query(version)):
        if referenced in found:
            key = ForeignKey(name, table, tuple(columns), referenced, tuple(others), *rest)
            found[referenced].referenced_by.append(key)
    for relation, *trigger in rows(_TRIGGERS):
        if relation in found:
            found[relation].triggers.append(Trigger(*trigger))
    for relation, name in rows(_RULES):
        if relation in found:
            found[relation].rules.append(name)
    for relation, name, command, permissive, for_all, using, check in rows(_POLICIES):
        if relation in found:
            expressions = tuple(text for text in (using, check) if text)
            found[relation].policies.append(Policy(name, command, permissive, for_all, expressions))
    for relation, *check in rows(_CHECKS):
        if relation in found:
            found[relation].checks.append(Check(*check))
    for parent, child in rows(_INHERITS):
        if parent in found:
            found[parent].children.append(child)
    return found
