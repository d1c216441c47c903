"""An array as Arrow has it: its type, and the buffers that hold its values."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

__all__ = ["ArrayData"]

_NOTHING: Mapping[str, str] = MappingProxyType({})


class ArrayData(NamedTuple):
    """One array, or its type alone if it has no buffers.

    The buffers are those of Arrow's columnar format for ``format``: the first is the bitmap of the values
    that are not null, or None if all are.
    """

    format: str
    """The type as the C data interface writes it: ``l`` is a 64-bit integer, ``+s`` a struct."""
    name: str
    length: int = 0
    nulls: int = 0
    buffers: tuple[Any, ...] = ()
    children: tuple[ArrayData, ...] = ()
    dictionary: ArrayData | None = None
    metadata: Mapping[str, str] = _NOTHING
    offset: int = 0
    """The number of elements of the buffers before the first one."""
