"""The proxy that the tests of faults lean on makes the faults that it says."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tests.proxy import Proxy


async def test_messages_are_counted_by_their_type(proxy: Proxy) -> None:
    connection = await asyncpg.connect(proxy.url())
    assert proxy.to_server.messages[""] == 1, "the start-up packet"
    ready = proxy.to_client.messages["Z"]
    await connection.fetch("select $1::int", 1)
    assert (proxy.to_server.messages["P"], proxy.to_server.messages["E"]) == (1, 1)
    assert proxy.to_client.messages["Z"] == ready + 1
    await connection.fetch("select $1::int", 1)
    assert (proxy.to_server.messages["P"], proxy.to_server.messages["E"]) == (1, 2), "it is prepared"
    assert proxy.to_client.messages["Z"] == ready + 2
    await connection.close()


async def test_cut_ends_open_connections_and_takes_new_ones(proxy: Proxy) -> None:
    connection = await asyncpg.connect(proxy.url())
    assert proxy.cut() == 1
    with pytest.raises((asyncpg.PostgresConnectionError, OSError)):
        await connection.fetch("select 1")
    await proxy.until(lambda: proxy.connections == 0)
    again = await asyncpg.connect(proxy.url())
    assert await again.fetchval("select 1") == 1
    await again.close()
    assert proxy.accepted == 2


async def test_refuse_keeps_new_connections_out_until_accept(proxy: Proxy) -> None:
    connection = await asyncpg.connect(proxy.url())
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await asyncpg.connect(proxy.url())
    assert await connection.fetchval("select 1") == 1, "the open connection stays"
    await proxy.accept()
    again = await asyncpg.connect(proxy.url())
    await again.close()
    await connection.close()


async def test_pause_holds_answers_back_until_resume(proxy: Proxy) -> None:
    connection = await asyncpg.connect(proxy.url())
    proxy.pause()
    sent = proxy.to_server.messages["Q"]
    answer = asyncio.create_task(connection.execute("select 1"))
    await proxy.until(lambda: proxy.to_server.messages["Q"] == sent + 1)
    assert not answer.done()
    proxy.resume()
    assert await answer == "SELECT 1"
    await connection.close()


async def test_redis_can_be_cut_too(redis_proxy: Proxy) -> None:
    async with redis.asyncio.Redis(port=redis_proxy.port, retry=Retry(NoBackoff(), 0)) as client:
        assert await client.ping()
        assert redis_proxy.to_server.bytes > 0
        redis_proxy.refuse()
        redis_proxy.cut()
        with pytest.raises(redis.ConnectionError):
            await client.ping()
