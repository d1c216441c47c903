"""The names in ``[tool.plainsql.cache]``: what no cached query has is an error with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from plainsql import statements
from plainsql.check.cached_names import cached_name_problems
from plainsql.check.project_check import check_project
from plainsql.settings import Project

FILES = {
    "items/search.sql": "-- One.\n-- returns: value\n-- cache: 5m\nselect 1 as n\n",
    "items/fresh.sql": "-- One.\n-- returns: value\nselect 1 as n\n",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        (tmp_path / "sql" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sql" / name).write_text(text)
    (tmp_path / "migrations").mkdir()
    return tmp_path


def problems(folder: Path, *entries: str) -> list[tuple[int, str, str | None]]:
    lines = "\n".join(entries)
    (folder / "pyproject.toml").write_text(f"[tool.plainsql.cache]\n{lines}\n")
    catalog = statements.load("sql")
    found = cached_name_problems(Project.load(), catalog, complete=True)
    return [(each.line, each.message, each.hint) for each in found]


def test_names_and_patterns_of_cached_queries_are_known(project: Path) -> None:
    entries = ['"items.search" = "30m"', '"items.*" = "off"', '"*.search" = "1h"']
    assert problems(project, *entries) == []
    assert problems(project, '"realty.properties.search" = "30m"', '"realty.*" = "10m"') == []


def test_other_names_are_errors_with_their_line(project: Path) -> None:
    entries = ['"items.search" = "30m"', '"items.serach" = "30m"', '"items.fresh" = "30m"']
    more = ['"nothing.*" = "30m"', '"realty.properties.serach" = "30m"', '"realty.leads.create" = "30m"']
    assert problems(project, *entries, *more) == [
        (
            3,
            "there is no cached query 'items.serach' for [tool.plainsql.cache]",
            "did you mean items.search?",
        ),
        (
            4,
            "items.fresh in [tool.plainsql.cache] is not cached",
            "add a line such as cache: 5m to its header",
        ),
        (
            5,
            "there is no cached query 'nothing.*' for [tool.plainsql.cache]",
            "write the name as check shows it, or a pattern",
        ),
        (
            6,
            "there is no cached query 'realty.properties.serach' for [tool.plainsql.cache]",
            "did you mean realty.properties.search?",
        ),
        (
            7,
            "realty.leads.create in [tool.plainsql.cache] is not cached",
            "the queries of a layer are cached only if it caches them",
        ),
    ]


def test_check_reports_them_as_errors(project: Path, database_url: str) -> None:
    problems(project, '"items.search" = "30m"', '"items.*" = "5 minutes"')
    (error,) = check_project(Project.load(), database_url).errors
    place = "pyproject.toml:3:1: 'items.*' in [tool.plainsql.cache]: "
    assert str(error).startswith(f"{place}expected a time such as '30m', or 'off', got '5 minutes'")
    problems(project, '"items.seek" = "30m"')
    (error,) = check_project(Project.load(), database_url).errors
    assert (error.name, error.path, error.line) == ("settings", "pyproject.toml", 2)
    problems(project, '"items.search" = "30m"')
    assert check_project(Project.load(), database_url).errors == ()
