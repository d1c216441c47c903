"""Columns built from records: the values of a driver, one by one, into Arrow's buffers.

The compiled part builds the same from the server's messages.
"""

from __future__ import annotations

import datetime as dt
import sys
from array import array
from collections.abc import Callable, Sequence
from itertools import accumulate
from struct import pack
from typing import Any, Final

from plainsql.columns.array_data import ArrayData
from plainsql.columns.column_types import ColumnType
from plainsql.columns.unfit_values import EXTENSIONS, UnfitValue

__all__ = ["bitmap", "columns_of_records"]

_FIXED: Final = {
    "int2": ("s", "h"),
    "int4": ("i", "i"),
    "int8": ("l", "q"),
    "uint4": ("I", "I"),
    "uint8": ("L", "Q"),
    "float4": ("f", "f"),
    "float8": ("g", "d"),
}
"""Numbers: their formats in Arrow and in `array`."""

_TEXTS: Final = frozenset({"text", "ltree", "json", "jsonb"})
_EPOCH: Final = dt.datetime(1970, 1, 1)  # noqa: DTZ001 (compared without zones)
_EPOCH_ORDINAL: Final = _EPOCH.toordinal()
_US: Final = dt.timedelta(microseconds=1)
_MAX_BYTES: Final = 2**31 - 1
_MAX_DAYS: Final = 106_751_990
"""About the days of the microseconds that 64 bits hold."""


def columns_of_records(
    columns: Sequence[tuple[str, ColumnType]], records: Sequence[Sequence[Any]]
) -> list[ArrayData]:
    """Return the arrays of the columns. Raises ``UnfitValue`` for a value that its column cannot hold."""
    found = []
    for index, (name, type_) in enumerate(columns):
        try:
            found.append(_array(name, type_, [record[index] for record in records]))
        except UnfitValue as error:
            error.column = name
            raise
    return found


def _array(name: str, type_: ColumnType, values: Sequence[Any]) -> ArrayData:
    kind = type_.kind
    if kind in _FIXED:
        format_, code = _FIXED[kind]
        numbers = array(code, [0 if value is None else value for value in values])
        return _made(format_, name, values, (numbers.tobytes(),))
    if kind in _TEXTS or kind == "bytea":
        return _texts(name, type_, values)
    if kind in _OTHERS:
        return _OTHERS[kind](name, type_, values)
    format_, width, convert = _CONVERTED[kind]
    zero = bytes(width)
    data = b"".join(zero if value is None else convert(value) for value in values)
    return _made(format_, name, values, (data,), metadata=EXTENSIONS.get(kind))


def _made(
    format_: str,
    name: str,
    values: Sequence[Any],
    buffers: Sequence[Any],
    children: Sequence[ArrayData] = (),
    dictionary: ArrayData | None = None,
    metadata: dict[str, str] | None = None,
) -> ArrayData:
    nulls = values.count(None) if isinstance(values, list) else sum(value is None for value in values)
    validity = bitmap([value is not None for value in values]) if nulls else None
    return ArrayData(
        format_,
        name,
        len(values),
        nulls,
        (validity, *buffers),
        tuple(children),
        dictionary,
        metadata or {},
    )


def bitmap(bits: Sequence[bool]) -> bytes:
    """Return bits as Arrow has them: the first is the lowest of the first byte."""
    if not bits:
        return b""
    number = int("".join("1" if bit else "0" for bit in reversed(bits)), 2)
    return number.to_bytes((len(bits) + 7) // 8, "little")


def _texts(name: str, type_: ColumnType, values: Sequence[Any]) -> ArrayData:
    parts = [
        b"" if value is None else value.encode() if isinstance(value, str) else bytes(value)
        for value in values
    ]
    offsets = [0, *accumulate(map(len, parts))]
    if offsets[-1] > _MAX_BYTES:
        raise UnfitValue("its values have more than 2 GiB together", "read it in blocks, by stream_columns")
    is_json = type_.kind in ("json", "jsonb")
    return _made(
        "z" if type_.kind == "bytea" else "u",
        name,
        values,
        (array("i", offsets).tobytes(), b"".join(parts)),
        metadata=EXTENSIONS["json"] if is_json else None,
    )


def _bools(name: str, type_: ColumnType, values: Sequence[Any]) -> ArrayData:
    return _made("b", name, values, (bitmap([bool(value) for value in values]),))


def _labels(name: str, type_: ColumnType, values: Sequence[Any]) -> ArrayData:
    numbers = {label: number for number, label in enumerate(type_.labels)}
    indices = [0 if value is None else numbers.setdefault(str(value), len(numbers)) for value in values]
    words = _array("", ColumnType("text", 25), [*numbers])
    return _made("i", name, values, (array("i", indices).tobytes(),), dictionary=words)


def _decimals(name: str, type_: ColumnType, values: Sequence[Any]) -> ArrayData:
    precision, scale = type_.decimal or (38, 0)
    parts: list[tuple[int, int]] = []
    for value in values:
        if value is None:
            parts.append((0, 0))
            continue
        sign, digits, exponent = value.as_tuple()
        if not isinstance(exponent, int):
            raise UnfitValue("NaN and infinities are no decimals", "cast it to float8 or text")
        number = int("".join(map(str, digits)))
        parts.append((-number if sign else number, exponent))
        scale = max(scale, -exponent)
    found = [number * 10 ** (scale + exponent) if number else 0 for number, exponent in parts]
    if scale > 38 or any(abs(number) >= 10**38 for number in found):
        raise UnfitValue("a value has more than 38 digits", "cast it to float8, numeric(p, s) or text")
    data = b"".join(number.to_bytes(16, sys.byteorder, signed=True) for number in found)
    return _made(f"d:{precision},{scale}", name, values, (data,))


def _lists(name: str, type_: ColumnType, values: Sequence[Any]) -> ArrayData:
    depth = 0
    for value in values:
        if value:
            deep = _depth(value)
            if depth and deep != depth:
                raise UnfitValue(
                    f"an array has {deep} dimensions, the ones before {depth}",
                    "select arrays of one number of dimensions",
                )
            depth = deep
    levels: list[Sequence[int]] = []
    flat: list[Any] = list(values)
    for _ in range(max(depth, 1)):
        levels.append([0, *accumulate(0 if each is None else len(each) for each in flat)])
        flat = [element for each in flat if each is not None for element in each]
    if len(flat) > _MAX_BYTES:
        raise UnfitValue("its arrays have too many elements", "read it in blocks, by stream_columns")
    inner = _array("item", type_.parts[0][1], flat)
    for offsets in levels[:0:-1]:
        inner = ArrayData("+l", "item", len(offsets) - 1, 0, (None, array("i", offsets).tobytes()), (inner,))
    return _made("+l", name, values, (array("i", levels[0]).tobytes(),), (inner,))


def _depth(value: list[Any]) -> int:
    """Return the number of dimensions: an element that is a list is one more."""
    depth = 1
    while isinstance(value[0], list):
        value, depth = value[0], depth + 1
    return depth


def _structs(name: str, type_: ColumnType, values: Sequence[Any]) -> ArrayData:
    children = [
        _array(part, of, [None if value is None else value[index] for value in values])
        for index, (part, of) in enumerate(type_.parts)
    ]
    return _made("+s", name, values, (), children)


def _vectors(name: str, type_: ColumnType, values: Sequence[Any]) -> ArrayData:
    dimension, width = type_.typmod, 2 if type_.kind == "halfvec" else 4
    raw: list[bytes | None] = []
    for value in values:
        if value is None:
            raw.append(None)
            continue
        numbers = value.to_binary()[4:]
        if len(numbers) != width * dimension:
            if dimension >= 0:
                raise UnfitValue(
                    f"a vector has {len(numbers) // width} dimensions, the ones before {dimension}",
                    "cast it to a type with a dimension, such as vector(3)",
                )
            dimension = len(numbers) // width
        raw.append(numbers)
    dimension = max(dimension, 0)
    zero = bytes(width * dimension)
    joined = array("H" if width == 2 else "I", b"".join(zero if each is None else each for each in raw))
    if sys.byteorder == "little":
        joined.byteswap()
    length = len(values) * dimension
    inner = ArrayData("e" if width == 2 else "f", "item", length, 0, (None, joined.tobytes()))
    return _made(f"+w:{dimension}", name, values, (), (inner,))


def _microseconds(value: dt.datetime) -> bytes:
    at = value.replace(tzinfo=None) - (value.utcoffset() or dt.timedelta())
    return pack("=q", (at - _EPOCH) // _US)


def _time(value: dt.time) -> bytes:
    minutes = value.hour * 60 + value.minute
    return pack("=q", (minutes * 60 + value.second) * 1_000_000 + value.microsecond)


def _duration(value: dt.timedelta) -> bytes:
    if abs(value.days) > _MAX_DAYS:
        raise UnfitValue("an interval is longer than 292,000 years", "cast it to text")
    return pack("=q", value // _US)


_CONVERTED: Final[dict[str, tuple[str, int, Callable[[Any], bytes]]]] = {
    "date": ("tdD", 4, lambda value: pack("=i", value.toordinal() - _EPOCH_ORDINAL)),
    "time": ("ttu", 8, _time),
    "timestamp": ("tsu:", 8, _microseconds),
    "timestamptz": ("tsu:UTC", 8, _microseconds),
    "interval": ("tDu", 8, _duration),
    "uuid": ("w:16", 16, lambda value: value.bytes),
}
"""Values of a fixed number of bytes: their format, that number, and the function that writes one."""

_OTHERS: Final[dict[str, Callable[[str, ColumnType, Sequence[Any]], ArrayData]]] = {
    "bool": _bools,
    "enum": _labels,
    "numeric": _decimals,
    "array": _lists,
    "composite": _structs,
    "vector": _vectors,
    "halfvec": _vectors,
}
