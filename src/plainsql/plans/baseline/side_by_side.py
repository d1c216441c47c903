"""Two plans next to each other."""

from __future__ import annotations

import shutil
from itertools import zip_longest
from typing import Final

from plainsql.plans.baseline.plan_file import RecordedPlan, render_plan

__all__ = ["side_by_side"]

_MAX_WIDTH: Final = 160
"""The characters of a line if the output is no terminal and ``COLUMNS`` is not set."""
_INDENT: Final = 4
"""The spaces that a report puts in front of each line."""


def side_by_side(recorded: RecordedPlan, now: RecordedPlan) -> list[str]:
    """Return the lines of the recorded plan and today's, under their headings.

    Plans that are wider than the terminal are printed one below the other.
    """
    left, right = ([heading, *render_plan(plan)] for heading, plan in (("recorded", recorded), ("now", now)))
    width = max(map(len, left))
    room = shutil.get_terminal_size((_MAX_WIDTH, 0)).columns - _INDENT
    if width + 3 + max(map(len, right)) > room:
        return [*left, "", *right]
    return [f"{one:<{width}} | {other}".rstrip() for one, other in zip_longest(left, right, fillvalue="")]
