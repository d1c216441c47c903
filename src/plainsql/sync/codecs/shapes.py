"""Geometric types: asyncpg's ``Point``, ``Box``, ``Path`` and the rest."""

from __future__ import annotations

import math
import re
from typing import Any, Final

from plainsql import types
from plainsql.sync.codecs.codec import Codec

__all__ = ["SHAPES"]

_NUMBER: Final = re.compile(r"[^()\[\]{}<>,]+")


def _numbers(text: str) -> list[float]:
    return [float(number) for number in _NUMBER.findall(text)]


def _points(text: str) -> list[tuple[float, float]]:
    numbers = iter(_numbers(text))
    return list(zip(numbers, numbers, strict=True))


def _number(value: Any) -> str:
    return repr(math.ldexp(value, 0))


def _point(value: Any) -> str:
    return f"({_number(value[0])},{_number(value[1])})"


def _chain(value: Any) -> str:
    return ",".join(_point(point) for point in value)


def _encode_path(value: Any) -> str:
    # As asyncpg: a tuple of points is closed, a list is open.
    closed = value.is_closed if isinstance(value, types.Path) else isinstance(value, tuple)
    return f"({_chain(value)})" if closed else f"[{_chain(value)}]"


def _decode_circle(text: str) -> types.Circle:
    x, y, radius = _numbers(text)
    # asyncpg itself makes it of a bare tuple; a Point equals it.
    return types.Circle(types.Point(x, y), radius)


SHAPES: Final = (
    Codec("point", _point, lambda text: types.Point(*_numbers(text))),
    Codec(
        "line",
        lambda value: "{" + ",".join(_number(value[index]) for index in range(3)) + "}",
        lambda text: types.Line(*_numbers(text)),
    ),
    Codec("lseg", lambda value: f"[{_chain(value[:2])}]", lambda text: types.LineSegment(*_points(text))),
    Codec("box", lambda value: _chain(value[:2]), lambda text: types.Box(*_points(text))),
    Codec("path", _encode_path, lambda text: types.Path(*_points(text), is_closed=text.startswith("("))),
    Codec("polygon", lambda value: f"({_chain(value)})", lambda text: types.Polygon(*_points(text))),
    Codec(
        "circle",
        lambda value: f"<{_point(value[0])},{_number(value[1])}>",
        _decode_circle,
    ),
)
