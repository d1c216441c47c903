"""The exactness of buckets under full load, for any time: ``python -m tests.limits.full_load 10``."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from dataclasses import dataclass

from redis.asyncio import Redis

from plainsql.limits import Limits, TokenBucket
from tests.redis_server import redis_server


@dataclass
class Load:
    """The tokens that one bucket gave while callers requested more than it had, all the time."""

    rate: int
    allowed: int
    left: int
    """Tokens that were left at the end: no caller had taken them yet."""
    asked: int
    least: float
    """The tokens that the rate and the burst give from the first answer to the last question, by the server's
    clock.
    """
    most: float
    """The same, from the first question to the last answer: it is longer by two round trips."""

    @property
    def error(self) -> float:
        """The deviation from the tokens of the rate, as a part of them."""
        given = self.allowed + self.left
        return max(self.least - 1 - given, given - self.most, 0) / self.most

    def __str__(self) -> str:
        return (
            f"{self.rate}/s: {self.allowed} of {self.asked} allowed, {self.left} left, "
            f"{self.least:.2f} to {self.most:.2f} expected, {self.error:.3%} beside"
        )


async def load(url: str, rate: int, seconds: float, tasks: int = 4) -> Load:
    """Take single tokens from a bucket by several tasks for so long."""
    async with Redis.from_url(url) as redis, Limits(url, prefix=uuid.uuid4().hex, deadline=10) as limits:
        # A burst of a second: a program that is delayed for less than that loses nothing.
        bucket = limits.bucket("load", rate=rate)
        counts = [0, 0]

        async def ask(bucket: TokenBucket, end: float) -> None:
            while loop.time() < end:
                counts[bool(await bucket.consume("x"))] += 1

        async def server_time() -> float:
            whole, micro = await redis.time()
            return float(whole + micro / 1_000_000)

        loop = asyncio.get_running_loop()
        before_first = await server_time()
        # The whole burst first: tokens that flow into a full bucket are lost, as they should be.
        await bucket.consume("x", rate)
        after_first = await server_time()
        await asyncio.gather(*(ask(bucket, loop.time() + seconds) for _ in range(tasks)))
        before_last = await server_time()
        left = await bucket.remaining("x")
        after_last = await server_time()
    return Load(
        rate,
        rate + counts[True],
        left,
        rate + sum(counts),
        rate + rate * (before_last - after_first),
        rate + rate * (after_last - before_first),
    )


async def main(seconds: float) -> int:
    with redis_server() as server:
        server.start()
        url = os.environ.get("PLAINSQL_TEST_REDIS_URL", server.url)
        loads = await asyncio.gather(load(url, 80, seconds), load(url, 250, seconds))
    for one in loads:
        print(one)
    return int(any(one.error > 0.001 for one in loads))


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 10)))
