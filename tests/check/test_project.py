"""The check of a whole project: its cache, and that it changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from plainsql.check.project_check import check_project
from plainsql.settings import Project
from tests.check.conftest import NOTES, Write

GET = "-- One.\n-- returns: optional value\nselect n.id\nfrom notes as n\nlimit 1\n"


@pytest.fixture
def project(migrations: Write, tmp_path: Path) -> Project:
    migrations(NOTES)
    (tmp_path / "sql" / "notes").mkdir(parents=True)
    (tmp_path / "sql" / "notes" / "get.sql").write_text(GET)
    return Project(root=tmp_path)


def test_a_second_check_gives_the_same_from_the_cache(project: Project, database_url: str) -> None:
    first = check_project(project, database_url)
    assert (project.root / ".plainsql" / "review.msgpack").is_file()
    second = check_project(project, database_url)
    assert second.files == first.files
    assert second.errors == first.errors == ()


def test_an_unreadable_cache_is_written_again(project: Project, database_url: str) -> None:
    first = check_project(project, database_url)
    memory = project.root / ".plainsql" / "review.msgpack"
    memory.write_bytes(b"\x00 nonsense")
    assert check_project(project, database_url).files == first.files


def test_a_migration_that_changes_a_type_changes_the_answer(
    project: Project, database_url: str, migrations: Write
) -> None:
    before = check_project(project, database_url).files
    migrations({"0001_notes.sql": "create table notes (id text);"})
    after = check_project(project, database_url).files
    (path,) = after
    assert ("optional[int | None]" in before[path], "optional[str | None]" in after[path]) == (True, True)


def test_only_some_files_can_be_reviewed(project: Project, database_url: str) -> None:
    (project.sql_folder / "notes" / "bad.sql").write_text("-- Bad.\n-- returns: value\nselect nope\n")
    found = check_project(project, database_url, only=[project.sql_folder / "notes" / "get.sql"])
    assert [statement.name for statement in found.statements] == ["notes.get"]
    assert found.errors == ()
    (error,) = check_project(project, database_url).errors
    assert (error.line, error.column) == (3, 8)


def test_an_unreadable_file_does_not_hide_problems_of_other_files(
    project: Project, database_url: str
) -> None:
    (project.sql_folder / "notes" / "bad.sql").write_text("-- Bad.\n-- returns: value\nselect nope\n")
    (project.sql_folder / "notes" / "unread.sql").write_text("-- Unread.\n-- retruns: value\nselect 1\n")
    found = check_project(project, database_url)
    assert [(error.name, Path(error.path).name) for error in found.errors] == [
        ("refused", "bad.sql"),
        ("sql-file", "unread.sql"),
    ]


def test_without_a_database_the_files_are_still_checked(project: Project) -> None:
    (project.sql_folder / "notes" / "unread.sql").write_text("-- Unread.\n-- retruns: value\nselect 1\n")
    found = check_project(project, "postgresql://nobody@127.0.0.1:1/none?connect_timeout=1")
    assert [error.name for error in found.errors] == ["sql-file"]


def test_a_review_writes_nothing_but_its_memory(project: Project, database_url: str) -> None:
    before = sorted(project.root.rglob("*"))
    check_project(project, database_url)
    after = sorted(project.root.rglob("*"))
    new = [path.relative_to(project.root).as_posix() for path in after if path not in before]
    # The folder for files of one machine, which git ignores.
    assert new == [
        ".plainsql",
        ".plainsql/.gitignore",
        ".plainsql/checkout",
        ".plainsql/review.msgpack",
    ]
