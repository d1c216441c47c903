"""Files that a run cannot go on with: that of a cut-off run is gone, a rollback file holds no statement."""

from __future__ import annotations

from pathlib import Path

import pytest

from plainsql import migrate
from plainsql.cli.app import main
from plainsql.errors import MigrationError
from tests.migrate.conftest import Query, Write

FILES = {
    "0001_a.sql": "create table a ();",
    "0001_a.rollback.sql": "drop table a;",
    "0002_b.sql": "-- transactional: false\ncreate table b ();\nselect 1/0;",
    "0002_b.rollback.sql": "drop table b;",
}
WAY = "plainsql migrate mark --not-applied 0002_b"


def remove(folder: Path, name: str) -> None:
    for file in folder.glob(f"{name}*.sql"):
        file.unlink()


@pytest.fixture
def cut_off(write: Write, fresh_database_url: str) -> Path:
    """A folder without the file of 0002_b, whose run was cut off."""
    folder = write(FILES)
    with pytest.raises(migrate.MigrationFailedError):
        migrate.apply(fresh_database_url, folder)
    remove(folder, "0002_b")
    return folder


@pytest.fixture
def undoing(write: Write, fresh_database_url: str) -> Path:
    """A folder without the file of 0002_b, whose rollback was cut off."""
    applied = FILES | {
        "0002_b.sql": "-- transactional: false\ncreate table b ();",
        "0002_b.rollback.sql": "drop table b;\nselect 1/0;",
    }
    folder = write(applied)
    migrate.apply(fresh_database_url, folder)
    with pytest.raises(migrate.MigrationFailedError):
        migrate.rollback(fresh_database_url, folder)
    remove(folder, "0002_b")
    return folder


@pytest.mark.parametrize("state", ["cut_off", "undoing"])
def test_the_way_that_status_names_works(
    state: str,
    request: pytest.FixtureRequest,
    fresh_database_url: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder: Path = request.getfixturevalue(state)
    (item,) = migrate.status(fresh_database_url, folder).having("interrupted")
    assert (item.file_gone, item.undoing) == (True, state == "undoing")
    assert main(["migrate", "status", "--database", fresh_database_url]) == 0
    out = capsys.readouterr().out
    (hint,) = [line for line in out.splitlines() if line.startswith("HINT: ")]
    assert "its file is gone" in out
    assert hint.endswith(WAY)
    assert "rollback" not in hint
    assert main([*WAY.split()[1:], "--yes", "--database", fresh_database_url]) == 0
    assert migrate.status(fresh_database_url, folder).is_current


@pytest.mark.parametrize("state", ["cut_off", "undoing"])
def test_a_rollback_says_that_it_was_cut_off(
    state: str, request: pytest.FixtureRequest, fresh_database_url: str, query: Query
) -> None:
    folder: Path = request.getfixturevalue(state)
    with pytest.raises(MigrationError, match=r"0002_b: .* was cut off, and its file is gone") as caught:
        migrate.rollback(fresh_database_url, folder, all=True)
    assert WAY in str(caught.value.hint)
    assert query("select to_regclass('a')") == [("a",)]


def test_an_apply_names_the_way_too(cut_off: Path, fresh_database_url: str) -> None:
    with pytest.raises(migrate.DriftError) as caught:
        migrate.apply(fresh_database_url, cut_off)
    assert WAY in str(caught.value.hint)


def test_an_apply_of_a_cut_off_rollback_names_the_way_too(undoing: Path, fresh_database_url: str) -> None:
    with pytest.raises(MigrationError, match="its rollback was cut off") as caught:
        migrate.apply(fresh_database_url, undoing, allow_edited=True)
    assert WAY in str(caught.value.hint)
    assert "'plainsql migrate rollback'" not in str(caught.value.hint)


def test_one_that_was_applied_is_still_said_to_be(write: Write, fresh_database_url: str) -> None:
    folder = write({name: text for name, text in FILES.items() if name.startswith("0001")})
    write({"0002_c.sql": "select 1;"})
    migrate.apply(fresh_database_url, folder)
    remove(folder, "0002_c")
    with pytest.raises(MigrationError, match="0002_c: applied, but its file is gone"):
        migrate.rollback(fresh_database_url, folder)


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_rollback_file_without_a_statement_is_refused_before_the_run(
    write: Write, fresh_database_url: str, query: Query, dry_run: bool
) -> None:
    folder = write(
        {
            "0001_a.sql": "create table a ();",
            "0001_a.rollback.sql": "-- Undo 0001_a.sql.\n/* nothing */;\n",
            "0002_b.sql": "create table b ();",
            "0002_b.rollback.sql": "drop table b;",
        }
    )
    migrate.apply(fresh_database_url, folder)
    with pytest.raises(
        migrate.MigrationFolderError, match=r"migrations/0001_a\.rollback\.sql: holds no statement"
    ) as caught:
        migrate.rollback(fresh_database_url, folder, all=True, dry_run=dry_run)
    assert "select 1;" in str(caught.value.errors[0].hint)
    assert query("select to_regclass('b')") == [("b",)]
    assert migrate.status(fresh_database_url, folder).is_current
    # Only if it is needed.
    assert migrate.rollback(fresh_database_url, folder).done == ("0002_b",)


def test_an_unedited_new_rollback_undoes_nothing(
    write: Write, fresh_database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write({})
    up, down = migrate.new(folder, "make a")
    up.write_text("create table a ();")
    migrate.apply(fresh_database_url, folder)
    assert main(["migrate", "rollback", "--yes", "--database", fresh_database_url]) == 2
    assert "0001_make_a.rollback.sql: holds no statement" in capsys.readouterr().err
    down.write_text("select 1;")
    assert migrate.rollback(fresh_database_url, folder).done == ("0001_make_a",)
