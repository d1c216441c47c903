"""A migration recorded by hand: the checks before, and the refusals."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from plainsql import migrate
from plainsql.cli.app import main
from plainsql.errors import MigrationError
from plainsql.migrate import lock
from plainsql.migrate.connection import connected
from tests.migrate.conftest import Query, Write

HALF = "-- transactional: false\ncreate table a ();\ncreate table b ();\nselect 1/0;"


def half_applied(write: Write, url: str) -> str:
    """A migration whose run was cut off after two of its three statements."""
    folder = write({"0001_a.sql": HALF, "0001_a.rollback.sql": "drop table b;\ndrop table a;"})
    with pytest.raises(migrate.MigrationFailedError, match="division by zero"):
        migrate.apply(url, folder)
    return str(folder)


def test_marked_as_applied_it_is_not_run_again(write: Write, fresh_database_url: str, query: Query) -> None:
    folder = half_applied(write, fresh_database_url)
    (mark,) = migrate.mark(fresh_database_url, folder, "0001")
    assert (mark.name, mark.applied, mark.before.state) == ("0001_a", True, "interrupted")
    assert migrate.status(fresh_database_url, folder).is_current
    assert migrate.apply(fresh_database_url, folder).done == ()
    assert query("select operation from _yoyo_log") == [("mark",)]
    assert migrate.rollback(fresh_database_url, folder).done == ("0001_a",)


def test_marked_as_not_applied_it_runs_again(write: Write, fresh_database_url: str, query: Query) -> None:
    folder = half_applied(write, fresh_database_url)
    with pytest.raises(MigrationError, match="0001_a: its objects exist: table a, table b") as caught:
        migrate.mark(fresh_database_url, folder, "0001", applied=False)
    assert "--force" in str(caught.value.hint)
    query("drop table a, b")
    migrate.mark(fresh_database_url, folder, "0001", applied=False)
    assert [item.state for item in migrate.status(fresh_database_url, folder).migrations] == ["pending"]
    write({"0001_a.sql": "create table a ();"})
    assert migrate.apply(fresh_database_url, folder).done == ("0001_a",)


def test_a_migration_whose_objects_do_not_exist_is_not_marked_as_applied(
    write: Write, fresh_database_url: str, query: Query
) -> None:
    folder = half_applied(write, fresh_database_url)
    query("drop table b")
    with pytest.raises(MigrationError, match="0001_a: its objects are missing: table b") as caught:
        migrate.mark(fresh_database_url, folder, "0001")
    assert migrate.status(fresh_database_url, folder).having("interrupted")
    assert str(caught.value.hint) == ("apply it with 'plainsql migrate'; or record it anyway with --force")
    migrate.mark(fresh_database_url, folder, "0001", force=True)
    assert migrate.status(fresh_database_url, folder).is_current


@pytest.mark.parametrize(
    ("sql", "missing"),
    [
        ("create unique index concurrently i on k (id);", "index i"),
        ("create index on k (id);", ""),
        ('create table "Odd ""Name" ();', 'table "Odd ""Name"'),
        ("create table Upper ();", "table Upper"),
        ("create table s . t ();", "table s.t"),
        ("create unlogged table u ();", "table u"),
        ("create materialized view m as select 1;", "view m"),
        ("create schema s2;", "schema s2"),
        ("create type e as enum ();", "type e"),
        ("create domain d as int;", "domain d"),
        ("create sequence q;", "sequence q"),
        ("create table if not exists t ();", ""),
        ("create or replace view v as select 1 as x;", ""),
        ("create temporary table t ();", ""),
        ("create table t (); drop table t;", ""),
        ("create table t (); alter table t rename to t2;", ""),
        ("create table t (); alter table t set schema s;", ""),
        ("set search_path = s; create table t ();", ""),
        ("do $$ begin create table t (); end $$;", ""),
        ("create function f() returns int language sql begin atomic; select 1; end;", ""),
        ("create /* table x */ table -- y\n z ();", "table z"),
    ],
)
def test_the_objects_that_a_file_creates_are_read_from_its_text(
    write: Write, fresh_database_url: str, query: Query, sql: str, missing: str
) -> None:
    query("create table k (id int)")
    query("create schema s")
    folder = write({"0001_x.sql": sql})
    if not missing:
        assert migrate.mark(fresh_database_url, folder, "0001", dry_run=True)
        return
    with pytest.raises(MigrationError, match="its objects are missing") as caught:
        migrate.mark(fresh_database_url, folder, "0001", dry_run=True)
    assert caught.value.message.partition("are missing: ")[2] == missing
    for statement in sql.split(";"):
        query(statement or "select 1")
    assert migrate.mark(fresh_database_url, folder, "0001", dry_run=True)


def test_an_index_of_a_table_elsewhere_is_found(write: Write, fresh_database_url: str, query: Query) -> None:
    query("create schema s create table t (id int)")
    folder = write({"0001_i.sql": "-- transactional: false\ncreate index concurrently i on s.t (id);"})
    with pytest.raises(MigrationError, match="are missing: index i"):
        migrate.mark(fresh_database_url, folder, "0001")
    query("create index i on s.t (id)")
    migrate.mark(fresh_database_url, folder, "0001")
    assert migrate.status(fresh_database_url, folder).is_current


def test_an_invalid_index_is_not_applied(write: Write, fresh_database_url: str) -> None:
    folder = write(
        {
            "0001_t.sql": "create table t (id int);\ninsert into t values (1), (1);",
            "0002_i.sql": "-- transactional: false\ncreate unique index concurrently i on t (id);",
        }
    )
    with pytest.raises(migrate.MigrationFailedError):
        migrate.apply(fresh_database_url, folder)
    with pytest.raises(MigrationError, match=r"0002_i: the index public\.i is invalid"):
        migrate.mark(fresh_database_url, folder, "0002")


def test_a_recorded_mark_and_a_mark_after_a_gap_are_refused(write: Write, fresh_database_url: str) -> None:
    folder = write({"0001_a.sql": "select 1;", "0002_b.sql": "select 1;"})
    with pytest.raises(MigrationError, match="0001_a: not applied is already recorded"):
        migrate.mark(fresh_database_url, folder, "0001", applied=False)
    with pytest.raises(MigrationError, match="0001_a comes before 0002_b, and is not applied"):
        migrate.mark(fresh_database_url, folder, "0002")
    migrate.apply(fresh_database_url, folder)
    with pytest.raises(MigrationError, match="0001_a: applied is already recorded"):
        migrate.mark(fresh_database_url, folder, "0001")
    with pytest.raises(MigrationError, match="no migration '0009'"):
        migrate.mark(fresh_database_url, folder, "0009")


def test_an_edited_file_may_be_marked_as_the_applied_one(write: Write, fresh_database_url: str) -> None:
    folder = write({"0001_a.sql": "select 1;"})
    migrate.apply(fresh_database_url, folder)
    write({"0001_a.sql": "-- A comment.\nselect 1;"})
    migrate.mark(fresh_database_url, folder, "0001")
    assert migrate.status(fresh_database_url, folder).is_current


def test_a_migration_without_its_file_can_be_marked_as_not_applied(
    write: Write, fresh_database_url: str
) -> None:
    folder = half_applied(write, fresh_database_url)
    for name in ("0001_a.sql", "0001_a.rollback.sql"):
        (write({}) / name).unlink()
    write({"0001_b.sql": "select 1;"})
    with pytest.raises(migrate.DriftError, match="0001_a: a run of it was cut off, and its file is gone"):
        migrate.apply(fresh_database_url, folder)
    with pytest.raises(MigrationError, match="0001_a: its file is gone"):
        migrate.mark(fresh_database_url, folder, "0001_a")
    migrate.mark(fresh_database_url, folder, "0001_a", applied=False)
    assert migrate.apply(fresh_database_url, folder).done == ("0001_b",)


def test_it_waits_for_another_run(write: Write, fresh_database_url: str) -> None:
    folder = half_applied(write, fresh_database_url)
    with (
        connected(fresh_database_url) as holder,
        lock.held(holder, wait=0, on_waiting=lambda _: None),
        pytest.raises(migrate.LockedError),
    ):
        migrate.mark(fresh_database_url, folder, "0001", wait=0)


def test_at_the_prompt(
    write: Write, fresh_database_url: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", fresh_database_url)
    half_applied(write, fresh_database_url)

    def run(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main(["migrate", *arguments])
        out, err = capfd.readouterr()
        return code, out, err

    code, out, _ = run("status")
    assert code == 0
    assert "\n0001_a: it was cut off; recorded last at " in out
    assert (
        " UTC, after 2 statements\nHINT: plainsql migrate (from its top), or plainsql migrate rollback; "
        in out
    )
    assert "plainsql migrate mark 0001_a\n" in out
    expected = "0001_a: applied (was: interrupted)\n"
    assert run("mark", "0001", "--dry-run") == (0, f"{expected}nothing was recorded\n", "")
    code, out, err = run("mark", "0001")
    assert (code, out) == (2, "")
    assert err == "there is no terminal for the prompt\nHINT: add --yes, or try it with --dry-run\n"
    assert run("mark", "0001", "--yes") == (0, expected, "")
    assert run("mark", "0001", "--yes")[0] == 2


@pytest.mark.parametrize(("answer", "code", "state"), [("n\n", 2, "interrupted"), ("y\n", 0, "applied")])
def test_at_a_terminal_it_prompts(
    write: Write, fresh_database_url: str, answer: str, code: int, state: str
) -> None:
    folder = half_applied(write, fresh_database_url)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "plainsql", "migrate", "mark", "1", "--database", fresh_database_url]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.write(ours, answer.encode())
        assert process.wait(60) == code
    os.close(theirs)
    os.close(ours)
    assert [item.state for item in migrate.status(fresh_database_url, folder).migrations] == [state]
