"""The messages about queries that PostgreSQL refuses or that contradict their header, word by word.

A file of ``golden/`` holds the text of a SQL file, a line of equal signs, and the message. To add a case,
write the text and the line, and run with ``PLAINSQL_UPDATE_GOLDEN=1``; then read the result.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plainsql.check.project_check import ProjectCheck, check_project
from plainsql.settings import Project

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(path.stem for path in GOLDEN.glob("*.txt"))
LINE = "=" * 40 + "\n"
SCHEMA = """
create extension if not exists cube;
create type mood as enum ('ok', 'sad');
create type point2 as (x integer, y integer);
create table notes (
  id bigint primary key,
  author text,
  stars integer,
  at timestamptz,
  tags text[],
  data jsonb,
  spot point2,
  extra cube
);
create procedure forget(note bigint) language sql as 'delete from notes where id = note';
"""


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory, database_url: str) -> ProjectCheck:
    """Check all cases in one project, each as a query of its own folder: they must not share rows."""
    root = tmp_path_factory.mktemp("messages")
    (root / "migrations").mkdir()
    (root / "migrations" / "0001_notes.sql").write_text(SCHEMA)
    for name in CASES:
        text, _, _ = (GOLDEN / f"{name}.txt").read_text("utf-8").partition(LINE)
        (root / "sql" / name).mkdir(parents=True)
        (root / "sql" / name / "query.sql").write_text(text, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        return check_project(Project(root=root), database_url)


@pytest.mark.parametrize("name", CASES)
def test_message(reviewed: ProjectCheck, name: str) -> None:
    file = GOLDEN / f"{name}.txt"
    text, _, expected = file.read_text("utf-8").partition(LINE)
    problems = [
        each for each in (*reviewed.errors, *reviewed.findings) if each.path == f"sql/{name}/query.sql"
    ]
    said = "".join(
        f"{problem}\n".replace(f"/{name}/", "/app/").replace(f"{name}.query", "app.query")
        for problem in problems
    )
    if os.environ.get("PLAINSQL_UPDATE_GOLDEN"):
        file.write_text(text + LINE + said, "utf-8")
    else:
        assert said == expected


@pytest.mark.parametrize("name", CASES)
def test_every_message_has_a_place_with_a_caret(reviewed: ProjectCheck, name: str) -> None:
    problems = [each for each in reviewed.errors if each.path == f"sql/{name}/query.sql"]
    assert problems
    for problem in problems:
        assert problem.line
        assert problem.column
