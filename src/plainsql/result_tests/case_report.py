"""The report about one case, or about a file of results."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from plainsql.errors import Place, PlainsqlError

__all__ = ["FAILURES", "CaseReport", "State", "refused_case"]

State = Literal["failed", "refused", "missing", "unreadable", "stale", "leftover", "new", "changed", "same"]
FAILURES: Final = ("failed", "missing", "refused", "stale", "unreadable", "leftover")


class CaseReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The state of one case, or of a file of results."""

    query: str = ""
    case: str = ""
    state: State
    path: str
    """The file of the query, or the file of results."""
    line: int = 0
    column: int = 0
    excerpt: str = ""
    """The line of a statement that the server refuses."""
    message: str = ""
    differences: tuple[str, ...] = ()
    hint: str = ""

    def __str__(self) -> str:
        place = Place(self.path, self.line, self.column, self.excerpt)
        lines = [str(PlainsqlError(f"{self.message} [{self.state}]", place=place))]
        lines += [f"  {each}" for each in self.differences]
        lines += [f"HINT: {self.hint}"] if self.hint else []
        return "\n".join(lines)


def refused_case(query: str, case: str, error: PlainsqlError, place: Place, when: str = "") -> CaseReport:
    """Return the report about a case that cannot run; ``place`` is that of its example."""
    place = error.place or place
    return CaseReport(
        query=query,
        case=case,
        state="refused",
        path=place.path,
        line=place.line,
        column=place.column,
        excerpt=place.excerpt,
        message=f"{query}, {case}: {when}{error.message}",
        differences=(error.detail,) if error.detail else (),
        hint=error.hint or "",
    )
