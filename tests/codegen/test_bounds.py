"""Bounds and defaults of the header, checked against the type of their parameter."""

from __future__ import annotations

from decimal import Decimal

import pytest

import plainsql
from tests.codegen.conftest import SCHEMA, Load, Made, Sides, query

NUMBERS = (
    "smallint",
    "integer",
    "bigint",
    "oid",
    "real",
    "double precision",
    "numeric",
    "numeric(9,2)",
    "small",
)
NO_NUMBERS = (
    "text",
    "date",
    "interval",
    "integer[]",
    "jsonb",
    "boolean",
    "uuid",
    "money",
    "int4range",
    "mood",
    "bytea",
)
SMALL = "create domain small as smallint check (value < 100);\n"


@pytest.mark.parametrize("type", NUMBERS)
def test_numbers_have_bounds(load: Load, type: str) -> None:
    files = {"sql/a/q.sql": query(f":x::{type} as v", "value", "-- param x: 1..5 = 2\n")}
    module = load("a", {"migrations/0001_all.sql": SCHEMA + SMALL} | files)
    assert module.q.compiled.bind((), {}) == (2,)
    with pytest.raises(plainsql.BindError, match="out of bounds"):
        module.q.compiled.bind((), {"x": Decimal(6)})


@pytest.mark.parametrize("type", NO_NUMBERS)
def test_bounds_on_a_type_that_is_no_number_are_refused(make: Made, type: str) -> None:
    (problem,) = make({"sql/a/q.sql": query(f":x::{type} as v", "value", "-- param x: 1..5\n")}).errors
    assert problem.message == f"a.q: x has bounds, and is {type}, which is no number"
    assert problem.hint == "remove the bounds, and compare :x in the SQL"
    assert (problem.name, problem.line, problem.column) == ("contract", 3, 10)


@pytest.mark.parametrize(
    ("type", "bounds"),
    [
        ("smallint", "..99999"),
        ("integer", "-9999999999.."),
        ("bigint", "..99999999999999999999"),
        ("oid", "-1.."),
        ("small", "..99999"),
        ("real", f"..1{'0' * 40}"),
        ("double precision", f"..1{'0' * 400}"),
    ],
)
def test_a_bound_that_no_value_can_reach_is_refused(make: Made, type: str, bounds: str) -> None:
    files = {"sql/a/q.sql": query(f":x::{type} as v", "value", f"-- param x: {bounds}\n")}
    (problem,) = make({"migrations/0001_all.sql": SCHEMA + SMALL} | files).errors
    assert problem.message == f"a.q: the bound {bounds.strip('.')} of x is out of the range of {type}"
    assert (problem.line, problem.column) == (3, 10)


@pytest.mark.parametrize(
    ("type", "default"),
    [
        ("smallint", "99999"),
        ("integer", "9999999999"),
        ("bigint", "1.5"),
        ("double precision", f"1{'0' * 400}"),
        ("date", "'2026-01-01'"),
        ("uuid", "'x'"),
        ("text", "5"),
        ("boolean", "'true'"),
        ("mood", "'no such label'"),
        ("integer", "true"),
        ("integer[]", "5"),
    ],
)
def test_a_default_that_is_none_of_the_type_is_refused(make: Made, type: str, default: str) -> None:
    files = {"sql/a/q.sql": query(f":x::{type} as v", "value", f"-- param x: = {default}\n")}
    (problem,) = make(files).errors
    assert problem.message == f"a.q: the default of x is no {type}, which is its type"
    assert (problem.line, problem.column) == (3, 10)


def test_bounds_apply_to_texts_of_numbers_and_to_nan(load: Load, sides: Sides) -> None:
    module = load("a", {"sql/a/q.sql": query(":x::numeric as v", "value", "-- param x: 1..5\n")})
    assert sides.ask(module.q, x="2.50") == Decimal("2.50")
    for outside in ("6", "NaN", Decimal("NaN"), float("nan")):
        assert "out of bounds, expected 1..5" in str(sides.refused(module.q, plainsql.BindError, x=outside))
    assert "expected a number, got str" in str(sides.refused(module.q, plainsql.BindError, x="six"))
