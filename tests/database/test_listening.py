"""LISTEN: from the first moment on, through lost connections, with a word about gaps."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import plainsql
from plainsql.database import Notification
from plainsql.errors import ConnectError
from tests.database.stepping import at_every_wait, settled
from tests.proxy import Proxy


async def _next(notifications: Any) -> Notification:
    async with asyncio.timeout(10):
        found: Notification = await anext(notifications)
        return found


async def test_what_is_sent_after_the_beginning_of_the_block_arrives_in_order(
    proxied_db: plainsql.Database, outside: Any
) -> None:
    async with proxied_db.listen("news") as notifications:
        for n in range(20):
            await outside.execute(f"notify news, '{n}'; notify other, 'x'")
        found = [await _next(notifications) for _ in range(20)]
    assert [(n.channel, n.payload, n.pid, n.gap) for n in found] == [
        ("news", str(n), outside.get_server_pid(), False) for n in range(20)
    ]
    await settled(lambda: proxied_db.stats().in_use == 0)


async def test_iterating_alone_subscribes_too(proxied_db: plainsql.Database, outside: Any) -> None:
    notifications = proxied_db.listen("news")
    first = asyncio.create_task(anext(notifications))
    await settled(lambda: notifications._subscribed)
    await outside.execute("notify news, 'a'")
    assert (await first).payload == "a"
    await notifications.aclose()
    await settled(lambda: proxied_db.stats().in_use == 0)


async def test_it_goes_on_after_a_lost_connection_and_tells_of_the_gap(
    proxied_db: plainsql.Database, outside: Any, proxy: Proxy
) -> None:
    async with proxied_db.listen("news") as notifications:
        await outside.execute("notify news, 'before'")
        assert (await _next(notifications)).payload == "before"
        for lose in ("cut", "kill", "down"):
            if lose == "cut":
                proxy.cut()
            elif lose == "kill":
                await outside.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where query like 'LISTEN%'"
                    " and datname = current_database()"
                )
            else:
                proxy.refuse()
                proxy.cut()
                waiting = asyncio.create_task(_next(notifications))
                await asyncio.sleep(0.1)  # it tries again, in vain
                assert not waiting.done()
                await proxy.accept()
                assert (await waiting).gap
                continue
            assert (await _next(notifications)) == Notification("news", "", 0, gap=True)
            await outside.execute(f"notify news, '{lose}'")
            assert (await _next(notifications)).payload == lose
        await outside.execute("notify news, 'after'")
        assert (await _next(notifications)).payload == "after"


async def test_a_connection_that_fell_silent_is_noticed(
    proxied_db: plainsql.Database, outside: Any, proxy: Proxy
) -> None:
    async with proxied_db.listen("news", heartbeat=0.05) as notifications:
        waiting = asyncio.create_task(_next(notifications))
        await asyncio.sleep(0.12)  # two heartbeats are requested, and answered
        assert not waiting.done()
        proxy.pause()
        await asyncio.sleep(0.15)
        proxy.resume()
        assert (await waiting).gap
        await outside.execute("notify news, 'after'")
        assert (await _next(notifications)).payload == "after"


async def test_who_begins_to_listen_is_told_that_there_is_no_server(
    proxied_db: plainsql.Database, proxy: Proxy
) -> None:
    proxy.refuse()
    proxy.cut()
    with pytest.raises(ConnectError):
        async with proxied_db.listen("news"):
            pass


async def test_it_ends_when_the_database_is_closed(database_url: str) -> None:
    db = await plainsql.connect(database_url)
    seen: list[Notification] = []

    async def watch() -> None:
        seen.extend([notification async for notification in listener])

    listener = db.listen("news")
    watching = asyncio.create_task(watch())
    await settled(lambda: listener._subscribed)
    async with asyncio.timeout(5):
        await db.close()
        await watching
    assert seen == []


async def test_it_may_be_cancelled_anywhere(proxied_db: plainsql.Database) -> None:
    async def work() -> None:
        async with proxied_db.listen("news"):
            await asyncio.sleep(0)

    async def check() -> None:
        await settled(lambda: proxied_db.stats().in_use == 0)

    assert await at_every_wait(work, check) >= 2
    async with proxied_db.acquire() as connection:
        assert await connection.fetch("select pg_listening_channels()") == []
