"""The setting ``not_null``: columns that are never null in practice, declared once for the project."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import psycopg
import pytest

import plainsql
from plainsql import codegen
from plainsql.check.project_check import ProjectCheck, check_project
from plainsql.settings import Project

SCHEMA = """
create table people (id bigint primary key, email text not null, nick text, note text);
create table orders (id bigint primary key, person bigint references people, note text);
create view seen as select id, nick as name from people;
"""


def check(folder: Path, url: str, sql: str, *names: str, header: str = "") -> ProjectCheck:
    listed = ", ".join(f'"{name}"' for name in names)
    for name, text in {
        "pyproject.toml": f"[project]\nname = 'it'\n[tool.plainsql]\nnot_null = [{listed}]\n",
        "migrations/0001_people.sql": SCHEMA,
        "sql/people/it.sql": f"-- It.\n-- returns: optional It\n{header}{sql}\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return check_project(Project.load(folder), url)


def nullable(folder: Path, url: str, sql: str, *names: str, header: str = "") -> dict[str, bool]:
    found = check(folder, url, sql, *names, header=header)
    assert found.errors == ()
    assert found.findings == ()
    (statement,) = found.inspection.checked
    return {column.name: column.nullable for column in statement.analysis.columns}


@pytest.mark.parametrize(
    ("sql", "names", "expected"),
    [
        ("select p.nick, p.note from people as p where p.id = 1", ["public.people.nick"], [False, True]),
        ("select p.nick, p.note from people as p where p.id = 1", ["people.note"], [True, False]),
        ("select lower(p.nick) as n from people as p where p.id = 1", ["people.nick"], [False]),
        ("select s.name from seen as s where s.id = 1", ["people.nick"], [False]),
        ("select s.name from seen as s where s.id = 1", ["seen.name"], [False]),
        ("select p.nick from people as p where p.id = 1", ["seen.name"], [True]),
        (
            "select p.email from orders as o left join people as p on p.id = o.person where o.id = 1",
            ["orders.person"],
            [False],
        ),
        (
            "select p.nick from orders as o left join people as p on p.id = o.id where o.id = 1",
            ["people.nick"],
            [True],
        ),
    ],
)
def test_a_declared_column_is_never_null(
    tmp_path: Path, database_url: str, sql: str, names: list[str], expected: list[bool]
) -> None:
    assert list(nullable(tmp_path, database_url, sql, *names).values()) == expected


def test_the_answer_follows_the_setting_although_it_is_cached(tmp_path: Path, database_url: str) -> None:
    sql = "select p.nick from people as p where p.id = 1"
    assert nullable(tmp_path, database_url, sql) == {"nick": True}
    assert nullable(tmp_path, database_url, sql, "people.nick") == {"nick": False}
    assert nullable(tmp_path, database_url, sql) == {"nick": True}


def test_the_header_wins(tmp_path: Path, database_url: str) -> None:
    sql = "select p.nick from people as p where p.id = 1"
    header = "-- column nick: nullable\n"
    assert nullable(tmp_path, database_url, sql, "people.nick", header=header) == {"nick": True}


def test_a_parameter_that_is_written_there_refuses_none(tmp_path: Path, database_url: str) -> None:
    sql = "update people as p set nick = :nick, note = :note where p.id = 1 returning p.id"
    (statement,) = check(tmp_path, database_url, sql, "people.nick").inspection.checked
    assert {fact.name: fact.nullable for fact in statement.analysis.parameters} == {
        "nick": False,
        "note": True,
    }


def test_an_insert_that_leaves_it_out_is_no_finding(tmp_path: Path, database_url: str) -> None:
    found = check(
        tmp_path, database_url, "insert into people (id, email) values (1, 'x') returning id", "people.nick"
    )
    assert found.errors == found.findings == ()


def test_a_null_that_arrives_anyway_is_an_error(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = "select p.nick, p.note from people as p where p.id = 1"
    found = check(tmp_path, database_url, sql, "people.nick")
    project = Project.load(tmp_path)
    codegen.write(found.files, project.output_folder)
    monkeypatch.syspath_prepend(str(tmp_path))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
        connection.execute("insert into people values (1, 'a', null, null)")
    queries = importlib.import_module("queries.people")
    try:
        with plainsql.sync.connect(database_url) as db:
            with pytest.raises(plainsql.DecodeError, match="nick"):
                queries.it(db)
            db.connection.execute("update people set nick = 'n'")
            assert queries.it(db).nick == "n"
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "queries"]:
            del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("people.nik", "did you mean people.nick?"),
        ("public.people.nik", "did you mean public.people.nick?"),
        ("persons.nick", "write schema.table.column, or table.column"),
        ("nick", "write schema.table.column, or table.column"),
        ("", "write schema.table.column, or table.column"),
    ],
)
def test_a_name_that_matches_no_column_is_an_error(
    tmp_path: Path, database_url: str, name: str, hint: str
) -> None:
    with pytest.raises(plainsql.SettingsError) as caught:
        check(tmp_path, database_url, "select p.id from people as p where p.id = 1", name)
    assert f"there is no column {name!r}" in str(caught.value)
    assert caught.value.hint == hint
    assert caught.value.place is not None
    assert caught.value.place.line == 4


def test_a_column_that_is_not_null_anyway_is_reported(tmp_path: Path, database_url: str) -> None:
    sql = "select p.id from people as p where p.id = 1"
    (found,) = check(tmp_path, database_url, sql, "people.nick", "people.email").findings
    assert (found.name, found.line, found.column) == ("settings", 4, 28)
    assert found.hint == "remove it"
