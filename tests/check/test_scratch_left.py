"""Scratch databases that are left: found by their records, and dropped; never one in use."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import msgspec
import psycopg
import pytest

from plainsql.analysis.scratch_database import drop_left, scratch_database
from plainsql.analysis.scratch_records import (
    KEPT_DAYS,
    Record,
    drop_database,
    read_databases,
    write_record,
)
from plainsql.cli.app import main
from plainsql.schema.migrations import MigrationsFolder
from plainsql.settings import Project
from tests.check.conftest import NOTES, Write

Admin = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def admin(database_url: str) -> Iterator[Admin]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root = tmp_path / "checkout"
    root.mkdir()
    return Project(root=root)


def names(admin: Admin) -> set[str]:
    return {each.name for each in read_databases(admin)}


def change(admin: Admin, name: str, **facts: str) -> None:
    (record,) = [each.record for each in read_databases(admin) if each.name == name]
    assert record is not None
    write_record(admin, name, msgspec.structs.replace(record, **facts))


def test_of_a_checkout_that_is_gone(
    migrations: Write,
    project: Project,
    database_url: str,
    admin: Admin,
) -> None:
    schema = MigrationsFolder(migrations(NOTES))
    with scratch_database(schema, database_url, project=project) as connection:
        name = connection.info.dbname
    drop_left(admin)
    assert name in names(admin)
    # On another machine there may be such a folder.
    change(admin, name, host="another")
    project.root.rename(project.root.with_name("moved"))
    drop_left(admin)
    assert name in names(admin)
    with psycopg.connect(database_url, dbname=name):  # in use
        change(admin, name, host=platform.node())
        drop_left(admin)
        assert name in names(admin)
    # The next build on the server drops it.
    another = Project(root=project.root.with_name("another"))
    another.root.mkdir()
    with scratch_database(schema, database_url, project=another) as connection:
        assert name not in names(admin)
        name = connection.info.dbname
    drop_database(admin, name)


def test_of_a_project_that_is_not_checked_any_more(
    migrations: Write,
    project: Project,
    database_url: str,
    admin: Admin,
) -> None:
    schema = MigrationsFolder(migrations(NOTES))
    with scratch_database(schema, database_url, project=project) as connection:
        name = connection.info.dbname
    change(admin, name, used=str(datetime.now(UTC).date() - timedelta(KEPT_DAYS)))
    drop_left(admin)
    assert name in names(admin)
    # A use counts.
    with scratch_database(schema, database_url, project=project):
        pass
    (record,) = [each.record for each in read_databases(admin) if each.name == name]
    assert record == Record.now(str(project.root))
    change(admin, name, used=str(datetime.now(UTC).date() - timedelta(KEPT_DAYS + 1)), host="another")
    drop_left(admin)
    assert name not in names(admin)


def test_of_a_build_that_was_killed_with_its_roles(
    migrations: Write,
    project: Project,
    database_url: str,
    admin: Admin,
) -> None:
    role = f"made_{uuid4().hex}"
    folder = migrations(
        {
            "0001_t.sql": f"create role {role};\ncreate table t (id int);",
            "0002_slow.sql": "select pg_sleep(60) /* until it is killed */;",
        }
    )
    program = (
        "import sys; from pathlib import Path\n"
        "from plainsql.analysis.scratch_database import scratch_database\n"
        "from plainsql.schema.migrations import MigrationsFolder\n"
        "from plainsql.settings import Project\n"
        "with scratch_database(MigrationsFolder(Path(sys.argv[1])), sys.argv[2],"
        " project=Project(root=Path(sys.argv[3]))): pass\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(folder), database_url, str(project.root)])
    asleep = (
        "select pid from pg_stat_activity where query like 'select pg_sleep(60) /* until it is killed%%'"
        " and datname like 'plainsql_scratch%%' and state = 'active'"
    )
    while not (found := admin.execute(asleep).fetchall()):
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    admin.execute("select pg_terminate_backend(%s, 10000)", [found[0][0]])
    before = names(admin)
    # The same project again, with other migrations; the role's creation is not refused.
    migrations({"0002_slow.sql": "select 1;"})
    with scratch_database(MigrationsFolder(folder), database_url, project=project) as connection:
        name = connection.info.dbname
    assert not {each for each in before & names(admin) if each.startswith(name[:26])}
    drop_database(admin, name)
    assert admin.execute("select from pg_roles where rolname = %s", [role]).rowcount == 0


def test_the_command_lists_and_drops_them(
    migrations: Write,
    project: Project,
    database_url: str,
    admin: Admin,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    role = f"made_{uuid4().hex}"
    schema = MigrationsFolder(migrations({"0001_t.sql": f"create role {role};"}))
    other = Project(root=project.root.parent)
    with scratch_database(schema, database_url, project=project) as connection:
        own = connection.info.dbname
    with scratch_database(MigrationsFolder(Path("none")), database_url, project=other) as connection:
        others = connection.info.dbname
    (project.root / "pyproject.toml").write_text("[tool.plainsql]\n")
    monkeypatch.chdir(project.root)
    monkeypatch.setenv("PLAINSQL_SCRATCH_URL", database_url)

    def listed() -> dict[str, dict[str, object]]:
        capsys.readouterr()
        assert main(["scratch", "list", "--json"]) == 0
        return {each["database"]: each for each in json.loads(capsys.readouterr().out)}

    assert (listed()[own]["state"], listed()[others]["state"]) == ("own", "other")
    assert (listed()[own]["roles"], listed()[own]["project"]) == (role, str(project.root))
    assert main(["scratch", "list"]) == 0
    assert set(capsys.readouterr().out.split()) >= {own, others, role, "own"}
    with psycopg.connect(database_url, dbname=own):
        assert listed()[own]["state"] == "in use"
        assert main(["scratch", "drop", own]) == 1
        assert capsys.readouterr().out.startswith(f"kept {own}: it is in use")
    assert main(["scratch", "drop"]) == 0
    assert f"dropped {own}\n" in capsys.readouterr().out
    assert (own in listed(), others in listed()) == (False, True)
    assert admin.execute("select from pg_roles where rolname = %s", [role]).rowcount == 0
    assert main(["scratch", "drop", others]) == 0
    assert main(["scratch", "drop", others]) == 2
    assert f"there is no scratch database {others!r}" in capsys.readouterr().err
