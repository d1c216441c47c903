"""Values that Python has and PostgreSQL has not: both drivers refuse them, and none changes silently."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from plainsql.rows import Composite
from tests.types.both import Both

DETAIL_NUL = "it holds a NUL character"
DETAIL_NUMBER = "JSON has no NaN and no infinity"


class Address(Composite, frozen=True):
    street: str | None
    number: int | None


class Sample(msgspec.Struct):
    value: float
    note: str | None = None


@dataclass
class Point:
    x: float
    y: None = None


def details(both: Both, type_name: str, value: object) -> set[str | None]:
    sql = f"select :a::{type_name} is null"
    both.refusals(sql, a=value)
    return {getattr(error, "detail", None) for error in both.errors(sql, a=value)}


@pytest.mark.parametrize("type_name", ["json", "jsonb"])
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf], ids=str)
@pytest.mark.parametrize(
    "hold",
    [
        lambda number: number,
        lambda number: [1, number],
        lambda number: {"a": {"b": [None, (number,)]}},
        Sample,
        lambda number: [Sample(1.0), Sample(number)],
        Point,
        lambda number: {"a": Point(1.0), "b": number, "c": "null"},
    ],
    ids=["alone", "list", "deep", "struct", "structs", "dataclass", "mixed"],
)
def test_json_has_no_nan_and_no_infinity(
    both: Both, type_name: str, number: float, hold: Callable[[float], object]
) -> None:
    assert details(both, type_name, hold(number)) == {DETAIL_NUMBER}


@pytest.mark.parametrize(
    "value",
    [None, [None], {"a": None}, "null", "NaN", [1.5, -1e-30], {"null": ["Infinity"]}, Sample(1.5), Point(2)],
    ids=repr,
)
def test_other_nulls_and_numbers_go_into_json(both: Both, value: Any) -> None:
    wanted = None if value is None else msgspec.json.decode(msgspec.json.encode(value))
    assert both.value("select :a::jsonb", a=value) == wanted


@pytest.mark.parametrize("value", ["a\0b", ["\0"], {"\0": 1}, {"a": [{"b": "\\\0"}]}], ids=repr)
def test_jsonb_has_no_nul(both: Both, value: object) -> None:
    assert details(both, "jsonb", value) == {DETAIL_NUL}


@pytest.mark.parametrize("value", ["\\u0000", "\\\\u0000", ["a\\u0000"], {"\\u0000": 1}, "u0000"], ids=repr)
def test_a_backslash_before_u0000_is_no_nul(both: Both, value: object) -> None:
    assert both.value("select :a::jsonb", a=value) == value


def test_json_as_text_may_hold_one(both: Both) -> None:
    assert both.value("select :a::json::text", a=["\0"]) == '["\\u0000"]'


@pytest.mark.parametrize(
    ("type_name", "value"),
    [
        ("text", "a\0b"),
        ("text", "\0"),
        ("varchar(5)", "\0"),
        ("name", "\0"),
        ("citext", "a\0"),
        ("mood", "ok\0"),
        ("text[]", ["a", "\0"]),
        ("text[]", [["a"], ["\0"]]),
        ("address", Address("\0", 1)),
        ("address[]", [None, Address("a\0", 1)]),
        ("tags", ["\0"]),
    ],
    ids=repr,
)
def test_texts_have_no_nul(both: Both, type_name: str, value: object) -> None:
    assert details(both, type_name, value) == {DETAIL_NUL}


def test_infinite_numbers_are_sent_to_types_that_have_them(both: Both) -> None:
    for value in (math.inf, -math.inf, math.nan):
        both.round_trip("float8", value)
    both.round_trip("numeric", Decimal("NaN"))
