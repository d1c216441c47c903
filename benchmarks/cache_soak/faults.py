"""The faults of Redis while it is used."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.proxy import Proxy
from tests.redis_server import RedisServer

__all__ = ["Faults"]


class Faults:
    """Makes one fault after the other, and counts them."""

    def __init__(self, server: RedisServer, proxy: Proxy, seed: int) -> None:
        self._server, self._proxy = server, proxy
        self._random = random.Random(seed)
        self.counts: Counter[str] = Counter()

    async def run(self, pause: float) -> None:
        """Make faults until cancelled, about one every ``pause`` seconds; leaves Redis running."""
        kinds: list[tuple[str, Callable[[], Awaitable[None]], int]] = [
            ("evicted", self._evict, 8),
            ("cut", self._cut, 3),
            ("paused", self._freeze, 2),
            ("held back", self._hold_back, 2),
            ("killed", self._restart, 1),
            ("emptied", self._empty, 1),
        ]
        weights = [weight for *_, weight in kinds]
        try:
            while True:
                await asyncio.sleep(self._random.uniform(0, 2 * pause))
                [(name, make, _)] = self._random.choices(kinds, weights)
                with suppress(RedisError, OSError):
                    await make()
                    self.counts[name] += 1
        finally:
            self._server.thaw()
            self._proxy.resume()

    async def _evict(self) -> None:
        async with Redis.from_url(self._server.url) as direct:
            for _ in range(20):
                found = [await direct.randomkey() for _ in range(10)]
                keys = {key for key in found if key is not None}
                # The keys of tables are few: they would seldom be among them.
                if self._random.random() < 0.1:
                    tables = [key async for key in direct.scan_iter("plainsql:*}")]
                    keys |= set(self._random.sample(tables, min(len(tables), 2)))
                if keys:
                    await direct.unlink(*keys)
                await asyncio.sleep(0.01)

    async def _cut(self) -> None:
        self._proxy.cut()

    async def _freeze(self) -> None:
        self._server.freeze()
        await asyncio.sleep(self._random.uniform(0.05, 0.6))
        self._server.thaw()

    async def _hold_back(self) -> None:
        self._proxy.pause()
        await asyncio.sleep(self._random.uniform(0.05, 0.6))
        self._proxy.resume()

    async def _restart(self) -> None:
        self._server.kill()
        await asyncio.sleep(self._random.uniform(0, 0.3))
        # It waits in the thread until it answers, which takes some milliseconds.
        self._server.start()

    async def _empty(self) -> None:
        async with Redis.from_url(self._server.url) as direct:
            await direct.flushall()
