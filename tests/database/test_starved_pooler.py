"""A pooler whose connections to the server are all busy: what waits for one has a limit."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

import plainsql
from plainsql.embedded import EmbeddedServer
from plainsql.errors import ConnectError
from tests.database.ask import SELECT_1
from tests.database.stepping import settled
from tests.pgbouncer import PoolMode, pgbouncer, url_through


@pytest.mark.parametrize("mode", ["transaction", "session"])
@pytest.mark.parametrize("pooler", [None, "transaction", "session"])
async def test_connecting_is_given_up_in_time(
    server: EmbeddedServer, database_url: str, mode: PoolMode, pooler: PoolMode | None
) -> None:
    with pgbouncer(server, mode, size=1) as folder:
        url = url_through(folder, database_url.partition("?")[0].rpartition("/")[2])
        with psycopg.connect(url, prepare_threshold=None) as busy:
            busy.execute("select 1")  # in a transaction that goes on
            # The pooler itself would wait for two minutes.
            async with asyncio.timeout(60):
                with pytest.raises(ConnectError, match="no answer in time"):
                    await plainsql.connect(url, connect_timeout=0.5, pooler=pooler)
            busy.commit()


async def test_calls_go_on_when_the_pooler_has_a_connection_again(
    server: EmbeddedServer, database_url: str
) -> None:
    with pgbouncer(server, "session", size=2) as folder:
        url = url_through(folder, database_url.partition("?")[0].rpartition("/")[2])
        async with plainsql.connect(
            url, max_size=10, connect_timeout=1, acquire_timeout=60, pooler="session"
        ) as db:
            async with asyncio.timeout(120):
                assert await asyncio.gather(*(SELECT_1(db) for _ in range(300))) == [1] * 300
            await settled(lambda: db.stats().waiting == 0)
