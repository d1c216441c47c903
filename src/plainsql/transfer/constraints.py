"""Triggers, forced policies and circular foreign keys, suspended for one transaction and then restored.

Triggers would stamp and log rows that are not new. A forced policy does not even let the owner copy. If
tables refer to each other in a circle, no order of loading satisfies every foreign key. Foreign keys stay in
force: those of a circle are checked when all rows are loaded.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager

from psycopg import sql

from plainsql.transfer.catalog import Connection, Source

__all__ = ["suspend_constraints"]

# 'O' fires in ordinary sessions, 'A' always; triggers of other kinds do not fire here.
_TRIGGERS = """
select t.tgrelid, t.tgname, t.tgenabled = 'A'
from pg_trigger as t
where t.tgrelid = any(%s) and not t.tgisinternal and t.tgenabled in ('O', 'A')
order by t.tgrelid, t.tgname
"""

_FORCED = """
select c.oid
from pg_class as c
where c.oid = any(%s)
  and c.relforcerowsecurity
  and c.relrowsecurity
  and not exists (
    select from pg_roles as r where r.rolname = current_user and (r.rolsuper or r.rolbypassrls)
  )
"""

# A foreign key of a partition belongs to that of the partitioned table, and only the latter can be altered.
_FORWARD = """
with recursive
forward as (
  select c.oid, c.conparentid
  from pg_constraint as c
  inner join unnest(%(tables)s::oid[]) with ordinality as a (oid, place) on a.oid = c.conrelid
  inner join unnest(%(tables)s::oid[]) with ordinality as b (oid, place) on b.oid = c.confrelid
  where c.contype = 'f' and b.place > a.place

  union

  select c.oid, c.conparentid
  from forward as f
  inner join pg_constraint as c on c.oid = f.conparentid
)

select n.nspname, r.relname, c.conname, c.condeferrable, c.condeferred
from forward as f
inner join pg_constraint as c on c.oid = f.oid
inner join pg_class as r on r.oid = c.conrelid
inner join pg_namespace as n on n.oid = r.relnamespace
where c.conparentid = 0
order by n.nspname, r.relname, c.conname
"""


@contextmanager
def suspend_constraints(connection: Connection, tables: Sequence[Source]) -> Generator[None]:
    """Suspend the triggers, policies and foreign keys that prevent loading the tables in this order.

    Use it inside a transaction. When the block ends without an error, every constraint has been checked and
    all is as before. The role must own the tables that have any of these.
    """
    oids = [table.oid for table in tables]
    name = {table.oid: table.identifier for table in tables}
    back: list[sql.Composed] = []

    def alter(table: sql.Identifier, there: sql.Composable, again: sql.Composable) -> None:
        connection.execute(sql.SQL("alter table {} {}").format(table, there))
        back.append(sql.SQL("alter table {} {}").format(table, again))

    for oid, trigger, always in connection.execute(_TRIGGERS, [oids]).fetchall():
        enable = sql.SQL("enable always trigger {}" if always else "enable trigger {}")
        named = sql.Identifier(trigger)
        alter(name[oid], sql.SQL("disable trigger {}").format(named), enable.format(named))
    for (oid,) in connection.execute(_FORCED, [oids]).fetchall():
        alter(name[oid], sql.SQL("no force row level security"), sql.SQL("force row level security"))
    found = connection.execute(_FORWARD, {"tables": oids}).fetchall()
    for schema, table, constraint, deferrable, deferred in found:
        was = "initially deferred" if deferred else "deferrable initially immediate"
        alter(
            sql.Identifier(schema, table),
            sql.SQL("alter constraint {} deferrable initially deferred").format(sql.Identifier(constraint)),
            sql.SQL("alter constraint {} {}").format(
                sql.Identifier(constraint), sql.SQL(was if deferrable else "not deferrable")
            ),
        )
    yield
    # A table with pending checks cannot be altered.
    connection.execute("set constraints all immediate")
    for statement in reversed(back):
        connection.execute(statement)
