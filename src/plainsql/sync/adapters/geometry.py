"""Geometric types: asyncpg's ``Point``, ``Box``, ``Path`` and the others."""

from __future__ import annotations

import math
import re
from typing import Any, Final

from plainsql import types
from plainsql.sync.adapters.adapter import Adapter, text_loader

__all__ = ["GEOMETRY"]

_NUMBER: Final = re.compile(r"[^()\[\]{}<>,]+")


def _numbers(text: str) -> list[float]:
    return [float(number) for number in _NUMBER.findall(text)]


def _points(text: str) -> list[tuple[float, float]]:
    numbers = iter(_numbers(text))
    return list(zip(numbers, numbers, strict=True))


def _dump_number(value: Any) -> str:
    return repr(math.ldexp(value, 0))


def _dump_point(value: Any) -> str:
    return f"({_dump_number(value[0])},{_dump_number(value[1])})"


def _dump_points(value: Any) -> str:
    return ",".join(_dump_point(point) for point in value)


def _dump_path(value: Any) -> str:
    # As on asyncpg: a tuple of points is closed, a list is open.
    closed = value.is_closed if isinstance(value, types.Path) else isinstance(value, tuple)
    return f"({_dump_points(value)})" if closed else f"[{_dump_points(value)}]"


def _load_circle(text: str) -> types.Circle:
    x, y, radius = _numbers(text)
    # asyncpg itself makes the center a bare tuple; a Point equals it.
    return types.Circle(types.Point(x, y), radius)


GEOMETRY: Final = (
    Adapter("point", _dump_point, text_loader(lambda text: types.Point(*_numbers(text)))),
    Adapter(
        "line",
        lambda value: "{" + ",".join(_dump_number(value[index]) for index in range(3)) + "}",
        text_loader(lambda text: types.Line(*_numbers(text))),
    ),
    Adapter(
        "lseg",
        lambda value: f"[{_dump_points(value[:2])}]",
        text_loader(lambda text: types.LineSegment(*_points(text))),
    ),
    Adapter(
        "box",
        lambda value: _dump_points(value[:2]),
        text_loader(lambda text: types.Box(*_points(text))),
    ),
    Adapter(
        "path",
        _dump_path,
        text_loader(lambda text: types.Path(*_points(text), is_closed=text.startswith("("))),
    ),
    Adapter(
        "polygon",
        lambda value: f"({_dump_points(value)})",
        text_loader(lambda text: types.Polygon(*_points(text))),
    ),
    Adapter(
        "circle",
        lambda value: f"<{_dump_point(value[0])},{_dump_number(value[1])}>",
        text_loader(_load_circle),
    ),
)
