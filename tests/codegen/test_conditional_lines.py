"""Marks that name a parameter, and flags: generated code, and the rows on both executors."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

import plainsql
from plainsql import BindError
from plainsql.check.project_check import ProjectCheck
from plainsql.settings import Project
from tests.codegen.conftest import SCHEMA, Sides

Load = Callable[..., ModuleType]
Made = Callable[..., ProjectCheck]

SAVE = """\
-- Save what the form gives.
-- returns: one Cook
insert into cooks as c (id,
  mail,        --? :mail
  name)
values (:id,
  :mail,       --? :mail
  :name)
on conflict (id) do update set
  mail = :mail,  --? :mail
  name = :name
returning c.id, c.name, c.mail
"""
STARRED = """\
-- The dishes.
-- returns: many value
select d.id
from dishes as d
where
  d.stars >= :least
  and d.cook_id is not null  --? with_cook
  and d.stars < 5            --? imperfect
order by d.id
"""
FILES = {"migrations/0001_all.sql": SCHEMA, "sql/a/save.sql": SAVE, "sql/a/starred.sql": STARRED}


@pytest.fixture
def a(load: Load) -> Any:
    return load("a", FILES)


def test_an_upsert_writes_only_what_is_given(a: Any, sides: Sides) -> None:
    kept = sides.ask(a.save, id=2, name="Bo")
    assert (kept.name, kept.mail) == ("Bo", "b@b.b"), "the address stays"
    gone = sides.ask(a.save, id=2, name="Bo", mail=None)
    assert (gone.name, gone.mail) == ("Bo", None), "null is a value"
    added = sides.ask(a.save, id=9, name="Cy")
    assert (added.name, added.mail) == ("Cy", None)
    changed = sides.ask(a.save, id=9, name="Cy", mail="c@c.c")
    assert (changed.name, changed.mail) == ("Cy", "c@c.c")


def test_a_batch_mixes_calls_with_and_without_a_value(a: Any, sides: Sides) -> None:
    rows = [{"id": 1, "name": "A", "mail": "a@a.a"}, {"id": 1, "name": "B"}, {"id": 7, "name": "C"}]
    batch = sides.run(lambda db: a.save.batch(db, rows))
    assert [(row.name, row.mail) for row in batch] == [("A", "a@a.a"), ("B", "a@a.a"), ("C", None)]
    sides.run(
        lambda db: a.save.execute_many(db, [{"id": 7, "name": "D"}, {"id": 7, "name": "D", "mail": "d"}])
    )
    assert sides.ask(a.save, id=7, name="E").mail == "d"


def test_a_flag_takes_its_lines_in_and_is_false_by_default(a: Any, sides: Sides) -> None:
    assert sides.ask(a.starred, least=0) == [1, 2, 3]
    assert sides.ask(a.starred, least=0, with_cook=True) == [1, 2]
    assert sides.ask(a.starred, least=0, imperfect=True) == [2, 3]
    assert sides.ask(a.starred, least=0, with_cook=True, imperfect=True) == [2]
    assert sides.ask(a.starred, least=0, with_cook=False) == [1, 2, 3]
    batch = sides.run(lambda db: a.starred.batch(db, [{"least": 0}, {"least": 0, "with_cook": True}]))
    assert batch == [[1, 2, 3], [1, 2]]


@pytest.mark.parametrize("other", [1, "true", None])
def test_a_flag_takes_nothing_but_a_bool(a: Any, sides: Sides, other: object) -> None:
    assert sides.ask(a.starred, least=0, with_cook=True) == [1, 2], "1 has the hash of True"
    error = sides.refused(a.starred, BindError, least=0, with_cook=other)
    assert "with_cook: expected one of False, True" in str(error)


def test_the_signature_has_a_bool_and_an_optional_value(a: Any) -> None:
    flags = inspect.signature(a.starred).parameters
    assert (flags["with_cook"].annotation, flags["with_cook"].default) == ("bool", False)
    saved = inspect.signature(a.save).parameters
    assert saved["mail"].annotation == "str | None | UnsetType"


def test_the_header_may_turn_a_flag_on(load: Load, sides: Sides) -> None:
    text = STARRED.replace("many value\n", "many value\n-- param with_cook: = true\n")
    module = load("a", FILES | {"sql/a/starred.sql": text})
    assert sides.ask(module.starred, least=0) == [1, 2]
    assert sides.ask(module.starred, least=0, with_cook=False) == [1, 2, 3]


def test_loaded_queries_have_both(a: Any, folder: Project, sides: Sides) -> None:
    del a
    loaded = plainsql.load(folder.sql_folder).a
    assert sides.ask(loaded.starred, least=0) == [1, 2, 3]
    assert sides.ask(loaded.starred, least=0, imperfect=True) == [2, 3]
    assert sides.ask(loaded.save, id=2, name="Bo").mail == "b@b.b"
    assert "imperfect: expected one of False, True" in str(
        sides.refused(loaded.starred, BindError, least=0, imperfect=1)
    )


def test_a_refused_line_of_a_flag_is_named(make: Made) -> None:
    (error,) = make({"sql/a/x.sql": STARRED.replace("d.stars < 5  ", "d.stones < 5 ")}).errors
    assert "column d.stones does not exist" in str(error)
    assert "with imperfect" in str(error)


def test_flags_that_act_alone_are_analysed_one_by_one(make: Made) -> None:
    lines = "".join(f"  and d.stars <> {number} --? f{number}\n" for number in range(9))
    text = STARRED.replace("  and d.stars < 5            --? imperfect\n", lines)
    found = make({"sql/a/x.sql": text})
    assert found.errors == ()
    (checked,) = found.inspection.checked
    assert len(checked.statement.variants()) == 2**10
    assert len(checked.variants) == 12
