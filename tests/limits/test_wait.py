"""Waiting for a limit: in turn, no longer than allowed, and without a trace if it is given up."""

from __future__ import annotations

import asyncio
from itertools import chain

from plainsql.limits import Limits
from tests.proxy import Proxy


async def test_who_waits_gets_the_token_as_soon_as_it_is_there(limits: Limits) -> None:
    bucket = limits.bucket("b", rate=50, burst=5)
    loop = asyncio.get_running_loop()
    start = loop.time()  # before the bucket is emptied: the answer may be late
    await bucket.consume("x", 5)
    for _ in range(5):
        assert await bucket.wait("x", timeout=10)
    assert 0.098 < loop.time() - start < 5


async def test_those_who_wait_take_turns_in_the_order_they_came(limits: Limits) -> None:
    bucket = limits.bucket("b", rate=200, burst=3)
    await bucket.consume("x", 3)
    served: list[int] = []

    async def wait(number: int, n: int) -> None:
        await bucket.wait("x", n)
        served.append(number)

    # Who wants three is not overtaken for ever by those who want one.
    await asyncio.gather(*(wait(number, 3 if number % 4 == 0 else 1) for number in range(20)))
    assert served == list(range(20))


async def test_a_wait_for_several_limits_takes_from_all_or_none(limits: Limits) -> None:
    fast, slow = limits.bucket("fast", rate=100), limits.bucket("slow", rate=20, burst=1)
    await slow.consume("x")
    assert await limits.wait(fast.charge("x", 100), slow.charge("x"), timeout=10)
    assert await slow.remaining("x") == 0


async def test_a_wait_that_cannot_succeed_in_time_is_refused_at_once(limits: Limits) -> None:
    bucket = limits.bucket("b", rate=1, per=3600, burst=2)
    await bucket.consume("x")
    async with asyncio.timeout(5):
        refused = await bucket.wait("x", 2, timeout=60)
    assert not refused
    assert refused.retry_after > 3500
    assert await bucket.remaining("x") == 1


async def test_the_turn_counts_towards_the_timeout(limits: Limits) -> None:
    bucket = limits.bucket("b", rate=1, per=3600, burst=2)
    await bucket.consume("x", 2)
    first = asyncio.ensure_future(bucket.wait("x"))
    await asyncio.sleep(0)
    assert (await bucket.wait("x", timeout=0.02)).refused_by == ("b",)
    first.cancel()
    await asyncio.wait([first])
    assert not await bucket.wait("x", timeout=0), "the turn is free again, the bucket empty"


async def test_a_cancelled_wait_has_taken_nothing_at_whatever_step(limits: Limits) -> None:
    bucket, window = limits.bucket("b", rate=1, per=3600, burst=5), limits.window("w")
    # Most turns are spent waiting for the reply, the more the slower the machine.
    for turns in chain(range(50), (50 * 2**power for power in range(20))):
        wait = asyncio.ensure_future(limits.wait(bucket.charge("x", 3), window.charge("x", 3, 3600, 3)))
        for _ in range(turns):
            await asyncio.sleep(0)
        if wait.done():
            break
        wait.cancel()
        await asyncio.wait([wait])
        assert wait.cancelled()
        assert await bucket.remaining("x") == 5
        assert await window.remaining("x", 3, 3600) == 3
    else:
        raise AssertionError("the wait does not end")
    assert await bucket.remaining("x") == 2


async def test_a_wait_that_is_cancelled_between_request_and_reply_gives_back(
    redis_proxy: Proxy, limits: Limits, prefix: str
) -> None:
    async with Limits(f"redis://127.0.0.1:{redis_proxy.port}", prefix=prefix, deadline=10) as slow:
        far, near = (one.bucket("b", rate=1, per=3600, burst=5) for one in (slow, limits))
        assert await far.consume("x")
        replies = redis_proxy.to_client.bytes
        wait = asyncio.ensure_future(far.wait("x", 4))
        await redis_proxy.until(lambda: redis_proxy.to_client.bytes == replies)
        requests = redis_proxy.to_server.bytes
        await redis_proxy.until(lambda: redis_proxy.to_server.bytes > requests)
        redis_proxy.pause()
        await redis_proxy.until(lambda: redis_proxy.to_client.bytes > replies)
        assert await near.remaining("x") == 0, "the server has taken them"
        wait.cancel()
        redis_proxy.resume()
        await asyncio.wait([wait])
        assert wait.cancelled()
        assert await near.remaining("x") == 4


async def test_a_wait_does_not_ask_again_and_again(redis_proxy: Proxy, prefix: str) -> None:
    async with Limits(f"redis://127.0.0.1:{redis_proxy.port}", prefix=prefix, deadline=10) as limits:
        bucket = limits.bucket("b", rate=10, burst=1)
        await bucket.consume("x")
        await bucket.consume("x")
        one = redis_proxy.to_server.bytes
        await bucket.consume("x")
        one = redis_proxy.to_server.bytes - one
        before = redis_proxy.to_server.bytes
        # Twenty wait a second for ten: the first in the queue calls, is refused, sleeps and is served.
        waits = [asyncio.ensure_future(bucket.wait("x")) for _ in range(20)]
        await waits[4]
        asked = (redis_proxy.to_server.bytes - before) / one
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)
        assert asked <= 5 * 3 + 1
