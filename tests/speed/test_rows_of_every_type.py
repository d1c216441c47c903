"""Rows read straight from the messages are those of the driver's records, for every type and odd value."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any

import msgspec
import pytest

from plainsql.rows import Composite, Row
from plainsql.types import Json
from tests.speed.both_ways import BothWays
from tests.speed.odd_values import ODD_VALUES, UNREADABLE, composite_of, type_of


class Mood(StrEnum):
    SAD = "sad"
    OK = "ok"
    HAPPY = 'so "happy", really'
    GLAD = "glücklich"


ANNOTATIONS: dict[str, Any] = {"json": Json, "jsonb": Json, "mood": Mood}

SHAPES = """
select x as single, null::{type} as nothing, array[x, null, x] as flat, array[[x, null], [null, x]] as deep,
    array[]::{type}[] as empty, row(x, array[x, null])::{both} as both,
    array[row(x, null)::{both}, null, row(null, array[x])::{both}] as boths,
    x as "left.a", null::{type} as "left.b", null::{type} as "right.a", null::{type} as "right.b"
from (select text::{type} as x from unnest($1::text[]) as text) as given
"""


def shapes(name: str, annotation: Any) -> tuple[str, type[Row]]:
    """Return a statement with a type in every shape, and the type of its rows."""
    both: Any = msgspec.defstruct(
        "Both",
        [("one", annotation | None), ("many", list[annotation | None] | None)],
        bases=(Composite,),
        frozen=True,
        gc=False,
    )
    inner: Any = msgspec.defstruct(
        "Inner", [("a", annotation | None), ("b", annotation | None)], bases=(Row,), frozen=True, gc=False
    )
    row: Any = msgspec.defstruct(
        "Shapes",
        [
            ("single", annotation | None),
            ("nothing", annotation | None),
            ("flat", list[annotation | None]),
            ("deep", list[list[annotation | None]] | None),
            ("empty", list[annotation | None]),
            ("both", both | None),
            ("boths", list[both | None]),
            ("left", inner | None),
            ("right", inner | None),
        ],
        bases=(Row,),
        frozen=True,
        gc=False,
    )
    return SHAPES.format(type=type_of(name), both=composite_of(name)), row


# asyncpg does not read composite types of types that arrive as text.
AS_TEXT = {"macaddr", "macaddr8", "money", "tsvector", "tsquery", "regclass", "regtype"}


@pytest.mark.parametrize("name", ODD_VALUES)
def test_values_are_the_same_in_every_shape(ways: BothWays, name: str) -> None:
    ways.need(name)
    sql, row = shapes(name, ANNOTATIONS.get(name, Any))
    if name in AS_TEXT:
        sql = re.sub(r"(array\[)?row\(.* as (boths?)", r"null as \2", sql)
    if name == "tags":  # an array of a domain over an array is made by a function alone
        sql = sql.replace("array[[x, null], [null, x]]", "null::tags[]")
        sql = sql.replace("array[x, null, x]", "array_append(array_append('{}'::tags[], x), null)")
        sql = sql.replace("array[x, null]", "array_append('{}'::tags[], x)")
        sql = sql.replace("array[x]", "array_append('{}'::tags[], x)")
    assert len(ways.rows(sql, row, ODD_VALUES[name])) == len(ODD_VALUES[name])


@pytest.mark.parametrize("name", UNREADABLE)
def test_values_that_python_does_not_have_raise_the_same_errors(ways: BothWays, name: str) -> None:
    annotation: Any = ANNOTATIONS.get(name, Any)
    sql, row = shapes(name, annotation)
    both = msgspec.structs.fields(row)[5].type
    given = f"(select text::{name} as x from unnest($1::text[]) as text) as given"
    for text in UNREADABLE[name]:
        ways.error(sql, row, [text])
        ways.error(f"select x from {given}", annotation, [text])
        ways.error(f"select array[x, null] from {given}", list[annotation], [text])
        ways.error(f"select row(null, array[x])::{composite_of(name)} from {given}", both, [text])


def test_a_wide_row_and_wide_rows_within_are_the_same(ways: BothWays) -> None:
    fields = [(f"f{number}", int | None) for number in range(100)]
    inner: Any = msgspec.defstruct("Inner", fields, bases=(Row,), frozen=True, gc=False)
    row: Any = msgspec.defstruct(
        "Wide",
        [*fields, ("inner", inner | None), ("none", inner | None)],
        bases=(Row,),
        frozen=True,
        gc=False,
    )
    columns = [f"nullif({number}, 70)" for number in range(200)] + ["null::int"] * 100
    assert ways.rows(f"select {', '.join(columns)}", row)[0].none is None
    assert ways.rows("select 1 where false", int) == []
