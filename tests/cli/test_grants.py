"""``plainsql grants``: the least grants as SQL, and what a role has in comparison."""

from __future__ import annotations

import json

import psycopg

from plainsql import migrate
from tests.cli.conftest import GET, NOTES, Command, Write

LEAST = 'grant select, insert (text, stars) on public.notes to "user";\n'

LOG = """
create table log (line text);
create function note_line() returns trigger language plpgsql
as 'begin insert into log values (new.text); return new; end';
create trigger noted after insert on notes for each row execute function note_line();
"""


def test_the_least_grants_are_printed_and_compared(write: Write, command: Command, configured: str) -> None:
    folder = write({**NOTES, "sql/notes/get.sql": GET})
    printed = command("grants", "--role", "user")
    assert (printed.code, printed.out, printed.err) == (0, LEAST, "")
    why = command("grants", "--role", "user", "--queries").out
    assert "-- select: notes.add, notes.get\n-- insert (text, stars): notes.add\n" in why
    (first, second) = json.loads(command("grants", "--role", "user", "--json").out)["grants"]
    assert (first["privilege"], first["queries"]) == ("select", ["notes.add", "notes.get"])
    assert (second["privilege"], second["columns"]) == ("insert", ["text", "stars"])
    refused = command("grants", "--role", "")
    assert (refused.code, refused.err.splitlines()[0]) == (
        2,
        "--role: expected the name of a role, got nothing",
    )

    migrate.apply(configured, folder / "migrations")
    role = "plainsql_test_grants"
    with psycopg.connect(configured, autocommit=True) as connection:
        connection.execute(f"create role {role}".encode())
        try:
            connection.execute(f"grant select (id, text), delete on notes to {role}".encode())
            compare = ("grants", "--role", role, "--database", configured)
            found = command(*compare)
            assert found.code == 1
            assert found.out == (
                f"-- missing: notes.add, notes.get\ngrant select on public.notes to {role};\n"
                f"-- missing: notes.add\ngrant insert (text, stars) on public.notes to {role};\n"
                f"-- wider than the queries need\nrevoke delete on public.notes from {role};\n"
            )
            assert found.err == f"{role}: 2 missing, 1 wider than the queries need, 0 not judged\n"
            connection.execute(found.out.encode())
            assert command(*compare).code == 0
            (folder / "migrations" / "0002_log.sql").write_text(LOG)
            migrate.apply(configured, folder / "migrations")
            found = command(*compare)
            assert found.code == 0
            assert found.out == (
                "-- not known: trigger function public.note_line(), with the rights of the role\n"
                f"-- perhaps: grant select, insert on public.log to {role};\n"
            )
            assert found.err == f"{role}: 0 missing, 0 wider than the queries need, 1 not judged\n"
            connection.execute(f"grant pg_write_all_data to {role}".encode())
            found = command(*compare)
            assert found.code == 1
            assert found.out.startswith(
                f"-- wider than the queries need: {role} is a member of pg_write_all_data\n"
                f"revoke pg_write_all_data from {role};\n-- not known: "
            )
            assert found.err == f"{role}: 0 missing, 1 wider than the queries need, 1 not judged\n"
            (folder / "sql" / "notes" / "get.sql").write_text(GET.replace("from notes", "from nothing"))
            broken = command("grants", "--role", "user")
            assert broken.code == 2
            assert broken.err.startswith('notes.get is refused: relation "nothing" does not exist')
        finally:
            connection.execute(f"drop owned by {role}; drop role {role}".encode())
