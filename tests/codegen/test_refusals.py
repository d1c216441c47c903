"""The refusals of queries from which no module can be generated, word by word."""

from __future__ import annotations

from pathlib import Path

import pytest

from plainsql.check.project_check import check_project
from tests.codegen.conftest import project

REFUSED = {
    "columns of a count": (
        "-- returns: count\nselect 1 as one\n",
        "returns columns (one), but its header says 'returns: count'",
        "drop the columns, or declare 'returns: many …'",
    ),
    "no columns": (
        "-- returns: many Dish\ndelete from dishes where id = :id\n",
        "returns no columns, but its header says 'returns: many Dish'",
        "declare 'returns: count', or add a 'returning' clause",
    ),
    "two columns of a value": (
        "-- returns: value\nselect 1 as one, 2 as two\n",
        "returns 2 columns, but its header says 'returns: value', which is one column",
        "name a row instead: 'returns: one Thing'",
    ),
    "no name": (
        "-- returns: one Sum\nselect 1 + 1\n",
        "column 1 is called '?column?', which cannot be the name of a field",
        "declare 'returns: value': it is the only column",
    ),
    "a keyword": (
        "-- returns: one Sum\nselect 1 as class\n",
        "column 1 is called 'class', which cannot be the name of a field",
        "give it an alias: as class_",
    ),
    "one name twice": (
        "-- returns: one Sum\nselect 1 as id, 2 as id\n",
        "two columns are called 'id'",
        "give one of them an alias",
    ),
    "nested columns apart": (
        '-- returns: one Pair\nselect 1 as "a.id", 2 as id, 3 as "a.name"\n',
        "the columns of 'a' are not next to each other",
        'move "a.name" to the other columns of "a"',
    ),
    "a default of another type": (
        "-- returns: count\n-- param id: = 'x'\ndelete from dishes where id = :id\n",
        "the default of id is no bigint, which is its type",
        "defaults are numbers, texts, labels, true, false or null; else, use coalesce in the SQL",
    ),
    "a fraction for an integer": (
        "-- returns: count\n-- param id: 0..9 = 2.5\ndelete from dishes where id = :id\n",
        "the default of id is no bigint, which is its type",
        "defaults are numbers, texts, labels, true, false or null; else, use coalesce in the SQL",
    ),
    "another row of the same name": (
        "-- returns: one Dish\nselect d.id, d.stars from dishes as d limit 1\n",
        "its Dish differs from the Dish of ",
        "select the same columns in the same order, or name another row in 'returns:'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_with_its_place(copy: Path, database_url: str, case: str) -> None:
    text, message, hint = REFUSED[case]
    (copy / "sql" / "kitchen" / "zz.sql").write_text(f"-- It.\n{text}")
    (problem,) = check_project(project(copy), database_url).errors
    assert problem.message.startswith(f"kitchen.zz: {message}")
    assert (problem.name, problem.hint) == ("contract", hint)
    assert problem.path.endswith("sql/kitchen/zz.sql")
    assert problem.line > 1
    assert problem.column


def test_files_at_the_top_and_a_folder_queries_do_not_share_a_module(copy: Path, database_url: str) -> None:
    (copy / "sql" / "queries").mkdir()
    (copy / "sql" / "queries" / "pong.sql").write_text((copy / "sql" / "ping.sql").read_text())
    (problem,) = check_project(project(copy), database_url).errors
    assert problem.message == (
        "the files at the top of the SQL folder and its folder queries make one module, queries"
    )
    assert problem.path.endswith("sql/ping.sql")
