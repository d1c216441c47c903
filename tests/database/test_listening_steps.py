"""Steps of a listener that are cancelled or limited in time lose nothing, and its end is clean."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

import plainsql
from plainsql.database import Notification
from plainsql.database import listen as listening
from plainsql.errors import ConnectError, OptionError, PlainsqlError
from tests.database.stepping import at_every_wait, settled
from tests.proxy import Proxy


async def _next(notifications: Any) -> Notification:
    async with asyncio.timeout(10):
        found: Notification = await anext(notifications)
        return found


async def _step_without_time(listener: Any) -> None:
    async with asyncio.timeout(0):
        await anext(listener)


@pytest.mark.parametrize("block", [True, False])
async def test_time_limits_around_steps_lose_nothing(
    proxied_db: plainsql.Database, outside: Any, block: bool
) -> None:
    listener = proxied_db.listen("news")
    if block:
        await listener.__aenter__()
    seen: list[str] = []
    await_step = 0
    for n in range(60):
        step = asyncio.wait_for(anext(listener), 0.001) if n % 2 else _step_without_time(listener)
        with pytest.raises(TimeoutError):
            await step
        await settled(lambda: listener._subscribed)
        await outside.execute(f"notify news, '{n}'")
        while True:
            try:
                seen.append((await asyncio.wait_for(anext(listener), 0.0005 * (await_step % 4))).payload)
            except TimeoutError:
                await_step += 1
            else:
                break
    assert seen == [str(n) for n in range(60)]
    await listener.aclose()
    await settled(lambda: proxied_db.stats().in_use == 0)


async def test_a_step_that_is_cancelled_at_any_wait_loses_nothing(
    proxied_db: plainsql.Database, outside: Any
) -> None:
    async with proxied_db.listen("news") as listener:
        taken: list[str] = []

        async def step() -> None:
            taken.append((await anext(listener)).payload)

        sent = 0

        async def send() -> None:
            nonlocal sent
            await outside.execute(f"notify news, '{sent}'")
            sent += 1

        async def check() -> None:
            pass

        await at_every_wait(step, check, start=send)
        while len(taken) < sent:
            taken.append((await _next(listener)).payload)
        assert taken == [str(n) for n in range(sent)]


async def test_what_two_tasks_take_is_all_and_nothing_twice(
    proxied_db: plainsql.Database, outside: Any
) -> None:
    async with proxied_db.listen("news") as listener:
        taken: list[int] = []

        async def take() -> None:
            async for notification in listener:
                taken.append(int(notification.payload))  # noqa: PERF401 (each is looked at when it comes)

        takers = [asyncio.create_task(take()) for _ in range(3)]
        for n in range(100):
            await outside.execute(f"notify news, '{n}'")
        await settled(lambda: len(taken) == 100)
        await listener.aclose()
        await asyncio.gather(*takers)
    assert sorted(taken) == list(range(100))


async def test_after_its_end_it_is_refused(proxied_db: plainsql.Database, outside: Any) -> None:
    async with proxied_db.listen("news") as listener:
        await outside.execute("notify news, 'a'")
        assert (await _next(listener)).payload == "a"
    for _ in range(2):
        with pytest.raises(PlainsqlError, match="the listener is closed"):
            await anext(listener)
    with pytest.raises(PlainsqlError, match="the listener is closed"):
        async with listener:
            pass
    await listener.aclose()
    never = proxied_db.listen("news")
    await never.aclose()
    with pytest.raises(PlainsqlError, match="the listener is closed"):
        await anext(never)


@pytest.mark.parametrize("channel", ["x" * 64, "\u00fc" * 32, "", "a\0b", None])
async def test_what_is_no_name_of_a_channel_is_refused(proxied_db: plainsql.Database, channel: Any) -> None:
    with pytest.raises(OptionError, match=r"listen\(\): channel: expected"):
        proxied_db.listen(channel)
    with pytest.raises(OptionError, match=r"listen\(\): heartbeat: expected"):
        proxied_db.listen("news", heartbeat=0)


async def test_a_name_of_63_bytes_and_an_odd_one_are_channels(
    proxied_db: plainsql.Database, outside: Any
) -> None:
    for channel in ("x" * 63, 'A "quoted"; name'):
        async with proxied_db.listen(channel) as listener:
            await outside.execute("select pg_notify($1, 'here')", channel)
            assert (await _next(listener))[:2] == (channel, "here")


async def test_one_that_found_no_server_may_try_again(
    proxied_db: plainsql.Database, proxy: Proxy, outside: Any
) -> None:
    proxy.refuse()
    proxy.cut()
    listener = proxied_db.listen("news")
    for _ in range(2):
        with pytest.raises(ConnectError):
            await anext(listener)
    await proxy.accept()
    first = asyncio.create_task(anext(listener))
    await settled(lambda: listener._subscribed)
    await outside.execute("notify news, 'a'")
    assert (await first).payload == "a"
    await listener.aclose()


async def test_one_that_is_left_releases_its_connection(proxied_db: plainsql.Database, outside: Any) -> None:
    async def first() -> str:
        async for notification in proxied_db.listen("news"):
            return notification.payload
        raise AssertionError("it has ended")

    taking = asyncio.create_task(first())
    await settled(lambda: proxied_db.stats().in_use == 1)
    async with asyncio.timeout(10):
        while not taking.done():
            await outside.execute("notify news, 'a'")
    assert await taking == "a"
    del taking
    gc.collect()
    await settled(lambda: proxied_db.stats().in_use == 0)


async def test_a_slow_consumer_gets_a_gap_for_what_was_dropped(
    proxied_db: plainsql.Database, outside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "MAX_PENDING", 10)
    async with proxied_db.listen("news") as listener:
        for n in range(30):
            await outside.execute(f"notify news, '{n}'")
        await settled(lambda: listener._subscription._count == 30)
        found = [await _next(listener) for _ in range(11)]
        assert [n.payload for n in found[:10]] == [str(n) for n in range(10)]
        assert [n.gap for n in found] == [False] * 10 + [True]
        await outside.execute("notify news, 'after'")
        assert (await _next(listener)).payload == "after"


async def test_it_ends_though_the_network_is_silent(
    proxied_db: plainsql.Database, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "_UNLISTEN_S", 0.1)
    async with asyncio.timeout(10):
        async with proxied_db.listen("news"):
            proxy.pause()
    proxy.resume()
    proxy.cut()
    await settled(lambda: proxied_db.stats().in_use == 0)


async def test_the_end_of_the_database_ends_it_after_what_has_arrived(
    database_url: str, outside: Any
) -> None:
    db = await plainsql.connect(database_url)
    async with db.listen("news") as listener:
        await outside.execute("notify news, 'a'")
        await settled(lambda: listener._subscription._count == 1)
        async with asyncio.timeout(10):
            await db.close()
        assert [notification.payload async for notification in listener] == ["a"]
        assert [notification async for notification in listener] == []
