"""Every wait has a limit, also if the network goes silent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest

import plainsql
from plainsql.embedded import EmbeddedServer
from plainsql.sync import Database
from tests.database.ask import SELECT_1, many
from tests.proxy import open_proxy

T = TypeVar("T")
SERIES = many("select n from generate_series(1, 100) as n")


async def within(seconds: float, work: Callable[[], T]) -> T:
    async with asyncio.timeout(seconds):
        return await asyncio.to_thread(work)


async def test_a_server_that_goes_silent_ends_a_call(server: EmbeddedServer) -> None:
    async with open_proxy(server.socket) as proxy:
        db: Database = await within(
            60, lambda: plainsql.sync.connect(proxy.url(), connect_timeout=2, statement_timeout=0.2)
        )
        assert await within(60, lambda: SELECT_1(db)) == 1
        for work in (lambda: SELECT_1(db), lambda: list(SERIES.stream(db)), lambda: _transaction(db)):
            proxy.pause()
            with pytest.raises((TimeoutError, plainsql.ConnectError)):
                await within(60, work)
            proxy.resume()
            assert await within(60, lambda: SELECT_1(db)) == 1
        await asyncio.to_thread(db.close)


def _transaction(db: Database) -> None:
    with db.transaction() as tx:
        SELECT_1(tx)


@pytest.mark.parametrize("answers", range(6))
async def test_a_server_that_goes_silent_while_connecting(server: EmbeddedServer, answers: int) -> None:
    """After each of the first messages from the server."""
    async with open_proxy(server.socket) as proxy:
        connecting = asyncio.create_task(
            within(60, lambda: plainsql.sync.connect(proxy.url(), connect_timeout=2))
        )
        if answers:
            await proxy.until(lambda: proxy.to_client.messages.total() >= answers * 4 or connecting.done())
        proxy.pause()
        try:
            db = await connecting
        except plainsql.ConnectError as error:
            assert "no answer in time" in str(error)  # noqa: PT017 (it may have been faster)
        else:
            await asyncio.to_thread(db.close)
