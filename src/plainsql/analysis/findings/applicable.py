"""The findings that apply to a query, by what its header returns and by whether results are cached."""

from __future__ import annotations

from typing import Literal

from plainsql.analysis.model import Analysis, Finding

__all__ = ["applicable"]


def applicable(
    analysis: Analysis,
    returns: Literal["one", "optional", "many", "count"],
    *,
    cached: bool = False,
    caches: bool = False,
) -> tuple[Finding, ...]:
    """Return the findings that apply to the header's ``returns``.

    With ``cached``, the header caches the result; with ``caches``, any query of the project is cached.
    """
    leave = {"unproved-one"} if returns in ("many", "count") else {"unbounded"}
    if returns == "count":
        leave |= {"unbounded"}
    leave |= set() if returns == "one" else {"conflict-without-row"}
    leave |= set() if cached else {"cache-unsteady", "cache-unstorable", "cache-untracked"}
    leave |= set() if caches and not cached else {"hidden-writes"}
    return tuple(finding for finding in (*analysis.findings, *analysis.caching) if finding.name not in leave)
