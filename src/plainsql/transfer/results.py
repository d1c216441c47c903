"""The progress and the results of a transfer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["OnReplace", "OnRows", "Replaced", "Transferred", "ignore_rows"]

OnRows = Callable[[str, int, int], None]
"""Called during a transfer with the table, its rows so far, and its total (an estimate in an export)."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """A table that an import empties."""

    layer: str
    name: str
    """The qualified name, quoted if PostgreSQL would."""
    rows: int
    exact: bool
    """True if ``rows`` is counted; a large table is estimated."""


OnReplace = Callable[[Sequence[Replaced]], None]
"""Called before tables are emptied; an error that it raises keeps their rows."""


@dataclass(frozen=True, slots=True)
class Transferred:
    """The result of an export or an import."""

    layers: tuple[str, ...]
    rows: dict[str, int]
    """The number of rows by the table's qualified name, in the order of the file."""
    sha256: str
    """The digest of the file without its last line, in hexadecimal."""


def ignore_rows(table: str, rows: int, total: int) -> None:
    """Ignore the progress: the default ``OnRows``."""
