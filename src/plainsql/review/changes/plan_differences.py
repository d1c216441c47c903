"""The differences between two states of the committed plans: worse, better, or another plan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Final

from plainsql.plans.baseline.judgement import judge
from plainsql.plans.baseline.plan_file import SUFFIX, PlanFileError, parse_plans
from plainsql.plans.baseline.variant_sets import render_set
from plainsql.review.changes.change_sheets import Difference

__all__ = ["plan_differences"]

_KINDS: Final = {"worse": "plan-worse", "different": "plan", "better": "plan-better"}


def plan_differences(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, Difference]:
    """Return the difference of each query whose plan file has another text; the worst of its variants counts.

    The keys of the arguments are paths below the folder of plans, those of the result names of queries.
    """
    return {
        ".".join(PurePosixPath(path).with_suffix("").parts): _difference(before[path], text)
        for path, text in now.items()
        if path in before and before[path] != text and path.endswith(SUFFIX)
    }


def _difference(before: str, now: str) -> Difference:
    try:
        old, new = (
            {render_set(variants): plan for variants, plan in parse_plans(text)} for text in (before, now)
        )
    except PlanFileError:
        return Difference("plan", because="a line of its file cannot be read")
    judged = [
        # The size of a table is not in the file: each new scan counts that does not lower the cost.
        judge(old[variants], plan.root, plan.cost, plan.rows, large=plan.root.scanned)
        for variants, plan in new.items()
        if variants in old
    ]
    for verdict, kind in _KINDS.items():
        for judgement in judged:
            if judgement.verdict == verdict:
                return Difference(kind, because="; ".join(judgement.reasons))
    return Difference("plan", because="it has other variants")
