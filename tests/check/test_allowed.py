"""The findings that the settings allow: by patterns of files, each with a reason, none without a use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from plainsql.check.allowed import matches
from plainsql.check.problems import Problem
from plainsql.check.project_check import ProjectCheck, check_project
from plainsql.errors import SettingsError
from plainsql.settings import Project

MIGRATION = (
    "create table notes (id bigint primary key, stars int);\n"
    "create function f() returns int language sql security definer as 'select 1';\n"
)
UNBOUNDED = "-- All.\n-- returns: many Note\nselect n.id from notes as n\n"
PARTIAL = "-- Some.\n-- returns: many Note\nselect n.id from notes as n order by n.stars limit 5\n"
CLEAN = "-- One.\n-- returns: optional Note\nselect n.id from notes as n where n.id = :id\n"
CACHED = "-- Now.\n-- returns: value\n-- cache: 5m\nselect now() as at\n"
Check = Callable[..., ProjectCheck]


@pytest.fixture
def check(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Check a project whose ``allow`` table has this text."""
    monkeypatch.chdir(tmp_path)

    def run(table: str, files: Mapping[str, str], migration: str = MIGRATION.partition("\n")[0]) -> Any:
        for name, text in {
            "pyproject.toml": f"[tool.plainsql.allow]\n{table}\n",
            "migrations/0001_notes.sql": migration,
            **{f"sql/{name}": text for name, text in files.items()},
        }.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return check_project(Project.load(), database_url)

    return run


def said(problems: tuple[Problem, ...]) -> list[tuple[str, str, int]]:
    return [(problem.name, problem.path, problem.line) for problem in problems]


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("reports/**", "reports/all.sql", True),
        ("reports/**", "reports/a/b/all.sql", True),
        ("reports/**", "reports", True),
        ("reports/*", "reports/a/all.sql", False),
        ("**/all.sql", "all.sql", True),
        ("**/all.sql", "a/b/all.sql", True),
        ("a/**/all.sql", "a/all.sql", True),
        ("a/**/all.sql", "b/all.sql", False),
        ("**", "a/b.sql", True),
        ("*.sql", "a/b.sql", False),
        ("a_?.sql", "a_1.sql", True),
        ("./reports/", "reports", True),
        ("Reports/**", "reports/all.sql", False),
    ],
)
def test_a_pattern_matches_names_and_any_folders(pattern: str, path: str, expected: bool) -> None:
    assert matches(path, pattern) is expected


@pytest.mark.parametrize("pattern", ["reports/**", "sql/reports/*.sql", "**/all.sql", "**"])
def test_a_pattern_is_relative_to_the_sql_folder_or_the_project(check: Check, pattern: str) -> None:
    found = check(f'"{pattern}" = "unbounded: reports read all"', {"reports/all.sql": UNBOUNDED})
    assert (found.errors, found.findings) == ((), ())


def test_it_is_allowed_in_its_files_and_by_its_name_alone(check: Check) -> None:
    found = check(
        '"reports/**" = ["unbounded: reports read all", "partial-order: any will do"]',
        {
            "reports/all.sql": UNBOUNDED,
            "reports/some.sql": PARTIAL,
            "notes/all.sql": UNBOUNDED,
            "notes/some.sql": PARTIAL,
        },
    )
    assert said(found.findings) == [
        ("unbounded", "sql/notes/all.sql", 3),
        ("partial-order", "sql/notes/some.sql", 3),
    ]


def test_a_cached_result_may_be_allowed_to_be_old(check: Check) -> None:
    assert said(check("", {"now.sql": CACHED}).errors) == [("cache-unsteady", "sql/now.sql", 4)]
    found = check('"now.sql" = "cache-unsteady: the minute is enough"', {"now.sql": CACHED})
    assert (found.errors, found.findings) == ((), ())
    assert Path("queries.py") in found.files


def test_a_finding_of_a_migration_is_allowed_by_its_file(check: Check) -> None:
    assert said(check("", {"one.sql": CLEAN}, MIGRATION).findings) == [
        ("definer-search-path", "migrations/0001_notes.sql", 2)
    ]
    found = check('"migrations/**" = "definer-search-path: a dump"', {"one.sql": CLEAN}, MIGRATION)
    assert found.findings == ()


def test_a_finding_of_a_schema_of_others_is_allowed_by_its_file(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql/one.sql").write_text(CLEAN)
    (tmp_path / "schema.sql").write_text(MIGRATION)
    settings = '[tool.plainsql]\nschema = "schema.sql"\n'
    (tmp_path / "pyproject.toml").write_text(settings)
    (finding,) = check_project(Project.load(), database_url).findings
    assert (finding.name, finding.path) == ("definer-search-path", "schema.sql")
    allow = '[tool.plainsql.allow]\n"schema.sql" = "definer-search-path: a dump"\n'
    (tmp_path / "pyproject.toml").write_text(settings + allow)
    assert check_project(Project.load(), database_url).findings == ()


@pytest.mark.parametrize(
    ("table", "message", "hint"),
    [
        (
            '"notes/**" = "unbound: few"',
            "there is no finding 'unbound'",
            "did you mean unbounded?",
        ),
        (
            '"notes/**" = "unbounded"',
            "the reason why unbounded is allowed in notes/** is missing",
            'write "unbounded: the reason"',
        ),
        (
            '"notes/**" = "unbounded:  "',
            "the reason why unbounded is allowed in notes/** is missing",
            'write "unbounded: the reason"',
        ),
        (
            '"nots/**" = "unbounded: few"',
            "no file matches 'nots/**'",
            "patterns are relative to sql or to the project, and ** is any folders",
        ),
        (
            '"notes" = "unbounded: few"',
            "no file matches 'notes'",
            "it is a folder: write notes/**",
        ),
        (
            '"notes/**" = "unbounded: few"',
            "allows 'unbounded' in notes/**, where it is not found",
            "remove it",
        ),
        (
            "\"migrations/**\" = ['definer-trigger: a dump']",
            "allows 'definer-trigger' in migrations/**, where it is not found",
            "remove it",
        ),
    ],
)
def test_an_allowance_that_is_wrong_is_reported_at_its_line(
    check: Check, table: str, message: str, hint: str
) -> None:
    (problem,) = check(f"# The table.\n{table}", {"notes/one.sql": CLEAN}).findings
    assert (problem.name, problem.message, problem.hint) == ("allow", message, hint)
    assert (problem.path, problem.line, problem.excerpt) == ("pyproject.toml", 3, table)


def test_each_entry_of_a_list_is_reported_at_its_line(check: Check) -> None:
    table = "'notes/**' = [\n  \"unbounded: few\",\n  'star: wide',\n]"
    problems = check(table, {"notes/all.sql": UNBOUNDED}).findings
    assert said(problems) == [("allow", "pyproject.toml", 4)]
    assert problems[0].excerpt[problems[0].column - 1 :] == "star: wide',"


def test_an_allowance_of_a_refused_file_may_be_needed(check: Check) -> None:
    files = {"notes/one.sql": CLEAN, "notes/all.sql": UNBOUNDED.replace("n.id", "n.idd")}
    found = check('"notes/**" = "unbounded: few"', files)
    assert (said(found.errors), found.findings) == ([("refused", "sql/notes/all.sql", 3)], ())


@pytest.mark.parametrize(
    ("value", "got"),
    [("1", "int"), ("[]", "an empty list"), ("[1]", "a list with other values"), ("{ a = 'b' }", "a table")],
)
def test_an_allowance_that_is_no_text_is_an_error(check: Check, value: str, got: str) -> None:
    with pytest.raises(SettingsError) as error:
        check(f"'notes/**' = {value}", {"notes/one.sql": CLEAN})
    assert str(error.value) == (
        "pyproject.toml:2:1: 'notes/**' in [tool.plainsql.allow]: "
        f"expected a string or a list of strings, got {got}\n"
        f"    'notes/**' = {value}\n"
        "    ^\n"
        'HINT: for example "reports/**" = "unbounded: reports read whole tables"'
    )
