"""The rate limit of a channel."""

from __future__ import annotations

from plainsql.layers.whatsapp.channels import Channel
from plainsql.limits import Charge, Decision, Limits, TokenBucket

__all__ = ["ChannelLimiter"]


class ChannelLimiter:
    """A token bucket for each channel, shared by all processes: one token, one message.

    A channel sends ``messages_per_second`` messages a second, 80 or 250. After a pause it may send a burst of
    as many, or of ``burst``. A channel that is raised to 250 keeps the tokens it has. Tenants share no
    bucket, even if their channels have the same id.

    ``limits`` decides what happens without Redis (``without_redis=``): with ``"raise"``, all methods raise
    ``RedisUnavailableError``.
    """

    def __init__(self, limits: Limits, *, name: str = "whatsapp.channel", burst: int | None = None) -> None:
        self._limits = limits
        self._name = name
        self._burst = burst
        self._buckets: dict[int, TokenBucket] = {}

    async def check(self, channel: Channel, n: int = 1) -> Decision:
        """Check whether ``n`` messages may be sent now, and take no token."""
        return await self._limits.check(self.charge(channel, n))

    async def consume(self, channel: Channel, n: int = 1) -> Decision:
        """Take the tokens of ``n`` messages, or none if there are fewer."""
        return await self._limits.consume(self.charge(channel, n))

    async def remaining(self, channel: Channel) -> int:
        """Return the number of messages that may be sent now."""
        return (await self.check(channel)).remaining

    async def wait(self, channel: Channel, n: int = 1, *, timeout: float | None = None) -> Decision:
        """Wait for the tokens of ``n`` messages and take them; see ``Limits.wait``."""
        return await self._limits.wait(self.charge(channel, n), timeout=timeout)

    def charge(self, channel: Channel, n: int = 1) -> Charge:
        """Return the charge of ``n`` messages, for a call on several limits (a day's, a contact's)."""
        rate = channel.messages_per_second
        bucket = self._buckets.get(rate)
        if bucket is None:
            bucket = self._buckets[rate] = self._limits.bucket(self._name, rate=rate, burst=self._burst)
        return bucket.charge(f"{channel.tenant_id}:{channel.id}", n)

    def __repr__(self) -> str:
        return f"<ChannelLimiter {self._name!r}>"
