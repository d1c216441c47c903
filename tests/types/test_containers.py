"""Arrays, enums, domains, composite types, ranges and multiranges of all types."""

# ruff: noqa: DTZ001 (timestamps without a zone are a type of PostgreSQL)

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import plainsql
from plainsql.types import BitString, Box, Circle, Line, LineSegment, Path, Point, Polygon, Range
from tests.types.both import Both, query, same

property_test = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

# Characters that the quoting of arrays, composites and ranges treats specially, often.
awkward = st.text(
    st.sampled_from(list("\"\\'{}()[],; \t\nNULLnull%$é🎈") + ["\x01"])
    | st.characters(exclude_categories=["Cs", "Cc"]),
    max_size=12,
)
maybe = st.none()


@property_test
@given(st.lists(maybe | awkward))
def test_arrays_of_text_come_back(both: Both, values: list[str | None]) -> None:
    both.round_trip("text[]", values)


@property_test
@given(st.lists(maybe | st.integers(-5, 2**31 - 1)))
def test_arrays_of_integers_come_back(both: Both, values: list[int | None]) -> None:
    both.round_trip("integer[]", values)


@property_test
@given(
    st.integers(1, 3).flatmap(
        lambda n: st.lists(st.lists(maybe | awkward, min_size=n, max_size=n), min_size=1)
    )
)
def test_arrays_of_two_dimensions_come_back(both: Both, values: list[list[str | None]]) -> None:
    both.round_trip("text[]", values)


@pytest.mark.parametrize(
    ("type_name", "value"),
    [
        ("integer[]", []),
        ("integer[]", [[[1], [2]], [[3], [None]]]),
        ("boolean[]", [True, None, False]),
        ("numeric[]", [Decimal("1.50"), Decimal("NaN")]),
        ("bytea[]", [b"\x00\\x", b"", None]),
        ("date[]", [date(2026, 11, 21), date.max]),
        ("timestamptz[]", [datetime(2026, 11, 21, 1, 2, 3, 4, UTC)]),
        ("double precision[]", [float("inf"), 0.1, -0.0]),
        ("varbit[]", [BitString.from_int(5, 3)]),
        ("inet[]", None),
        ("mood[]", ["sad", 'so "happy", really', None]),
        ("tsvector[]", ["'a':1 'b c':2", None]),
        ("money[]", ["$1.00", "$1,000.00"]),
        ("citext[]", ["A", 'b"']),
    ],
)
def test_arrays_of_other_types_come_back(both: Both, type_name: str, value: object) -> None:
    both.round_trip(type_name, value)


def test_lower_bounds_of_arrays_are_left_out(both: Both) -> None:
    assert both.read("'[0:2]={a,NULL,\"[1:1]={x}\"}'", "text[]") == ["a", None, "[1:1]={x}"]
    assert both.read("'[-1:0][5:6]={{1,2},{3,4}}'", "integer[]") == [[1, 2], [3, 4]]


def test_a_tuple_is_taken_for_an_array(both: Both) -> None:
    assert both.sent_back("integer[]", (1, 2)) == [1, 2]


def test_the_integer_vectors_of_the_catalog_are_lists(both: Both) -> None:
    assert both.read("'1 2 3'", "int2vector") == [1, 2, 3]
    assert both.read("'4 5'", "oidvector") == [4, 5]
    assert both.read("''", "oidvector") == []


@pytest.mark.parametrize("label", ["sad", "ok", 'so "happy", really'])
def test_labels_of_enums_are_text(both: Both, label: str) -> None:
    both.round_trip("mood", label)


def test_domains_are_their_base_types(both: Both) -> None:
    both.round_trip("positive", 7)
    both.round_trip("positive[]", [7, None])
    both.round_trip("tags", ["a", None, "b c"])
    both.round_trip("home", ("Main St", 5))


streets = st.tuples(maybe | awkward, maybe | st.integers(0, 99))
persons = st.tuples(
    maybe | awkward,
    maybe | st.dates(date(1800, 1, 1), date(2100, 1, 1)),
    maybe | streets,
    maybe | st.lists(maybe | streets, max_size=3),
    maybe | st.sampled_from(["sad", 'so "happy", really']),
)


@property_test
@given(persons)
def test_nested_composite_values_come_back(both: Both, person: tuple[Any, ...]) -> None:
    back = both.sent_back("person", person)
    assert _plain(back) == person


@property_test
@given(st.lists(maybe | persons, max_size=3))
def test_arrays_of_composite_values_come_back(both: Both, people: list[tuple[Any, ...] | None]) -> None:
    assert _plain(both.sent_back("person[]", people)) == people


def _plain(value: Any) -> Any:
    """Records as tuples, so that the values that were sent can be compared."""
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if value is None or not (isinstance(value, tuple) or type(value).__name__ == "Record"):
        return value
    return tuple(map(_plain, value))


def test_a_composite_of_nulls_is_not_null(both: Both) -> None:
    assert _plain(both.sent_back("address", (None, None))) == (None, None)
    assert _plain(both.sent_back("address", ("", None))) == ("", None)
    assert both.sent_back("address", None) is None
    assert _plain(both.sent_back("single", (None,))) == (None,)
    # asyncpg has no composite types without fields.
    assert query("select :a::nothing")(both.over_psycopg, a=()) == ()


def test_a_composite_is_taken_from_a_dict_and_missing_fields_are_null(both: Both) -> None:
    assert _plain(both.sent_back("address", {"number": 5})) == (None, 5)


@pytest.mark.parametrize("value", [("a", 1, 2), {"town": "x"}, ("a", "b"), 7])
def test_a_composite_of_another_shape_is_refused(both: Both, value: object) -> None:
    for error in both.errors("select :a::address", a=value):
        assert isinstance(error, plainsql.BindError), repr(error)


def test_a_composite_with_too_few_fields_is_refused(both: Both) -> None:
    over_asyncpg, over_psycopg = both.errors("select :a::address", a=("only",))
    assert isinstance(over_asyncpg, asyncpg.DatatypeMismatchError)  # the server's error, with a note
    assert isinstance(over_psycopg, plainsql.BindError)


@pytest.mark.parametrize("sql", ["select :a::document", "select coalesce(:a::document, null)::text"])
def test_a_composite_with_a_field_that_travels_as_text(both: Both, sql: str) -> None:
    # asyncpg has no text format of composite types; psycopg's executor needs no other.
    value = ("x", "'cat':2")
    asked = query(sql)
    with pytest.raises(plainsql.DecodeError, match="document") as raised:
        both.runner.run(asked(both.over_asyncpg, a=value))
    assert "cast it to text" in str(raised.value)
    assert asked(both.over_psycopg, a=value) in (value, "(x,'cat':2)")


integer_ranges = st.one_of(
    st.just(Range(empty=True)),
    st.builds(
        lambda low, size: Range(low, None if size is None else low + size),
        st.integers(-9, 9),
        maybe | st.integers(1, 9),
    ),
    st.builds(lambda high: Range(None, high), st.integers(-9, 9)),
    st.just(Range(None, None)),
)


@property_test
@given(integer_ranges)
def test_ranges_of_integers_come_back(both: Both, value: Range[int]) -> None:
    both.round_trip("int4range", value)
    both.round_trip("int8range", value)
    both.round_trip("int4range[]", [value, None])


@property_test
@given(st.floats(-1e9, 1e9), st.floats(0.001, 1e9), st.booleans(), st.booleans())
def test_bounds_belong_to_a_range_or_not(
    both: Both, low: float, size: float, lower: bool, upper: bool
) -> None:
    both.round_trip("span", Range(low, low + size, lower_inc=lower, upper_inc=upper))


@property_test
@given(awkward, awkward)
def test_ranges_of_text_quote_their_bounds(both: Both, one: str, other: str) -> None:
    # In the server's order, which is not Python's.
    low, high = both.value("select array[least(:a, :b::text), greatest(:a::text, :b)]", a=one, b=other)
    back = both.sent_back("text_span", Range(low, high, upper_inc=True))
    assert (back.lower, back.upper) == (low, high)


@pytest.mark.parametrize(
    ("type_name", "value"),
    [
        ("numrange", Range(Decimal("1.5"), Decimal("2.50"), upper_inc=True)),
        ("daterange", Range(date(2026, 1, 1), date(2026, 2, 1))),
        ("daterange", Range(date(2026, 1, 1), None)),
        ("daterange", Range(date(2026, 1, 1), date.max)),
        ("tsrange", Range(datetime(2026, 1, 1, 2, 3, 4, 5), datetime(2026, 2, 1), lower_inc=False)),
        ("tstzrange", Range(datetime(2026, 1, 1, tzinfo=UTC), None)),
        ("tstzrange", Range(None, datetime(2026, 1, 1, tzinfo=UTC), upper_inc=True)),
        ("numrange", Range(empty=True)),
        ("int4multirange", []),
        ("int4multirange", [Range(1, 3), Range(5, None)]),
        ("int8multirange", [Range(None, 3), Range(5, 7)]),
        ("nummultirange", [Range(Decimal(1), Decimal(2), upper_inc=True)]),
        ("datemultirange", [Range(date(2026, 1, 1), date(2026, 2, 1))]),
        ("tsmultirange", [Range(datetime(2026, 1, 1, 2, 3, 4, 5), datetime(2026, 2, 1))]),
        (
            "tstzmultirange",
            [
                Range(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)),
                Range(datetime(2027, 1, 1, tzinfo=UTC), None),
            ],
        ),
    ],
)
def test_all_built_in_ranges_come_back(both: Both, type_name: str, value: object) -> None:
    both.round_trip(type_name, value)


def test_a_pair_is_a_range_with_both_bounds(both: Both) -> None:
    assert both.sent_back("int4range", (1, 3)) == Range(1, 4)
    assert both.sent_back("int4range", [1]) == Range(1, None)
    assert both.sent_back("int4range", ()) == Range(empty=True)


@pytest.mark.parametrize(
    ("type_name", "value"),
    [
        ("point", Point(0.1, -1e300)),
        ("point", Point(float("inf"), 2)),
        ("line", Line(1.0, -1.0, 0.5)),
        ("lseg", LineSegment((1, 2), (3.5, 4))),
        ("box", Box((3, 4), (1, 2))),
        ("path", Path((1, 2), (3, 4), is_closed=True)),
        ("path", Path((1, 2), (3, 4), is_closed=False)),
        ("polygon", Polygon((1, 2), (3, 4), (5, 0.1))),
        ("circle", Circle(Point(1, 2), 3.5)),
        ("point[]", [Point(1, 2), None, Point(3, 4)]),
        ("box[]", [Box((3, 4), (1, 2)), Box((3, 4), (1, 2))]),
        ("circle[]", [Circle(Point(1, 2), 3.5)]),
    ],
)
def test_shapes_come_back(both: Both, type_name: str, value: object) -> None:
    both.round_trip(type_name, value)


@pytest.mark.parametrize("type_name", ["path", "polygon"])
def test_arrays_of_paths_can_be_read(both: Both, type_name: str) -> None:
    literal = f"array['((1,2),(3,4))'::{type_name}, null]"
    first, second = both.read(literal, f"{type_name}[]")
    assert (len(first), second) == (2, None)


def test_an_anonymous_record_needs_a_type(both: Both) -> None:
    # asyncpg's binary format has the types of the fields; text does not.
    with pytest.raises(plainsql.DecodeError, match="record"):
        query("select row(1, 'a')")(both.over_psycopg)


def test_same_is_strict() -> None:
    assert not same(1, True)
    assert not same(0.0, -0.0)
    assert not same(Decimal("1.0"), Decimal("1.00"))
    assert not same(datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC))
    assert same(float("nan"), float("nan"))
