"""Vectors in generated modules: columns as arrays, distances that are not null, values of any class."""

from __future__ import annotations

import asyncio
import importlib
import json
from array import array
from collections.abc import Iterator
from typing import Any

import msgspec
import psycopg
import pytest

import plainsql
from plainsql import BindError, codegen
from plainsql.check.project_check import check_project
from plainsql.settings import Project
from plainsql.testing import Databases
from plainsql.types import BitString
from plainsql.vector import HalfVector, Vector
from tests.codegen.conftest import Sides

numpy = pytest.importorskip("numpy")

SCHEMA = """
create extension vector;
create table notes (
  id bigint primary key, e vector(3) not null, h halfvec(3), s sparsevec(3), several vector(3)[] not null,
  b bit(3) not null
);
"""
ROWS = """
insert into notes values
  (1, '[1,2,3]', '[1,2,3]', '{1:1.5}/3', '{"[1,2,3]","[4,5,6]"}', '101'),
  (2, '[3,2,1]', null, null, '{}', '010');
"""
FILES = {
    "migrations/0001_all.sql": SCHEMA,
    "sql/n/arrays.sql": """-- Notes.
-- returns: many Note
-- column e: ndarray
-- column h: ndarray
-- column s: ndarray
-- column several: list[ndarray]
select n.id, n.e, n.h, n.s, n.several from notes as n order by n.id
""",
    "sql/n/nearest.sql": """-- Near.
-- returns: many Near
select n.id, n.e, n.h, n.e <=> :q as distance, n.h <-> :h as half, n.b <~> :b as hamming,
  l2_distance(n.e, :q) as far
from notes as n order by n.e <=> :q, n.id
limit 10
""",
}


@pytest.fixture(scope="module")
def n(tmp_path_factory: pytest.TempPathFactory, database_url: str) -> Iterator[Any]:
    """The generated module."""
    root = tmp_path_factory.mktemp("arrays")
    folder = Project(root=root, output="arrays_of_numpy")
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    found = check_project(folder, database_url)
    assert [str(error) for error in found.errors] == []
    codegen.write(found.files, folder.output_folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(root)
        yield importlib.import_module("arrays_of_numpy.n")


@pytest.fixture(scope="module")
def notes(plainsql_databases: Databases) -> Iterator[Sides]:
    """The rows, over both drivers."""
    with plainsql_databases.clone() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute((SCHEMA + ROWS).encode())
        with asyncio.Runner() as runner, plainsql.sync.connect(url) as second:
            first = runner.run(plainsql.connect(url, min_size=1, max_size=2)._open())
            try:
                yield Sides(runner, first, second)
            finally:
                runner.run(first.close())


def test_columns_are_arrays_and_distances_are_not_null(n: Any, notes: Sides) -> None:
    for rows in (notes.run(n.arrays), n.arrays(notes.sync)):
        first, second = rows
        assert [each.dtype.name for each in (first.e, first.h, first.s)] == ["float32", "float16", "float32"]
        assert [each.tolist() for each in (first.e, first.h, first.s)] == [[1, 2, 3], [1, 2, 3], [1.5, 0, 0]]
        assert [each.tolist() for each in first.several] == [[1, 2, 3], [4, 5, 6]]
        assert (second.h, second.s, second.several) == (None, None, [])
        first.e[0] = 7.0  # its own numbers
        assert json.loads(plainsql.to_json(first))["e"] == [7, 2, 3]

    fields = {field.name: field.type for field in msgspec.structs.fields(n.Near)}
    assert fields["distance"] is fields["far"] is fields["hamming"] is float
    assert fields["half"] == float | None  # as the column is


def test_any_array_of_the_numbers_is_one_value(n: Any, notes: Sides) -> None:
    bits = BitString.from_int(0b100, 3)
    expected = notes.ask(n.nearest, q=Vector([1, 2, 3]), h=HalfVector([1, 2, 3]), b=bits)
    assert [(row.id, row.hamming, row.half) for row in expected] == [(1, 1.0, 0.0), (2, 2.0, None)]
    assert hash(expected[0]) == hash(notes.ask(n.nearest, q=[1, 2, 3], h=[1, 2, 3], b=bits)[0])
    assert numpy.asarray(expected[0].e).tolist() == [1, 2, 3]
    assert json.loads(plainsql.to_json(expected[0]))["h"] == [1, 2, 3]
    given: Any
    for given in ([1, 2, 3], (1.0, 2.0, 3.0), array("d", [1, 2, 3]), numpy.array([1, 2, 3])):
        for b in ("100", [True, False, False], numpy.array([True, False, False])):
            assert notes.ask(n.nearest, q=given, h=given, b=b) == expected


def test_a_value_that_is_none_is_refused_unsent(n: Any, notes: Sides) -> None:
    refused: list[dict[str, Any]] = [
        {"q": None},
        {"b": None},
        {"b": numpy.array([1, 0, 0])},
        {"b": numpy.array([1.0, 0, 0])},
        {"b": numpy.array([[True]])},
        {"b": [1, 0, 0]},
        {"b": "10x"},
        {"q": numpy.array(["1", "2", "3"])},
        {"q": {0: 1.0}},
    ]
    for given in refused:
        error = notes.refused(n.nearest, BindError, **({"q": [1, 2, 3], "h": [1, 2, 3], "b": "100"} | given))
        assert f"n.nearest: {next(iter(given))}: expected " in str(error)
