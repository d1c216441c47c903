"""The shop through a proxy, and a connection outside of the pool that observes and disturbs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

import plainsql
from tests.database.last_server import Seen
from tests.proxy import Proxy


@pytest.fixture(scope="module")
def database_url(shop_url: str) -> str:
    """The module's shop: here all fixtures use one database."""
    return shop_url


@pytest.fixture
async def proxied_db(database_url: str, proxy: Proxy) -> AsyncIterator[plainsql.Database]:
    """The module's shop through the proxy, with two connections."""
    name = database_url.partition("?")[0].rpartition("/")[2]
    async with plainsql.connect(proxy.url(name), max_size=2) as db:
        yield db


@pytest.fixture
async def outside(database_url: str) -> AsyncIterator[Any]:
    """A connection of asyncpg to the module's database, outside of the pool."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
def seen() -> Seen:
    """The server of the last call, for the option `on_call`."""
    return Seen()
