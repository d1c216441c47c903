"""The server of the scratch databases: the embedded one, or one named for it; never the configured one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from plainsql.analysis import describer
from plainsql.analysis.checkout_identity import checkout_identity
from plainsql.analysis.scratch_database import scratch_database
from plainsql.analysis.scratch_records import read_databases
from plainsql.cli.app import main
from plainsql.schema.migrations import MigrationsFolder
from plainsql.settings import Project, scratch_source, scratch_url
from tests.check.conftest import NOTES, Write

COMMANDS = [["check", "--sql-only"], ["generate"], ["describe", "some"], ["cache", "triggers"]]


@pytest.fixture
def role() -> str:
    return f"made_{uuid4().hex}"


@pytest.fixture
def project(tmp_path: Path, role: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DATABASE_URL", "DB_HOST", "DB_NAME", "PLAINSQL_SCRATCH_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "pyproject.toml": "[tool.plainsql]\n",
        "migrations/0001_t.sql": f"create table t (id int primary key);\ncreate role {role};",
        "sql/some.sql": "-- returns: value\n-- cache: 1m\nselect count(*) as n from t\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def made_on(url: str, project: Path, role: str) -> tuple[int, int]:
    """Return the number of databases and of roles that commands in the project made on a server."""
    with psycopg.connect(url) as connection:
        databases = [
            each
            for each in read_databases(connection)
            if each.record is not None and each.record.project == str(project)
        ]
        roles = connection.execute("select from pg_roles where rolname = %s", [role]).fetchall()
        return len(databases), len(roles)


@pytest.mark.parametrize("named", ["DATABASE_URL", "DB_HOST", "pyproject"])
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_the_configured_database_gets_nothing(
    project: Path,
    role: str,
    database_url: str,
    arguments: list[str],
    named: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if named == "DB_HOST":  # no server is there: it is not connected to
        monkeypatch.setenv("DB_HOST", "127.0.0.1")
        monkeypatch.setenv("DB_PORT", "1")
    elif named == "DATABASE_URL":
        monkeypatch.setenv("DATABASE_URL", database_url)
    else:
        (project / "pyproject.toml").write_text(f"[tool.plainsql]\ndatabase = {json.dumps(database_url)}\n")
    assert main(arguments) == 0
    assert made_on(database_url, project, role) == (0, 0)
    assert (project / ".plainsql" / "server").is_dir()


@pytest.mark.parametrize("named", ["--scratch", "--database", "PLAINSQL_SCRATCH_URL", "pyproject"])
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_server_that_is_named_for_it_is_used(
    project: Path,
    role: str,
    database_url: str,
    arguments: list[str],
    named: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    if named == "PLAINSQL_SCRATCH_URL":
        monkeypatch.setenv(named, database_url)
    elif named == "pyproject":
        (project / "pyproject.toml").write_text(f"[tool.plainsql]\nscratch = {json.dumps(database_url)}\n")
    else:
        arguments = [*arguments, f"{named}={database_url}"]
    assert main(arguments) == 0
    assert ("deprecated" in capsys.readouterr().err) == (named == "--database")
    assert made_on(database_url, project, role) == (1, 1)
    assert not (project / ".plainsql" / "server").exists()
    assert main(["scratch", "drop", "--scratch", database_url]) == 0
    assert made_on(database_url, project, role) == (0, 0)


def test_a_server_that_is_too_old_gets_nothing(
    project: Path,
    role: str,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(describer, "MIN_SERVER_VERSION", 10**7)
    assert main(["check", "--scratch", database_url]) == 2
    assert capsys.readouterr().err.startswith("queries cannot be analysed on PostgreSQL ")
    assert made_on(database_url, project, role) == (0, 0)


def test_all_databases_of_the_embedded_server_are_dropped(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--sql-only"]) == 0
    capsys.readouterr()
    assert main(["scratch", "drop", "--all"]) == 0
    assert capsys.readouterr().out.startswith("dropped plainsql_scratch_")
    assert main(["scratch", "drop"]) == 0
    assert main(["scratch", "list"]) == 0
    assert capsys.readouterr().out == "nothing to drop\nno scratch databases\n"


def test_the_first_that_is_named_wins(tmp_path: Path) -> None:
    project = Project(root=tmp_path, scratch="c", database="d")
    environ = {"PLAINSQL_SCRATCH_URL": "b", "DATABASE_URL": "d"}
    assert (scratch_url("a", project, environ=environ), scratch_url(None, project, environ=environ)) == (
        "a",
        "b",
    )
    assert scratch_url(None, project, environ={}) == "c"
    assert scratch_source(None, project, environ={}) == "scratch in [tool.plainsql]"
    assert scratch_url(None, Project(root=tmp_path, database="d"), environ={"DATABASE_URL": "d"}) is None


def test_checkouts_of_one_path_have_databases_of_their_own(
    migrations: Write, tmp_path: Path, database_url: str
) -> None:
    # As in two containers, each with its own disk.
    schema = MigrationsFolder(migrations(NOTES))
    project = Project(root=tmp_path)
    with scratch_database(schema, database_url, project=project) as first:
        one = first.info.dbname
    shutil.rmtree(tmp_path / ".plainsql")
    migrations({"0002_more.sql": "create table more ();", "0002_more.rollback.sql": "drop table more;"})
    with scratch_database(schema, database_url, project=project) as second:
        two = second.info.dbname
    with psycopg.connect(database_url) as connection:
        names = {each.name for each in read_databases(connection)}
    assert {one, two} <= names


def test_an_identity_that_is_damaged_is_made_again(tmp_path: Path) -> None:
    first = checkout_identity(tmp_path)
    assert first == checkout_identity(tmp_path) is not None
    (tmp_path / ".plainsql" / "checkout").write_bytes(b"x")
    second = checkout_identity(tmp_path)
    assert second is not None
    assert second != first


def test_a_checkout_without_an_identity_leaves_no_database(
    migrations: Write, tmp_path: Path, database_url: str
) -> None:
    schema = MigrationsFolder(migrations(NOTES))
    # A file is in the place of the folder: as for a read-only checkout, there is no identity.
    (tmp_path / ".plainsql").write_text("")
    with scratch_database(schema, database_url, project=Project(root=tmp_path)) as connection:
        name = connection.info.dbname
        connection.execute("select id from notes")
    with psycopg.connect(database_url) as connection:
        assert name not in {each.name for each in read_databases(connection)}
