"""The cache of analyses between two checks: it holds nothing that is out of date."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import psycopg
import pytest
from psycopg import sql

import plainsql.analysis
from plainsql.analysis import Analyser
from plainsql.check.analysis_cache import _modules_in
from plainsql.check.project_check import ProjectCheck, check_project
from plainsql.settings import Project
from tests.check.conftest import Write

SCHEMA = {"0001_notes.sql": "create table notes (id int primary key, stars int, text text not null);"}


@pytest.fixture
def project(migrations: Write, tmp_path: Path) -> Project:
    migrations(SCHEMA)
    (tmp_path / "sql" / "notes").mkdir(parents=True)
    return Project(root=tmp_path)


def write(project: Project, where: str, header: str = "") -> None:
    text = f"-- It.\n-- returns: many value\n{header}select n.stars\nfrom notes as n\nwhere {where}\n"
    (project.sql_folder / "notes" / "get.sql").write_text(text)


def analysed(project: Project, url: str, *, no_cache: bool = False) -> tuple[ProjectCheck, int]:
    """Check a project; return the result and the number of statements analysed."""
    with patch.object(Analyser, "analyse", autospec=True, side_effect=Analyser.analyse) as counted:
        found = check_project(project, url, no_cache=no_cache)
    assert [str(error) for error in found.errors] == []
    return found, counted.call_count


def test_an_unchanged_statement_is_not_analysed_again(project: Project, database_url: str) -> None:
    write(project, "n.id = :id")
    assert analysed(project, database_url)[1] == 1
    assert analysed(project, database_url)[1] == 0


def test_a_parameter_that_is_called_otherwise_is_analysed_again(project: Project, database_url: str) -> None:
    # The text that is sent has numbers for names.
    write(project, "n.id = :id")
    analysed(project, database_url)
    write(project, "n.id = :note_id")
    found, count = analysed(project, database_url)
    assert count == 1
    assert "def get(*, note_id: int)" in next(iter(found.files.values()))


def test_parameters_that_change_places_change_their_types(project: Project, database_url: str) -> None:
    write(project, "n.id = :a and n.text = :b")
    analysed(project, database_url)
    write(project, "n.id = :b and n.text = :a")
    assert "def get(*, b: int, a: str)" in next(iter(analysed(project, database_url)[0].files.values()))


def test_a_header_is_read_again_and_costs_no_analysis(project: Project, database_url: str) -> None:
    write(project, "n.id = :id")
    before, _ = analysed(project, database_url)
    write(project, "n.id = :id", "-- column stars: not null\n")
    after, count = analysed(project, database_url)
    assert count == 0
    assert "many[int | None, " in next(iter(before.files.values()))
    assert "many[int, " in next(iter(after.files.values()))


def test_no_cache_analyses_everything_and_fills_the_cache(project: Project, database_url: str) -> None:
    write(project, "n.id = :id")
    analysed(project, database_url)
    memory = project.root / ".plainsql" / "review.msgpack"
    memory.write_bytes(memory.read_bytes().replace(b"stars", b"lies!"))
    assert analysed(project, database_url, no_cache=True)[1] == 1
    assert b"lies!" not in memory.read_bytes()


@pytest.mark.parametrize("content", [b"", b"\x00", b"\x81\xa1x\x91\xc0", b"\xd9\x02\xff\xfe", b"\x91" * 5000])
def test_a_memory_that_is_damaged_is_none(project: Project, database_url: str, content: bytes) -> None:
    write(project, "n.id = :id")
    analysed(project, database_url)
    (project.root / ".plainsql" / "review.msgpack").write_bytes(content)
    assert analysed(project, database_url)[1] == 1


def test_another_search_path_is_another_answer(project: Project, fresh_database_url: str) -> None:
    write(project, "n.id = :id")
    analysed(project, fresh_database_url)
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        connection.execute("create role somebody superuser login")
        connection.execute("alter role somebody set search_path = public, pg_temp")
    other = fresh_database_url.replace("postgres@", "somebody@").replace("user=postgres", "user=somebody")
    try:
        assert other != fresh_database_url
        assert analysed(project, other)[1] == 1
    finally:
        with psycopg.connect(fresh_database_url, autocommit=True) as connection:
            connection.execute("reassign owned by somebody to current_user")
            connection.execute("drop owned by somebody")
            for (name,) in connection.execute(
                "select datname from pg_database as d join pg_roles as r on r.oid = d.datdba"
                " where rolname = 'somebody'"
            ).fetchall():
                connection.execute(
                    sql.SQL("alter database {} owner to current_user").format(sql.Identifier(name))
                )
            connection.execute("drop role somebody")


def test_the_key_covers_every_module_of_the_analysis() -> None:
    """A change of any of them makes cached analyses out of date, those in its folders included."""
    folder = Path(plainsql.analysis.__file__).parent
    modules = {file.relative_to(folder) for file in folder.rglob("*") if file.suffix in (".py", ".tsv")}
    assert Path("catalog", "relations.py") in modules
    assert {Path(str(module)).relative_to(folder) for module in _modules_in(folder)} == modules
