"""Ranges, ``[1,5)``, and multiranges, ``{[1,5),[7,9)}``: asyncpg's ``Range`` and lists of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg.abc import Buffer
from psycopg.types import multirange, range

from plainsql import types
from plainsql.sync.adapters.adapter import Adapter
from plainsql.sync.adapters.composites import quote

__all__ = ["multirange_adapter", "range_adapter"]


def range_adapter(name: str, bound: Adapter, bound_oid: int) -> Adapter:
    """Return the adapter of the range type whose bounds are of the type ``bound_oid``."""

    class RangeLoader(range.RangeLoader[Any]):
        subtype_oid = bound_oid

        def load(self, data: Buffer) -> Any:
            return _as_asyncpg(super().load(data))

    return Adapter(name, _range_dump(bound), RangeLoader)


def multirange_adapter(name: str, bound: Adapter, bound_oid: int) -> Adapter:
    """Return the adapter of the multirange type whose bounds are of the type ``bound_oid``."""
    dump_range = _range_dump(bound)

    def dump(value: Any) -> str:
        if not isinstance(value, Sequence) or isinstance(value, str | bytes):
            raise TypeError
        return "{" + ",".join(map(dump_range, value)) + "}"

    class MultirangeLoader(multirange.MultirangeLoader[Any]):
        subtype_oid = bound_oid

        def load(self, data: Buffer) -> Any:
            return [_as_asyncpg(part) for part in super().load(data)]

    return Adapter(name, dump, MultirangeLoader)


def _as_asyncpg(loaded: range.Range[Any]) -> types.Range[Any]:
    if loaded.isempty:
        return types.Range(empty=True)
    return types.Range(loaded.lower, loaded.upper, lower_inc=loaded.lower_inc, upper_inc=loaded.upper_inc)


def _range_dump(bound: Adapter) -> Any:
    def dump(value: Any) -> str:
        given = _as_range(value)
        if given.isempty:
            return "empty"
        lower = "" if given.lower is None else quote(bound.dump(given.lower))
        upper = "" if given.upper is None else quote(bound.dump(given.upper))
        return f"{'[' if given.lower_inc else '('}{lower},{upper}{']' if given.upper_inc else ')'}"

    return dump


def _as_range(value: Any) -> types.Range[Any]:
    if isinstance(value, types.Range):
        return value
    if not isinstance(value, tuple | list) or len(value) > 2:
        raise TypeError
    if not value:
        return types.Range(empty=True)
    # As on asyncpg: both bounds of a pair belong to the range.
    return types.Range(value[0], value[1] if len(value) == 2 else None, upper_inc=True)
