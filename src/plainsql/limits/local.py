"""The same limits in the process, while Redis does not answer."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from plainsql.limits.rules import BucketRule, Charge, WindowRule

__all__ = ["LocalLimits", "Outcome"]


@dataclass(slots=True)
class Outcome:
    """The decision of one limit about one charge."""

    enough: bool
    left: int
    wait_us: int
    credit: int = 0
    """The units that are left in a bucket."""


@dataclass(slots=True)
class _Bucket:
    tokens: Fraction
    counted_at: int


@dataclass(slots=True)
class _Window:
    length: int
    times: list[int] = field(default_factory=list)
    """Oldest first."""


class LocalLimits:
    """Buckets and windows in memory, on the process's monotonic clock.

    ``share`` is this process's part of each. Limits that are as good as new are dropped from time to time.
    """

    def __init__(self, share: Fraction, *, clock_us: Callable[[], int] | None = None) -> None:
        self._share = share
        self._now = clock_us or (lambda: time.monotonic_ns() // 1000)
        self._buckets: dict[str, _Bucket] = {}
        self._windows: dict[str, _Window] = {}
        self._full_at: dict[str, int] = {}
        self._tidy_above = 10_000

    def decide(self, charges: Sequence[Charge], *, take: bool) -> list[Outcome]:
        """Decide on each charge; with ``take``, take from all if all have enough."""
        now = self._now()
        outcomes = []
        for charge in charges:
            rule = charge.rule.shared(self._share, charge.n)
            if isinstance(rule, BucketRule):
                outcomes.append(self._bucket_outcome(charge, rule, now))
            else:
                outcomes.append(self._window_outcome(charge, rule, now))
        if take and all(outcome.enough for outcome in outcomes):
            for charge, outcome in zip(charges, outcomes, strict=True):
                self._take(charge, now)
                outcome.left -= charge.n
        if len(self._full_at) > self._tidy_above:
            self._tidy(now)
        return outcomes

    def _bucket_outcome(self, charge: Charge, rule: BucketRule, now: int) -> Outcome:
        rate = Fraction(rule.refill, rule.scale)
        bucket = self._buckets.get(charge.key)
        if bucket is None:
            tokens = Fraction(0 if rule.keep_ms else rule.burst)
        else:
            tokens = min(bucket.tokens + (now - bucket.counted_at) * rate, Fraction(rule.burst))
        self._buckets[charge.key] = _Bucket(tokens, now)
        # A bucket that starts empty is kept while it fills: otherwise it would start again.
        self._full_at[charge.key] = now + max(_above((rule.burst - tokens) / rate), rule.keep_ms * 1000)
        missing = charge.n - tokens
        return Outcome(missing <= 0, int(tokens), _above(missing / rate) if missing > 0 else 0)

    def _window_outcome(self, charge: Charge, rule: WindowRule, now: int) -> Outcome:
        times = self._windows.setdefault(charge.key, _Window(rule.length_us)).times
        del times[: bisect_right(times, now - rule.length_us)]
        self._full_at[charge.key] = (times[-1] if times else now) + rule.length_us
        excess = len(times) + charge.n - rule.limit
        wait = times[excess - 1] + rule.length_us - now if excess > 0 else 0
        return Outcome(excess <= 0, max(rule.limit - len(times), 0), wait)

    def _take(self, charge: Charge, now: int) -> None:
        if isinstance(charge.rule, BucketRule):
            self._buckets[charge.key].tokens -= charge.n
            rule = charge.rule.shared(self._share, charge.n)
            self._full_at[charge.key] += _above(Fraction(charge.n * rule.scale, rule.refill))
        else:
            self._windows[charge.key].times += [now] * charge.n
            self._full_at[charge.key] = now + charge.rule.length_us

    def _tidy(self, now: int) -> None:
        for key in [key for key, full_at in self._full_at.items() if full_at <= now]:
            del self._full_at[key]
            self._buckets.pop(key, None)
            self._windows.pop(key, None)
        self._tidy_above = max(10_000, 2 * len(self._full_at))


def _above(number: Fraction) -> int:
    return -(-number.numerator // number.denominator)
