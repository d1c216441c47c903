"""Arrays, ``{1,NULL,"a b"}``, of up to six dimensions: lists in Python."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sized
from typing import Any, Final

from psycopg.adapt import AdaptersMap
from psycopg.pq import Format
from psycopg.types import TypeInfo

from plainsql.sync.adapters.adapter import Adapter

__all__ = ["array_adapter"]

_TO_ESCAPE: Final = re.compile(r'(["\\])')
_MAX_DIMENSIONS: Final = 6


def array_adapter(element: Adapter, element_oid: int, oid: int, delimiter: str = ",") -> Adapter:
    """Return the adapter of the array type ``oid``."""
    # A tuple in an array is a value of a composite type. A path iterates over its points, but is one element.
    points = element.name in ("path", "polygon")

    def is_nested(value: Any) -> bool:
        return isinstance(value, list) if points else _is_array(value) and not isinstance(value, tuple)

    def shape(value: Any, depth: int = 1) -> tuple[int, ...]:
        """Return the length of each dimension. Raises ``ValueError`` if the parts of one differ in length."""
        if depth > _MAX_DIMENSIONS:
            raise ValueError
        shapes = {shape(part, depth + 1) if is_nested(part) else () for part in value}
        if len(shapes) > 1:
            raise ValueError
        return (len(value), *(shapes.pop() if shapes else ()))

    def dump(value: Any) -> str:
        if not _is_array(value):
            raise TypeError
        # Without elements there are no dimensions either.
        return dump_list(value) if math.prod(shape(value)) else "{}"

    def dump_list(value: Any) -> str:
        return "{" + delimiter.join(map(dump_part, value)) + "}"

    def dump_part(value: Any) -> str:
        if value is None:
            return "NULL"
        if is_nested(value):
            return dump_list(value)
        return '"' + _TO_ESCAPE.sub(r"\\\1", element.dump(value)) + '"'

    return Adapter(f"{element.name}[]", dump, _loader(element_oid, oid, delimiter))


def _loader(element_oid: int, oid: int, delimiter: str) -> type[Any]:
    """Return psycopg's loader of an array type, which finds the loader of the elements by their type."""
    adapters = AdaptersMap()
    # psycopg keeps the classes that it makes, by these arguments: another name would make another class.
    TypeInfo("element", element_oid, oid, delimiter=delimiter).register(adapters)
    loader: Any = adapters.get_loader(oid, Format.TEXT)
    return loader  # type: ignore[no-any-return]


def _is_array(value: Any) -> bool:
    return (
        isinstance(value, Iterable)
        and isinstance(value, Sized)
        and not isinstance(value, str | bytes | bytearray | memoryview | Mapping)
    )
