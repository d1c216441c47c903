"""Medians, quartiles, and ratios of what was measured in the same round."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Spread", "ratio", "spread", "three_digits"]


class Spread(NamedTuple):
    median: float
    low: float
    """The first quartile."""
    high: float
    """The third."""


def spread(values: Sequence[float]) -> Spread:
    """Return the median and the quartiles of at least one value."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)


def ratio(rates: Sequence[float], base: Sequence[float]) -> Spread:
    """Return the spread of ``rates[i] / base[i]``.

    A round is one stretch of time: what slows the machine down slows both, and leaves their ratio as it is.
    """
    return spread([rate / other for rate, other in zip(rates, base, strict=True)])


def three_digits(value: float) -> str:
    """Return a number with three digits that count, and no exponent: 0.0123, 4.56, 1,234."""
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"
