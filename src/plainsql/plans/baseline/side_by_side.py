"""Two plans next to each other."""

from __future__ import annotations

from itertools import zip_longest
from typing import Final

from plainsql.plans.baseline.plan_file import RecordedPlan, render_plan

__all__ = ["side_by_side"]

_MAX_WIDTH: Final = 160
"""The characters of a line; wider plans are printed one below the other."""


def side_by_side(recorded: RecordedPlan, now: RecordedPlan) -> list[str]:
    """Return the lines of the recorded plan and today's, under their headings."""
    left, right = ([heading, *render_plan(plan)] for heading, plan in (("recorded", recorded), ("now", now)))
    width = max(map(len, left))
    if width + 3 + max(map(len, right)) > _MAX_WIDTH:
        return [*left, "", *right]
    return [f"{one:<{width}} | {other}".rstrip() for one, other in zip_longest(left, right, fillvalue="")]
