"""No message of a server, however garbled, is read beyond its end."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from mmap import PAGESIZE
from pathlib import Path
from struct import pack
from typing import Any

import pytest
from asyncpg.exceptions import InternalClientError

import plainsql
from plainsql.columns.column_types import ColumnType
from plainsql.speed.loaded import COLUMNS

pytestmark = pytest.mark.skipif(COLUMNS is None, reason="the compiled part is not in use")

REFUSALS = (InternalClientError, plainsql.DecodeError, ValueError)


def sized(value: bytes) -> bytes:
    return pack(">i", len(value)) + value


INT4, NUMERIC = ColumnType("int4", 23), ColumnType("numeric", 1700)
TEXT = ColumnType("text", 25)
LIST = ColumnType("array", 1007, parts=(("item", INT4),))
STRUCT = ColumnType("composite", 99_999, parts=(("a", INT4), ("b", TEXT), ("c", LIST)))
ARRAY = pack(">iiiiiii", 2, 0, 23, 1, 1, 2, 1) + sized(pack(">i", 7)) + pack(">i", -1)
COLUMNS_OF_ROW: list[tuple[str, ColumnType, bytes]] = [
    ("int2", ColumnType("int2", 21), pack(">h", -1)),
    ("int8", ColumnType("int8", 20), pack(">q", -1)),
    ("bool", ColumnType("bool", 16), b"\1"),
    ("text", TEXT, "čš€😀".encode()),
    ("bytea", ColumnType("bytea", 17), b"\0\xff"),
    ("jsonb", ColumnType("jsonb", 3802), b"\1[1]"),
    ("uuid", ColumnType("uuid", 2950), bytes(16)),
    ("date", ColumnType("date", 1082), pack(">i", 9000)),
    ("time", ColumnType("time", 1083), pack(">q", 9000)),
    ("at", ColumnType("timestamptz", 1184), pack(">q", 9000)),
    ("took", ColumnType("interval", 1186), pack(">qii", -1, 2, -14)),
    ("numeric", NUMERIC, pack(">HhHHHHH", 3, 1, 0x4000, 3, 12, 3400, 5670)),
    ("mood", ColumnType("enum", 99_998, labels=("sad", "ok")), b"ok"),
    ("vector", ColumnType("vector", 99_997, 2), pack(">hhff", 2, 0, 1.5, -2)),
    ("halfvec", ColumnType("halfvec", 99_996), pack(">hhee", 2, 0, 1.5, -2)),
    ("list", LIST, ARRAY),
    (
        "struct",
        STRUCT,
        pack(">iI", 3, 23)
        + sized(pack(">i", 5))
        + pack(">I", 25)
        + sized(b"x")
        + pack(">I", 1007)
        + sized(ARRAY),
    ),
]
TYPES = [(name, type_) for name, type_, _ in COLUMNS_OF_ROW]
MESSAGE = pack(">h", len(TYPES)) + b"".join(sized(value) for _, _, value in COLUMNS_OF_ROW)
NULLS = pack(">h", len(TYPES)) + pack(">i", -1) * len(TYPES)


def read(*messages: bytes) -> list[Any]:
    arrays: list[Any] = COLUMNS.columns_of_messages(TYPES, [MESSAGE, NULLS, *messages])
    return arrays


def refused(message: bytes) -> bool:
    try:
        read(message)
    except REFUSALS:
        return True
    return False


def test_a_row_of_every_kind_is_read() -> None:
    from plainsql.columns import Columns

    found = Columns(read(MESSAGE), 3).to_dict()
    assert found["struct"] == [
        {"a": 5, "b": "x", "c": [[7, None]]},
        None,
        {"a": 5, "b": "x", "c": [[7, None]]},
    ]
    assert found["text"] == ["čš€😀", None, "čš€😀"]
    assert str(found["numeric"][0]) == "-123400.567"


def test_a_row_that_is_cut_off_or_goes_on_is_refused() -> None:
    assert all(refused(MESSAGE[:length]) for length in range(len(MESSAGE)))
    assert all(refused(MESSAGE + bytes(more)) for more in range(1, 9))
    assert refused(pack(">h", 3) + MESSAGE[2:])


def test_a_length_that_lies_is_refused_or_read_within_the_row() -> None:
    at = 2
    for _, _, value in COLUMNS_OF_ROW:
        for length in (-2, -(2**31), 2**31 - 1, len(value) + 1, len(MESSAGE)):
            assert refused(MESSAGE[:at] + pack(">i", length) + MESSAGE[at + 4 :])
        at += 4 + len(value)


def _flip(random_: random.Random, message: bytearray) -> None:
    message[random_.randrange(len(message))] = random_.randrange(256)


def _number(random_: random.Random, message: bytearray) -> None:
    at = random_.randrange(len(message) - 4)
    message[at : at + 4] = pack(">i", random_.choice([-1, 0, 1, 2**31 - 1, -(2**31), 6, 7, 65535]))


@pytest.mark.parametrize("spoil", [_flip, _number])
def test_garbled_rows_are_read_or_refused(spoil: Callable[[random.Random, bytearray], None]) -> None:
    random_ = random.Random(7)
    outcomes = set()
    for _ in range(3_000):
        message = bytearray(MESSAGE)
        for _ in range(random_.randrange(1, 4)):
            spoil(random_, message)
        outcomes.add(refused(bytes(message)))
    assert outcomes == {True, False}


@pytest.mark.parametrize(
    "text", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"12345678\xe2\x82", b"\x80abc"]
)
def test_a_text_that_is_no_utf8_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="UTF-8"):
        COLUMNS.columns_of_messages([("t", TEXT)], [pack(">h", 1) + sized(text)])


def test_an_array_that_claims_many_elements_takes_no_memory() -> None:
    for dimensions in ((2**31 - 1,), (65536, 65536), (2, 2**30), (2**31 - 1,) * 6):
        lies = pack(">iii", len(dimensions), 0, 23) + b"".join(pack(">ii", size, 1) for size in dimensions)
        with pytest.raises(InternalClientError, match="cut off"):
            COLUMNS.columns_of_messages([("l", LIST)], [pack(">h", 1) + sized(lies)])


def test_nothing_is_leaked() -> None:
    pa = pytest.importorskip("pyarrow")
    from plainsql.columns import Columns

    memory = Path("/proc/self/statm")
    if not memory.exists() or "ASAN_OPTIONS" in os.environ:
        pytest.skip("this system has no /proc, or a sanitizer keeps memory that was freed")

    def read_and_give_away() -> int:
        """Read about 1 MB, give them to another library, and refuse as much; return the pages in memory."""
        columns = Columns(COLUMNS.columns_of_messages(TYPES, [MESSAGE] * 2_500), 2_500)
        pa.table(columns)
        columns.__arrow_c_stream__()
        assert refused_all([MESSAGE] * 2_500 + [MESSAGE[:-1]])
        return int(memory.read_text().split()[1])

    before = max(read_and_give_away() for _ in range(5))
    after = [read_and_give_away() for _ in range(20)][-1]
    assert (after - before) * PAGESIZE < 10_000_000


def refused_all(messages: list[bytes]) -> bool:
    try:
        COLUMNS.columns_of_messages(TYPES, messages)
    except REFUSALS:
        return True
    return False
