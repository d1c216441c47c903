"""An upper bound for the bytes that arguments take on the wire, without encoding them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from plainsql.types import Opaque

__all__ = ["UNBOUNDED", "wire_size"]

UNBOUNDED = 1 << 30
"""The size of a value about which nothing is known."""

_SMALL_BYTES = 32
"""The most bytes of a number, a time or a UUID, with its length."""

_INTEGER_BYTES = 16
"""The bytes of an integer in addition to its digits, as a number or as JSON."""

_NULL_BYTES = 8

_FIXED: frozenset[type] = frozenset(
    {
        bool,
        float,
        UUID,
        dt.date,
        dt.time,
        dt.datetime,
        dt.timedelta,
    }
)

# Their annotations are wrong.
_RANGE: Any = asyncpg.Range
_BITS: Any = asyncpg.BitString

_SHAPES: Any = (asyncpg.Box, asyncpg.Circle, asyncpg.Line, asyncpg.LineSegment, asyncpg.Path, asyncpg.Polygon)

_ADDRESSES = (IPv4Address, IPv6Address, IPv4Network, IPv6Network)

_ESCAPED_BYTES = 6
"""The most bytes of one character: a control character in JSON."""


def wire_size(values: Sequence[object]) -> int:
    """Return the most bytes that values take as arguments of one call."""
    try:
        return _total(values)
    except Exception:  # noqa: BLE001 (a list that holds itself: the driver explains what is wrong with it)
        return UNBOUNDED


def _total(values: Sequence[object]) -> int:
    total = 0
    for value in values:
        kind = type(value)
        if kind in _FIXED:
            total += _SMALL_BYTES
        elif kind is int:
            number: Any = value
            total += _INTEGER_BYTES + number.bit_length() // 3
        elif value is None:
            total += _NULL_BYTES
        elif kind is str:
            text: Any = value
            # In JSON, quotes and backslashes take two bytes, and control characters six.
            total += 8 + (2 if text.isascii() and text.isprintable() else _ESCAPED_BYTES) * len(text)
        else:
            total += _other(value)
    return total


def _other(value: Any) -> int:
    if value is None:
        return _NULL_BYTES
    if isinstance(value, int):
        return _INTEGER_BYTES + value.bit_length() // 3
    if isinstance(value, str):
        return 8 + _ESCAPED_BYTES * len(value)
    if isinstance(value, memoryview):
        return 16 + value.nbytes * 4 // 3  # Base64 in JSON
    if isinstance(value, bytes | bytearray):
        return 16 + len(value) * 4 // 3
    if isinstance(value, UUID | dt.date | dt.time | dt.timedelta):
        return _SMALL_BYTES
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, Opaque):
        return _other(value.value)
    if isinstance(value, Mapping):
        return 8 + sum(_escaped(key) + _escaped(item) + 4 for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        # The header of an array, and the type numbers of a composite's fields.
        return 24 + sum(_escaped(item) + 8 for item in value)
    if isinstance(value, _RANGE):
        return 8 + _escaped(value.lower) + _escaped(value.upper)
    if isinstance(value, _ADDRESSES):
        return 64
    if isinstance(value, _BITS):
        return 16 + len(value.bytes)
    if isinstance(value, _SHAPES):
        return 64 + 16 * len(getattr(value, "points", ()))
    if isinstance(value, msgspec.Struct) or hasattr(type(value), "__dataclass_fields__"):
        return 16 + len(msgspec.json.encode(value))
    size = getattr(value, "nbytes", None)  # NumPy's arrays
    if isinstance(size, int):
        return 16 + 8 * size  # it may hold halves or bits, which become floats
    to_binary = getattr(value, "to_binary", None)  # pgvector's values
    if to_binary is not None:
        return 8 + len(to_binary())
    return UNBOUNDED


def _decimal(value: Decimal) -> int:
    _, digits, exponent = value.as_tuple()
    # Two bytes for four digits on either side of the point.
    return _SMALL_BYTES + len(digits) + (abs(exponent) if isinstance(exponent, int) else 0)


def _escaped(value: object) -> int:
    if type(value) is str:
        return 8 + _ESCAPED_BYTES * len(value)
    if type(value) in _FIXED:
        return _SMALL_BYTES
    return _other(value)
