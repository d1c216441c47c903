"""A review of a whole project: what it remembers, and that it changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from plainsql.check.project_check import review
from plainsql.settings import Project
from tests.check.conftest import NOTES, Write

GET = "-- One.\n-- returns: optional value\nselect n.id\nfrom notes as n\nlimit 1\n"


@pytest.fixture
def project(migrations: Write, tmp_path: Path) -> Project:
    migrations(NOTES)
    (tmp_path / "sql" / "notes").mkdir(parents=True)
    (tmp_path / "sql" / "notes" / "get.sql").write_text(GET)
    return Project(root=tmp_path)


def test_a_second_review_says_the_same_from_memory(project: Project, database_url: str) -> None:
    first = review(project, database_url)
    assert (project.root / ".plainsql" / "review.msgpack").is_file()
    second = review(project, database_url)
    assert second.files == first.files
    assert second.errors == first.errors == ()


def test_a_memory_that_cannot_be_read_is_made_anew(project: Project, database_url: str) -> None:
    first = review(project, database_url)
    memory = project.root / ".plainsql" / "review.msgpack"
    memory.write_bytes(b"\x00 nonsense")
    assert review(project, database_url).files == first.files


def test_a_migration_that_changes_a_type_changes_the_answer(
    project: Project, database_url: str, migrations: Write
) -> None:
    before = review(project, database_url).files
    migrations({"0001_notes.sql": "create table notes (id text);"})
    after = review(project, database_url).files
    (path,) = after
    assert ("optional[int | None]" in before[path], "optional[str | None]" in after[path]) == (True, True)


def test_only_some_files_can_be_reviewed(project: Project, database_url: str) -> None:
    (project.sql_folder / "notes" / "bad.sql").write_text("-- Bad.\n-- returns: value\nselect nope\n")
    found = review(project, database_url, only=[project.sql_folder / "notes" / "get.sql"])
    assert [statement.name for statement in found.statements] == ["notes.get"]
    assert found.errors == ()
    (error,) = review(project, database_url).errors
    assert (error.line, error.column) == (3, 8)


def test_a_file_that_cannot_be_read_does_not_hide_what_is_wrong_with_the_others(
    project: Project, database_url: str
) -> None:
    (project.sql_folder / "notes" / "bad.sql").write_text("-- Bad.\n-- returns: value\nselect nope\n")
    (project.sql_folder / "notes" / "unread.sql").write_text("-- Unread.\n-- retruns: value\nselect 1\n")
    found = review(project, database_url)
    assert [(error.name, Path(error.path).name) for error in found.errors] == [
        ("refused", "bad.sql"),
        ("sql-file", "unread.sql"),
    ]


def test_without_a_database_the_files_are_looked_at_all_the_same(project: Project) -> None:
    (project.sql_folder / "notes" / "unread.sql").write_text("-- Unread.\n-- retruns: value\nselect 1\n")
    found = review(project, "postgresql://nobody@127.0.0.1:1/none?connect_timeout=1")
    assert [error.name for error in found.errors] == ["sql-file"]


def test_a_review_writes_nothing_but_its_memory(project: Project, database_url: str) -> None:
    before = sorted(project.root.rglob("*"))
    review(project, database_url)
    after = sorted(project.root.rglob("*"))
    new = [path.relative_to(project.root).as_posix() for path in after if path not in before]
    # The folder of what a machine keeps to itself, which git does not look at.
    assert new == [".plainsql", ".plainsql/.gitignore", ".plainsql/review.msgpack"]
