"""No function of any layer, nor of the outbox, runs an object that its caller has created."""

from __future__ import annotations

from pathlib import Path

import psycopg

from plainsql import migrate
from plainsql.analysis.findings.definer_findings import definer_findings
from plainsql.cache.outbox_triggers import migration

MIGRATIONS = Path(__file__).parents[2] / "migrations"
FUNCTIONS = """
select n.nspname, p.oid::regprocedure::text, p.prosecdef,
  (select s from unnest(p.proconfig) as s where s like 'search_path=%'),
  p.prorettype = 'trigger'::regtype
from pg_proc as p
inner join pg_namespace as n on n.oid = p.pronamespace
inner join pg_language as l on l.oid = p.prolang
where n.nspname in ('assistant', 'marketplace', 'plainsql', 'realty', 'whatsapp') and l.lanname = 'plpgsql'
"""


def test_every_function_with_a_text_body_has_only_pg_catalog_in_its_path(
    fresh_database_url: str,
) -> None:
    migrate.apply(fresh_database_url, MIGRATIONS)
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        tables = {"assistant.notes": ["id"], "realty.leads": [], "whatsapp.messages": ["id"]}
        connection.execute(migration(tables).apply.encode())
        found = connection.execute(FUNCTIONS.encode()).fetchall()
        assert definer_findings(connection) == []
        # The check finds a function that is made as it was before.
        connection.execute("alter function plainsql.note_realty_leads() set search_path = pg_catalog")
        connection.execute("alter function whatsapp.set_updated_at() set search_path = ''")
        names = [finding.function for finding in definer_findings(connection)]
        assert names == ["note_realty_leads", "set_updated_at"]
    assert {schema for schema, *_ in found} == {"assistant", "marketplace", "plainsql", "realty", "whatsapp"}
    assert {path for _, _, _, path, _ in found} == {"search_path=pg_catalog, pg_temp"}
