"""Sliding windows: at most ``limit`` calls in any stretch of ``window`` seconds."""

from __future__ import annotations

from plainsql.limits.decision import Decision
from plainsql.limits.limiter import Limiter
from plainsql.limits.rules import Charge, Subject, WindowRule

__all__ = ["SlidingWindow"]


class SlidingWindow:
    """A log of the calls that each subject was allowed; made by ``Limits.window``.

    A subject is allowed at most ``limit`` calls in any stretch of ``window`` seconds. Refused calls do not
    count. A subject's windows of different lengths are different logs; the limit may change from call to
    call. Memory: some ten bytes for each counted call.

    All methods raise ``BindError`` for a limit above 100,000 and for more calls than the limit, and, with
    ``without_redis="raise"``, ``RedisUnavailableError`` if Redis does not answer.
    """

    def __init__(self, limits: Limiter, name: str) -> None:
        self._limits = limits
        self._name = name

    def charge(self, subject: Subject, limit: int, window: float, n: int = 1) -> Charge:
        """Return the charge of ``n`` calls of a subject, for a call on several limits."""
        rule = WindowRule.of(limit, window)
        # A log is cut to its length: shorter and longer windows cannot share one.
        return Charge(self._name, self._limits._key(self._name, subject, f":{rule.length_us}"), rule, n)

    async def is_limited(self, subject: Subject, limit: int, window: float) -> bool:
        """Count this call and return False; return True if ``limit`` calls were counted within ``window``."""
        return not await self.consume(subject, limit, window)

    async def check(self, subject: Subject, limit: int, window: float, n: int = 1) -> Decision:
        """Return whether ``n`` more calls are allowed now, and count none."""
        return await self._limits.check(self.charge(subject, limit, window, n))

    async def consume(self, subject: Subject, limit: int, window: float, n: int = 1) -> Decision:
        """Count ``n`` calls, or none if that would be more than ``limit`` within ``window`` seconds."""
        return await self._limits.consume(self.charge(subject, limit, window, n))

    async def remaining(self, subject: Subject, limit: int, window: float) -> int:
        """Return the number of calls that are allowed now."""
        return (await self.check(subject, limit, window)).remaining

    async def wait(
        self, subject: Subject, limit: int, window: float, n: int = 1, *, timeout: float | None = None
    ) -> Decision:
        """Count ``n`` calls as soon as they are allowed; see ``Limits.wait``."""
        return await self._limits.wait(self.charge(subject, limit, window, n), timeout=timeout)

    def __repr__(self) -> str:
        return f"<SlidingWindow {self._name!r}>"
