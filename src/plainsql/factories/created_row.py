"""A row that a factory has created."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["CreatedRow"]


class CreatedRow(Mapping[str, Any]):
    """A row as the database returned it: ``row.id``, or ``row["id"]`` for any name of a column."""

    __slots__ = ("_values", "table")

    def __init__(self, table: str, values: Mapping[str, Any]) -> None:
        self.table = table
        """The table with its schema: ``shop.orders``."""
        self._values = dict(values)

    def __getitem__(self, column: str) -> Any:
        return self._values[column]

    def __getattr__(self, column: str) -> Any:
        if not column.startswith("_") and column in self._values:
            return self._values[column]
        raise AttributeError(f"{self.table} has no column {column!r}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<CreatedRow of {self.table}>"
