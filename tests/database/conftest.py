"""The shop through a proxy, and a connection outside of the pool that observes and disturbs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

import plainsql
from plainsql.database.execution import scheduler
from plainsql.database.execution.forms import Forms
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


@pytest.fixture(params=["joined", "pipelined"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have calls that wait run in one form, whatever it costs."""

    def choose(self: Forms, calls: int) -> Any:
        wanted = self.batched if request.param == "joined" else self.pipelined
        return wanted if wanted is not None and calls > 1 and not wanted.refused else None

    def compare(self: Forms) -> None:
        self.prefers_alone = self._refused

    monkeypatch.setattr(scheduler, "_MAX_STATEMENT_S", 60.0)  # the machine may be slow
    monkeypatch.setattr(Forms, "choose", choose)
    monkeypatch.setattr(Forms, "_compare", compare)
    return str(request.param)
