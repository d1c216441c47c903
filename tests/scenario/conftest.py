"""The shop, on both executors."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest

import plainsql
import plainsql.sync
from tests.scenario.executors import Side


@pytest.fixture(params=["asyncpg", "psycopg"])
async def shop(request: pytest.FixtureRequest, shop_url: str) -> AsyncIterator[Side]:
    """The empty shop on one of the executors."""
    with psycopg.connect(shop_url, autocommit=True) as connection:
        connection.execute("truncate shop.leads, shop.messages restart identity")
    if request.param == "asyncpg":
        async with plainsql.connect(shop_url, max_size=2, prefetch=7) as db:
            yield Side("asyncpg", db)
    else:
        with plainsql.sync.connect(shop_url, prefetch=7) as db:
            yield Side("psycopg", db)
