"""Token buckets: a steady rate, and a burst for a subject that has saved tokens."""

from __future__ import annotations

from plainsql.limits.decision import Decision
from plainsql.limits.limiter import Limiter
from plainsql.limits.rules import BucketRule, Charge, Subject

__all__ = ["TokenBucket"]


class TokenBucket:
    """A bucket of tokens for each subject; made by ``Limits.bucket``.

    Over any ``t`` seconds a subject gets at most ``burst + rate * t / per`` tokens. Buckets of the same name
    share their tokens, even if their rates differ.

    All methods raise ``BindError`` for more tokens than the bucket ever holds, and, with
    ``without_redis="raise"``, ``RedisUnavailableError`` if Redis does not answer.
    """

    def __init__(self, limits: Limiter, name: str, rule: BucketRule) -> None:
        self._limits = limits
        self._name = name
        self._rule = rule

    def charge(self, subject: Subject, n: int = 1) -> Charge:
        """Return the charge of ``n`` tokens to a subject, for a call on several limits."""
        return Charge(self._name, self._limits._key(self._name, subject), self._rule, n)

    async def check(self, subject: Subject, n: int = 1) -> Decision:
        """Return whether there are ``n`` tokens now, and take none."""
        return await self._limits.check(self.charge(subject, n))

    async def consume(self, subject: Subject, n: int = 1) -> Decision:
        """Take ``n`` tokens, or none if there are fewer."""
        return await self._limits.consume(self.charge(subject, n))

    async def remaining(self, subject: Subject) -> int:
        """Return the number of whole tokens that there are now."""
        return (await self.check(subject)).remaining

    async def wait(self, subject: Subject, n: int = 1, *, timeout: float | None = None) -> Decision:
        """Take ``n`` tokens as soon as there are that many; see ``Limits.wait``."""
        return await self._limits.wait(self.charge(subject, n), timeout=timeout)

    def __repr__(self) -> str:
        rule = self._rule
        return f"<TokenBucket {self._name!r}: {rule.refill * 1_000_000 / rule.scale:g}/s, burst {rule.burst}>"
