"""The report about one case, or about a file of results."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

__all__ = ["FAILURES", "CaseReport", "State"]

State = Literal["failed", "refused", "missing", "unreadable", "stale", "leftover", "new", "changed", "same"]
FAILURES: Final = ("failed", "missing", "refused", "stale", "unreadable", "leftover")


class CaseReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The state of one case, or of a file of results."""

    query: str = ""
    case: str = ""
    state: State
    place: str
    """The place of the example, or the file of results."""
    message: str = ""
    differences: tuple[str, ...] = ()
    hint: str = ""

    def __str__(self) -> str:
        lines = [f"{self.place}: {self.message} [{self.state}]"]
        lines += [f"  {each}" for each in self.differences]
        lines += [f"HINT: {self.hint}"] if self.hint else []
        return "\n".join(lines)
