"""Ranges, ``[1,5)``, and multiranges, ``{[1,5),[7,9)}``: asyncpg's ``Range`` and lists of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from plainsql import types
from plainsql.sync.codecs.codec import Codec
from plainsql.sync.codecs.composites import quote, unquote

__all__ = ["multirange_codec", "range_codec"]

_BOUND = r'(?:"((?:[^"\\]|""|\\\\)*)"|([^",()\[\]]*))'
_RANGE = re.compile(rf"([(\[]){_BOUND},{_BOUND}([)\]])")


def range_codec(name: str, bound: Codec) -> Codec:
    """Make the codec of a range type from that of its bounds."""

    def encode(value: Any) -> str:
        given = _as_range(value)
        if given.isempty:
            return "empty"
        lower = "" if given.lower is None else quote(bound.encode(given.lower))
        upper = "" if given.upper is None else quote(bound.encode(given.upper))
        return f"{'[' if given.lower_inc else '('}{lower},{upper}{']' if given.upper_inc else ')'}"

    def decode(text: str) -> Any:
        if text == "empty":
            return types.Range(empty=True)
        found = _RANGE.fullmatch(text)
        if found is None:
            raise ValueError
        return _read(found, bound)

    return Codec(name, encode, decode)


def multirange_codec(name: str, bound: Codec) -> Codec:
    """Make the codec of a multirange type from that of its bounds."""
    one = range_codec(name, bound)

    def encode(value: Any) -> str:
        if not isinstance(value, Sequence) or isinstance(value, str | bytes):
            raise TypeError
        return "{" + ",".join(map(one.encode, value)) + "}"

    def decode(text: str) -> list[Any]:
        return [_read(found, bound) for found in _RANGE.finditer(text)]

    return Codec(name, encode, decode)


def _read(found: re.Match[str], bound: Codec) -> Any:
    opening, quoted_lower, lower, quoted_upper, upper, closing = found.groups()
    return types.Range(
        _read_bound(quoted_lower, lower, bound),
        _read_bound(quoted_upper, upper, bound),
        lower_inc=opening == "[",
        upper_inc=closing == "]",
    )


def _read_bound(quoted: str | None, bare: str, bound: Codec) -> Any:
    if quoted is not None:
        return bound.decode(unquote(quoted))
    return bound.decode(bare) if bare else None


def _as_range(value: Any) -> types.Range[Any]:
    if isinstance(value, types.Range):
        return value
    if not isinstance(value, tuple | list) or len(value) > 2:
        raise TypeError
    if not value:
        return types.Range(empty=True)
    # As asyncpg: both bounds of a pair belong to the range.
    return types.Range(value[0], value[1] if len(value) == 2 else None, upper_inc=True)
