"""Composite types, ``(1,"a b",)``: tuples in Python."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Loader, Transformer
from psycopg.pq import Format

from plainsql.sync.adapters.adapter import Adapter

__all__ = ["composite_adapter", "composite_loader", "quote"]

_TO_DOUBLE: Final = re.compile(r'["\\]')
_DOUBLED: Final = re.compile(rb'(["\\])\1')
_FIELD: Final = re.compile(rb'[(,](?:"((?:[^"\\]|""|\\\\)*)"|([^",()]*))')


def composite_adapter(name: str, fields: Sequence[tuple[str, int, Adapter]]) -> Adapter:
    """Return the adapter of a composite type. ``fields``: its attributes in order, with name and type."""
    names = [field for field, _, _ in fields]
    adapters = [adapter for _, _, adapter in fields]

    def dump(value: Any) -> str:
        if isinstance(value, Mapping):
            if not names or not value.keys() <= set(names):
                raise ValueError
            value = [value.get(field) for field in names]
        if isinstance(value, str | bytes) or len(value) != len(adapters):
            raise TypeError
        parts = zip(adapters, value, strict=True)
        return f"({','.join('' if part is None else quote(adapter.dump(part)) for adapter, part in parts)})"

    return Adapter(name, dump, composite_loader([oid for _, oid, _ in fields]))


def composite_loader(fields: Sequence[int]) -> type[Loader]:
    """Return the loader class of a composite type with fields of these types.

    psycopg's own takes one null field for no fields.
    """

    class CompositeLoader(Loader):
        def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
            super().__init__(oid, context)
            self._fields = Transformer(context)
            self._fields.set_loader_types(fields, Format.TEXT)

        def load(self, data: Buffer) -> tuple[Any, ...]:
            if not fields:
                return ()
            return self._fields.load_sequence(
                [
                    _DOUBLED.sub(rb"\1", found[1]) if found[1] is not None else found[2] or None
                    for found in _FIELD.finditer(data)
                ]
            )

    return CompositeLoader


def quote(text: str) -> str:
    """Quote a field of a composite value, or a bound of a range."""
    return '"' + _TO_DOUBLE.sub(lambda found: found[0] * 2, text) + '"'
