"""Loads the rows of a statement's results with psycopg's transformer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any, Final

import psycopg
from psycopg import pq
from psycopg.adapt import AdaptersMap, Transformer
from psycopg.postgres import types as builtin_types

from plainsql.sync.adapters import FAST, LOAD_ERRORS, composite_loader

__all__ = ["RowLoader", "UnreadableError", "register_fast"]

# psycopg finds a loader by the type's number. The faster ones have numbers that no type has: the types of
# PostgreSQL begin at 16.
_FAST: Final = {
    builtin_types[name].oid: (number, loader) for number, (name, loader) in enumerate(FAST.items(), 1)
}
_TIMESTAMPTZ: Final = builtin_types["timestamptz"].oid
_RECORD: Final = builtin_types["record"].oid
_FIRST_RECORD: Final = 0x7FFF0000
"""The number of the loader of the first column's records."""


class UnreadableError(Exception):
    """A value that Python does not have, in the column at ``index``."""

    def __init__(self, index: int, detail: str | None) -> None:
        super().__init__(index, detail)
        self.index = index
        self.detail = detail


def register_fast(adapters: AdaptersMap) -> None:
    """Register the loaders that ``RowLoader`` tries first."""
    for number, loader in _FAST.values():
        adapters.register_loader(number, loader)


class RowLoader:
    """The loaders of one statement's columns."""

    def __init__(self, adapters: AdaptersMap, column_types: Sequence[int]) -> None:
        self._adapters = adapters
        self._set_types(adapters, column_types)

    def read_records(self, records: Mapping[int, Sequence[int]]) -> None:
        """Load anonymous records in some columns, by the types of their fields."""
        adapters, types = AdaptersMap(self._adapters), list(self._column_types)
        for index, fields in records.items():
            if types[index] == _RECORD:
                types[index] = _FIRST_RECORD + index
                adapters.register_loader(types[index], composite_loader(fields))
        self._set_types(adapters, types)

    def _set_types(self, adapters: AdaptersMap, column_types: Sequence[int]) -> None:
        self._column_types = column_types
        self._aware = [index for index, oid in enumerate(column_types) if oid == _TIMESTAMPTZ]
        self._is_fast = True
        self._transformer = Transformer(adapters)
        fast = [_FAST[oid][0] if oid in _FAST else oid for oid in column_types]
        self._transformer.set_loader_types(fast, pq.Format.TEXT)

    def load(self, result: pq.abc.PGresult) -> list[tuple[Any, ...]]:
        """Return the rows of a result, whose columns must be of the statement's types.

        Raises ``UnreadableError``.
        """
        if result.nfields != len(self._column_types):  # psycopg would read past the end of its loaders
            raise psycopg.InterfaceError("the result has other columns than the description of the statement")
        if self._is_fast:
            try:
                rows = self._load_fast(result)
            except LOAD_ERRORS:
                pass
            else:
                if self._are_in_utc(rows):
                    return rows
        rows = self._load_exactly(result)
        self._is_fast = False  # infinite values are rarely alone
        return rows

    def _load_fast(self, result: pq.abc.PGresult) -> list[tuple[Any, ...]]:
        transformer = self._transformer
        transformer.set_pgresult(result, set_loaders=False)
        try:
            return transformer.load_rows(0, result.ntuples, tuple)
        finally:
            transformer.set_pgresult(None, set_loaders=False)

    def _are_in_utc(self, rows: Sequence[tuple[Any, ...]]) -> bool:
        return all(
            (value := row[index]) is None or value.tzinfo is UTC for index in self._aware for row in rows
        )

    def _load_exactly(self, result: pq.abc.PGresult) -> list[tuple[Any, ...]]:
        """Load column by column, with the loaders that know infinity, and find the column with the error."""
        columns = []
        for index, oid in enumerate(self._column_types):
            load = self._transformer.get_loader(oid, pq.Format.TEXT).load
            values = [result.get_value(row, index) for row in range(result.ntuples)]
            try:
                columns.append([None if value is None else load(value) for value in values])
            except LOAD_ERRORS as error:
                detail = str(error) if isinstance(error, TypeError) else None
                raise UnreadableError(index, detail) from None
        return list(zip(*columns, strict=True))
