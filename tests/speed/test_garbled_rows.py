"""Messages that are cut off, too long or garbled: an error, never a byte beyond the message, nothing leaked.

``make test-asan`` runs these tests with sanitizers, which see each read beyond the end of a message.
"""

from __future__ import annotations

import gc
import random
import struct
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.speed.both_ways import BothWays, assert_same, read_message
from tests.speed.odd_values import ODD_VALUES
from tests.speed.test_row_plans import Deep
from tests.speed.test_rows_of_every_type import ANNOTATIONS, AS_TEXT, shapes

ROUNDS = 200
"""Garbled messages of each type."""

_LENGTHS = (-(2**31), -5, -2, -1, 0, 1, 4, 255, 2**16, 2**24, 2**31 - 1)


@pytest.mark.parametrize("name", sorted(ODD_VALUES.keys() - AS_TEXT - {"tags"}))
def test_no_byte_beyond_a_garbled_message_is_read(ways: BothWays, name: str) -> None:
    ways.need(name)
    sql, row = shapes(name, ANNOTATIONS.get(name, Any))
    reader, messages = ways.messages(sql, row, ODD_VALUES[name])
    chance = random.Random(name)
    for message, built in zip(messages, ways.rows(sql, row, ODD_VALUES[name]), strict=True):
        assert_same(read_message(reader, message), built)
    for _ in range(ROUNDS):
        message = chance.choice(messages)
        cut = chance.randrange(len(message))
        _refuses(reader, message[:cut])
        _refuses(reader, message + chance.randbytes(chance.randrange(1, 9)))
        assert not isinstance(_error(reader, _garbled(chance, message)), SystemError)


def _refuses(reader: Any, message: bytes) -> None:
    with pytest.raises(Exception, match=r"."):
        read_message(reader, message)


def _error(reader: Any, message: bytes) -> Exception | None:
    try:
        read_message(reader, message)
    except Exception as error:  # noqa: BLE001 (any error of the message will do)
        return error
    return None


def _garbled(chance: random.Random, message: bytes) -> bytes:
    garbled = bytearray(message)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(2, len(garbled))
        if chance.random() < 0.5:
            garbled[at] = chance.randrange(256)
        elif at + 4 <= len(garbled):
            struct.pack_into("!i", garbled, at, chance.choice(_LENGTHS))
    return bytes(garbled)


@pytest.fixture(scope="module")
def frozen() -> Iterator[None]:
    """Keep the objects that are there out of searches for garbage, which would take too long."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("name", sorted(ODD_VALUES.keys() - AS_TEXT - {"tags"}))
def test_nothing_is_leaked(ways: BothWays, name: str) -> None:
    ways.need(name)
    sql, row = shapes(name, ANNOTATIONS.get(name, Any))
    reader, messages = ways.messages(sql, row, ODD_VALUES[name])
    _counted(row, reader, messages, 400 // len(messages) + 1)


@pytest.mark.usefixtures("frozen")
def test_values_with_bytes_behind_them_leak_nothing(ways: BothWays) -> None:
    for value in ("array[500, 600]", "array[[500], [600]]", "row(500, array[600])::both_int4"):
        reader, (message,) = ways.messages(f"select {value}", Any)
        longer = struct.pack("!hi", 1, len(message) - 6 + 4) + message[6:] + b"more"
        _counted(Any, reader, [longer + b"."], 300)


@pytest.mark.usefixtures("frozen")
def test_a_million_rows_leak_nothing(ways: BothWays) -> None:
    values = "(1, 2, 'x', null::int, null, 4), (1, null, null, null, null, null)"
    _counted(Deep, *ways.messages(f"values {values}", Deep), 500_000)


def _counted(row: Any, reader: Any, messages: list[bytes], times: int) -> None:
    """Read each message a number of times, whole and without its last byte, and count what remains."""
    counts = []
    for readings in (2, times):
        for message in messages:
            if _error(reader, message) is None:
                read_message(reader, message, readings)
            for _ in range(min(readings, 300)):
                assert _error(reader, message[:-1]) is not None
        gc.collect()
        counts.append((sys.getallocatedblocks(), sys.getrefcount(row), sys.getrefcount(None)))
    for before, after in zip(*counts, strict=True):
        assert abs(before - after) < 100, row
