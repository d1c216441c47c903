"""Rate limits in Redis, for programs that are not asynchronous."""

from __future__ import annotations

from typing import Literal

from plainsql.limits.bucket import TokenBucket
from plainsql.limits.decision import Decision
from plainsql.limits.limits import Limits, WithoutRedis
from plainsql.limits.rules import Charge, Subject
from plainsql.limits.window import SlidingWindow
from plainsql.sync_redis_connection import SyncRedisConnection, SyncRedisService, SyncRedisSource

__all__ = ["SyncLimits", "SyncSlidingWindow", "SyncTokenBucket"]


class SyncTokenBucket:
    """``TokenBucket`` for programs that are not asynchronous; made by ``SyncLimits.bucket``."""

    def __init__(self, link: SyncRedisConnection, bucket: TokenBucket) -> None:
        self._link = link
        self._bucket = bucket

    def charge(self, subject: Subject, n: int = 1) -> Charge:
        """Return the charge of ``n`` tokens to a subject, for a call on several limits."""
        return self._bucket.charge(subject, n)

    def check(self, subject: Subject, n: int = 1) -> Decision:
        """Return whether there are ``n`` tokens now, and take none."""
        return self._link.wait_for(self._bucket.check(subject, n))

    def consume(self, subject: Subject, n: int = 1) -> Decision:
        """Take ``n`` tokens, or none if there are fewer."""
        return self._link.wait_for(self._bucket.consume(subject, n))

    def remaining(self, subject: Subject) -> int:
        """Return the number of whole tokens that there are now."""
        return self._link.wait_for(self._bucket.remaining(subject))

    def wait(self, subject: Subject, n: int = 1, *, timeout: float | None = None) -> Decision:
        """Take ``n`` tokens as soon as there are that many; see ``SyncLimits.wait``."""
        return self._link.wait_for(self._bucket.wait(subject, n, timeout=timeout))

    def __repr__(self) -> str:
        return repr(self._bucket).replace("<", "<Sync", 1)


class SyncSlidingWindow:
    """``SlidingWindow`` for programs that are not asynchronous; made by ``SyncLimits.window``."""

    def __init__(self, link: SyncRedisConnection, window: SlidingWindow) -> None:
        self._link = link
        self._window = window

    def charge(self, subject: Subject, limit: int, window: float, n: int = 1) -> Charge:
        """Return the charge of ``n`` calls of a subject, for a call on several limits."""
        return self._window.charge(subject, limit, window, n)

    def is_limited(self, subject: Subject, limit: int, window: float) -> bool:
        """Count this call and return False; return True if ``limit`` calls were counted within ``window``."""
        return self._link.wait_for(self._window.is_limited(subject, limit, window))

    def check(self, subject: Subject, limit: int, window: float, n: int = 1) -> Decision:
        """Return whether ``n`` more calls are allowed now, and count none."""
        return self._link.wait_for(self._window.check(subject, limit, window, n))

    def consume(self, subject: Subject, limit: int, window: float, n: int = 1) -> Decision:
        """Count ``n`` calls, or none if that would be more than ``limit`` within ``window`` seconds."""
        return self._link.wait_for(self._window.consume(subject, limit, window, n))

    def remaining(self, subject: Subject, limit: int, window: float) -> int:
        """Return the number of calls that are allowed now."""
        return self._link.wait_for(self._window.remaining(subject, limit, window))

    def wait(
        self, subject: Subject, limit: int, window: float, n: int = 1, *, timeout: float | None = None
    ) -> Decision:
        """Count ``n`` calls as soon as they are allowed; see ``SyncLimits.wait``."""
        return self._link.wait_for(self._window.wait(subject, limit, window, n, timeout=timeout))

    def __repr__(self) -> str:
        return repr(self._window).replace("<", "<Sync", 1)


class SyncLimits(SyncRedisService):
    """``Limits`` for programs that are not asynchronous: the same limits, for any number of threads.

    ``redis`` is a URL, a ``SyncRedisConnection``, or nothing for the configured one. A ``Limits`` of the same
    prefix counts together with it.
    """

    def __init__(
        self,
        redis: SyncRedisSource = None,
        *,
        prefix: str | None = None,
        tag: str | None = None,
        deadline: float = 0.5,
        without_redis: WithoutRedis = "raise",
        local_share: float = 1.0,
    ) -> None:
        super().__init__(redis)
        self._limits = Limits(
            self._link,
            prefix=prefix,
            tag=tag,
            deadline=deadline,
            without_redis=without_redis,
            local_share=local_share,
        )

    def bucket(
        self,
        name: str,
        *,
        rate: int,
        per: float = 1.0,
        burst: int | None = None,
        starts: Literal["full", "empty"] = "full",
    ) -> SyncTokenBucket:
        """Make a token bucket for each subject; see ``Limits.bucket``."""
        bucket = self._limits.bucket(name, rate=rate, per=per, burst=burst, starts=starts)
        return SyncTokenBucket(self._link, bucket)

    def window(self, name: str) -> SyncSlidingWindow:
        """Make sliding windows; see ``Limits.window``."""
        return SyncSlidingWindow(self._link, self._limits.window(name))

    def consume(self, *charges: Charge) -> Decision:
        """Take from all the limits, or from none if one of them has not enough; see ``Limits.consume``."""
        return self._link.wait_for(self._limits.consume(*charges))

    def check(self, *charges: Charge) -> Decision:
        """Return the decision that ``consume`` would make now, and take nothing."""
        return self._link.wait_for(self._limits.check(*charges))

    def wait(self, *charges: Charge, timeout: float | None = None) -> Decision:
        """Take from all the limits as soon as all have enough.

        The threads of a process that wait for the same limit are served in their order. A wait that Ctrl-C
        interrupts has taken nothing. See ``Limits.wait``.
        """
        return self._link.wait_for(self._limits.wait(*charges, timeout=timeout))
