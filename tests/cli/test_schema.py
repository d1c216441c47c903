"""``plainsql schema``: the structure of a database in a committed file."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import psycopg
import pytest

from plainsql import server_programs
from plainsql.embedded import EmbeddedServer
from plainsql.errors import EmbeddedServerError
from tests.cli.conftest import GET, NOTES, Command, Write, tree

SETTINGS = '[tool.plainsql]\nschema_from = "database"\n'
OLD = 'echo "pg_dump (PostgreSQL) 13.4"'
QUERY = {"pyproject.toml": SETTINGS, "sql/notes/get.sql": GET}


def execute(url: str, sql: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.encode())


@pytest.fixture
def noted(configured: str) -> str:
    """The configured database with a table and what a pull leaves out."""
    execute(configured, NOTES["migrations/0001_notes.sql"])
    execute(configured, "create publication p for table notes; grant select on notes to public")
    return configured


def test_a_pulled_structure_types_queries_and_stays_the_same(
    write: Write, command: Command, noted: str
) -> None:
    folder = write(QUERY)
    done = command("check")
    assert (done.code, done.err) == (
        2,
        (
            "schema_file in [tool.plainsql]: there is no file schema.sql\n"
            "HINT: write it: plainsql schema pull\n"
        ),
    )
    assert command("schema", "diff").code == 1
    done = command("schema", "pull")
    assert (done.code, done.out, done.err) == (0, "wrote schema.sql\n", "")
    text = (folder / "schema.sql").read_text()
    for left_out in ("restrict", "Dumped", "OWNER TO", "GRANT", "PUBLICATION"):
        assert left_out not in text
    assert command("schema", "pull").out == "schema.sql is up to date\n"
    assert (folder / "schema.sql").read_text() == text
    assert command("schema", "diff").out == "schema.sql is up to date\n"
    assert command("generate").code == 0
    assert command("check").code == 0
    assert sorted(tree(folder)) == [
        "pyproject.toml",
        "queries/notes.py",
        "schema.sql",
        "sql/notes/get.sql",
    ]


def test_a_file_that_is_behind_is_shown_with_exit_code_1(write: Write, command: Command, noted: str) -> None:
    folder = write(QUERY)
    assert command("schema", "pull").code == 0
    before = tree(folder)
    execute(noted, "alter table notes add column pinned boolean")
    done = command("schema", "diff")
    assert (done.code, done.err) == (1, "schema.sql is behind the database: plainsql schema pull\n")
    changed = [line for line in done.out.splitlines() if line[:1] in "+-"]
    assert changed == ["--- schema.sql", "+++ the database", "+    pinned boolean,"]
    assert tree(folder) == before


def test_the_pulled_database_is_the_named_one(
    write: Write, command: Command, noted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(
        QUERY | {"pyproject.toml": SETTINGS.replace('"database"', '"LIVE_URL"\nschema_file = "db/a.sql"')}
    )
    monkeypatch.delenv("DATABASE_URL")
    done = command("schema", "pull")
    assert (done.code, done.err) == (
        2,
        (
            "schema_from in [tool.plainsql]: the variable LIVE_URL is not set\n"
            "HINT: set LIVE_URL to the URL of the database, or pass --database URL\n"
        ),
    )
    monkeypatch.setenv("LIVE_URL", noted.replace("postgresql://", "postgresql+asyncpg://"))
    assert command("schema", "pull").out == "wrote db/a.sql\n"
    assert "CREATE TABLE public.notes" in (folder / "db" / "a.sql").read_text()
    monkeypatch.delenv("LIVE_URL")
    assert command("schema", "diff", "--database", noted).code == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            "[tool.plainsql]\n",
            (
                "schema_from in [tool.plainsql]: expected the name of a database, got none\n"
                'HINT: set schema_from = "database", or to the name of a variable that holds its URL\n'
            ),
        ),
        (
            SETTINGS,
            (
                'schema_from = "database" in [tool.plainsql]: no database is configured\n'
                "HINT: set DATABASE_URL, or pass --database URL\n"
            ),
        ),
    ],
)
def test_a_database_that_is_not_named_is_an_error(
    write: Write, command: Command, settings: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write({"pyproject.toml": settings})
    monkeypatch.delenv("DATABASE_URL")
    done = command("schema", "pull")
    assert (done.code, done.out, done.err) == (2, "", message)


def test_pg_dump_has_the_password_from_its_environment_alone(
    write: Write, command: Command, noted: str, monkeypatch: pytest.MonkeyPatch, server: EmbeddedServer
) -> None:
    write(QUERY)
    folder = fake(
        f'"{server.bin("pg_dump")}" --version | grep . && [ "$1" = --version ] && exit\n'
        'echo "$@"\necho "$PGPASSWORD"'
    )
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("DATABASE_URL", noted.replace("postgres@", "postgres:a%20secret@"))
    done = command("schema", "diff")
    (arguments,) = [line for line in done.out.splitlines() if "--schema-only" in line]
    assert "secret" not in arguments
    assert "dbname='plainsql_" in arguments
    assert "+a secret" in done.out


def test_an_older_pg_dump_is_not_used(
    write: Write, command: Command, noted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(QUERY)

    def no_server() -> None:
        raise EmbeddedServerError("not installed")

    monkeypatch.setattr(server_programs, "_FOLDERS", ())
    monkeypatch.setattr(server_programs, "find_binaries", no_server)
    monkeypatch.setenv("PATH", f"{fake(OLD)}:{os.environ['PATH']}")
    done = command("schema", "pull")
    assert done.code == 2
    assert "or newer: expected one for the server, got 13\nHINT: install the client programs of" in done.err


def test_what_pg_dump_says_is_shown(
    write: Write, command: Command, noted: str, monkeypatch: pytest.MonkeyPatch, server: EmbeddedServer
) -> None:
    folder = write(QUERY)
    execute(noted, "create role limited login; revoke all on notes from public")
    try:
        monkeypatch.setenv("DATABASE_URL", noted.replace("postgres@", "limited@"))
        done = command("schema", "pull")
    finally:
        execute(noted, "drop role limited")
    assert done.code == 2
    assert done.err.startswith("pg_dump ended with exit code 1\nDETAIL: pg_dump: error: ")
    assert "permission denied for table notes" in done.err
    assert not (folder / "schema.sql").exists()


def fake(script: str) -> Path:
    """Return a new folder with a pg_dump that is a shell script."""
    folder = Path("fake").resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    file = folder / "pg_dump"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return folder
