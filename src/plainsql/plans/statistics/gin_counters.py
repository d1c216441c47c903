"""The counters of GIN indexes: their pending pages with pgstattuple, all of them with pageinspect."""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg import sql

from plainsql.plans.statistics.production_statistics import GinCounters

__all__ = ["read_gin"]

# pageinspect's functions refuse every role but a superuser, whatever it was granted.
_FUNCTIONS: Final = """
select e.extname::text, n.nspname::text
from pg_catalog.pg_extension as e
inner join pg_catalog.pg_namespace as n on n.oid = e.extnamespace
inner join pg_catalog.pg_proc as p on p.pronamespace = n.oid
where (
    e.extname = 'pgstattuple' and p.proname = 'pgstatginindex'
    and pg_catalog.has_function_privilege(p.oid, 'execute'))
  or (
    e.extname = 'pageinspect' and p.proname = 'gin_metapage_info'
    and pg_catalog.current_setting('is_superuser') = 'on')
order by 1
"""


def read_gin(connection: psycopg.Connection[Any], oids: list[int]) -> dict[int, GinCounters]:
    """Return the counters of GIN indexes by their oids: none if the role may call no function for them."""
    if not oids:
        return {}
    schemas = dict(connection.execute(_FUNCTIONS).fetchall())
    if "pageinspect" in schemas:
        schema = schemas["pageinspect"]
        query = sql.SQL(
            "select o.oid, m.n_pending_pages, m.n_pending_tuples, m.n_total_pages, m.n_entry_pages,"
            " m.n_data_pages, m.n_entries from pg_catalog.unnest(%s::oid[]) as o (oid),"
            " {}({}(o.oid::regclass::text, 0)) as m"
        ).format(sql.Identifier(schema, "gin_metapage_info"), sql.Identifier(schema, "get_raw_page"))
    elif "pgstattuple" in schemas:
        query = sql.SQL(
            "select o.oid, m.pending_pages, m.pending_tuples"
            " from pg_catalog.unnest(%s::oid[]) as o (oid), {}(o.oid::regclass) as m"
        ).format(sql.Identifier(schemas["pgstattuple"], "pgstatginindex"))
    else:
        return {}
    rows = connection.execute(query, [oids]).fetchall()
    names = ("pending_pages", "pending_rows", "total_pages", "entry_pages", "data_pages", "entries")
    return {oid: GinCounters(**dict(zip(names, counters, strict=False))) for oid, *counters in rows}
