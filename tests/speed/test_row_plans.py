"""Rows are the same both ways: with conversions, JSON, excluded nulls, nested rows and other widths."""

from __future__ import annotations

import contextvars
import datetime as dt
import math
from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plainsql.errors import ContractError, DecodeError
from plainsql.query import QueryFacts
from plainsql.rows import Composite, JsonObject, Row
from plainsql.types import BUILT_JSON, JSON, Converted, Json, RowMark
from tests.speed.both_ways import BothWays

ASKED = contextvars.ContextVar("ASKED", default="nobody")


class Named(Row, frozen=True, gc=False):
    id: int
    name: str | None


class Pair(Row, frozen=True, gc=False):
    first: Named
    second: Named | None


class Deep(Row, frozen=True, gc=False):
    id: int
    pair: Pair | None
    last: int | None


class Parent(Row, frozen=True, gc=False):
    id: int
    children: list[Named]


class Payload(JsonObject, frozen=True, gc=False):
    a: int
    at: dt.datetime | None = None


class Checked(msgspec.Struct):
    a: int

    def __post_init__(self) -> None:
        assert ASKED.get() == "the task"


class CheckedRow(Row, frozen=True, gc=False):
    id: int

    def __post_init__(self) -> None:
        if ASKED.get() != "the task":
            raise ValueError("not in the task that awaits the rows")


class AroundChecked(Row, frozen=True, gc=False):
    id: int
    checked: CheckedRow


class Kept(msgspec.Struct):
    raw: msgspec.Raw


class Mood(StrEnum):
    SAD = "sad"
    OK = "ok"


def test_nested_rows_are_missing_if_all_of_their_columns_are_null(ways: BothWays) -> None:
    columns = "id, a::int, b::text, c::int, d::text, last::int"
    given_rows = "(1, 2, 'x', 3, 'y', 4), (2, 5, null, null, null, null), (3, null, null, null, null, null)"
    found = ways.rows(f"select {columns} from (values {given_rows}) as v(id, a, b, c, d, last)", Deep)
    assert found[0].pair == Pair(Named(2, "x"), Named(3, "y"))
    assert found[1] == Deep(2, Pair(Named(5, None), None), None)
    assert found[2] == Deep(3, None, None)


def test_json_null_in_a_nested_row_is_a_value(ways: BothWays) -> None:
    inner = msgspec.defstruct("Inner", [("a", Json | None)], bases=(Row,), frozen=True, gc=False)
    row = msgspec.defstruct("Outer", [("inner", inner | None)], bases=(Row,), frozen=True, gc=False)
    assert [each.inner for each in ways.rows("values ('null'::jsonb), (null)", row)] == [inner(None), None]


def test_functions_of_the_project_run_in_the_task(ways: BothWays) -> None:
    row = msgspec.defstruct(
        "Converted",
        [("a", Annotated[str, Converted(lambda value: f"{value} of {ASKED.get()}", None, int)])],
        bases=(Row,),
        frozen=True,
        gc=False,
    )
    ASKED.set("the task")
    assert ways.rows("select 1", row) == [row("1 of the task")]
    assert ways.rows("""select '{"a": 1}'::jsonb""", Annotated[Checked, JSON])[0].a == 1
    assert ways.rows("select 1, 2", AroundChecked) == [AroundChecked(1, CheckedRow(2))]
    assert ways.rows("""select '{"raw": [1]}'::json""", Annotated[Kept, JSON])[0].raw == msgspec.Raw(b"[1]")


class Beside(RowMark):
    def read(self, value: Any, others: Sequence[object]) -> Any:
        return value, *others


def test_a_value_is_read_together_with_others(ways: BothWays) -> None:
    row = msgspec.defstruct(
        "Sealed", [("id", int), ("a", Annotated[Any, Beside(("id",))])], bases=(Row,), frozen=True, gc=False
    )
    assert ways.rows("values (1, 'x'::bytea), (2, null)", row) == [row(1, (b"x", 1)), row(2, None)]


def test_children_become_lists(ways: BothWays) -> None:
    found = ways.rows("values (1, 1, 'a'), (1, 2, 'b'), (2, null, null)", Parent)
    assert found == [Parent(1, [Named(1, "a"), Named(2, "b")]), Parent(2, [])]


@pytest.mark.parametrize("type_name", ["json", "jsonb"])
def test_json_becomes_its_type(ways: BothWays, type_name: str) -> None:
    assert ways.rows(f"""select '{{"a": 1}}'::{type_name}""", Annotated[Payload, JSON]) == [Payload(1)]
    built = Annotated[Payload, BUILT_JSON]
    infinite = f"""select '{{"a": 1, "at": "infinity"}}'::{type_name}"""
    assert ways.rows(infinite, built)[0].at == dt.datetime.max  # noqa: DTZ901 (as the driver has it)
    error = ways.error(f"""select '[{{"a": "x"}}]'::{type_name}""", Annotated[list[Payload], JSON])
    assert isinstance(error, DecodeError)
    assert "$[0].a" in str(error)
    ways.error(infinite, Annotated[Payload, JSON])


def test_labels_become_members_and_a_new_one_is_refused(ways: BothWays) -> None:
    assert ways.rows("values ('sad'::mood), (null), ('ok')", Mood | None) == [Mood.SAD, None, Mood.OK]
    assert ways.rows("select array['ok', null]::mood[]", list[Mood | None]) == [[Mood.OK, None]]
    assert isinstance(ways.error("""select 'so "happy", really'::mood""", Mood), DecodeError)
    ways.error("""select array['ok', 'so "happy", really']::mood[]""", list[Mood])
    labels = Literal["sad", "ok"]
    assert ways.rows("""values ('ok'::mood), ('glücklich')""", labels) == ["ok", "glücklich"]


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("id", "null::int, null::int, null, null::int, null, 1"),
        ("last", "1, null::int, null, null::int, null, null::int"),
        ("pair.first.id", "1, null::int, null, 1, null, null::int"),
        ("pair.second.name", "1, 1, null, 1, null::text, null::int"),
    ],
)
def test_a_null_that_the_header_excludes_is_refused(ways: BothWays, name: str, columns: str) -> None:
    error = ways.error(f"select {columns}", Deep, facts=QueryFacts(not_null=(name,)))
    assert str(error).startswith(f"test.speed.rows: {name} is null")


def test_a_column_of_a_nested_row_that_is_missing_may_be_null(ways: BothWays) -> None:
    facts = QueryFacts(not_null=("pair.first.id", "pair.second.name"))
    assert (
        ways.rows("select 1, null::int, null, null::int, null, null::int", Deep, facts=facts)[0].pair is None
    )
    assert (
        ways.rows("select 1, 2, null, null::int, null, null::int", Deep, facts=facts)[0].pair.second is None
    )


def test_void_is_null(ways: BothWays) -> None:
    assert ways.rows("select pg_notify('nobody', '')", Any) == [None]
    error = ways.error("select pg_notify('nobody', '')", Any, facts=QueryFacts(not_null=("a",)))
    assert str(error).startswith("test.speed.rows: a is null")


def test_a_null_among_elements_is_refused(ways: BothWays) -> None:
    facts = QueryFacts(not_null=("a[]",))
    for elements in (
        "array[1, null]",
        "array[[1, 2], [3, null]]",
        "array[inet '::1', null]",
        "array['a', null]",
    ):
        error = ways.error(f"select {elements} as a", list[Any], facts=facts)
        assert str(error).startswith("test.speed.rows: an element of a is null")
    assert ways.rows("values (array[1]), ('{}'), (null)", list[int] | None, facts=facts) == [[1], [], None]
    assert ways.rows("select array['null'::jsonb]", list[Json], facts=facts) == [[None]]


def test_columns_that_a_table_gained_are_left_out_if_the_header_allows_it(ways: BothWays) -> None:
    assert ways.rows("select 1, 'a', 2, inet '::1'", Named, facts=QueryFacts(more_columns=True)) == [
        Named(1, "a")
    ]
    assert ways.rows("select 1, 'a'", int) == [1]
    assert isinstance(ways.error("select 1, 'a', 2", Named), ContractError)
    assert isinstance(ways.error("select 1", Named, facts=QueryFacts(more_columns=True)), ContractError)
    assert ways.rows("select 1 where false", Named) == []


def test_a_composite_of_another_size_is_refused(ways: BothWays) -> None:
    one = msgspec.defstruct("One", [("a", Any)], bases=(Composite,), frozen=True, gc=False)
    assert isinstance(ways.error("select row(1, null)::both_int4", one), ContractError)


def test_a_value_of_another_form_is_named(ways: BothWays) -> None:
    error = ways.error("select 5", Annotated[Payload, JSON])
    assert isinstance(error, DecodeError)
    assert "arrived in another form" in str(error)


TIMES = st.datetimes(timezones=st.just(dt.UTC))
VALUES = st.tuples(
    st.decimals() | st.decimals(places=3, min_value=-(10**12), max_value=10**12),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    TIMES,
    st.floats(),
    st.integers(-(2**63), 2**63 - 1),
    st.timedeltas(dt.timedelta(days=-100_000), dt.timedelta(days=100_000)),
    st.binary(),
)


class Drawn(Row, frozen=True, gc=False):
    number: Decimal | None
    text: str | None
    at: dt.datetime | None
    real: float | None
    whole: int | None
    lasts: dt.timedelta | None
    data: bytes | None
    texts: list[str | None]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(VALUES, st.just((None,) * 7)), max_size=10))
def test_values_that_are_drawn_are_the_same(ways: BothWays, drawn: list[tuple[Any, ...]]) -> None:
    drawn = [each for each in drawn if each[0] is None or not each[0].is_snan()]
    columns = [list(column) for column in zip(*drawn, strict=True)] or [[]] * 7
    found = ways.rows(
        "select *, array[text, number::text] from unnest($1::numeric[], $2::text[], $3::timestamptz[],"
        " $4::float8[], $5::int8[], $6::interval[], $7::bytea[])"
        " as given(number, text, at, real, whole, lasts, data)",
        Drawn,
        *columns,
    )
    for row, values in zip(found, drawn, strict=True):
        assert (row.text, row.at, row.whole, row.lasts, row.data) == (*values[1:3], *values[4:7])
        assert row.real == values[3] or math.isnan(row.real or 0)
