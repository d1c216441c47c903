"""Enums of the database: one name for each, as a ``Literal`` or a ``StrEnum``, on both drivers.

``PLAINSQL_UPDATE_GOLDEN=1`` writes the package of members again; then read the difference.
"""

from __future__ import annotations

import asyncio
import importlib
import os
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

import hypothesis
import msgspec
import psycopg
import pytest
from hypothesis import strategies as st

import plainsql
import plainsql.sync
from plainsql import DecodeError, SettingsError, codegen
from plainsql.check.project_check import check_project
from plainsql.codegen.enums import member_names
from plainsql.settings import Project
from tests.codegen.conftest import Load, Made, query
from tests.codegen.members.queries import dogs
from tests.codegen.members.queries.dogs.types import Document
from tests.codegen.members.queries.enums import KennelMood, Mood, PublicLiteral

MEMBERS = Path(__file__).parent / "members"
PACKAGE = "tests.codegen.members.queries"


def test_the_package_with_members_equals_the_golden_one(database_url: str) -> None:
    project = Project(root=MEMBERS, package=PACKAGE, enums="strenum")
    found = check_project(project, database_url)
    assert [str(error) for error in found.errors] == []
    if os.environ.get("PLAINSQL_UPDATE_GOLDEN"):
        codegen.write(found.files, project.output_folder)
    assert sorted(map(str, found.files)) == ["dogs/__init__.py", "enums.py"]
    for path, source in found.files.items():
        assert source == (project.output_folder / path).read_text(encoding="utf-8"), path
    assert found.outdated(project) == []
    # The enum of the database has gained a label: the module of enums is outdated.
    changed = replace(found, files=replace_label(found.files))
    assert [Path(problem.path).name for problem in changed.outdated(project)] == ["enums.py"]
    with pytest.raises(SettingsError, match=r"enums in .*: expected literal or strenum, got 'Enum'"):
        check_project(replace(project, enums="Enum"), database_url)


def replace_label(files: dict[Path, str]) -> dict[Path, str]:
    return {path: source.replace('OK = "ok"', 'FINE = "fine"') for path, source in files.items()}


@pytest.fixture
def dogs_url(fresh_database_url: str) -> str:
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        connection.execute((MEMBERS / "migrations/0001_dogs.sql").read_bytes())
    return fresh_database_url


def test_members_travel_in_all_forms_on_both_drivers(dogs_url: str) -> None:
    portrait = dogs.Portrait(mood=Mood.SAD, moods=[Mood.EMPTY, Mood.OK])
    given: dict[str, Any] = {
        "good": Mood.OK,
        "moods": [Mood.A_PLUS_SIGN, Mood.EMPTY, Mood.VERY_HAPPY],
        "portrait": portrait,
        "kennel": KennelMood.CALM,
        "kind": PublicLiteral.A,
        "document": {"moods": ["sad", Mood.CLASS]},
    }
    expected = {**given, "mood": Mood.VERY_HAPPY, "document": Document([Mood.SAD, Mood.CLASS])}

    def check(dog: dogs.Dog) -> None:
        for name, value in expected.items():
            assert getattr(dog, name) == value
        assert all(isinstance(each, Mood) for each in [dog.mood, dog.good, *dog.moods])
        assert dog.portrait is not None
        assert all(isinstance(each, Mood) for each in [dog.portrait.mood, *(dog.portrait.moods or ())])

    async def run() -> None:
        async with plainsql.connect(dogs_url, max_size=2) as db:
            check(await dogs.add(db, **given))
            sets: list[Any] = [{**given, "mood": Mood.SAD}, {**given, "mood": "ok"}]
            for dog in await dogs.add.batch(db, sets):
                check(dog if dog.mood is Mood.VERY_HAPPY else replace_mood(dog))
            assert await dogs.moods(db) == [Mood.VERY_HAPPY, Mood.SAD, Mood.OK]
            assert [mood async for mood in dogs.moods.stream(db)][1] is Mood.SAD
            pairs = await asyncio.gather(*(dogs.with_friend(db, moods=[each], mood=each) for each in Mood))
            assert [len(each) for each in pairs[:3]] == [1, 1, 1]

    asyncio.run(run())
    with plainsql.sync.connect(dogs_url) as db:
        check(dogs.add(db, **given))
        (pair, last) = dogs.with_friend(db, moods=[Mood.VERY_HAPPY])
        assert pair.friend is not None
        assert (pair.mood, pair.friend.mood, last.friend) == (Mood.VERY_HAPPY, Mood.VERY_HAPPY, None)
        assert b'"mood":"very happy"' in plainsql.to_json(pair)
        built = dogs.as_json(db)
        assert built is not None
        assert built.first is Mood.SAD
        assert built.kind is PublicLiteral.A
        (first, *_) = dogs.moods.stream(db)
        assert first is Mood.VERY_HAPPY
        # A label that the server has gained since.
        with psycopg.connect(dogs_url, autocommit=True) as connection:
            connection.execute("alter type mood add value 'new'")
            connection.execute("insert into dogs (mood, moods) values ('ok', '{new}'), ('new', '{}')")
        with pytest.raises(DecodeError) as raised:
            dogs.moods(db)
        assert str(raised.value) == (
            "dogs.moods: the label is no member of Mood\n"
            "HINT: the enum has gained a label since the module was generated: generate again"
        )


def replace_mood(dog: dogs.Dog) -> dogs.Dog:
    return msgspec.structs.replace(dog, mood=Mood.VERY_HAPPY)


@hypothesis.given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), unique=True, min_size=1)
)
def test_each_label_has_a_member_that_python_accepts(labels: list[str]) -> None:
    names = member_names(labels)
    made = StrEnum("Made", list(zip(names, labels, strict=True)))  # type: ignore[misc]
    assert [str(member) for member in made] == labels
    assert all(name.isidentifier() and not name.startswith("_") for name in names)


def test_an_alias_has_one_name_in_all_modules(make: Made, load: Load, folder: Project) -> None:
    schema = (
        "create type status as enum ('on', 'off');\n"
        "create schema other; create type other.status as enum ('x');\n"
        "create type \"Decimal\" as enum ('d'); create type row as enum ('r');\n"
    )
    files = {
        "migrations/0002_enums.sql": "-- Types. Lock: none. Time: milliseconds.\n" + schema,
        "sql/a/get.sql": query("'on'::status as s, array['x']::other.status[] as o, 1.5 as n", "one Thing"),
        "sql/b/get.sql": query(":s::status as s, 'd'::\"Decimal\" as d, 'r'::\"row\" as r", "one Other"),
    }
    first = load("a", files)
    enums = importlib.import_module(f"{folder.import_name}.enums")
    second = importlib.import_module(f"{folder.import_name}.b")
    assert first.Status is second.Status is enums.Status
    assert get_args(enums.Status) == enums.STATUS_LABELS == ("on", "off")
    assert enums.OTHER_STATUS_LABELS == ("x",)
    assert {"PublicDecimal", "PublicRow"} <= set(second.__all__)
    # The query is refused now, and its module keeps its imports.
    files["sql/a/get.sql"] = query("'on'::status as s, array['x']::other.status[] as o, nope as n", "one T")
    files["sql/b/get.sql"] = query("'d'::\"Decimal\" as d", "one Other")
    found = make(files)
    assert found.errors
    sound = found.sound_modules(folder)
    assert sound is not None
    codegen.write(sound.files, folder.output_folder)
    written = (folder.output_folder / "enums.py").read_text()
    compiled: dict[str, object] = {}
    exec(written, compiled)
    assert compiled["STATUS_LABELS"] == ("on", "off")
    assert compiled["OTHER_STATUS_LABELS"] == ("x",)
    # A folder of that name would hide the module.
    found = make({"sql/enums/get.sql": query("'on'::status as s", "one Thing")})
    assert "rename that folder" in [problem.hint for problem in found.errors]
