"""Groups by booleans and enums are few, whatever the table holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from plainsql.check.project_check import check_project
from plainsql.settings import Project

SCHEMA = """
create type mood as enum ('glad', 'sad');
create domain state as mood;
create domain flag as boolean;
create table note (
  id bigint primary key, author text, stars integer, mood mood, state state, flag flag, moods mood[]
);
"""


def findings(folder: Path, url: str, sql: str) -> list[str]:
    for name, text in {
        "migrations/0001_notes.sql": SCHEMA,
        "sql/it.sql": f"-- It.\n-- returns: many It\n{sql}\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    found = check_project(Project(root=folder), url)
    assert found.errors == ()
    return [finding.name for finding in found.findings]


@pytest.mark.parametrize(
    "sql",
    [
        "select n.mood, count(*) as n from note as n group by n.mood",
        "select n.state, n.flag, count(*) as n from note as n group by n.state, n.flag",
        "select n.stars > 3 as good, count(*) as n from note as n group by n.stars > 3",
        "select n.mood, n.flag, count(*) as n from note as n group by rollup (n.mood, n.flag)",
        "select distinct n.mood, n.flag from note as n",
        "select n.mood from note as n union select m.state::mood from note as m",
        "select distinct on (n.mood) n.id, n.mood from note as n order by n.mood, n.id",
        "select distinct count(*) as n from note as n group by n.flag",
    ],
)
def test_they_bound_the_rows(tmp_path: Path, database_url: str, sql: str) -> None:
    assert "unbounded" not in findings(tmp_path, database_url, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "select n.author, count(*) as n from note as n group by n.author",
        "select n.mood, n.author, count(*) as n from note as n group by n.mood, n.author",
        "select n.mood, n.id from note as n",
        "select n.mood from note as n union all select m.mood from note as m",
        "select n.mood, n.id from note as n union select m.mood, m.id from note as m",
        "select n.moods, count(*) as n from note as n group by n.moods",
        "select n.mood, generate_series(1, max(n.stars)) as i from note as n group by n.mood",
        "select distinct n.mood, n.author from note as n",
        "select n.mood, count(*) over (partition by n.mood) as n from note as n",
    ],
)
def test_no_more_than_they_do(tmp_path: Path, database_url: str, sql: str) -> None:
    assert "unbounded" in findings(tmp_path, database_url, sql)
