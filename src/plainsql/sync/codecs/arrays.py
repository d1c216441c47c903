"""Arrays: ``{1,NULL,"a b"}``, of any number of dimensions."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sized
from typing import Any

from plainsql.sync.codecs.codec import Codec

__all__ = ["array_codec"]

_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_TO_ESCAPE = re.compile(r'(["\\])')
_MAX_DIMENSIONS = 6


def array_codec(element: Codec, delimiter: str = ",") -> Codec:
    """Make the codec of an array from that of its elements. Arrays are lists, in Python and back."""
    token = re.compile(rf'"((?:[^"\\]|\\.)*)"|([^{{}}"{delimiter}]+)|([{{}}])', re.DOTALL)

    # A tuple in an array is a value of a composite type. A path iterates over its points, but is one element.
    points = element.name in ("path", "polygon")

    def is_nested(value: Any) -> bool:
        return isinstance(value, list) if points else _is_array(value) and not isinstance(value, tuple)

    def shape(value: Any, depth: int = 1) -> tuple[int, ...]:
        """The length of each dimension. Raises ``ValueError`` where the parts of one are not equally long."""
        if depth > _MAX_DIMENSIONS:
            raise ValueError
        shapes = {shape(part, depth + 1) if is_nested(part) else () for part in value}
        if len(shapes) > 1:
            raise ValueError
        return (len(value), *(shapes.pop() if shapes else ()))

    def encode(value: Any) -> str:
        if not _is_array(value):
            raise TypeError
        # Without elements there are no dimensions either.
        return write(value) if math.prod(shape(value)) else "{}"

    def write(value: Any) -> str:
        return "{" + delimiter.join(map(write_element, value)) + "}"

    def write_element(value: Any) -> str:
        if value is None:
            return "NULL"
        if is_nested(value):
            return write(value)
        return '"' + _TO_ESCAPE.sub(r"\\\1", element.encode(value)) + '"'

    def decode(text: str) -> list[Any]:
        # Other lower bounds than 1 stand before the elements: [0:1]={a,b}. Python's lists have none.
        start = text.index("=") + 1 if text.startswith("[") else 0
        outside: list[list[Any]] = []
        stack: list[list[Any]] = [outside]
        for quoted, bare, brace in token.findall(text, start):
            if brace == "{":
                stack.append([])
            elif brace == "}":
                done = stack.pop()
                stack[-1].append(done)
            elif bare:
                stack[-1].append(None if bare == "NULL" else element.decode(bare))
            else:
                stack[-1].append(element.decode(_ESCAPED.sub(r"\1", quoted)))
        (array,) = outside
        return array

    return Codec(f"{element.name}[]", encode, decode)


def _is_array(value: Any) -> bool:
    return (
        isinstance(value, Iterable)
        and isinstance(value, Sized)
        and not isinstance(value, str | bytes | bytearray | memoryview | Mapping)
    )
