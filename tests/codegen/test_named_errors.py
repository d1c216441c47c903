"""``error CONSTRAINT: Class`` in a header: the class of the module, on both drivers."""

from __future__ import annotations

import asyncio
import pickle
from pathlib import Path
from types import ModuleType
from typing import Any

import asyncpg
import psycopg
import psycopg_pool
import pytest

import plainsql
import plainsql.sync
from plainsql.errors import SqlFileError
from plainsql.statements import parse
from tests.codegen.conftest import Load, Made

TABLES = """
create table cooks (
  id bigint primary key,
  name text not null constraint one_name unique,
  stars integer constraint few_stars check (stars <= 3),
  "Odd key" integer,
  constraint "Odd, one" unique ("Odd key")
);
create table meals (id bigint, cook_id bigint constraint of_cook references cooks, primary key (id))
partition by hash (id);
create table seats (
  id bigint primary key,
  place integer constraint one_place unique deferrable initially deferred
);
create table meals_0 partition of meals for values with (modulus 1, remainder 0);
"""

ADD = """
-- Add a cook.
-- returns: count
-- error one_name: NameTaken
-- error "Odd, one": NameTaken
-- error few_stars: TooManyStars
insert into cooks (id, name, stars, "Odd key") values (:id, :name, :stars, :odd)
"""
RENAME = """
-- Rename a cook.
-- returns: optional Cook
-- error one_name: NameTaken
update cooks set name = :name where id = :id returning id, name
"""
SERVE = """
-- Serve a meal.
-- returns: count
-- error meals_pkey: MealServed
-- error of_cook: NoSuchCook
insert into meals (id, cook_id) values (:id, :cook_id)
"""
SIT = """
-- Take a seat.
-- returns: value
-- error one_place: PlaceTaken
insert into seats (id, place) values (:id, :place) returning id
"""
SEAT_ALL = """
-- Take seats.
-- returns: copied
-- error one_place: PlaceTaken
copy seats (id, place) from stdin
"""
FILES = {"migrations/0001_all.sql": TABLES} | {
    f"sql/kitchen/{name}.sql": text.lstrip()
    for name, text in {
        "add": ADD,
        "rename": RENAME,
        "serve": SERVE,
        "sit": SIT,
        "seat_all": SEAT_ALL,
    }.items()
}


@pytest.fixture
def kitchen(load: Load, fresh_database_url: str) -> ModuleType:
    """The generated module of the kitchen, whose tables are in the test's database."""
    with psycopg.connect(fresh_database_url) as connection:
        connection.execute(TABLES.encode())
        connection.execute("insert into cooks values (1, 'Ana', 3, 1)")
    return load("kitchen", FILES)


def test_the_module_exports_the_classes_and_both_drivers_raise_them(
    kitchen: Any, fresh_database_url: str
) -> None:
    bases = {name: getattr(kitchen, name).__bases__ for name in ("NameTaken", "TooManyStars", "NoSuchCook")}
    assert bases == {
        "NameTaken": (plainsql.UniqueViolation,),
        "TooManyStars": (plainsql.CheckViolation,),
        "NoSuchCook": (plainsql.ForeignKeyViolation,),
    }
    assert {"NameTaken", "TooManyStars", "MealServed", "NoSuchCook"} < set(kitchen.__all__)
    listed = 'May violate "Odd, one" (NameTaken), cooks_pkey, few_stars (TooManyStars), one_name (NameTaken).'
    assert listed in kitchen.add.__doc__
    calls: list[tuple[Any, dict[str, Any], Any, str]] = [
        (kitchen.add, {"id": 2, "name": "Ana", "stars": 1, "odd": 2}, kitchen.NameTaken, "one_name"),
        (kitchen.add, {"id": 2, "name": "Eva", "stars": 1, "odd": 1}, kitchen.NameTaken, "Odd, one"),
        (kitchen.add, {"id": 2, "name": "Eva", "stars": 4, "odd": 2}, kitchen.TooManyStars, "few_stars"),
        (kitchen.add, {"id": 1, "name": "Eva", "stars": 1, "odd": 2}, plainsql.UniqueViolation, "cooks_pkey"),
        (kitchen.serve, {"id": 1, "cook_id": 9}, kitchen.NoSuchCook, "of_cook"),
        # A partition's index has a name of its own.
        (kitchen.serve, {"id": 7, "cook_id": 1}, kitchen.MealServed, "meals_0_pkey"),
    ]
    with plainsql.sync.connect(fresh_database_url) as db:
        kitchen.serve(db, id=7, cook_id=1)
        for query, parameters, kind, constraint in calls:
            with pytest.raises(kind) as raised:
                query(db, **parameters)
            assert raised.value.constraint == constraint
            assert isinstance(raised.value, psycopg.IntegrityError)
            assert pickle.loads(pickle.dumps(raised.value)).constraint == constraint
            assert isinstance(raised.value, kitchen.NameTaken) == (kind is kitchen.NameTaken)

    async def over_asyncpg() -> None:
        async with plainsql.connect(fresh_database_url, max_size=1) as db:
            for query, parameters, kind, constraint in calls:
                with pytest.raises(kind) as raised:
                    await query(db, **parameters)
                assert raised.value.constraint == constraint

    asyncio.run(over_asyncpg())


def test_the_commit_of_a_call_raises_the_class_of_its_query(kitchen: Any, fresh_database_url: str) -> None:
    taken = {"id": 2, "place": 1}
    two, many = [taken, taken | {"id": 3}], [{"id": id_, "place": 1} for id_ in range(2, 9000)]
    forms: dict[str, Any] = {
        "call": lambda db: kitchen.sit(db, **taken),
        "batch": lambda db: kitchen.sit.batch(db, two),
        "execute_many": lambda db: kitchen.sit.execute_many(db, two),
        "in pieces": lambda db: kitchen.sit.execute_many(db, many),
        "copy": lambda db: kitchen.seat_all(db, two),
    }

    def check(raised: Any, form: str) -> None:
        name = "kitchen.seat_all" if form == "copy" else "kitchen.sit"
        assert [note for note in raised.value.__notes__ if name in note] == raised.value.__notes__
        assert raised.value.constraint == "one_place"

    with plainsql.sync.connect(fresh_database_url) as db:
        kitchen.sit(db, id=1, place=1)
        with (
            plainsql.sync.connect(fresh_database_url, pooler="transaction") as pooled,
            psycopg.connect(fresh_database_url, autocommit=True) as own,
            psycopg_pool.ConnectionPool(fresh_database_url, min_size=1, open=True) as pool,
        ):
            for executor in (db, db.tenant("a"), pooled, plainsql.sync.over(own), plainsql.sync.over(pool)):
                for form, call in forms.items():
                    with pytest.raises(kitchen.PlaceTaken) as raised:
                        call(executor)
                    check(raised, form)

    async def over_asyncpg() -> None:
        async with (
            plainsql.connect(fresh_database_url) as db,
            plainsql.connect(fresh_database_url, pooler="transaction") as pooled,
            asyncpg.create_pool(fresh_database_url, min_size=1) as pool,
        ):
            for executor in (db, db.tenant("a"), pooled, plainsql.over(pool)):
                for form, call in forms.items():
                    with pytest.raises(kitchen.PlaceTaken) as raised:
                        await call(executor)
                    check(raised, form)

    asyncio.run(over_asyncpg())


def test_a_constraint_that_the_query_cannot_violate_is_a_finding(make: Made) -> None:
    files = FILES | {
        "sql/kitchen/rename.sql": RENAME.lstrip().replace("one_name:", "on_name:"),
        "sql/kitchen/serve.sql": SERVE.lstrip().replace("of_cook: NoSuchCook", "few_stars: TooManyStars"),
        "sql/kitchen/read.sql": "-- It.\n-- returns: value\n-- error one_name: NameTaken\nselect 1 as one\n",
    }
    found = make(files)
    assert found.errors == ()
    shown = [(Path(p.path).name, p.line, p.column, p.message, p.hint) for p in found.findings]
    assert shown == [
        (
            "read.sql",
            3,
            10,
            "the query cannot violate 'one_name'",
            "remove the line: the query violates no constraint that has a name",
        ),
        ("rename.sql", 3, 10, "the query cannot violate 'on_name'", "did you mean one_name?"),
        (
            "serve.sql",
            4,
            10,
            "the query cannot violate 'few_stars'",
            "it may violate meals_pkey, of_cook",
        ),
    ]
    assert {problem.name for problem in found.findings} == {"unviolated-constraint"}


def test_one_constraint_has_one_class_in_a_module(make: Made) -> None:
    found = make(
        FILES
        | {
            "sql/kitchen/rename.sql": RENAME.lstrip().replace("NameTaken", "Renamed"),
            "sql/kitchen/serve.sql": SERVE.lstrip().replace("NoSuchCook", "Cook"),
        }
    )
    root = "/".join(found.errors[0].path.split("/")[:-3])
    assert [(error.message.replace(f"{root}/", ""), error.hint) for error in found.errors] == [
        (
            "kitchen.rename: one_name is Renamed here, and NameTaken in sql/kitchen/add.sql",
            "write error one_name: NameTaken",
        ),
        ("kitchen.serve: Cook is also the row of sql/kitchen/rename.sql", "give one of them another name"),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-- error one_name: name_taken", "'name_taken' cannot be the name of a class"),
        ("-- error one_name: Exception", "the name is taken in Python or in plainsql"),
        ("-- error one_name:", "error has no value"),
        ("-- error: NameTaken", "error needs a name before the colon"),
        ("-- error one_name: A\n-- error one_name: B", "error one_name is given twice"),
    ],
)
def test_a_wrong_line_is_refused(line: str, message: str) -> None:
    with pytest.raises(SqlFileError, match=message):
        parse(f"-- It.\n-- returns: count\n{line}\ndelete from cooks\n", name="a.q", path="sql/a/q.sql")
