"""The definition of limits: written for reading, with fractions, and independent of the scripts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction


@dataclass
class Bucket:
    """Tokens that flow in at a steady rate (a microsecond), up to the burst."""

    rate: Fraction
    burst: int
    tokens: Fraction = field(init=False)
    taken_at: int = 0

    def __post_init__(self) -> None:
        self.tokens = Fraction(self.burst)

    def now(self, now: int) -> Fraction:
        self.taken_at = min(self.taken_at, now)
        return min(self.tokens + (now - self.taken_at) * self.rate, Fraction(self.burst))

    def enough(self, n: int, now: int) -> bool:
        return self.now(now) >= n

    def left(self, now: int) -> int:
        return math.floor(self.now(now))

    def wait(self, n: int, now: int) -> int:
        return max(math.ceil((n - self.now(now)) / self.rate), 0)

    def take(self, n: int, now: int) -> None:
        self.tokens = self.now(now) - n
        self.taken_at = now


@dataclass
class Window:
    """The times of all that was allowed; those of the last ``length`` microseconds count."""

    limit: int
    length: int
    times: list[int] = field(default_factory=list)

    def now(self, now: int) -> list[int]:
        if self.times and now < self.times[-1]:
            self.times = [time - (self.times[-1] - now) for time in self.times]
        self.times = [time for time in self.times if time > now - self.length]
        return self.times

    def enough(self, n: int, now: int) -> bool:
        return len(self.now(now)) + n <= self.limit

    def left(self, now: int) -> int:
        return max(self.limit - len(self.now(now)), 0)

    def wait(self, n: int, now: int) -> int:
        excess = len(self.now(now)) + n - self.limit
        return self.times[excess - 1] + self.length - now if excess > 0 else 0

    def take(self, n: int, now: int) -> None:
        self.times = self.now(now) + [now] * n
