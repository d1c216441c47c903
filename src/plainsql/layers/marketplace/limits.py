"""The rate limit of each user of the bot."""

from __future__ import annotations

from typing import Self

from plainsql.application import redis_prefix
from plainsql.limits import Decision, Limits, SlidingWindow, WithoutRedis
from plainsql.limits.rules import Subject
from plainsql.redis_connection import RedisSource

__all__ = ["RateLimits"]


class RateLimits:
    """A sliding window for each user, in Redis and so across all processes of the bot.

    ``redis`` is a client of redis-py, a ``RedisConnection``, a URL, or None for the configured one.
    ``without_redis`` is the answer while Redis is not available: by default each process counts by itself, so
    that the bot continues and no user floods it. Keys begin with ``prefix``, by default the application's
    name.

    ::

        async with RateLimits("redis://localhost") as limits:
            if await limits.is_rate_limited(buyer.id, 20, 60): ...  # more than 20 in any 60 seconds
    """

    def __init__(
        self,
        redis: RedisSource = None,
        *,
        name: str = "users",
        without_redis: WithoutRedis = "local",
        deadline: float = 0.5,
        prefix: str | None = None,
    ) -> None:
        prefix = redis_prefix(prefix, "marketplace:limits")
        self._limits = Limits(redis, prefix=prefix, without_redis=without_redis, deadline=deadline)
        self._window: SlidingWindow = self._limits.window(name)

    async def is_rate_limited(self, user: Subject, limit: int, window: float) -> bool:
        """Count this call and return False; return True if ``limit`` calls were counted within ``window``
        seconds. A refused call is not counted.

        Raises ``BindError`` if the limit is below 1 or above 100,000, or if the window has no length.
        """
        return await self._window.is_limited(user, limit, window)

    async def check(self, user: Subject, limit: int, window: float) -> Decision:
        """Check whether one more call is allowed now, how many are left and when to retry; count none."""
        return await self._window.check(user, limit, window)

    async def aclose(self) -> None:
        """Close the connection to Redis, unless a client or a ``RedisConnection`` was given."""
        await self._limits.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
