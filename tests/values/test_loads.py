"""Values that several callers, threads and processes load: one of them does, and no other waits in vain."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from plainsql.errors import RedisUnavailableError
from plainsql.values import Values
from tests.proxy import Proxy
from tests.values.conftest import Rate


class Source:
    """Rates that are loaded, each when the test says so."""

    def __init__(self) -> None:
        self.calls = 0
        self.began = asyncio.Event()
        self.go_on = asyncio.Event()

    async def load(self) -> Rate:
        self.calls += 1
        number = self.calls
        self.began.set()
        await self.go_on.wait()
        return Rate("USD", number)


@asynccontextmanager
async def group(values: Values[Rate], source: Source, count: int) -> AsyncIterator[list[asyncio.Task[Rate]]]:
    """Yield calls of which the first loads, and the others wait behind it."""
    calls = [asyncio.create_task(values.get_or_load("USD", source.load))]
    try:
        await source.began.wait()
        calls += [asyncio.create_task(values.get_or_load("USD", source.load)) for _ in range(count - 1)]
        await asyncio.sleep(0)  # one turn of the event loop: they look for a load, and find it
        yield calls
    finally:
        source.go_on.set()
        await asyncio.wait(calls)


async def test_one_of_many_callers_loads_and_each_has_its_own(
    values: Values[Rate], other: Values[Rate]
) -> None:
    source = Source()
    first = [asyncio.create_task(each.get_or_load("USD", source.load)) for each in (values, other) * 10]
    await source.began.wait()
    async with group(values, source, 10) as later:
        pass
    rates = [await call for call in (*first, *later)]
    assert source.calls == 1
    assert rates == [Rate("USD", 1)] * 30
    assert len({id(rate) for rate in rates}) == 30


async def test_an_error_is_shared_and_nothing_is_left_behind(
    values: Values[Rate], other: Values[Rate], redis: Redis, prefix: str
) -> None:
    calls = 0
    began, go_on = asyncio.Event(), asyncio.Event()

    async def fail() -> Rate:
        nonlocal calls
        calls += 1
        began.set()
        await go_on.wait()
        raise ZeroDivisionError("no rate")

    first = asyncio.create_task(values.get_or_load("USD", fail))
    await began.wait()
    later = [asyncio.create_task(values.get_or_load("USD", fail)) for _ in range(5)]
    # Another process, which waits for the first, has its own function, and is served as soon as that fails.
    elsewhere = asyncio.create_task(other.get_or_load("USD", lambda: Rate("elsewhere")))
    await asyncio.sleep(0)
    go_on.set()
    errors = await asyncio.gather(first, *later, return_exceptions=True)
    assert calls == 1
    assert [str(error) for error in errors] == ["no rate"] * 6
    assert len({id(error) for error in errors}) == 6
    assert await elsewhere == Rate("elsewhere")
    assert not await redis.exists(f"{prefix}:{{USD}}:lease")
    with pytest.raises(ZeroDivisionError):
        await values.get_or_load("EUR", fail)
    assert await values.get_or_load("EUR", lambda: Rate("EUR")) == Rate("EUR")


async def test_a_cancelled_caller_leaves_the_load_to_the_next(
    values: Values[Rate], other: Values[Rate]
) -> None:
    source = Source()
    async with group(values, source, 4) as calls:
        elsewhere = asyncio.create_task(other.get_or_load("USD", source.load))
        source.began.clear()
        calls[0].cancel()
        await source.began.wait()
        calls[1].cancel()
    assert calls[0].cancelled()
    assert {rate.euros for rate in (await elsewhere, await calls[2], await calls[3])} <= {2, 3}
    assert source.calls <= 3


@pytest.mark.parametrize("change", ["set", "delete", "set elsewhere", "delete elsewhere"])
async def test_a_load_does_not_undo_a_change_that_came_meanwhile(
    values: Values[Rate], other: Values[Rate], change: str
) -> None:
    source = Source()
    writer = other if change.endswith("elsewhere") else values
    async with group(values, source, 3) as calls:
        if change.startswith("set"):
            await writer.set("USD", Rate("set"))
        else:
            await writer.delete("USD")
    # The caller that loaded has what it loaded; those behind it look again.
    assert await calls[0] == Rate("USD", 1)
    expected = Rate("set") if change.startswith("set") else Rate("USD", 2)
    assert [await call for call in calls[1:]] == [expected] * 2
    assert await other.get("USD") == expected


async def test_a_lease_is_renewed_while_the_function_runs(redis_url: str, prefix: str, redis: Redis) -> None:
    lease = f"{prefix}:{{USD}}:lease"
    async with Values(redis_url, Rate, prefix=prefix, lease=0.6, deadline=30) as values:
        source = Source()
        call = asyncio.create_task(values.get_or_load("USD", source.load))
        await source.began.wait()
        rest = await redis.pttl(lease)
        while (now := await redis.pttl(lease)) <= rest:
            assert now > 0
            rest = now
        source.go_on.set()
        assert await call == Rate("USD", 1)
        assert await values.get("USD") == Rate("USD", 1)
        assert not await redis.exists(lease)


_PROCESS = """
import asyncio, sys
from plainsql.values import Values
from tests.values.conftest import Rate

async def load():
    print("loading", flush=True)
    await asyncio.Event().wait()

async def main():
    async with Values(sys.argv[1], Rate, prefix=sys.argv[2], lease=0.3, deadline=30) as values:
        await values.set("EUR", Rate("EUR"))
        await values.get_or_load("USD", load)

asyncio.run(main())
"""


async def test_a_process_that_dies_blocks_no_other(redis_url: str, prefix: str, values: Values[Rate]) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PROCESS, redis_url, prefix),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"loading\n"
        # Its types have the digests of ours.
        assert await values.get("EUR") == Rate("EUR")
        call = asyncio.create_task(values.get_or_load("USD", lambda: Rate("ours")))
        await asyncio.sleep(0)
        process.kill()
        async with asyncio.timeout(20):
            assert await call == Rate("ours")
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_call_waits_no_longer_than_lease_wait(
    redis_url: str, prefix: str, values: Values[Rate]
) -> None:
    source = Source()
    async with (
        group(values, source, 1),
        Values(redis_url, Rate, prefix=prefix, lease_wait=0, deadline=30) as hasty,
    ):
        assert await hasty.get_or_load("USD", lambda: Rate("hasty")) == Rate("hasty")
    assert await values.get("USD") == Rate("USD", 1)


async def test_a_value_that_cannot_be_stored_is_returned(redis_proxy: Proxy, prefix: str) -> None:
    """The outage begins while the value is loaded."""
    url = f"redis://127.0.0.1:{redis_proxy.port}"
    async with Values(url, Rate, prefix=prefix, deadline=0.2) as values:
        source = Source()
        async with group(values, source, 2) as calls:
            redis_proxy.pause()
        assert await calls[0] == Rate("USD", 1)
        with pytest.raises(RedisUnavailableError):
            await calls[1]
        redis_proxy.resume()
