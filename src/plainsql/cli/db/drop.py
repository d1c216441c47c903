"""``plainsql db drop``: remove layers, in one transaction."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any, Final

import psycopg
from cyclopts import Parameter
from psycopg import sql

from plainsql.cli.db.common import COMMON, FLAG, Common, connected, print_json
from plainsql.cli.db.layer_selection import Layer, present_layers
from plainsql.cli.db.stats import TableStats, table_stats
from plainsql.cli.exit_codes import COULD_NOT_RUN, FINDINGS, FINE
from plainsql.errors import PlainsqlError
from plainsql.migrate import lock
from plainsql.migrate.ledger import Ledger, find_schema

__all__ = ["drop"]

_LOCK_TIMEOUT: Final = "10s"

# The objects outside of the schemas that would be dropped with them: their dependents, and the dependents of
# those. Parts of other objects in the result are left out: TOAST tables, members of operator families,
# default privileges, entries of publications.
_OUTSIDE: Final = """
with recursive
falling as (
  select d.classid, d.objid
  from pg_depend as d
  inner join pg_namespace as n on n.oid = d.refobjid
  where d.refclassid = 'pg_namespace'::regclass and n.nspname = any(%(schemas)s)

  union

  select d.classid, d.objid
  from falling as f
  inner join pg_depend as d on d.refclassid = f.classid and d.refobjid = f.objid
  where d.deptype <> 'x'
)

-- A view is dropped with its rule, so the view is named and not the rule.
select distinct
  case
    when f.classid = 'pg_rewrite'::regclass then (
      select pg_describe_object('pg_class'::regclass, r.ev_class, 0)
      from pg_rewrite as r
      where r.oid = f.objid
    )
    else pg_describe_object(f.classid, f.objid, 0)
  end
from falling as f
cross join lateral pg_identify_object(f.classid, f.objid, 0) as o
cross join lateral pg_identify_object_as_address(f.classid, f.objid, 0) as a
where f.classid not in (
    'pg_amop'::regclass, 'pg_amproc'::regclass, 'pg_default_acl'::regclass,
    'pg_publication_rel'::regclass, 'pg_publication_namespace'::regclass
  )
  and coalesce(o.schema, (a.object_names)[1], '') <> 'pg_toast'
  and coalesce(o.schema, (a.object_names)[1], '') <> all(%(quoted)s)
order by 1
"""


def drop(
    *layers: str,
    force: Annotated[bool, FLAG] = False,
    all_: Annotated[bool, Parameter(name="--all", negative=(), show_default=False)] = False,
    common: Common = COMMON,
) -> int:
    """Remove layers: their schemas with all rows, and the records of their migrations.

    Without --force it only shows the data that would be lost. All is one transaction. It refuses if objects
    outside of the layers depend on objects in them. Extensions stay.

    Exits with 0 if they are removed, 1 if nothing was, 2 if it could not run.

    Parameters
    ----------
    layers
        The layers to remove.
    force
        Remove them.
    all_
        Remove all layers that the database has.
    """
    if bool(layers) == all_:
        print("expected the layers to remove, or --all", file=sys.stderr)
        return COULD_NOT_RUN
    with connected(common.database) as session:
        connection = session.connection
        present = present_layers(connection, layers)
        flat = [layer for layer in present if layer.is_flat]
        if flat and layers:
            print(
                "public is not a layer's own schema: it may hold other tables\n"
                "HINT: plainsql migrate rollback --all",
                file=sys.stderr,
            )
            return COULD_NOT_RUN
        present = [layer for layer in present if not layer.is_flat]
        schemas = [layer.name for layer in present]
        tables = table_stats(connection, schemas)
        marks = _marks(connection, present)
        outside = _outside(connection, schemas)
        if force and not outside:
            outside = _drop(connection, present, schemas)
    done = force and not outside
    if common.json:
        print_json(
            {
                "database": session.address,
                "dropped": done,
                "layers": schemas,
                "tables": {f"{table.layer}.{table.table}": table.rows for table in tables},
                "migrations": marks,
                "needed_by": outside,
            }
        )
    else:
        _show(session.address, present, tables, marks, done=done)
    if outside:
        shown = "".join(f"\n  {name}" for name in outside[:20])
        more = f"\n  and {len(outside) - 20} more" if len(outside) > 20 else ""
        print(
            f"nothing was removed: objects outside of {', '.join(schemas)} need it{shown}{more}\n"
            f"HINT: drop them first",
            file=sys.stderr,
        )
    elif not force:
        print("nothing was removed\nHINT: add --force to remove it", file=sys.stderr)
    return FINE if done else FINDINGS


def _outside(connection: psycopg.Connection[Any], schemas: Sequence[str]) -> list[str]:
    quoted = connection.execute("select array_agg(quote_ident(s)) from unnest(%s::text[]) as s", [schemas])
    parameters = {"schemas": schemas, "quoted": [*schemas, *(quoted.fetchall()[0][0] or ())]}
    return [row[0] for row in connection.execute(_OUTSIDE, parameters)]


def _marks(connection: psycopg.Connection[Any], layers: Sequence[Layer]) -> dict[str, int]:
    where = find_schema(connection)
    return {layer.name: len(Ledger(connection, where, layer.ledger).applied()) for layer in layers}


def _drop(connection: psycopg.Connection[Any], layers: Sequence[Layer], schemas: Sequence[str]) -> list[str]:
    """Remove the schemas and return an empty list; or return the objects that depend on them."""

    def waiting(holder: str) -> None:
        print(f"waiting for migrations: {holder}", file=sys.stderr)

    outside: list[str] = []
    with lock.held(connection, wait=60.0, on_waiting=waiting), connection.transaction():
        connection.execute("select set_config('lock_timeout', %s, true)", [_LOCK_TIMEOUT])
        where = find_schema(connection)
        for layer in layers:
            ledger = Ledger(connection, where, layer.ledger)
            # records() also has the migrations whose run was cut off.
            for id_ in {**ledger.applied(), **ledger.records()}:
                ledger.unmark(id_)
        _lock_tables(connection, schemas)
        outside = _outside(connection, schemas)
        if outside:  # created since the first check
            raise psycopg.Rollback
        try:
            names = sql.SQL(", ").join(map(sql.Identifier, schemas))
            connection.execute(sql.SQL("drop schema {} cascade").format(names))
        except psycopg.errors.LockNotAvailable:
            raise _tables_in_use() from None
    return outside


def _lock_tables(connection: psycopg.Connection[Any], schemas: Sequence[str]) -> None:
    """Lock the tables, so that no object that depends on them is created during the check."""
    found = connection.execute(
        "select schemaname, tablename from pg_tables where schemaname = any(%s) order by 1, 2", [schemas]
    )
    names = [sql.Identifier(*row) for row in found]
    if names:
        try:
            connection.execute(sql.SQL("lock table {}").format(sql.SQL(", ").join(names)))
        except psycopg.errors.LockNotAvailable:
            raise _tables_in_use() from None


def _tables_in_use() -> PlainsqlError:
    return PlainsqlError("other sessions use the tables", hint="try again when they have ended")


def _show(
    address: str,
    layers: Sequence[Layer],
    tables: Sequence[TableStats],
    marks: dict[str, int],
    *,
    done: bool,
) -> None:
    print(f"{'removed from' if done else 'would be lost in'} {address}")
    for layer in layers:
        those = [table for table in tables if table.layer == layer.name]
        print(f"  schema {layer.name}: {len(those)} tables, {marks[layer.name]} migrations")
        for table in those:
            about = "" if table.rows_are_exact else "about "
            print(f"    {table.table}: {about}{table.rows:,} rows")
