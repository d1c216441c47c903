"""A value that its column in Arrow cannot hold, and the names of Arrow's extension types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from plainsql.errors import DecodeError

__all__ = ["EXTENSIONS", "UnfitValue"]

EXTENSIONS: Final[Mapping[str, dict[str, str]]] = {
    "json": {"ARROW:extension:name": "arrow.json", "ARROW:extension:metadata": ""},
    "uuid": {"ARROW:extension:name": "arrow.uuid", "ARROW:extension:metadata": ""},
}
"""The metadata of a column that says more than its storage."""


class UnfitValue(Exception):  # noqa: N818 (never raised to a caller)
    """A value does not fit; the error of the call names the query."""

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.advice = advice
        self.column = ""

    def of(self, query: str, file: str) -> DecodeError:
        """Return the error of a call."""
        return DecodeError(f"{query}: {self.column}: {self.reason}", hint=f"{self.advice} in {file}")
