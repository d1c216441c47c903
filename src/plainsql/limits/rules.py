"""Rates as integers, which the scripts and the limiter in the process calculate with."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal
from uuid import UUID

from plainsql.errors import OptionError
from plainsql.options import check
from plainsql.redis_keys import key_text

__all__ = ["BucketRule", "Charge", "Rule", "Subject", "WindowRule", "subject_text"]

Subject = str | int | UUID
"""The subject that a limit counts for: a channel, a user, an address."""

# Sums of three such numbers stay below 2**53, the last integer up to which Lua's doubles are exact.
_MAX_UNITS = 2**51


@dataclass(frozen=True, slots=True)
class BucketRule:
    """A token bucket that gains a whole number of units in any number of whole microseconds."""

    refill: int
    """Units a microsecond."""
    scale: int
    """Units a token."""
    burst: int
    """Tokens that the bucket holds."""
    keep_ms: int
    """0: a missing bucket is full. Otherwise it is empty, and an unused one is kept for this long."""

    @classmethod
    def of(cls, rate: int, per: float, burst: int | None, starts: Literal["full", "empty"]) -> BucketRule:
        """Make the rule of ``rate`` tokens every ``per`` seconds."""
        period = _microseconds(per)
        burst = rate if burst is None else burst
        speed = Fraction(rate, period)
        rule = cls(speed.numerator, speed.denominator, burst, 86_400_000 if starts == "empty" else 0)
        if max(rule.capacity, rule.refill) >= _MAX_UNITS:
            raise OptionError(
                "bucket(): burst: expected one with which the rate can be calculated exactly: burst and per "
                "together are too large",
                hint="choose a smaller burst or a shorter period",
            )
        return rule

    @property
    def capacity(self) -> int:
        """The units of a full bucket."""
        return self.burst * self.scale

    @property
    def most(self) -> int:
        """The largest charge of one call."""
        return self.burst

    def arguments(self) -> list[str | int]:
        """The arguments of the script that follow the kind and the number of tokens."""
        return [self.refill, self.scale, self.capacity, self.keep_ms]

    def shared(self, share: Fraction, charged: int) -> BucketRule:
        """The part of one process. Its burst is at least the charge, which could never pass otherwise."""
        burst = max(math.floor(self.burst * share), min(charged, self.burst), 1)
        rate = Fraction(self.refill, self.scale) * share
        return BucketRule(rate.numerator, rate.denominator, burst, self.keep_ms)


@dataclass(frozen=True, slots=True)
class WindowRule:
    """At most ``limit`` in any window of ``length_us`` microseconds."""

    limit: int
    length_us: int

    @classmethod
    def of(cls, limit: int, window: float) -> WindowRule:
        """Make the rule of ``limit`` within ``window`` seconds."""
        check("charge", limit=limit, window=window)
        return cls(limit, _microseconds(window))

    @property
    def most(self) -> int:
        """The largest charge of one call."""
        return self.limit

    def arguments(self) -> list[str | int]:
        """The arguments of the script that follow the kind and the number of tokens."""
        return [self.limit, self.length_us, "", ""]

    def shared(self, share: Fraction, charged: int) -> WindowRule:
        """The part of one process; see `BucketRule.shared`."""
        return replace(self, limit=max(math.floor(self.limit * share), min(charged, self.limit), 1))


Rule = BucketRule | WindowRule


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge to one limit, for a call on several: made by ``charge`` of a bucket or a window."""

    name: str
    """The limit's."""
    key: str
    rule: Rule
    n: int

    def __post_init__(self) -> None:
        check("charge", n=self.n)
        most = self.rule.most
        if self.n > most:
            raise OptionError(
                f"charge(): n: expected at most {most}, all that {self.name!r} ever holds, got {self.n}"
            )

    def arguments(self) -> list[str | int]:
        """The six arguments of the script."""
        kind = "bucket" if isinstance(self.rule, BucketRule) else "window"
        return [kind, self.n, *self.rule.arguments()]


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)


def subject_text(subject: object) -> str:
    """Return a subject as it is written in keys.

    Raises ``BindError`` for a value that is no subject: all callers without one would share a limit.
    """
    hint = "give each anonymous caller something of its own, such as its address"
    return key_text("subject", subject, hint)
