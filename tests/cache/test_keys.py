"""Equal values of a column have one digest, and different calls have different keys."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, IntEnum

import pytest
from asyncpg.pgproto import pgproto
from hypothesis import example, given
from hypothesis import strategies as st

from plainsql import UNSET
from plainsql.cache import CachedQuery, merge, resolve_change, touched_rows
from plainsql.cache.keys import MAX_TAGS, digest_of
from plainsql.dependencies import CachedRead, Change, Dependency

ID = uuid.UUID("0a0b0c0d-0000-4000-8000-00000000000f")
DIGITS = uuid.UUID("10000000-0000-4000-8000-000000000001")
"""It might be a number, without its hyphens."""


class Kind(Enum):
    HUMAN = "human"


class Level(IntEnum):
    LOW = 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (ID, str(ID)),
        (ID, str(ID).upper()),
        (ID, pgproto.UUID(str(ID))),
        (ID, "{" + str(ID) + "}"),
        (uuid.UUID(int=1), uuid.UUID(int=1).hex),  # its digits might be a number's
        (1, True),
        (1, Level.LOW),
        (1, "1"),
        (1, " 01 "),
        (1000, "1_000"),
        (1, Decimal("1.00")),
        (Decimal("1.50"), "1.5"),
        (Decimal("0.0"), 0),
        ("human", Kind.HUMAN),
        ("Ana@Example.com", "ana@example.com"),  # citext
        ("a", "a  "),  # char(3)
        (DIGITS, str(DIGITS)),
        (DIGITS, DIGITS.hex),
        (DIGITS, int(DIGITS.hex)),
        (b"ab", memoryview(b"ab")),
    ],
)
def test_what_a_column_takes_for_one_value_is_one_partition(one: object, other: object) -> None:
    assert digest_of(one) == digest_of(other) is not None


@pytest.mark.parametrize(("one", "other"), [(1, 2), ("a", "b"), (ID, uuid.uuid4()), (b"a", b"b"), (None, 0)])
def test_other_values_are_other_partitions(one: object, other: object) -> None:
    assert digest_of(one) != digest_of(other)


@given(st.integers(), st.integers(0, 3))
@example(10**31, 0)  # 32 digits, as a UUID has
@example(-(10**31), 0)
@example(10**35, 0)
def test_numbers_have_one_digest_however_they_are_written(number: int, zeros: int) -> None:
    if abs(number) < 10**400:
        written = [str(number), f"{number}." + "0" * (zeros + 1), Decimal(number), Decimal(f"{number}.0")]
        assert {digest_of(one) for one in written} == {digest_of(number)}


@given(st.text())
def test_any_text_has_a_digest(text: str) -> None:
    assert digest_of(text) is not None


@pytest.mark.parametrize("value", [0.1, datetime(2026, 1, 1, tzinfo=UTC), [1], UNSET])
def test_a_read_by_a_value_that_has_several_forms_depends_on_the_table(value: object) -> None:
    policy = CachedRead(60, (Dependency("shop.leads", "id", "id"), Dependency("shop.leads")))
    query = CachedQuery[int]("shop.leads.get", policy, ("id",), int)
    assert query.call(b"key", (value,)).tags == (("shop.leads", "", ""),)


def test_a_write_by_such_a_value_touches_all_of_the_column() -> None:
    assert touched_rows("shop.leads", {"score": 0.1, "id": 1}).keys() == {"shop.leads"}
    assert touched_rows("shop.leads", {"score": 0.1, "id": 1})["shop.leads"].keys() == {"id"}


def test_several_writes_together_know_what_each_of_them_knows() -> None:
    merged = merge([touched_rows("a", {"x": 1, "y": 1}), touched_rows("a", {"x": 2}), touched_rows("b", {})])
    assert merged == {"a": {"x": touched_rows("a", {"x": [1, 2]})["a"]["x"]}, "b": {}}


def test_too_many_partitions_are_the_column() -> None:
    assert touched_rows("a", {"x": list(range(MAX_TAGS))})["a"].keys() == {"x"}
    assert touched_rows("a", {"x": list(range(MAX_TAGS + 1))}) == {"a": {}}
    assert merge(touched_rows("a", {"x": n}) for n in range(MAX_TAGS + 10)) == {"a": {}}


def test_a_change_is_resolved_from_parameters_and_from_what_came_back() -> None:
    change = Change(
        "a",
        (("x", "parameter", "old"), ("x", "parameter", "new"), ("y", "returned", "y")),
    )
    parameters, rows = {"old": 1, "new": 2}, [{"y": 7}, {"y": 8}]
    assert resolve_change(change, parameters, rows) == touched_rows("a", {"x": [1, 2], "y": [7, 8]})
    assert resolve_change(change, parameters) == touched_rows("a", {"x": [1, 2]})
    assert resolve_change(change, parameters, []) == {
        "a": {"x": touched_rows("a", {"x": [1, 2]})["a"]["x"], "y": frozenset()}
    }
    assert resolve_change(change, {"old": 1, "new": UNSET}, None) == {"a": {}}


def test_everything_that_decides_about_a_result_is_in_the_key() -> None:
    policy = CachedRead(60, (Dependency("a"),))
    one = CachedQuery[int]("q", policy, ("x", "y"), int, shape="1")
    other_shape = CachedQuery[int]("q", policy, ("x", "y"), int, shape="2")
    other_name = CachedQuery[int]("r", policy, ("x", "y"), int, shape="1")
    keys = [
        one.key((1, None), ()),
        one.key((1, UNSET), ()),
        one.key((1, ""), ()),
        one.key(("1", None), ()),
        one.key((True, None), ()),
        one.key((1, None), ("tenant",)),
        one.key((1, [2]), ()),
        other_shape.key((1, None), ()),
        other_name.key((1, None), ()),
    ]
    assert len(set(keys)) == len(keys)
    assert len({one.call(key, (1, None)).digest for key in keys}) == len(keys)


def test_an_argument_that_cannot_be_in_a_key_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot be cached"):
        CachedQuery[int]("q", CachedRead(60, ()), ("x",), int).key((object(),), ())
