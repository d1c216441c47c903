"""Rate limits in Redis: token buckets and sliding windows, exact, on the server's clock.

::

    async with Limits("redis://localhost", without_redis="local") as limits:
        sending = limits.bucket("whatsapp", rate=80)
        if await sending.consume(channel_id): ...
        await sending.wait(channel_id)
        searches = limits.window("searches")
        if await searches.is_limited(user_id, 20, 60): ...

``SyncLimits`` is the same for programs that are not asynchronous.
"""

from __future__ import annotations

from plainsql.limits.bucket import TokenBucket
from plainsql.limits.decision import Decision
from plainsql.limits.limits import Limits, WithoutRedis
from plainsql.limits.rules import Charge, Subject
from plainsql.limits.sync_limits import SyncLimits, SyncSlidingWindow, SyncTokenBucket
from plainsql.limits.window import SlidingWindow

__all__ = [
    "Charge",
    "Decision",
    "Limits",
    "SlidingWindow",
    "Subject",
    "SyncLimits",
    "SyncSlidingWindow",
    "SyncTokenBucket",
    "TokenBucket",
    "WithoutRedis",
]
