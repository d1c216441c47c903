"""The shop, on both executors, and over a pool of the program's own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import psycopg
import pytest

import plainsql
import plainsql.sync
from tests.scenario.executors import Side


@pytest.fixture(params=["asyncpg", "psycopg", "over"])
async def shop(request: pytest.FixtureRequest, shop_url: str) -> AsyncIterator[Side]:
    """The empty shop on one of the executors."""
    with psycopg.connect(shop_url, autocommit=True) as connection:
        connection.execute("truncate shop.leads, shop.messages restart identity")
    if request.param == "asyncpg":
        async with plainsql.connect(shop_url, max_size=2, prefetch=7) as db:
            yield Side("asyncpg", db)
    elif request.param == "over":

        async def set_codecs(connection: Any) -> None:
            for name in ("json", "jsonb"):
                await connection.set_type_codec(
                    name, schema="pg_catalog", encoder=json.dumps, decoder=json.loads
                )

        async with asyncpg.create_pool(shop_url, min_size=1, max_size=2, init=set_codecs) as pool:
            yield Side("over", plainsql.over(pool, prefetch=7))
    else:
        with plainsql.sync.connect(shop_url, prefetch=7) as sync_db:
            yield Side("psycopg", sync_db)
