"""The formats for tools: annotations, and one line of JSON for each line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from plainsql.check.jsonl import describe_lines
from plainsql.check.problems import Problem
from plainsql.cli.check import annotation

T = "create table t (id int primary key, v int)"
GOOD = {"schema": T, "sql": "select v from t where id = :id"}


def described(url: str, *lines: Any) -> list[Any]:
    encoded: Iterable[bytes] = (
        line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines
    )
    return [json.loads(line) for line in describe_lines(encoded, url)]


def test_an_annotation_is_one_line_with_any_text_in_it() -> None:
    problem = Problem("refused", "a,b:c%/x.sql", 3, 8, "100 %\r\n::error::", "one\ntwo", "three: four")
    assert annotation(problem, Path.cwd()) == (
        "::error file=a%2Cb%3Ac%25/x.sql,line=3,col=8,title=plainsql refused::"
        "100 %25%0D%0A::error::%0ADETAIL: one%0Atwo%0AHINT: three: four"
    )


def test_an_annotation_of_a_whole_file_has_no_line() -> None:
    assert annotation(Problem("outdated", "q.py", 0, 0, "old"), Path.cwd()) == (
        "::error file=q.py,title=plainsql outdated::old"
    )


def test_a_line_is_answered_with_all_that_is_known(database_url: str) -> None:
    (answer,) = described(database_url, {"id": "a", **GOOD})
    assert answer == {
        "id": "a",
        "parameters": [{"name": "id", "type": "integer", "nullable": False}],
        "columns": [
            {"name": "v", "type": "integer", "nullable": True, "because": answer["columns"][0]["because"]}
        ],
        "rows": "optional",
        "reads": ["public.t"],
        "writes": [],
        "read_only": True,
        "session_safe": True,
    }


FAILING: dict[str, Any] = {
    "no JSON": b"{broken",
    "no UTF-8": b"\xff\xfe",
    "no object": [1, 2],
    "a number for SQL": {"id": 1, "schema": T, "sql": 5},
    "DDL with a mistake": {"id": 1, "schema": "create tabel x ()", "sql": "select 1 as x"},
    "DDL that no transaction takes": {"id": 1, "schema": "vacuum", "sql": "select 1 as x"},
    "a command of psql": {"id": 1, "schema": "\\connect other", "sql": "select 1 as x"},
    "COPY from nowhere": {"id": 1, "schema": f"{T}; copy t from stdin", "sql": "select v from t"},
    "DDL that ends the session": {
        "id": 1,
        "schema": "select pg_terminate_backend(pg_backend_pid())",
        "sql": "select 1 as x",
    },
    "an unknown column": {"id": 1, "schema": T, "sql": "select w from t"},
    "two statements": {"id": 1, "schema": T, "sql": "select 1; select 2"},
    "no statement": {"id": 1, "schema": T, "sql": ""},
    "a tree too deep": {"id": 1, "schema": T, "sql": f"select {'+'.join(['1'] * 20_000)} as x"},
}


def test_a_line_that_fails_stops_no_other(database_url: str) -> None:
    lines = [line for failing in FAILING.values() for line in ({"id": 0, **GOOD}, failing)]
    answers = described(database_url, *lines, {"id": 0, **GOOD})
    good, failed = answers[::2], answers[1::2]
    assert [answer["columns"] == good[0]["columns"] for answer in good] == [True] * len(good)
    for line, answer in zip(FAILING.values(), failed, strict=True):
        assert answer["error"]["message"]
        assert answer["id"] == (1 if isinstance(line, dict) else None)


@pytest.mark.parametrize(
    "schema",
    [
        "create table left_behind (a int not null); commit",
        "begin; create table left_behind (a int not null); commit",
        "commit; begin; create table left_behind (a int not null)",
    ],
)
def test_a_schema_that_commits_is_gone_with_its_line(database_url: str, schema: str) -> None:
    ask = "select a from left_behind"
    own, same, other, again = described(
        database_url,
        {"id": 0, "schema": schema, "sql": ask},
        {"id": 1, "schema": schema, "sql": ask},
        {"id": 2, "schema": "", "sql": ask},
        {"id": 3, "schema": schema, "sql": ask},
    )
    assert own["columns"] == same["columns"] == again["columns"]
    assert other["error"]["message"] == 'relation "left_behind" does not exist'
    assert "error" in described(database_url, {"id": 4, "schema": "", "sql": ask})[0]


def test_a_schema_that_commits_and_then_fails_is_gone_too(database_url: str) -> None:
    failed, after = described(
        database_url,
        {
            "id": 0,
            "schema": "create table left_behind (); commit; begin; select 1 / 0",
            "sql": "select 1 as x",
        },
        {"id": 1, "schema": "create table left_behind (a int)", "sql": "select a from left_behind"},
    )
    assert failed["error"]["sqlstate"] == "22012"
    assert "error" not in after


def test_settings_of_a_schema_end_with_it(database_url: str) -> None:
    first, second = described(
        database_url,
        {"id": 0, "schema": f"{T}; set search_path = ''", "sql": "select v from public.t"},
        {"id": 1, **GOOD},
    )
    assert first["columns"] == second["columns"]


def test_readers_at_once_do_not_wait_for_each_other(database_url: str) -> None:
    one = describe_lines(iter([json.dumps({"id": 1, **GOOD}).encode()] * 2), database_url)
    assert "error" not in json.loads(next(one))
    # The first line's transaction, with its table t, is still open.
    assert "error" not in described(database_url, {"id": 2, **GOOD})[0]
    assert len(list(one)) == 1


def test_nothing_is_left_on_the_server(database_url: str) -> None:
    described(database_url, {"id": 0, **GOOD})
    with psycopg.connect(database_url) as connection:
        names = "select count(*) from pg_database where starts_with(datname, 'plainsql_scratch_own_')"
        busy = f"{names} and not exists (select from pg_stat_activity as a where a.datid = pg_database.oid)"
        assert connection.execute(busy).fetchone() == (0,)


@pytest.mark.parametrize("id", [None, 10**30, 1.5, {"a": ["b"]}, "💡", True])
def test_an_id_comes_back_as_it_was(database_url: str, id: object) -> None:
    good, bad = described(database_url, {"id": id, **GOOD}, {"id": id, "schema": T, "sql": "selec"})
    assert good["id"] == bad["id"] == id
