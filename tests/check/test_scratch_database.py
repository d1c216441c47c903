"""The scratch database: built once, rebuilt if the migrations change, never half-built."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from plainsql import ConnectError, MigrationError
from plainsql.analysis.scratch_database import scratch_database
from plainsql.schema.migrations import MigrationsFolder
from tests.check.conftest import NOTES, Names, Write


def oid(connection: psycopg.Connection[tuple[object, ...]]) -> object:
    (row,) = connection.execute("select oid from pg_database where datname = current_database()").fetchall()
    return row[0]


def test_it_has_the_schema_of_the_migrations(migrations: Write, database_url: str) -> None:
    with scratch_database(MigrationsFolder(migrations(NOTES)), database_url) as connection:
        assert connection.execute("select to_regclass('notes')::text").fetchone() == ("notes",)


def test_without_migrations_it_is_empty(tmp_path: Path, database_url: str) -> None:
    with scratch_database(MigrationsFolder(tmp_path / "migrations"), database_url) as connection:
        tables = connection.execute("select from pg_tables where schemaname = 'public'").fetchall()
        assert tables == []


def test_it_is_reused_as_long_as_the_migrations_are_the_same(
    migrations: Write, database_url: str, scratch_names: Names
) -> None:
    folder = migrations(NOTES)
    with scratch_database(MigrationsFolder(folder), database_url) as connection:
        first = oid(connection)
    # A rollback does not change what the migrations make.
    migrations({"0001_notes.rollback.sql": "drop table notes; -- all of it"})
    with scratch_database(MigrationsFolder(folder), database_url) as connection:
        assert oid(connection) == first
    assert len(scratch_names()) == 1


def test_rebuild_builds_it_again(migrations: Write, database_url: str) -> None:
    folder = migrations(NOTES)
    with scratch_database(MigrationsFolder(folder), database_url) as connection:
        first = oid(connection)
        connection.execute("create table left_behind ()")
    with scratch_database(MigrationsFolder(folder), database_url, rebuild=True) as connection:
        assert oid(connection) != first
        assert connection.execute("select to_regclass('left_behind')").fetchone() == (None,)


def test_a_change_of_the_migrations_builds_it_again_and_drops_the_old_one(
    migrations: Write, database_url: str, scratch_names: Names
) -> None:
    folder = migrations(NOTES)
    with scratch_database(MigrationsFolder(folder), database_url):
        before = scratch_names()
    migrations({"0002_more.sql": "alter table notes add text text;", "0002_more.rollback.sql": "select 1;"})
    with scratch_database(MigrationsFolder(folder), database_url) as connection:
        connection.execute("select text from notes")
        assert len(scratch_names()) == 1
        assert scratch_names().isdisjoint(before)


def test_an_old_database_that_is_in_use_is_not_dropped(
    migrations: Write, database_url: str, scratch_names: Names
) -> None:
    folder = migrations(NOTES)
    with scratch_database(MigrationsFolder(folder), database_url) as old:
        migrations({"0001_notes.sql": "create table notes (id bigint);"})
        with scratch_database(MigrationsFolder(folder), database_url) as new:
            assert oid(old) != oid(new)
            old.execute("select id from notes")
        assert len(scratch_names()) == 2


def test_projects_on_one_server_leave_each_other_alone(
    migrations: Write, database_url: str, tmp_path: Path, scratch_names: Names
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "0001_other.sql").write_text("create table other ();")
    (other / "0001_other.rollback.sql").write_text("drop table other;")
    folder = migrations(NOTES)
    with scratch_database(MigrationsFolder(folder), database_url) as connection:
        first = oid(connection)
    with scratch_database(MigrationsFolder(other), database_url):
        assert len(scratch_names()) == 1
    with scratch_database(MigrationsFolder(folder), database_url) as connection:
        assert oid(connection) == first


def test_a_failing_migration_leaves_nothing(
    migrations: Write, database_url: str, scratch_names: Names
) -> None:
    folder = migrations(NOTES | {"0002_bad.sql": "select nope;", "0002_bad.rollback.sql": "select 1;"})
    with (
        pytest.raises(MigrationError, match=r'0002_bad\.sql:1:8: column "nope"'),
        scratch_database(MigrationsFolder(folder), database_url),
    ):
        pytest.fail("it was built")
    assert scratch_names() == set()


def test_a_role_that_may_not_create_databases_gets_an_error(migrations: Write, database_url: str) -> None:
    folder = migrations(NOTES)
    role = f"plain_{uuid4().hex}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"create role {role} login password 'plain'".encode())
        try:
            url = make_conninfo(database_url, user=role, password="plain")
            with (
                pytest.raises(ConnectError, match="permission denied to create database") as caught,
                scratch_database(MigrationsFolder(folder), url),
            ):
                pytest.fail("it was built")
            assert "may create databases" in (caught.value.hint or "")
            with scratch_database(MigrationsFolder(folder), database_url):
                pass
            # An existing database is enough, whichever role made it.
            with scratch_database(MigrationsFolder(folder), url) as inside:
                assert inside.execute("select current_user").fetchone() == (role,)
        finally:
            connection.execute(f"drop role {role}".encode())


def test_two_processes_at_once_build_it_once(
    migrations: Write, database_url: str, scratch_names: Names
) -> None:
    # Long enough that both are in it at the same time.
    slow = NOTES | {"0002_slow.sql": "select pg_sleep(0.3);", "0002_slow.rollback.sql": "select 1;"}
    folder = migrations(slow)
    program = (
        "import sys; from pathlib import Path\n"
        "from plainsql.analysis.scratch_database import scratch_database\n"
        "from plainsql.schema.migrations import MigrationsFolder\n"
        "with scratch_database(MigrationsFolder(Path(sys.argv[1])), sys.argv[2]) as connection:\n"
        "    print(connection.execute('select oid from pg_database where datname = current_database()')"
        ".fetchone()[0], flush=True)\n"
        "    sys.stdin.read()\n"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(folder), database_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    seen = set()
    for process in started:
        assert process.stdout is not None
        seen.add(process.stdout.readline())
    for process in started:
        process.communicate()
        assert process.returncode == 0
    assert len(seen) == 1
    assert "" not in seen
    assert len(scratch_names()) == 1


def test_readers_never_see_a_database_that_another_check_drops(
    migrations: Write, database_url: str, tmp_path: Path
) -> None:
    # Two branches of one project, checked in turn and at the same time.
    folder = migrations(NOTES)
    barrier = threading.Barrier(3)

    def check(number: int) -> None:
        for turn in range(4):
            barrier.wait(60)
            if number == 0:
                # In one step, as git does it: a reader never sees half a file.
                (tmp_path / "new").write_text(f"create table notes (id int, c{turn} int);")
                (tmp_path / "new").replace(folder / "0001_notes.sql")
            with scratch_database(MigrationsFolder(folder), database_url) as connection:
                connection.execute("select id from notes")

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(check, number) for number in range(3)]:
            done.result(60)
