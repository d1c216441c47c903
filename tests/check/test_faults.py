"""A fault of plainsql in one query is reported with its file, and the other queries are still checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import plainsql
from plainsql.analysis import Analyser
from plainsql.check import problems
from plainsql.check.project_check import check_project
from plainsql.cli.app import main
from plainsql.codegen import modules
from plainsql.codegen import render as rendering
from plainsql.errors import SqlFileError
from plainsql.settings import Project
from plainsql.statements import catalog
from tests.check.conftest import NOTES, Write

QUERIES = {
    "deep.sql": "-- Stumbles.\n-- returns: value\nselect 1 as deep\n",
    "good.sql": "-- Holds.\n-- returns: value\nselect 1 as good\n",
    "wrong.sql": "-- Refused.\n-- returns: value\nselect nope\n",
    "many.sql": "-- Found.\n-- returns: many value\nselect n.id\nfrom notes as n\n",
    "unread.sql": "-- Unread.\n-- retruns: value\nselect 1\n",
}

STEPS: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "reading": (catalog, "parse", lambda text, **_: "deep" in text),
    "analysing": (Analyser, "analyse", lambda _, sql, *rest, **__: "deep" in sql),
    "finding": (problems, "unbound_encryption", lambda statement, _: statement.name == "notes.deep"),
    "planning": (modules, "_plan_function", lambda item, *_: item.statement.name == "notes.deep"),
    "rendering": (
        rendering,
        "query_docstring",
        lambda function, _: function.statement.name == "notes.deep",
    ),
}
"""The steps that a query goes through: the function that is called, and whether a call is about the query."""


@pytest.fixture
def project(migrations: Write, tmp_path: Path) -> Project:
    migrations(NOTES)
    (tmp_path / "sql" / "notes").mkdir(parents=True)
    for name, text in QUERIES.items():
        (tmp_path / "sql" / "notes" / name).write_text(text)
    return Project(root=tmp_path)


def stumble(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Make one step raise an unforeseen error for one query."""
    home, name, is_meant = STEPS[step]
    original = getattr(home, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        if is_meant(*args, **kwargs):
            raise RecursionError("a secret value")
        return original(*args, **kwargs)

    monkeypatch.setattr(home, name, call)


@pytest.mark.parametrize("step", STEPS)
def test_the_other_queries_are_still_checked(
    project: Project, database_url: str, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    stumble(monkeypatch, step)
    found = check_project(project, database_url)
    assert [(error.name, Path(error.path).name) for error in found.errors] == [
        ("sql-file" if step == "reading" else "fault", "deep.sql"),
        ("sql-file", "unread.sql"),
        ("refused", "wrong.sql"),
    ]
    assert [(finding.name, Path(finding.path).name) for finding in found.findings] == [
        ("unbounded", "many.sql")
    ]
    fault = found.errors[0]
    assert fault.hint == "report it to the project, with this file: it is a fault of plainsql"
    assert fault.detail is not None
    assert fault.detail.startswith("RecursionError")
    assert "secret" not in str(fault)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("command", [["check"], ["check", "--format", "json"], ["generate"]])
def test_no_traceback_is_shown(
    project: Project,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    step: str,
) -> None:
    stumble(monkeypatch, step)
    monkeypatch.chdir(project.root)
    assert main([*command, "--scratch", database_url]) == 1
    said = "".join(capsys.readouterr())
    assert "Traceback" not in said
    assert "deep.sql" in said
    assert "wrong.sql" in said


def test_describe_names_the_file(
    project: Project,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stumble(monkeypatch, "analysing")
    monkeypatch.chdir(project.root)
    assert main(["describe", "notes.deep", "--scratch", database_url]) == 1
    assert "sql/notes/deep.sql:3:1: this query cannot be checked [fault]" in "".join(capsys.readouterr())


def test_loading_names_the_file(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (project.sql_folder / "notes" / "unread.sql").unlink()
    stumble(monkeypatch, "reading")
    with pytest.raises(SqlFileError, match=r"deep\.sql: this file cannot be read") as caught:
        plainsql.load(project.sql_folder)
    assert isinstance(caught.value.__cause__, RecursionError)


def test_a_fault_of_no_single_query_is_reported_for_the_folder(
    project: Project, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = modules.plan_modules

    def plan(checked: Any, *others: Any, **options: Any) -> Any:
        if len(checked) > 1:
            raise RecursionError
        return original(checked, *others, **options)

    monkeypatch.setattr("plainsql.codegen.plan_modules", plan)
    names = [(error.name, error.path) for error in check_project(project, database_url).errors]
    assert ("fault", "sql") in names
    assert len(names) == 3
