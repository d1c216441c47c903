"""An upper bound for the bytes that arguments take on the wire, without encoding them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from plainsql.types import Opaque

__all__ = ["UNBOUNDED", "wire_size"]

UNBOUNDED = 1 << 30
"""The size of a value of which nothing is known."""

_SMALL = 32
"""What a number, a time or a UUID takes at most, its length included."""

_FIXED: frozenset[type] = frozenset(
    {
        type(None),
        bool,
        float,
        UUID,
        dt.date,
        dt.time,
        dt.datetime,
        dt.timedelta,
    }
)

_ESCAPED = 6
"""The most bytes of one character: as JSON writes a control character."""


def wire_size(values: Sequence[object]) -> int:
    """Return the most bytes that values take as arguments of one call."""
    total = 0
    for value in values:
        kind = type(value)
        if kind in _FIXED:
            total += _SMALL
        elif kind is str:
            text: Any = value
            # As JSON, quotes and backslashes take two bytes, and control characters six.
            total += 8 + (2 if text.isascii() and text.isprintable() else _ESCAPED) * len(text)
        else:
            total += _other(value)
    return total


def _other(value: Any) -> int:
    if isinstance(value, int):
        return _SMALL + value.bit_length() // 3
    if isinstance(value, str):
        return 8 + _ESCAPED * len(value)
    if isinstance(value, memoryview):
        return 8 + value.nbytes
    if isinstance(value, bytes | bytearray):
        return 8 + len(value)
    if isinstance(value, UUID | dt.date | dt.time | dt.timedelta):
        return _SMALL
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, Opaque):
        return _other(value.value)
    if isinstance(value, Mapping):
        return 8 + sum(_escaped(key) + _escaped(item) + 4 for key, item in value.items())
    if isinstance(value, list | tuple):
        # An array's head, and of a composite the numbers of its fields' types.
        return 24 + sum(_escaped(item) + 8 for item in value)
    size = getattr(value, "nbytes", None)  # NumPy's arrays
    if isinstance(size, int):
        return 16 + 8 * size  # it may hold halves or bits that become floats
    to_binary = getattr(value, "to_binary", None)  # pgvector's values
    if to_binary is not None:
        return 8 + len(to_binary())
    return UNBOUNDED


def _decimal(value: Decimal) -> int:
    _, digits, exponent = value.as_tuple()
    # Two bytes for four digits on either side of the point.
    return _SMALL + len(digits) + (abs(exponent) if isinstance(exponent, int) else 0)


def _escaped(value: object) -> int:
    if type(value) is str:
        return 8 + _ESCAPED * len(value)
    if type(value) in _FIXED:
        return _SMALL
    return _other(value)
