"""Null and void: a null for a parameter that refuses it, a null that the header denies, a void result."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import plainsql
from plainsql.settings import Project
from tests.codegen.conftest import Load, Made, Sides, of_schema, query


def test_a_void_result_is_none_once(load: Load, sides: Sides) -> None:
    module = load(
        "a",
        of_schema(
            {
                "a/value.sql": query("nothing_at_all(:x)", "value"),
                "a/maybe.sql": query("nothing_at_all(:x)", "optional value"),
                "a/all.sql": query("nothing_often(:x)", "many value"),
                "a/of_rows.sql": query("*", "many value", tail="from nothing_at_all(:x)\n"),
                "a/row.sql": query("nothing_at_all(:x) as v, 1 as w", "one Thing"),
                "a/locked.sql": query("pg_advisory_xact_lock(:x)", "value"),
                "a/denied.sql": query("nothing_at_all(:x)", "value", "-- column nothing_at_all: not null\n"),
                "a/count.sql": query("nothing_at_all(:x)", "count"),
                "a/counts.sql": query("nothing_at_all(:x), nothing_at_all(:x)", "count"),
            }
        ),
    )
    for name in ("value", "maybe", "locked", "denied"):
        assert sides.ask(getattr(module, name), x=1) is None
    assert sides.ask(module.all, x=1) == []
    assert sides.ask(module.of_rows, x=1) == [None]
    assert sides.ask(module.row, x=1) == module.Thing(None, 1)
    assert sides.ask(module.count, x=1) == sides.ask(module.counts, x=1) == 1
    assert module.Thing.__annotations__["v"] == "None"


def test_loaded_queries_know_nothing_too(folder: Project, make: Made, sides: Sides) -> None:
    make(
        {
            "sql/value.sql": query("nothing_at_all(:x)", "value"),
            "sql/row.sql": query("nothing_at_all(:x) as v, 1 as w", "one Thing"),
            "sql/denied.sql": query("nothing_at_all(:x)", "value", "-- column nothing_at_all: not null\n"),
            "sql/count.sql": query("nothing_at_all(:x)", "count"),
        }
    )
    queries = plainsql.load(folder.sql_folder)
    assert sides.ask(queries.value, x=1) is sides.ask(queries.denied, x=1) is None
    assert sides.ask(queries.row, x=1).v is None
    assert sides.ask(queries.count, x=1) == 1


def test_a_count_of_columns_that_hold_something_is_refused(make: Made) -> None:
    (problem,) = make(of_schema({"a/q.sql": query("nothing_at_all(1), 1 as one", "count")})).errors
    assert "returns columns (nothing_at_all, one)" in problem.message


PARAMETERS = {
    "a/get.sql": query("d.id", "optional value", tail="from dishes as d\nwhere d.id = :id\n"),
    "a/search.sql": query(
        "d.id",
        "many value",
        "-- param least: 1..5 = 1\n",
        "from dishes as d\nwhere d.stars >= :least\n  and d.cook_id = :cook  --?\n"
        "order by d.id --? order=up\norder by d.id desc --? order=down\nlimit 9\n",
    ),
    "a/add.sql": (
        "-- It.\n-- returns: value\n"
        "insert into dishes (id, cook_id, stars) values (:id, :cook, :stars)\nreturning id\n"
    ),
    "a/put.sql": (
        "-- It.\n-- returns: count\nupdate dishes\nset stars = :stars, cook_id = :cook\nwhere id = :id\n"
    ),
}


def test_a_null_is_refused_before_anything_is_sent(load: Load, sides: Sides) -> None:
    module = load("a", of_schema(PARAMETERS))
    error = sides.refused(module.get, plainsql.BindError, id=None)
    assert error.message == "a.get: id: expected int, got None"
    assert error.hint == "plainsql describe a.get says why it cannot be null"
    error = sides.refused(module.search, plainsql.BindError, least=None, cook=None, order="up")
    assert error.message == "a.search: least: expected int, got None; cook: expected int, got None"
    error = sides.refused(module.put, plainsql.BindError, stars=None, cook=None, id=1)
    assert error.message == "a.put: stars: expected int, got None"
    # A parameter that may be null accepts null, and one that is not given is not checked.
    assert sides.run(lambda db: module.put(db, stars=1, cook=None, id=1)) == 1
    assert sides.ask(module.search, order="up") == [1, 2, 3]


def test_a_null_is_refused_however_a_query_is_run(load: Load, sides: Sides) -> None:
    module = load("a", of_schema(PARAMETERS))
    sets = [{"id": 10, "cook": None, "stars": 1}, {"id": 11, "cook": None, "stars": None}]

    async def first(rows: Any) -> Any:
        return await anext(rows)

    uses: list[Callable[[plainsql.Database], Awaitable[Any]]] = [
        lambda db: module.add.batch(db, sets),
        lambda db: module.add.execute_many(db, sets),
        lambda db: first(module.get.stream(db, id=None)),
    ]
    for use in uses:
        with pytest.raises(plainsql.BindError, match="expected int, got None"):
            sides.run(use)
    with pytest.raises(plainsql.BindError, match="expected int, got None"):
        list(module.get.stream(sides.sync, id=None))

    async def in_a_transaction(db: plainsql.Database) -> Any:
        async with db.transaction() as tx:
            await module.get(tx, id=None)

    with pytest.raises(plainsql.BindError, match=r"a\.get: id: expected int, got None"):
        sides.run(in_a_transaction)
    assert sides.ask(module.get, id=10) is None


def test_values_with_their_own_equality_are_not_compared_with_null(load: Load) -> None:
    numpy = pytest.importorskip("numpy")
    module = load(
        "a",
        {
            "migrations/0001_all.sql": (
                "create extension vector; create table notes (id int primary key, e vector(3));"
            ),
            "sql/a/near.sql": query(
                "n.id", "many value", tail="from notes as n\norder by n.e <=> :to, n.id\nlimit 3\n"
            ),
        },
    )
    vector = numpy.zeros(3)
    assert module.near.compiled.bind((), {"to": vector})[0] is vector
    with pytest.raises(plainsql.BindError, match=r"to: expected Vector \| Sequence"):
        module.near.compiled.bind((), {"to": None})


CLAIMED = {
    "a/row.sql": query(
        "c.id, c.mail",
        "many Cook",
        "-- column mail: not null\n",
        "from cooks as c\norder by c.id desc\nlimit 9\n",
    ),
    "a/one.sql": query(
        "c.id, c.mail", "one Cook", "-- column mail: not null\n", "from cooks as c\nwhere c.id = :id\n"
    ),
    "a/value.sql": query(
        "c.mail", "optional value", "-- column mail: not null\n", "from cooks as c\nwhere c.id = :id\n"
    ),
    "a/nested.sql": query(
        'd.id, c.id as "cook.id", c.mail as "cook.mail", d.payload',
        "many Dish",
        "-- column cook.mail: not null\n",
        "from dishes as d\nleft join cooks as c on c.id = d.cook_id\n"
        "where d.id >= :least and d.id <= :most\norder by d.id\nlimit 9\n",
    ),
    "a/unclaimed.sql": query("c.id, c.mail", "many Other", tail="from cooks as c\norder by c.id\nlimit 9\n"),
}


@pytest.mark.parametrize("loaded", [False, True])
def test_a_null_that_the_header_denies_raises(
    load: Load, folder: Project, sides: Sides, loaded: bool
) -> None:
    module: Any = load("a", of_schema(CLAIMED))
    queries = plainsql.load(folder.sql_folder).a if loaded else module
    hint = "remove 'column mail: not null' from "
    error = sides.refused(queries.row, plainsql.DecodeError)
    assert error.message == "a.row: mail is null, and the header says that it is not"
    assert error.hint.startswith(hint)
    assert error.hint.endswith("row.sql, or correct the data")
    assert sides.refused(queries.one, plainsql.DecodeError, id=1).message.startswith("a.one: mail is null")
    assert sides.run(lambda db: queries.one(db, id=2)).mail == "b@b.b"
    assert sides.refused(queries.value, plainsql.DecodeError, id=1).message.startswith(
        "a.value: mail is null"
    )
    assert sides.ask(queries.value, id=2) == "b@b.b"
    assert sides.ask(queries.value, id=9) is None
    assert sides.refused(queries.nested, plainsql.DecodeError, least=1, most=3).message.startswith(
        "a.nested: cook.mail is null"
    )
    # If there is no nested row, its columns are still null.
    rows = sides.run(lambda db: queries.nested(db, least=2, most=3))
    assert [row.cook and row.cook.mail for row in rows] == ["b@b.b", None]
    assert [row.mail for row in sides.run(queries.unclaimed)] == [None, "b@b.b"]


def test_a_null_that_the_header_denies_raises_in_streams_and_batches(load: Load, sides: Sides) -> None:
    module = load("a", of_schema(CLAIMED))

    async def stream(db: plainsql.Database) -> Any:
        return [row async for row in module.row.stream(db)]

    for use in (stream, lambda db: module.one.batch(db, [{"id": 2}, {"id": 1}])):
        with pytest.raises(plainsql.DecodeError, match="mail is null"):
            sides.run(use)
    with pytest.raises(plainsql.DecodeError, match="mail is null"):
        list(module.row.stream(sides.sync))


def test_a_query_without_claims_makes_its_rows_as_ever(load: Load) -> None:
    module = load("a", of_schema(CLAIMED))
    assert module.unclaimed.compiled.build([(1, None)]) == [module.Other(1, None)]
    assert module.unclaimed.compiled._make is module.Other
    assert module.unclaimed.compiled.not_null == ()
