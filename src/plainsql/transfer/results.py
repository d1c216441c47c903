"""What a transfer tells of itself, while it runs and afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["OnReplace", "OnRows", "Replaced", "Transferred", "nobody"]

OnRows = Callable[[str, int, int], None]
"""Told now and then: the table, its rows so far, and how many it has in all (an estimate in an export)."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """A table that an import empties."""

    layer: str
    name: str
    """Qualified, quoted where PostgreSQL would."""
    rows: int
    exact: bool
    """Whether these are its rows, or an estimate of many."""


OnReplace = Callable[[Sequence[Replaced]], None]
"""Called before tables are emptied; what it raises keeps them as they are."""


@dataclass(frozen=True, slots=True)
class Transferred:
    """What an export wrote or an import read."""

    layers: tuple[str, ...]
    rows: dict[str, int]
    """By the table's qualified name, in the order of the file."""
    sha256: str
    """Of all that stands before the file's last line, in hexadecimal."""


def nobody(table: str, rows: int, total: int) -> None:
    """Nobody asked to be told."""
