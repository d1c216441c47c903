"""The constraints and unique indexes of tables and domains, under the names that the server reports."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Literal

from psycopg import Connection

__all__ = ["Constraint", "ConstraintKind", "Constraints", "load_constraints"]

ConstraintKind = Literal["unique", "foreign key", "check", "not null", "exclusion"]


@dataclass(frozen=True, slots=True)
class Constraint:
    """A constraint, or a unique index without one."""

    oid: int
    parent: int
    """The oid of the constraint or the index that this one is a partition's part of; 0 for none."""
    kind: ConstraintKind
    name: str
    table: int
    """0 for a constraint of a domain."""
    domain: int
    columns: frozenset[int]
    """The columns that it reads."""
    referenced: int
    referenced_columns: frozenset[int]
    on_delete: str
    """``a`` no action, ``r`` restrict, ``c`` cascade, ``n`` set null, ``d`` set default."""
    on_update: str
    deferrable: bool
    deferred: bool
    """True if it is checked at the commit."""


@dataclass(frozen=True, slots=True)
class Constraints:
    """The constraints of a database."""

    of_table: dict[int, list[Constraint]]
    """By table: its own."""
    referring: dict[int, list[Constraint]]
    """By table: the foreign keys that refer to it."""
    of_domain: dict[int, list[Constraint]]


# A unique constraint is taken from its index, whose columns are known also if it is on expressions. The
# server reports the name of the index, which is that of the constraint.
_QUERY = """
select k.oid::bigint, k.conparentid::bigint,
  case k.contype when 'f' then 'foreign key' when 'c' then 'check' else 'exclusion' end,
  k.conname, k.conrelid::bigint, k.contypid::bigint, coalesce(k.conkey, '{}')::int[], k.confrelid::bigint,
  coalesce(k.confkey, '{}')::int[], k.confdeltype::text, k.confupdtype::text, k.condeferrable, k.condeferred
from pg_catalog.pg_constraint as k
inner join pg_catalog.pg_namespace as n on n.oid = k.connamespace
left join pg_catalog.pg_index as i on i.indexrelid = k.conindid and k.contype <> 'f'
where (k.contype in ('f', 'c') or (k.contype in ('x', 'p', 'u') and i.indisexclusion))
  and n.nspname not in ('pg_catalog', 'information_schema')
union all
select i.indexrelid::bigint, coalesce(h.inhparent, 0)::bigint, 'unique', c.relname, i.indrelid::bigint, 0,
  array(
    select u.n::int from unnest(i.indkey::int[]) with ordinality as u (n, place)
    where u.n <> 0 and u.place <= i.indnkeyatts
    union
    select d.refobjsubid from pg_catalog.pg_depend as d
    where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = i.indexrelid
      and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = i.indrelid and d.refobjsubid > 0
      and (i.indexprs is not null or i.indpred is not null)
  ), 0, '{}', '', '', not i.indimmediate, coalesce(k.condeferred, false)
from pg_catalog.pg_index as i
inner join pg_catalog.pg_class as c on c.oid = i.indexrelid
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
left join pg_catalog.pg_inherits as h on h.inhrelid = i.indexrelid
left join pg_catalog.pg_constraint as k on k.conindid = i.indexrelid and k.contype in ('p', 'u')
where i.indisunique and i.indislive and not i.indisexclusion
  and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
order by 4, 1
"""


def load_constraints(connection: Connection[Any]) -> Constraints:
    """Read the constraints of all user schemas, in the order of their names."""
    found = Constraints(defaultdict(list), defaultdict(list), defaultdict(list))
    for oid, parent, kind, name, table, domain, columns, referenced, others, *rest in connection.execute(
        _QUERY.encode()
    ):
        one = Constraint(
            oid, parent, kind, name, table, domain, frozenset(columns), referenced, frozenset(others), *rest
        )
        (found.of_table[table] if table else found.of_domain[domain]).append(one)
        if referenced:
            found.referring[referenced].append(one)
    return found
