"""Records become rows: by position, each column as its annotation says."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest

import plainsql
from plainsql.query.dynamic_rows import dynamic_row
from plainsql.rows import Composite, Row, builder, composite, elements, value_builder, width
from plainsql.types import JSON, Json, Opaque


class Payload(msgspec.Struct, frozen=True):
    text: str


class Address(Composite, frozen=True, gc=False):
    street: str
    number: int | None


class Person(Composite, frozen=True, gc=False):
    home: Address | None
    former: list[Address | None]
    payload: Annotated[Payload, JSON] | None


class Plain(Row, frozen=True, gc=False):
    a: int
    b: str | None


class Documents(Row, frozen=True, gc=False):
    a: int
    document: Annotated[Payload, JSON] | None
    list_of_documents: list[Annotated[Payload, JSON] | None]
    anything: Json


class WithComposites(Row, frozen=True, gc=False):
    person: Person | None
    addresses: list[Address]
    grid: list[list[Address | None]]


class Inner(Row, frozen=True, gc=False):
    x: int | None
    y: Annotated[Payload, JSON] | None


class Middle(Row, frozen=True, gc=False):
    before: int
    inner: Inner | None


class Outer(Row, frozen=True, gc=False):
    first: int
    middle: Middle | None
    always: Inner
    last: str


def test_plain_columns_are_taken_by_position() -> None:
    assert builder(Plain)([(1, "x"), [2, None]]) == [Plain(1, "x"), Plain(2, None)]
    assert builder(Plain)([]) == []


def test_json_is_decoded_into_its_type_wherever_it_is() -> None:
    (row,) = builder(Documents)([(1, b'{"text": "x"}', [b'{"text": "y"}', None], b"[1, null]")])
    assert row == Documents(1, Payload("x"), [Payload("y"), None], [1, None])
    (row,) = builder(Documents)([(1, None, [], None)])
    assert row == Documents(1, None, [], None)


def test_json_may_come_as_text_or_bytes() -> None:
    assert value_builder(Json, "q")([('{"a": 1}',), (b'{"a": 1}',), (None,)]) == [{"a": 1}, {"a": 1}, None]


def test_json_that_does_not_fit_names_the_field_and_the_path_and_no_value() -> None:
    with pytest.raises(plainsql.DecodeError) as raised:
        builder(Documents)([(1, b'{"text": 7}', [], None)])
    assert str(raised.value) == (
        "Documents.document: the JSON value does not fit its type: Expected `str`, got `int` - at `$.text`\n"
        "HINT: change the type that the query's header names, or the data"
    )
    with pytest.raises(plainsql.DecodeError, match=r"^a\.query: the JSON value does not fit its type"):
        value_builder(Annotated[Payload, JSON], "a.query")([(b"secret",)])


def test_composite_values_become_structs_however_deep() -> None:
    record = (
        (("Main St", 5), [("Old St", None), None], b'{"text": "x"}'),
        [("A", 1)],
        [[("B", 2), None], [None, ("C", 3)]],
    )
    assert builder(WithComposites)([record]) == [
        WithComposites(
            Person(Address("Main St", 5), [Address("Old St", None), None], Payload("x")),
            [Address("A", 1)],
            [[Address("B", 2), None], [None, Address("C", 3)]],
        )
    ]
    assert builder(WithComposites)([(None, [], [])]) == [WithComposites(None, [], [])]


def test_nested_rows_take_the_next_columns() -> None:
    assert width(Outer) == 7
    build = builder(Outer)
    assert build([(1, 2, 3, b'{"text": "x"}', 4, None, "end")]) == [
        Outer(1, Middle(2, Inner(3, Payload("x"))), Inner(4, None), "end")
    ]


def test_a_nested_row_whose_columns_are_all_null_is_none_where_it_may_be() -> None:
    build = builder(Outer)
    assert build([(1, 2, None, None, None, None, "end")]) == [
        Outer(1, Middle(2, None), Inner(None, None), "end")
    ]
    assert build([(1, None, None, None, None, None, "end")]) == [Outer(1, None, Inner(None, None), "end")]


@pytest.mark.parametrize("columns", [6, 8])
def test_a_nested_row_takes_neither_more_nor_fewer_columns(columns: int) -> None:
    with pytest.raises(TypeError):
        builder(Outer)([(None,) * columns])


def test_rows_cannot_be_changed_and_are_equal_by_value() -> None:
    row = Plain(1, "x")
    with pytest.raises(AttributeError):
        row.a = 2  # type: ignore[misc]
    assert row == Plain(1, "x")
    assert {row, Plain(1, "x")} == {row}


def test_a_row_type_is_made_from_the_names_of_columns() -> None:
    made = dynamic_row("Lead", ["id", "owner.id", "owner.payload", "payload"], frozenset({2, 3}))
    (row,) = builder(made)([(1, 2, b'"x"', b"[1]")])
    assert repr(row) == "Lead(id=1, owner=Owner(id=2, payload='x'), payload=[1])"
    (row,) = builder(made)([(1, None, None, None)])
    assert repr(row) == "Lead(id=1, owner=None, payload=None)"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["?column?"], "the column '?column?' cannot be a field of Lead"),
        (["a b"], "the column 'a b' cannot be a field of Lead"),
        (["a.b.c"], "the column 'a.b.c' cannot be a field of Lead"),
        ([""], "the column '' cannot be a field of Lead"),
        (["count", "count"], "Lead would have the field 'count' twice"),
        (["owner.id", "owner.id"], "Lead would have the field 'owner.id' twice"),
        (["owner.id", "owner"], "Lead would have the field 'owner' twice"),
        # Built by position, "total" would go into the owner.
        (["owner.id", "total", "owner.name"], "Lead would have the field 'owner' twice"),
    ],
)
def test_columns_that_cannot_be_fields_are_refused(columns: list[str], message: str) -> None:
    with pytest.raises(plainsql.ContractError) as raised:
        dynamic_row("Lead", columns)
    assert raised.value.message.startswith(message)


def test_composite_structs_travel_as_tuples() -> None:
    person = Person(Address("Main St", 5), [Address("Old St", None), None], None)
    sent: Any = (("Main St", 5), [("Old St", None), None], None)
    assert composite(person) == sent
    assert composite([person, None]) == [sent, None]
    assert composite("text") == "text"


def test_elements_of_json_arrays_stay_one_element_each() -> None:
    wrapped = elements([[1, 2], None, {"a": 1}])
    assert [element and element.value for element in wrapped] == [[1, 2], None, {"a": 1}]
    assert isinstance(wrapped[0], Opaque)
    assert elements(None) is None


class Size(Composite, frozen=True):
    height: int
    width: int


class Box(Row, frozen=True):
    sizes: list[Size]


@pytest.mark.parametrize("record", [(1,), (1, 2, 3), ()])
def test_a_composite_value_of_another_width_is_named(record: tuple[int, ...]) -> None:
    with pytest.raises(plainsql.ContractError) as raised:
        builder(Box)([([record],)])
    assert raised.value.message == f"Box.sizes: Size has 2 fields, the database returns {len(record)}"
    assert raised.value.hint == (
        "the composite type has changed since the module was generated: generate again"
    )


class Polygonal(Composite, frozen=True):
    documents: list[Annotated[Any, JSON]]
    words: list[list[str] | None]
    inner: Size | None
    plain: list[int] | None


def test_what_is_in_a_composite_value_is_made_ready_for_the_drivers() -> None:
    sent = composite(Polygonal([[1], {"a": 2}], [["a"], None], Size(1, 2), [3]))
    documents, words, inner, plain = sent
    assert [part.value for part in documents] == [[1], {"a": 2}]
    assert (words, inner, plain) == ([("a",), None], (1, 2), [3])
    assert composite([Size(1, 2), None]) == [(1, 2), None]
