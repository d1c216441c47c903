"""A project whose schema plainsql does not own: its queries are typed, its database is left alone."""

from __future__ import annotations

import json
import sys

import psycopg
import pytest

from tests.cli.conftest import GET, NOTES, Command, Write, tree

MIGRATION = NOTES["migrations/0001_notes.sql"]
QUERIES = {"sql/notes/add.sql": NOTES["sql/notes/add.sql"], "sql/notes/get.sql": GET}
DUMP = {**QUERIES, "pyproject.toml": '[tool.plainsql]\nschema = "schema.sql"\n', "schema.sql": MIGRATION}


def test_queries_are_typed_by_a_dump(write: Write, command: Command, process: Command) -> None:
    write({**DUMP, "schema.sql": f"\\restrict x\n{MIGRATION}\nalter table notes owner to app;\n"})
    done = process("generate")
    assert (done.code, done.err) == (0, "schema.sql: skipped: 1 psql command, 1 owner\n")
    done = command("check")
    assert (done.code, done.err) == (0, "")
    write({"schema.sql": MIGRATION.replace("stars integer", "stars text")})
    assert command("check").code == 1
    write({"schema.sql": f"{MIGRATION}\nno;\n"})
    done = command("check")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith('schema.sql:7:1: syntax error at or near "no" (SQLSTATE 42601)\n')


def test_the_dump_as_an_argument_checks_all_queries(write: Write, command: Command) -> None:
    write(DUMP)
    assert command("check", "--sql-only", "schema.sql").out == "clean: 2 queries, 0.0 s\n"


def test_queries_are_typed_by_what_a_command_makes(write: Write, command: Command) -> None:
    settings = f'[tool.plainsql]\nschema_command = "{sys.executable} make.py"\nschema_watch = ["make.py"]\n'
    make = (
        "import os, psycopg\nprint('it runs')\n"
        "with psycopg.connect(os.environ['DATABASE_URL']) as c:\n    c.execute('''{}''')\n"
    )
    folder = write({**QUERIES, "pyproject.toml": settings, "make.py": make.format(MIGRATION)})
    assert command("generate").code == 0
    (folder / "make.py").rename(folder / "moved.py")
    (folder / "moved.py").rename(folder / "make.py")
    assert command("check").code == 0
    write({"make.py": make.format(f"{MIGRATION}; no")})
    done = command("check")
    assert done.code == 2
    assert "schema_command ended with exit code 1: " in done.err
    assert 'syntax error at or near "no"' in done.err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            'schema = "a.sql"\nmigrations = "db"',
            (
                "migrations and schema in [tool.plainsql]: expected one of them, got 2\n"
                "HINT: keep the one that makes the schema\n"
            ),
        ),
        (
            'schema = "a.sql"\nschema_command = "make"',
            (
                "schema and schema_command in [tool.plainsql]: expected one of them, got 2\n"
                "HINT: keep the one that makes the schema\n"
            ),
        ),
        (
            'schema = "a.sql"\nschema_watch = ["db"]',
            (
                "schema_watch in [tool.plainsql]: expected schema_command with it, got none\n"
                "HINT: remove schema_watch, or set schema_command\n"
            ),
        ),
        (
            'schema_watch = "db"',
            "schema_watch in [tool.plainsql]: expected a list of strings, got a string\n",
        ),
        (
            'schema = "a.sql"',
            (
                "schema in [tool.plainsql]: there is no file or folder a.sql\n"
                "HINT: name the file or the folder that makes the schema, relative to pyproject.toml\n"
            ),
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    write: Write, command: Command, settings: str, message: str
) -> None:
    folder = write({**QUERIES, "pyproject.toml": f"[tool.plainsql]\n{settings}\n"})
    done = command("check")
    assert (done.code, done.out) == (2, "")
    assert done.err.removeprefix(f"{folder}/pyproject.toml: ") == message


def test_a_function_with_its_owners_rights_is_found_in_a_dump(write: Write, command: Command) -> None:
    function = (
        "create function f() returns bigint language sql security definer as 'select count(*) from notes';"
    )
    write({**DUMP, "schema.sql": f"{MIGRATION}{function}", "migrations/V1__x.sql": "no"})
    done = command("check", "--sql-only")
    assert done.code == 1
    assert done.out.startswith("schema.sql: function public.f() is security definer")


FOREIGN = 'the schema is not plainsql\'s: schema = "schema.sql" in [tool.plainsql] makes it; '


def objects(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "select c.relname from pg_class as c where c.relnamespace = 2200"
        ).fetchall()
    return [name for (name,) in found]


@pytest.mark.parametrize(
    "words",
    [
        ("migrate",),
        ("migrate", "--dry-run"),
        ("migrate", "--layer", "realty"),
        ("migrate", "status"),
        ("migrate", "rollback", "--yes"),
        ("migrate", "mark", "0001", "--yes"),
        ("migrate", "new", "notes"),
    ],
)
def test_migrate_creates_nothing_in_a_foreign_database(
    write: Write, command: Command, configured: str, words: tuple[str, ...]
) -> None:
    folder = write({**DUMP, **{name: NOTES[name] for name in NOTES if name.startswith("migrations")}})
    before = tree(folder)
    done = command(*words)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"{FOREIGN}nothing was run\nHINT: use that; to move to plainsql's migrations, set migrations in its "
        "place, then plainsql migrate mark --to NNNN\n"
    )
    assert objects(configured) == []
    assert tree(folder) == before


def test_a_folder_that_is_named_is_still_migrated(write: Write, command: Command, configured: str) -> None:
    write({**DUMP, "own/0001_a.sql": "create table a (id int);"})
    assert command("migrate", "--folder", "own").code == 0
    assert "a" in objects(configured)


def test_db_test_leaves_migrations_out(write: Write, command: Command, configured: str) -> None:
    write({**DUMP, "migrations/V1__x.sql": "create table a (id int);"})
    with psycopg.connect(configured) as connection:
        connection.execute("create schema realty")
    done = command("db", "test", "--json")
    checks = {check["name"]: check for check in json.loads(done.out)["checks"]}
    assert "migrations" not in checks
    assert "migrations of realty" not in checks
    assert (checks["schema"]["state"], checks["schema"]["text"]) == (
        "skipped",
        'not plainsql\'s: schema = "schema.sql" makes it',
    )
    assert objects(configured) == []


def test_triggers_are_printed_and_not_written_as_a_migration(write: Write, command: Command) -> None:
    cached = GET.replace("-- returns", "-- cache: 5m\n-- returns")
    folder = write({**DUMP, "sql/notes/get.sql": cached})
    before = tree(folder)
    done = command("cache", "triggers", "--write")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"{FOREIGN}nothing was written\nHINT: leave out --write, and put what is printed into a migration of "
        "that tool\n"
    )
    assert tree(folder) == before
    done = command("cache", "triggers")
    assert done.code == 0
    assert "create trigger" in done.out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "versions/0001_a.py",
            (
                "migrations has no SQL files, only Python\n"
                'HINT: run them: schema_command = "alembic upgrade head", or "python manage.py migrate"\n'
            ),
        ),
        (
            "V1__a.sql",
            (
                "the migrations in migrations are Flyway's, not plainsql's\n"
                'HINT: set schema = "migrations" in [tool.plainsql] in place of migrations\n'
            ),
        ),
    ],
)
def test_another_tools_folder_is_not_taken_for_migrations(
    write: Write, command: Command, name: str, message: str
) -> None:
    write({**QUERIES, "pyproject.toml": "[tool.plainsql]\n", f"migrations/{name}": MIGRATION})
    done = command("check")
    assert (done.code, done.out, done.err) == (2, "", message)
