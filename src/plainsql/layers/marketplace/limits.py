"""How much each user may ask of the bot."""

from __future__ import annotations

from typing import Self

from plainsql.application import redis_prefix
from plainsql.limits import Decision, Limits, SlidingWindow, WithoutRedis
from plainsql.limits.rules import Subject
from plainsql.redis_connection import RedisSource

__all__ = ["RateLimits"]


class RateLimits:
    """A sliding window for each user, in Redis and so across all processes of the bot.

    ``redis`` is a client of redis-py, a ``RedisConnection``, a URL, or nothing for the configured one.
    ``without_redis`` says what to answer while Redis is away: by default each process counts by itself, so
    that the bot goes on and nobody floods it. Keys begin with ``prefix``, by default the application's name.

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
        """Count this call and return False; return True where ``limit`` calls were counted within ``window``
        seconds. What is refused does not count.

        Raises ``BindError`` for a limit below 1 or above 100,000 and a window of no length.
        """
        return await self._window.is_limited(user, limit, window)

    async def check(self, user: Subject, limit: int, window: float) -> Decision:
        """Tell whether one more call is allowed now, how many are left and when to come again; count none."""
        return await self._window.check(user, limit, window)

    async def aclose(self) -> None:
        """Close the way to Redis, unless a client or a link was given."""
        await self._limits.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
