"""Rows are encoded for COPY as by asyncpg's codecs, byte by byte, and refused with their errors."""

from __future__ import annotations

import array
import gc
import itertools
import random
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from asyncpg.pgproto import pgproto
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plainsql.copy_rows import CopyRows
from plainsql.speed.loaded import COPY_ENCODER
from plainsql.types import Opaque
from plainsql.vector import Vector
from tests.speed.both_ways import BothWays

TYPES = (
    *("bool", "int2", "int4", "int8", "float4", "float8", "text", "varchar", "bpchar", "name", "bytea"),
    *("date", "timestamp", "timestamptz", "uuid", "json", "jsonb", "vector", "mood", "citext", "time"),
    *("interval", "inet", "int4[]", "text[]", "int4range", "halfvec", "oid", "hstore"),
)


class Text(str):
    __slots__ = ()


class Label(StrEnum):
    SAD = "sad"


class Number(IntEnum):
    ONE = 1


class Index:
    def __int__(self) -> int:
        return 7


class Nowhere(tzinfo):
    def utcoffset(self, _: datetime | None) -> None:
        return None

    dst = tzname = utcoffset


DAY = date(2024, 2, 29)
AWARE = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
NOON = AWARE.replace(tzinfo=None)
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**15 - 1, 2**15, -(2**15), -(2**15) - 1, 2**31 - 1, 2**31, -(2**31)),
    *(-(2**31) - 1, 2**32, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**200, Number.ONE, Index()),
    *(0.0, -0.0, 0.1, 1e38, 3.5e38, -1e300, 5e-324, float("nan"), float("inf"), -float("inf"), np.float32(2)),
    *("", "a", "é€😀", "a\0b", "\ud800", Text("own"), Label.SAD, "sad", "x" * 100_000, "é" * 50_000),
    *(b"", b"\x00\xff", bytearray(b"ab"), memoryview(b"abcd")[::2], memoryview(b"abc"), b"y" * 70_000),
    *(
        DAY,
        date.min,
        date.max,
        NOON,
        NOON.replace(fold=1),
        FIRST.replace(tzinfo=None),
        LAST.replace(tzinfo=None),
        time(1, 2, 3),
    ),
    *(AWARE, FIRST, LAST),
    *(NOON.replace(tzinfo=timezone(timedelta(hours=-5, seconds=1, microseconds=7))), timedelta(1, 2, 3)),
    *(NOON.replace(tzinfo=ZoneInfo("Europe/Berlin")), NOON.replace(tzinfo=Nowhere())),
    *(FIRST.replace(tzinfo=timezone(timedelta(hours=1))), timedelta.min),
    *(LAST.replace(tzinfo=timezone(timedelta(hours=-1))), datetime(1999, 12, 31, 23, tzinfo=UTC)),
    *(
        UUID(int=0),
        UUID(int=2**128 - 1),
        pgproto.UUID((5).to_bytes(16, "big")),
        str(UUID(int=7)),
        Decimal("1.5"),
    ),
    *(
        {},
        {"a": [1, None, "ü"]},
        {"a": "\0"},
        {"a": r"\u0000"},
        {"a": float("nan")},
        Opaque([1]),
        Opaque(None),
    ),
    *([], [1.0, -0.0, 2.5], [1, 2.0], [True], [float("nan")], [1e300], ["x"], [[1.0]], (1.0, 2.0), [None]),
    *(array.array("f", [1.5]), array.array("d", [1.5]), array.array("i", [1]), Vector([1.0, 2.0])),
    *(np.array([1.5, 2], "f4"), np.array([1.5, 2], "f8"), np.array([1.5], "f2"), np.array([3], "i8")),
    *(np.array([1.5, 2], ">f4"), np.arange(6, dtype="f4")[::2], np.zeros((2, 2), "f4"), np.zeros(0, "f4")),
    *(np.array([1.5], dtype=object), np.array(1.5), np.array(["2020-01-01"], "M8[D]"), object(), int, 1j),
]


def outcome(statement: Any, value: Any, *, by_codecs: bool) -> tuple[Any, ...]:
    """Return the bytes of a row with one value, or the class and text of the error."""
    encoder = COPY_ENCODER(statement, lambda row: None, {}, by_codecs=by_codecs)
    try:
        encoder.fill(iter([(value,)]))
    except Exception as error:  # noqa: BLE001 (whichever it is, they are compared)
        return type(error), str(error)
    return (b"".join([encoder.take(), encoder.end()]),)


def described(ways: BothWays, *types: str) -> Any:
    """Return a statement whose columns have the types."""
    columns = ", ".join(f"null::{name} as c{number}" for number, name in enumerate(types))
    return ways.runner.run(ways.connection.prepare(f"select {columns}"))._state


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_a_value_of_any_class_is_encoded_or_refused_as_by_the_codec(ways: BothWays, name: str) -> None:
    statement = described(ways, name)
    encoded = 0
    for value in VALUES:
        found = outcome(statement, value, by_codecs=False)
        assert found == outcome(statement, value, by_codecs=True), value
        encoded += len(found) == 1
    assert encoded > 1  # not the null alone


zones = st.sampled_from([None, UTC, timezone(timedelta(hours=5.5)), ZoneInfo("America/New_York")])
BY_TYPE = {
    "int2": st.integers(-(2**15) - 2, 2**15 + 2),
    "int4": st.integers(-(2**31) - 2, 2**31 + 2),
    "int8": st.integers(-(2**63) - 2, 2**63 + 2),
    "float4": st.floats(),
    "float8": st.floats(),
    "text": st.text(),
    "date": st.dates(),
    "timestamp": st.datetimes(),
    "timestamptz": st.datetimes(timezones=zones),
    "uuid": st.uuids(),
    "bytea": st.binary(),
    "jsonb": st.recursive(st.none() | st.text() | st.floats() | st.integers(), st.lists),
    "vector": st.lists(st.floats()) | st.lists(st.floats(width=32)).map(lambda xs: np.array(xs, "f4")),
}


@pytest.mark.parametrize("name", BY_TYPE)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_any_value_of_a_type_is_encoded_as_by_the_codec(ways: BothWays, name: str) -> None:
    statement = described(ways, name)

    @settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(BY_TYPE[name])
    def check(value: Any) -> None:
        assert outcome(statement, value, by_codecs=False) == outcome(statement, value, by_codecs=True)

    check()


def test_decimals_are_stored_as_those_of_the_codec(ways: BothWays) -> None:
    texts = ["0", "-0", "0.000", "1", "9999", "10000", "0.0001", "0.00001", "100000.00001", "1E+5", "1e-7"]
    texts += ["NaN", "sNaN", "Infinity", "-Infinity", "9" * 119, "9" * 120, "0." + "0" * 117 + "1", "-12.30"]
    numbers = [*map(Decimal, texts), Decimal("1e-16383"), Decimal("1e131071")]
    chance = random.Random(7)
    for _ in range(500):
        number = Decimal(chance.randrange(10 ** chance.randrange(1, 40))).scaleb(-chance.randrange(20))
        numbers.append(number * chance.choice((1, -1)))
    statement = described(ways, "numeric")
    found = []
    for by_codecs in (False, True):
        encoder = COPY_ENCODER(statement, lambda row: None, {}, by_codecs=by_codecs)
        assert not encoder.fill(iter([(number,) for number in numbers]))
        found.append(ways.runner.run(_stored(ways, encoder)))
    assert found[0] == found[1]
    assert [Decimal(text) for text in found[0][15:]] == [Decimal(str(number)) for number in numbers[15:]]
    refused = outcome(statement, Decimal("1e-16384"), by_codecs=True)
    assert len(refused) == 2
    assert outcome(statement, Decimal("1e-16384"), by_codecs=False) == refused


async def _stored(ways: BothWays, encoder: Any) -> list[Any]:
    async def block() -> Any:
        yield encoder.end()[5:]

    connection = ways.connection
    await connection.execute("create temp table n (n bigserial, x numeric)")
    await connection.copy_to_table("n", source=block(), columns=["x"], format="binary")
    found: list[Any] = [row[0] for row in await connection.fetch("select x::text from n order by n")]
    await connection.execute("drop table n")
    return found


class Plain(msgspec.Struct):
    a: int
    b: str


class Turned(msgspec.Struct):
    b: str
    more: float
    a: int


class Computed(msgspec.Struct):
    a: int
    hidden: str

    def __getattr__(self, name: str) -> Any:
        if name == "b":
            return self.hidden
        raise AttributeError(name)


class Covered(Plain):
    @property  # type: ignore[misc]
    def b(self) -> str:  # type: ignore[override]
        return "covered"


def test_structs_of_any_kind_are_read_as_python_reads_them(ways: BothWays) -> None:
    statement = described(ways, "int4", "text")

    def encode(*rows: Any) -> bytes:
        copied = CopyRows("t", ["a", "b"], rows, None)
        return b"".join(copied.blocks(COPY_ENCODER(statement, copied.form_of, {})))  # type: ignore[arg-type]

    tuples = [(1, "x"), (2, "y"), (3, "covered"), (4, "z")]
    rows = [Plain(1, "x"), Turned("y", 1.5, 2), Covered(3, "w"), [4, "z"]]
    assert encode(*rows) == encode(*tuples)
    assert encode(*rows, *rows) == encode(*tuples, *tuples)
    unset = Plain(1, "x")
    del unset.b
    with pytest.raises(AttributeError):
        encode(unset)
    encoder = COPY_ENCODER(statement, lambda row: ("a", "b"), {})
    assert not encoder.fill(iter([Computed(5, "from a method")]))
    assert encoder.end() == encode((5, "from a method"))
    short: list[Any] = [1]
    for row in ((1,), short):
        with pytest.raises(IndexError):
            COPY_ENCODER(statement, lambda row: None, {}).fill(iter([row]))


def test_blocks_have_whole_messages_whatever_their_size(ways: BothWays) -> None:
    statement = described(ways, "bytea")
    rows = [(b"x" * size,) for size in (0, 70_000, 10, 70_000_000, 65_500, *range(200))]
    encoder = COPY_ENCODER(statement, lambda row: None, {})
    data, iterator, messages = bytearray(), iter(rows), 0
    while encoder.fill(iterator):
        data += encoder.take()
    data += encoder.end()
    content = bytearray()
    at = 0
    while at < len(data):
        assert data[at] == ord("d")
        length = int.from_bytes(data[at + 1 : at + 5], "big")
        assert 4 < length <= 2**26 + 4
        content += data[at + 5 : at + 1 + length]
        at += 1 + length
        messages += 1
    assert messages == 5
    at = 19
    for row in rows:
        assert content[at : at + 2] == b"\0\1"
        length = int.from_bytes(content[at + 2 : at + 6], "big")
        assert content[at + 6 : at + 6 + length] == row[0]
        at += 6 + length
    assert content[at:] == b"\xff\xff"


@pytest.fixture
def frozen() -> Iterator[None]:
    """Keep existing objects out of the searches for garbage: each would take as long as the encoding."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("kind", ["struct", "tuple", "list", "function"])
def test_a_million_rows_leak_nothing(ways: BothWays, kind: str) -> None:
    types: tuple[str, ...] = ("int8", "text", "timestamptz", "float8")
    _counted(ways, kind, types, (7, "x", AWARE, 0.5), 250_000)
    types = ("int8", "text", "uuid", "numeric", "jsonb", "vector", "vector", "int4[]", "bool", "float4")
    vector = np.array([1.0, 2.0], "f4")
    _counted(
        ways, kind, types, (7, "ü", UUID(int=9), Decimal("1.5"), [1], [1.0], vector, [1], True, 0.5), 5000
    )


def _counted(ways: BothWays, kind: str, types: tuple[str, ...], values: tuple[Any, ...], number: int) -> None:
    """Encode a row a number of times, and some rows with an error, and count what remains."""
    struct = msgspec.defstruct("Wide", [f"c{number}" for number in range(len(types))])
    bad = (*values[:-1], "no number")
    row: Any = {"struct": struct(*values), "list": list(values)}.get(kind, values)
    bad_row: Any = struct(*bad) if kind == "struct" else bad
    form: Any = {"struct": struct.__struct_fields__, "function": list}.get(kind)
    statement = described(ways, *types)
    counts = []
    for rows in (1000, number):
        encoder = COPY_ENCODER(statement, lambda row: form, {1: str})
        iterator = itertools.repeat(row, rows)
        while encoder.fill(iterator):
            encoder.take()
        encoder.end()
        for _ in range(min(rows, 300)):
            encoder = COPY_ENCODER(statement, lambda row: form, {1: str})
            with pytest.raises(TypeError):
                encoder.fill(iter([bad_row]))
        del encoder, iterator
        gc.collect()
        kept = [sys.getrefcount(value) for value in (row, *values, None, struct)]
        counts.append((sys.getallocatedblocks(), *kept))
    for before, after in zip(*counts, strict=True):
        assert abs(before - after) < 100
