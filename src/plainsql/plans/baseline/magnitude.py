"""Costs and numbers of rows as steps of a series (1, 3, 10, 30, …), which small changes do not move."""

from __future__ import annotations

from typing import Final

__all__ = ["is_near", "keep_step", "nearest_step"]

_KEPT_FACTOR: Final = 2.5
"""A recorded step is kept while the number is at most this many times larger or smaller.

The steps are a factor of about 3.2 apart, and a number becomes the nearest one: one next to a border is at
most 1.9 times off its step. A change by a third moves no step that was just written.
"""


def nearest_step(value: float) -> int:
    """Return the nearest step on a logarithmic scale, at least 1."""
    step, is_three = 1, False
    while True:
        following = step // 3 * 10 if is_three else step * 3
        if value * value <= step * following:
            return step
        step, is_three = following, not is_three


def is_near(step: int, value: float) -> bool:
    """Return True if a number has not left a recorded step."""
    return step / _KEPT_FACTOR <= max(value, 1) <= step * _KEPT_FACTOR


def keep_step(step: int, value: float) -> int:
    """Return the recorded step if the number has not left it, else the nearest one."""
    return step if is_near(step, value) else nearest_step(value)
