"""Numbers, and what PostgreSQL writes as numbers: identifiers of rows, transactions and the log."""

from __future__ import annotations

import math
import struct
from decimal import Decimal
from typing import Any, Final

from psycopg.types.bool import BoolLoader
from psycopg.types.numeric import FloatLoader, IntLoader, NumericLoader

from plainsql.sync.adapters.adapter import Adapter, text_loader

__all__ = ["NUMBERS", "single"]

_SINGLE: Final = struct.Struct("=f")


def single(value: float) -> float:
    """Round to single precision, as the server stores it. Raises ``OverflowError`` if it does not fit."""
    rounded: float = _SINGLE.unpack(_SINGLE.pack(value))[0]
    return rounded


def _integer(name: str, low: int, high: int) -> Adapter:
    def dump(value: Any) -> str:
        number = value if type(value) is int else _whole(value)
        if not low <= number <= high:
            raise OverflowError
        return str(number)

    return Adapter(name, dump, IntLoader)


def _whole(value: Any) -> int:
    # A str has no __int__ of its own, so that "7" is no number.
    if not hasattr(type(value), "__int__") and not hasattr(type(value), "__index__"):
        raise TypeError
    number = int(value)
    if number != value:
        raise ValueError  # a fraction must not get lost
    return number


def _double(value: Any) -> float:
    # Takes what is a number to C, not what float() can parse.
    return math.ldexp(value, 0)


def _dump_numeric(value: Any) -> str:
    number = value if isinstance(value, Decimal) else Decimal(value)
    return "NaN" if number.is_nan() else str(number)


def _dump_bool(value: Any) -> str:
    if not isinstance(value, bool):
        raise TypeError
    return "t" if value else "f"


def _dump_lsn(value: Any) -> str:
    number = _whole(value)
    if not -(2**63) <= number < 2**63:
        raise OverflowError
    number &= 2**64 - 1
    return f"{number >> 32:X}/{number & 0xFFFFFFFF:X}"


def _load_lsn(text: str) -> int:
    high, _, low = text.partition("/")
    number = int(high, 16) << 32 | int(low, 16)
    return number - 2**64 if number >= 2**63 else number


def _dump_tid(value: Any) -> str:
    block, offset = _sequence(value)
    if not (0 <= block < 2**32 and 0 <= offset < 2**16):
        raise OverflowError
    return f"({block:d},{offset:d})"


def _load_tid(text: str) -> tuple[int, ...]:
    return tuple(map(int, text[1:-1].split(",")))


def _dump_snapshot(value: Any) -> str:
    low, high, running = _sequence(value)
    return f"{low:d}:{high:d}:{','.join(f'{number:d}' for number in running)}"


def _load_snapshot(text: str) -> tuple[int, int, tuple[int, ...]]:
    low, high, running = text.split(":")
    return int(low), int(high), tuple(map(int, running.split(","))) if running else ()


def _sequence(value: Any) -> Any:
    if not isinstance(value, tuple | list):
        raise TypeError
    return value


def _dump_integers(value: Any) -> str:
    return " ".join(f"{number:d}" for number in _sequence(value))


def _load_integers(text: str) -> list[int]:
    return [int(number) for number in text.split()]


NUMBERS: Final = (
    Adapter("bool", _dump_bool, BoolLoader),
    _integer("int2", -(2**15), 2**15 - 1),
    _integer("int4", -(2**31), 2**31 - 1),
    _integer("int8", -(2**63), 2**63 - 1),
    *(_integer(name, 0, 2**32 - 1) for name in ("oid", "xid", "cid")),
    *(_integer(name, 0, 2**64 - 1) for name in ("xid8", "oid8")),
    # psycopg gives the double that is nearest to the text; asyncpg, the single that the server stores.
    Adapter(
        "float4", lambda value: repr(single(_double(value))), text_loader(lambda text: single(float(text)))
    ),
    Adapter("float8", lambda value: repr(_double(value)), FloatLoader),
    Adapter("numeric", _dump_numeric, NumericLoader),
    Adapter("pg_lsn", _dump_lsn, text_loader(_load_lsn)),
    Adapter("tid", _dump_tid, text_loader(_load_tid)),
    *(
        Adapter(name, _dump_snapshot, text_loader(_load_snapshot))
        for name in ("pg_snapshot", "txid_snapshot")
    ),
    *(Adapter(name, _dump_integers, text_loader(_load_integers)) for name in ("int2vector", "oidvector")),
)
