"""Features that the embedded build lacks: the error names the setting that points to another server."""

from __future__ import annotations

from pathlib import Path

import pytest

from plainsql.analysis.missing_features import server_hint
from plainsql.check.project_check import check_project
from plainsql.errors import PlainsqlError
from plainsql.settings import Project

HINT = "set scratch in [tool.plainsql] to the URL of a PostgreSQL "


def project(folder: Path, migration: str, query: str = "select 1 as n") -> Project:
    for name, text in {
        "migrations/0001_it.sql": migration,
        "sql/notes/it.sql": f"-- It.\n-- returns: one It\n{query}\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return Project(root=folder)


@pytest.mark.parametrize(
    ("migration", "server"),
    [
        ("create collation x (provider = icu, locale = 'und');", "with ICU"),
        ("create extension pgcrypto;", "that has pgcrypto"),
        ('create extension "uuid-ossp";', "that has uuid-ossp"),
        ("create table t (a text compression lz4);", "with lz4"),
        ("create view v as select xmlelement(name a) as x;", "with libxml"),
        ("create collation x (provider = libc, locale = 'xx_XX.utf8');", "with the locale xx_XX.utf8"),
    ],
)
def test_a_migration_names_the_server_that_it_needs(
    tmp_path: Path, database_url: str, migration: str, server: str
) -> None:
    with pytest.raises(PlainsqlError) as caught:
        check_project(project(tmp_path, migration), database_url)
    assert caught.value.hint == f"{HINT}{server}"


@pytest.mark.parametrize(
    ("query", "server"),
    [
        ("select xmlelement(name a)::text as n", "with libxml"),
        ("select 'a' collate \"de-x-icu\" as n", "with ICU"),
    ],
)
def test_a_query_names_the_server_that_it_needs(
    tmp_path: Path, database_url: str, query: str, server: str
) -> None:
    (problem,) = check_project(project(tmp_path, "create table t (a int);", query), database_url).errors
    assert problem.hint == f"{HINT}{server}"


def test_another_refusal_has_no_such_hint(tmp_path: Path, database_url: str) -> None:
    (problem,) = check_project(
        project(tmp_path, "create table t (a int);", "select b from t"), database_url
    ).errors
    assert problem.hint is None or "scratch" not in problem.hint
    assert server_hint('extension "x" already exists') is None
