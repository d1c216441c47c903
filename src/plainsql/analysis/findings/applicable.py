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
    """The findings that matter for what the header says comes back.

    With ``cached``, the header asks for its result to be cached; with ``caches``, that of some query is.
    """
    leave = {"unproved-one"} if returns in ("many", "count") else {"unbounded"}
    if returns == "count":
        leave |= {"unbounded"}
    leave |= set() if cached else {"cache-unsteady", "cache-unstorable", "cache-untracked"}
    leave |= set() if caches and not cached else {"hidden-writes"}
    return tuple(finding for finding in (*analysis.findings, *analysis.caching) if finding.name not in leave)
