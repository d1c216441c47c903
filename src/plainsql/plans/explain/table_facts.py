"""The facts of tables and of the server by which a plan is judged: sizes, indexes, memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from psycopg import Connection, RawCursor

from plainsql.plans.explain.plan_tree import PlanNode

__all__ = ["IndexOrder", "PlanFacts", "read_facts"]

_TABLES = """
select n.nspname || '.' || c.relname, greatest(c.reltuples, 0)::float8
from unnest($1::text[], $2::text[]) as w (schema, name)
inner join pg_catalog.pg_namespace as n on w.schema = n.nspname
inner join pg_catalog.pg_class as c on n.oid = c.relnamespace and w.name = c.relname
"""
# Complete B-trees that every query can use, with the names of their key columns.
_INDEXES = """
select
  n.nspname || '.' || c.relname,
  x.relname::text,
  array(
    select coalesce(a.attname::text, '')
    from generate_series(0, i.indnkeyatts - 1) as k (n)
    left join pg_catalog.pg_attribute as a on i.indrelid = a.attrelid and i.indkey[k.n] = a.attnum
    order by k.n
  )
from unnest($1::text[], $2::text[]) as w (schema, name)
inner join pg_catalog.pg_namespace as n on w.schema = n.nspname
inner join pg_catalog.pg_class as c on n.oid = c.relnamespace and w.name = c.relname
inner join pg_catalog.pg_index as i on c.oid = i.indrelid and i.indisvalid and i.indpred is null
inner join pg_catalog.pg_class as x on i.indexrelid = x.oid
inner join pg_catalog.pg_am as m on x.relam = m.oid and m.amname = 'btree'
order by 1, 2
"""
_MEMORY = """
select
  pg_catalog.pg_size_bytes(current_setting('work_mem')),
  current_setting('hash_mem_multiplier')::float8
"""


@dataclass(frozen=True, slots=True)
class IndexOrder:
    """An index whose order a sort could use."""

    name: str
    columns: tuple[str, ...]
    """The names of its key columns; empty for an expression."""


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """The facts about all tables of some plans."""

    rows: dict[str, float] = field(default_factory=dict)
    """The rows of each table by ``schema.table``, as the planner counts them."""
    indexes: dict[str, list[IndexOrder]] = field(default_factory=dict)
    work_mem: int = 4 << 20
    """The bytes that a sort may use before it goes to disk."""
    hash_mem: float = 8 << 20
    """The bytes that a hash may use."""


def read_facts(connection: Connection[Any], plans: Iterable[PlanNode]) -> PlanFacts:
    """Read the facts of the tables that plans read."""
    tables = sorted({(node.schema, node.relation) for plan in plans for node in plan.walk() if node.relation})
    arguments = [[schema for schema, _ in tables], [name for _, name in tables]]
    cursor = RawCursor(connection)
    rows = dict(cursor.execute(_TABLES, arguments).fetchall())
    indexes: dict[str, list[IndexOrder]] = {}
    for table, name, columns in cursor.execute(_INDEXES, arguments).fetchall():
        indexes.setdefault(table, []).append(IndexOrder(name, tuple(columns)))
    memory = cursor.execute(_MEMORY).fetchone()
    assert memory is not None
    return PlanFacts(rows, indexes, memory[0], memory[0] * memory[1])
