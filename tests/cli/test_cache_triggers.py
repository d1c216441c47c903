"""``plainsql cache triggers`` on migrations that earlier versions wrote."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from plainsql.cache.outbox_triggers import migration
from tests.cli.conftest import NOTES, Command, Write

CACHED = {
    "sql/notes/get.sql": (
        "-- One note.\n-- returns: optional Note\n-- cache: 5m\n"
        "select n.id, n.text, n.stars\nfrom notes as n\nwhere n.id = :id\n"
    )
}
FUNCTION = "plainsql.note_public_notes()"
FOUND = f"""
select p.prosrc, p.proconfig, p.prosecdef, has_function_privilege('public', p.oid, 'execute')
from pg_proc as p where p.oid = '{FUNCTION}'::regprocedure
"""
NEW = migration({"public.notes": ["id"]})
CHANGES = {
    "its search path": f"alter function {FUNCTION} set search_path = pg_catalog;\n",
    "no search path": f"alter function {FUNCTION} reset search_path;\n",
    "pg_temp first": f"alter function {FUNCTION} set search_path = pg_temp, pg_catalog;\n",
    "who may execute it": f"grant execute on function {FUNCTION} to public;\n",
    "whose rights it has": f"alter function {FUNCTION} security invoker;\n",
}
"""Functions with the present body and other properties."""


@pytest.mark.parametrize("change", CHANGES)
def test_more_than_the_body_of_a_function_is_looked_at(
    write: Write, command: Command, configured: str, change: str
) -> None:
    write(NOTES | CACHED)
    write(
        {
            "migrations/0002_note.sql": f"{NEW.apply}\n{CHANGES[change]}",
            "migrations/0002_note.rollback.sql": NEW.rollback,
        }
    )
    done = command("cache", "triggers", "--write")
    assert done.code == 0, done
    up = Path(done.out.split()[0])
    assert "create trigger" not in up.read_text()
    assert command("migrate").code == 0
    with psycopg.connect(configured, autocommit=True) as connection:
        (body, path, definer, public) = connection.execute(FOUND.encode()).fetchall()[0]
        assert (path, definer, public) == (["search_path=pg_catalog, pg_temp"], True, False)
        assert command("cache", "triggers").err == "nothing to write: the migrations have all triggers\n"
        # The rollback is to a function that notes what it noted, and opens nothing.
        assert command("migrate", "rollback", "--steps", "1").code == 0
        before, path, _, public = connection.execute(FOUND.encode()).fetchall()[0]
        assert (before, path, public) == (body, ["search_path=pg_catalog, pg_temp"], False)
        connection.execute("insert into notes (text, stars) values ('x', 3)")
        noted = connection.execute("select known from plainsql.cache_outbox").fetchall()
        assert noted == [({"id": [1]},)]
