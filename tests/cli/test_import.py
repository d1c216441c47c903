"""``plainsql import``: what it prints, what it writes, and how it exits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.conftest import NOTES, Command, Write

THEIRS = "-- name: get-note^\nselect n.id, n.text from notes as n where n.id = :id;\n"


@pytest.fixture
def project(write: Write) -> Path:
    return write(NOTES | {"theirs/notes.sql": THEIRS})


def test_an_import_is_checked_and_run(project: Path, command: Command) -> None:
    done = command("import", "aiosql", "theirs")
    assert (done.code, done.err) == (0, "")
    assert done.out == "wrote sql/notes/get_note.sql\n1 file written\n"
    checked = command("check", "sql/notes/get_note.sql")
    assert checked.code == 0, checked


def test_a_dry_run_writes_nothing(project: Path, command: Command) -> None:
    done = command("import", "aiosql", "theirs/notes.sql", "--dry-run")
    assert (done.code, done.out) == (0, "would write sql/notes/get_note.sql\n1 file to write\n")
    assert not (project / "sql/notes/get_note.sql").exists()


def test_a_changed_file_is_replaced_only_with_force(project: Path, command: Command) -> None:
    command("import", "aiosql", "theirs")
    target = project / "sql/notes/get_note.sql"
    target.write_text("-- Mine.\n")
    done = command("import", "aiosql", "theirs")
    assert done.code == 1
    assert "theirs/notes.sql:1:10: sql/notes/get_note.sql exists, with another text\n" in done.out
    assert "HINT: --force replaces it\n" in done.out
    assert target.read_text() == "-- Mine.\n"
    assert command("import", "aiosql", "theirs", "--force").code == 0
    assert "-- returns: optional GetNoteRow\n" in target.read_text()


def test_another_folder_may_be_the_target(project: Path, command: Command) -> None:
    assert command("import", "aiosql", "theirs", "--into", "app/sql").code == 0
    assert (project / "app/sql/notes/get_note.sql").exists()


def test_no_file_is_written_through_a_link(project: Path, command: Command, tmp_path: Path) -> None:
    (tmp_path / "away").mkdir()
    (project / "app").mkdir()
    (project / "app" / "notes").symlink_to(tmp_path / "away")
    done = command("import", "aiosql", "theirs", "--into", "app")
    assert done.code == 2
    assert "app/notes is a symbolic link" in done.err
    assert not any((tmp_path / "away").iterdir())


def test_queries_that_are_left_out_exit_with_1(write: Write, command: Command) -> None:
    write(NOTES | {"theirs/notes.sql": f"{THEIRS}-- name: tables#\ncreate table x (id int);\n"})
    done = command("import", "aiosql", "theirs")
    assert done.code == 1
    assert done.out.startswith("wrote sql/notes/get_note.sql\n\ntheirs/notes.sql:4:1: this statement defines")
    assert done.out.endswith("HINT: move it to a migration\n\n1 file written, 1 left out\n")


@pytest.mark.usefixtures("project")
def test_a_missing_folder_could_not_run(command: Command) -> None:
    done = command("import", "aiosql", "nowhere")
    assert done.code == 2
    assert done.err.startswith("nowhere: there is no such file or folder\n")
    assert command("import", "aiosql", "migrations/none.sql").code == 2
    assert command("import", "mybatis", "theirs").code == 2


def test_the_refusal_of_a_foreign_file_names_a_command_that_works(write: Write, command: Command) -> None:
    folder = write(NOTES | {"sql/notes.sql": THEIRS})
    refused = command("check")
    assert refused.code != 0
    (hint,) = re.findall("HINT: plainsql (import .*)", refused.out + refused.err)
    done = command(*hint.split())
    assert done.code == 0
    assert done.out.endswith("remove sql/notes.sql now: its queries have files of their own\n")
    (folder / "sql/notes.sql").unlink()
    assert command("generate").code == 0
    assert command("check").code == 0
