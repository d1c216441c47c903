"""Numbers, and what PostgreSQL writes as numbers: identifiers of rows, transactions and the log."""

from __future__ import annotations

import math
import struct
from decimal import Decimal
from typing import Any, Final

from plainsql.sync.codecs.codec import Codec

__all__ = ["NUMBERS", "single"]

_SINGLE = struct.Struct("=f")


def single(value: float) -> float:
    """Round to single precision, as the server stores it. Raises ``OverflowError`` where it does not fit."""
    rounded: float = _SINGLE.unpack(_SINGLE.pack(value))[0]
    return rounded


def _integer(name: str, low: int, high: int) -> Codec:
    def encode(value: Any) -> str:
        number = value if type(value) is int else _whole(value)
        if not low <= number <= high:
            raise OverflowError
        return str(number)

    return Codec(name, encode, int)


def _whole(value: Any) -> int:
    # A str has no __int__ of its own, so that "7" is no number.
    if not hasattr(type(value), "__int__") and not hasattr(type(value), "__index__"):
        raise TypeError
    number = int(value)
    if number != value:
        raise ValueError  # a fraction must not get lost on the way
    return number


def _double(value: Any) -> float:
    # Takes what is a number to C, not what float() can parse.
    return math.ldexp(value, 0)


def _encode_numeric(value: Any) -> str:
    number = value if isinstance(value, Decimal) else Decimal(value)
    return "NaN" if number.is_nan() else str(number)


def _encode_bool(value: Any) -> str:
    if not isinstance(value, bool):
        raise TypeError
    return "t" if value else "f"


def _encode_lsn(value: Any) -> str:
    number = _whole(value)
    if not -(2**63) <= number < 2**63:
        raise OverflowError
    number &= 2**64 - 1
    return f"{number >> 32:X}/{number & 0xFFFFFFFF:X}"


def _decode_lsn(text: str) -> int:
    high, _, low = text.partition("/")
    number = int(high, 16) << 32 | int(low, 16)
    return number - 2**64 if number >= 2**63 else number


def _encode_tid(value: Any) -> str:
    block, offset = _sequence(value)
    if not (0 <= block < 2**32 and 0 <= offset < 2**16):
        raise OverflowError
    return f"({block:d},{offset:d})"


def _decode_tid(text: str) -> tuple[int, ...]:
    return tuple(map(int, text[1:-1].split(",")))


def _encode_snapshot(value: Any) -> str:
    low, high, running = _sequence(value)
    return f"{low:d}:{high:d}:{','.join(f'{number:d}' for number in running)}"


def _decode_snapshot(text: str) -> tuple[int, int, tuple[int, ...]]:
    low, high, running = text.split(":")
    return int(low), int(high), tuple(map(int, running.split(","))) if running else ()


def _sequence(value: Any) -> Any:
    if not isinstance(value, tuple | list):
        raise TypeError
    return value


def _encode_vector_of_integers(value: Any) -> str:
    return " ".join(f"{number:d}" for number in _sequence(value))


def _decode_vector_of_integers(text: str) -> list[int]:
    return [int(number) for number in text.split()]


NUMBERS: Final = (
    Codec("bool", _encode_bool, lambda text: text == "t"),
    _integer("int2", -(2**15), 2**15 - 1),
    _integer("int4", -(2**31), 2**31 - 1),
    _integer("int8", -(2**63), 2**63 - 1),
    *(_integer(name, 0, 2**32 - 1) for name in ("oid", "xid", "cid")),
    *(_integer(name, 0, 2**64 - 1) for name in ("xid8", "oid8")),
    Codec("float4", lambda value: repr(single(_double(value))), lambda text: single(float(text))),
    Codec("float8", lambda value: repr(_double(value)), float),
    Codec("numeric", _encode_numeric, Decimal),
    Codec("pg_lsn", _encode_lsn, _decode_lsn),
    Codec("tid", _encode_tid, _decode_tid),
    *(Codec(name, _encode_snapshot, _decode_snapshot) for name in ("pg_snapshot", "txid_snapshot")),
    *(
        Codec(name, _encode_vector_of_integers, _decode_vector_of_integers)
        for name in ("int2vector", "oidvector")
    ),
)
