"""The project's search path, where queries are checked, and the hint for names that other schemas have."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from plainsql.check.jsonl import describe_lines
from plainsql.check.project_check import ProjectCheck, check_project
from plainsql.cli.app import main
from plainsql.errors import OptionError, SettingsError
from plainsql.search_path import quoted_path, read_search_path
from plainsql.settings import Project

Check = Callable[..., ProjectCheck]

SCHEMA = """
create schema music;
create table music.artist (id int primary key, name text not null);
create type music.mood as enum ('calm');
create function music.half(n int) returns int language sql immutable as 'select n / 2';
create schema one;
create schema two;
create table one.twice (id int primary key);
create table two.twice (id int primary key);
create schema "Odd one";
create table "Odd one"."Table" (id int primary key);
"""
ARTIST = "-- returns: optional value\nselect name from artist where id = :id\n"


@pytest.fixture
def check(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Check queries of a folder with the schema, with a search path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "0001_music.sql").write_text(SCHEMA)

    def check(search_path: str = "", **queries: str) -> ProjectCheck:
        for name, text in queries.items():
            path = tmp_path / "sql" / f"{name}.sql"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return check_project(Project(root=tmp_path, search_path=search_path), database_url)

    return check


def test_names_are_looked_up_in_the_path(check: Check) -> None:
    (error,) = check(artist=ARTIST).errors
    assert error.message.startswith('relation "artist" does not exist')
    # The analyses of the other path are not taken from the cache.
    found = check(search_path="music, public")
    assert found.errors == ()
    (checked,) = found.inspection.checked
    assert [str(column.origin) for column in checked.analysis.columns] == ["music.artist.name"]
    assert len(check().errors) == 1


def test_one_path_gets_no_analysis_of_another(check: Check) -> None:
    twice = "-- returns: many value\nselect id from twice order by id limit 5\n"
    origins = []
    for path in ("one", "two", "two, one", "one"):
        (checked,) = check(search_path=path, twice=twice).inspection.checked
        origins.append(str(checked.analysis.columns[0].origin))
    assert origins == ["one.twice.id", "two.twice.id", "two.twice.id", "one.twice.id"]


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        (ARTIST, 'write music.artist, or set search_path = "music, public" in [tool.plainsql]'),
        (
            "-- returns: value\nselect half(:n)\n",
            'write music.half, or set search_path = "music, public" in [tool.plainsql]',
        ),
        (
            "-- returns: value\nselect :mood::mood as mood\n",
            'write music.mood, or set search_path = "music, public" in [tool.plainsql]',
        ),
        (
            "-- returns: value\nselect count(*) as n from twice\n",
            "write one.twice or two.twice: 2 schemas have one; or set search_path in [tool.plainsql]",
        ),
        (
            '-- returns: value\nselect count(*) as n from "Table"\n',
            """write "Odd one"."Table", or set search_path = '"Odd one", public' in [tool.plainsql]""",
        ),
    ],
)
def test_a_name_that_another_schema_has_is_written_in_the_hint(
    check: Check, tmp_path: Path, query: str, hint: str
) -> None:
    (error,) = check(some=query).errors
    assert error.hint == hint
    if "or set search_path = " in hint:  # as the hint says
        line = hint.partition("or set ")[2].removesuffix(" in [tool.plainsql]")
        (tmp_path / "pyproject.toml").write_text(f"[tool.plainsql]\n{line}\n")
        assert check(search_path=Project.load(tmp_path).search_path).errors == ()


@pytest.mark.parametrize(
    "query",
    [
        "-- returns: value\nselect count(*) as n from nowhere\n",
        "-- returns: value\nselect count(*) as n from two.artist\n",
        "-- returns: value\nselect music.half('x'::text) as n\n",
        "-- returns: value\nselect 1 + 'x'::text as n\n",
    ],
)
def test_other_refusals_name_no_search_path(check: Check, query: str) -> None:
    (error,) = check(some=query).errors
    assert "search_path" not in (error.hint or "")


def test_a_schema_that_does_not_exist_is_named(check: Check) -> None:
    with pytest.raises(SettingsError, match="the scratch database has no schema 'musik'") as caught:
        check(search_path="musik, public", artist=ARTIST)
    assert caught.value.hint == "the schemas are Odd one, music, one, public, two"
    assert check(search_path='music, "$user"', artist=ARTIST).errors == ()


def test_the_path_does_not_apply_to_migrations(check: Check, tmp_path: Path) -> None:
    (tmp_path / "migrations" / "0002_more.sql").write_text("create table placed (id int primary key);")
    query = "-- returns: value\nselect count(*) as n from public.placed\n"
    assert check(search_path="music", placed=query).errors == ()


def test_the_commands_use_it(
    tmp_path: Path,
    check: Check,
    fresh_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", fresh_database_url)
    monkeypatch.setenv("PLAINSQL_SCRATCH_URL", fresh_database_url)
    (tmp_path / "pyproject.toml").write_text("[tool.plainsql]\nsearch_path = 'music, public'\n")
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql" / "artist.sql").write_text(ARTIST)
    with psycopg.connect(fresh_database_url) as connection:
        connection.execute(SCHEMA.encode())
        connection.execute("insert into music.artist values (1, 'Nina')")
    assert main(["generate"]) == 0
    assert main(["check"]) == 0
    capsys.readouterr()
    assert main(["describe", "artist", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["columns"][0]["from"] == "music.artist.name"
    assert main(["run", "artist", "id=1", "--json"]) == 0
    assert capsys.readouterr().out == '"Nina"\n'
    line = json.dumps({"id": 1, "schema": SCHEMA, "sql": "select name from artist"})
    (described,) = [json.loads(each) for each in describe_lines([line.encode()])]
    assert described["columns"][0]["name"] == "name"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ()),
        ("shop", ("shop",)),
        (' Shop ,"Shop" , "a, b"', ("shop", "Shop", "a, b")),
        ('"$user", public', ("$user", "public")),
        ('"a""b"', ('a"b',)),
    ],
)
def test_a_path_is_read_as_postgresql_reads_it(text: str, names: tuple[str, ...], database_url: str) -> None:
    assert read_search_path(text, "x") == names
    assert read_search_path(quoted_path(names), "x") == names
    with psycopg.connect(database_url) as connection:
        for name in names:
            if name != "$user":
                connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(name)))
        connection.execute("select set_config('search_path', %s, true)", [quoted_path(names)])
        (found,) = connection.execute("select current_schemas(false)::text[]").fetchone() or ([],)
        assert found == [name for name in names if name != "$user"]
        connection.rollback()


@pytest.mark.parametrize("text", [",", "a,", "a b", "a;b", '"a', '""', "1a", "a,,b", "'a'", "x" * 64])
def test_a_path_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match=r"search_path in .*: expected names of schemas with commas"):
        read_search_path(text, "search_path in [tool.plainsql]")


def test_a_wrong_path_is_refused_before_anything_is_built(check: Check) -> None:
    with pytest.raises(OptionError, match=r"search_path in \[tool.plainsql\]: expected names"):
        check(search_path="a b", artist=ARTIST)
