"""The values of an Arrow array as Python's: exact, or refused."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import accumulate, pairwise
from struct import unpack
from typing import Any, Final
from uuid import UUID

from plainsql.columns.array_data import ArrayData

__all__ = ["UnknownArrowTypeError", "buffer_width", "validity_of", "values_of"]

_NUMBERS: Final = {
    "c": "b",
    "C": "B",
    "s": "h",
    "S": "H",
    "i": "i",
    "I": "I",
    "l": "q",
    "L": "Q",
    "f": "f",
    "g": "d",
}
"""The numbers by their format in `array` and `memoryview`."""

_WIDTHS: Final = {"b": 1, "c": 8, "C": 8, "s": 16, "S": 16, "i": 32, "I": 32, "l": 64, "L": 64} | {
    "e": 16,
    "f": 32,
    "g": 64,
    "tdD": 32,
    "tdm": 64,
    "tts": 32,
    "ttm": 32,
    "ttu": 64,
    "ttn": 64,
    "tDs": 64,
    "tDm": 64,
    "tDu": 64,
    "tDn": 64,
    "tiM": 32,
    "tiD": 64,
    "tin": 128,
}
"""The bits of a value, by its format."""

_PER_US: Final = {"s": (1_000_000, 1), "m": (1000, 1), "u": (1, 1), "n": (1, 1000)}
"""By unit: what a number of it is multiplied with and divided by, for microseconds."""

_EPOCH: Final = dt.datetime(1970, 1, 1)  # noqa: DTZ001 (of timestamps without a zone)
_EPOCH_UTC: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_EPOCH_ORDINAL: Final = _EPOCH.toordinal()


class UnknownArrowTypeError(ValueError):
    """A type that Python values are not made of; its text names the format."""


def buffer_width(format: str, index: int) -> tuple[int, int] | None:
    """Return the bits of an element of a buffer, and how many elements it has more than the array.

    None if its size depends on the values: texts behind offsets or views.
    """
    if index == 0 and format not in ("n", "+r") and not format.startswith("+u"):
        return 1, 0
    if format in ("u", "z", "+l", "+m"):
        return (32, 1) if index == 1 else None
    if format in ("U", "Z", "+L"):
        return (64, 1) if index == 1 else None
    if format in ("vu", "vz"):
        return (128, 0) if index == 1 else None
    if format.startswith("w:"):
        return 8 * int(format[2:]), 0
    if format.startswith("d:"):
        parts = format[2:].split(",")
        return (int(parts[2]) if len(parts) > 2 else 128), 0
    if format.startswith("ts"):
        return 64, 0
    return _WIDTHS.get(format, 0), 0


def validity_of(data: ArrayData) -> list[bool] | None:
    """Return which values are not null; None if all are."""
    if data.format == "n":
        return [False] * data.length
    if data.nulls == 0 or not data.buffers or data.buffers[0] is None:
        return None
    return _bits(data.buffers[0], data.offset, data.length)


def values_of(data: ArrayData, make_struct: Callable[[Iterable[str], Iterable[Any]], Any]) -> list[Any]:
    """Return the values of an array, ``None`` for null. ``make_struct`` makes a struct's of names and values.

    Raises `UnknownArrowTypeError` for a type that PostgreSQL's values do not have, ``ValueError`` for a value
    that Python does not have.
    """
    values = _filled(data, make_struct)
    valid = validity_of(data)
    if valid is None:
        return values
    return [value if kept else None for value, kept in zip(values, valid, strict=True)]


def _filled(data: ArrayData, make_struct: Any) -> list[Any]:
    """Return the values with anything in the place of nulls."""
    format, length, offset = data.format, data.length, data.offset
    if data.dictionary is not None:
        words = values_of(data.dictionary, make_struct)
        valid = validity_of(data)
        numbers = _filled(data._replace(dictionary=None), make_struct)
        if valid is None:
            return [words[number] for number in numbers]
        return [words[number] if kept else None for number, kept in zip(numbers, valid, strict=True)]
    if format == "n":
        return [None] * length
    if length == 0:
        return []
    if format in _NUMBERS:
        return _cast(data, _NUMBERS[format])
    match format[0]:
        case "b":
            return list(_bits(data.buffers[1], offset, length))
        case "e":
            return list(
                unpack(f"<{length}e", memoryview(data.buffers[1])[2 * offset : 2 * (offset + length)])
            )
        case "u" | "U" | "z" | "Z":
            return _texts(data)
        case "v":
            return _viewed(data)
        case "d":
            return _decimals(data)
        case "w":
            size = int(format[2:])
            raw = bytes(memoryview(data.buffers[1])[size * offset : size * (offset + length)])
            parts = [raw[at : at + size] for at in range(0, size * length, size)] if size else [b""] * length
            if data.metadata.get("ARROW:extension:name") == "arrow.uuid":
                return [UUID(bytes=part) for part in parts]
            return parts
        case "t":
            return _times(data)
        case "+":
            return _nested(data, make_struct)
        case _:
            raise UnknownArrowTypeError(format)


def _cast(data: ArrayData, code: str) -> list[Any]:
    view: Any = memoryview(data.buffers[1]).cast("B")
    values: list[Any] = view.cast(code)[data.offset : data.offset + data.length].tolist()
    return values


def _bits(buffer: Any, offset: int, length: int) -> list[bool]:
    number = int.from_bytes(memoryview(buffer)[: (offset + length + 7) // 8], "little") >> offset
    written = f"{number & ((1 << length) - 1):0{length}b}" if length else ""
    return [digit == "1" for digit in reversed(written)]


def _texts(data: ArrayData) -> list[Any]:
    offsets = _offsets(data)
    raw = bytes(memoryview(data.buffers[2])[: offsets[-1]]) if data.buffers[2] is not None else b""
    if data.format in ("z", "Z"):
        return [raw[start:end] for start, end in pairwise(offsets)]
    if raw.isascii():
        text = raw.decode()
        return [text[start:end] for start, end in pairwise(offsets)]
    return [raw[start:end].decode() for start, end in pairwise(offsets)]


def _offsets(data: ArrayData) -> list[int]:
    code = "q" if data.format in ("U", "Z", "+L") else "i"
    if data.buffers[1] is None:
        return [0] * (data.length + 1)
    view: Any = memoryview(data.buffers[1]).cast("B")
    offsets: list[int] = view.cast(code)[data.offset : data.offset + data.length + 1].tolist()
    return offsets


def _viewed(data: ArrayData) -> list[Any]:
    """Read views: a length, then the value itself if it has 12 bytes at most, else its buffer and place."""
    views = memoryview(data.buffers[1])
    valid = validity_of(data)
    decode = data.format == "vu"
    found: list[Any] = []
    for index in range(data.length):
        if valid is not None and not valid[index]:
            found.append(None)
            continue
        at = 16 * (data.offset + index)
        (size,) = unpack("<i", views[at : at + 4])
        if size <= 12:
            raw = bytes(views[at + 4 : at + 4 + size])
        else:
            number, start = unpack("<ii", views[at + 8 : at + 16])
            raw = bytes(memoryview(data.buffers[2 + number])[start : start + size])
        found.append(raw.decode() if decode else raw)
    return found


def _decimals(data: ArrayData) -> list[Any]:
    parts = data.format[2:].split(",")
    scale, size = int(parts[1]), (int(parts[2]) if len(parts) > 2 else 128) // 8
    raw = bytes(memoryview(data.buffers[1])[size * data.offset : size * (data.offset + data.length)])
    # A text keeps all digits; Decimal's own operations would round to the context's precision.
    return [
        Decimal(f"{int.from_bytes(raw[at : at + size], 'little', signed=True)}e{-scale}")
        for at in range(0, len(raw), size)
    ]


def _times(data: ArrayData) -> list[Any]:
    format = data.format
    code = "i" if format in ("tdD", "tts", "ttm") else "q"
    if format in ("tiM", "tiD", "tin"):
        return _intervals(data)
    numbers = _cast(data, code)
    valid = validity_of(data)
    if valid is not None:  # what is in the place of a null may be no date
        numbers = [number if kept else 0 for number, kept in zip(numbers, valid, strict=True)]
    if format == "tdD":
        return [dt.date.fromordinal(number + _EPOCH_ORDINAL) for number in numbers]
    if format == "tdm":
        if any(number % 86_400_000 for number in numbers):
            raise ValueError("a date with a time of day")
        return [dt.date.fromordinal(number // 86_400_000 + _EPOCH_ORDINAL) for number in numbers]
    factor, divisor = _PER_US[format[2]]
    if divisor > 1:
        if any(number % divisor for number in numbers):
            raise ValueError("a time with nanoseconds, PostgreSQL has microseconds")
        numbers = [number // divisor for number in numbers]
    if format.startswith("ts"):
        epoch = _EPOCH_UTC if format[4:] else _EPOCH
        return [epoch + dt.timedelta(microseconds=number * factor) for number in numbers]
    if format.startswith("tt"):
        return [(_EPOCH + dt.timedelta(microseconds=number * factor)).time() for number in numbers]
    return [dt.timedelta(microseconds=number * factor) for number in numbers]


def _intervals(data: ArrayData) -> list[Any]:
    found = []
    size = {"tiM": 4, "tiD": 8, "tin": 16}[data.format]
    raw = memoryview(data.buffers[1])
    for index in range(data.offset, data.offset + data.length):
        part = raw[size * index : size * (index + 1)]
        months, days, ns = 0, 0, 0
        if size == 4:
            (months,) = unpack("<i", part)
        elif size == 8:
            days, ms = unpack("<ii", part)
            ns = ms * 1_000_000
        else:
            months, days, ns = unpack("<iiq", part)
        if months:
            raise ValueError("an interval with months, which have no number of days")
        if ns % 1000:
            raise ValueError("a time with nanoseconds, PostgreSQL has microseconds")
        found.append(dt.timedelta(days=days, microseconds=ns // 1000))
    return found


def _nested(data: ArrayData, make_struct: Any) -> list[Any]:
    format, length, offset = data.format, data.length, data.offset
    if format == "+s":
        names = [child.name for child in data.children]
        parts = [values_of(_slice(child, offset, length), make_struct) for child in data.children]
        return [make_struct(names, row) for row in zip(*parts, strict=True)] if parts else [None] * length
    if format in ("+l", "+L"):
        offsets = _offsets(data)
    elif format.startswith("+w:"):
        size = int(format[3:])
        offsets = [size * offset, *accumulate([size] * length, initial=size * offset)][1:]
    else:
        raise UnknownArrowTypeError(format)
    first, last = offsets[0], offsets[-1]
    values = values_of(_slice(data.children[0], first, last - first), make_struct)
    return [values[start - first : end - first] for start, end in pairwise(offsets)]


def _slice(data: ArrayData, start: int, length: int) -> ArrayData:
    return data._replace(offset=data.offset + start, length=length, nulls=-1 if data.nulls else 0)
