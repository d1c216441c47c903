"""The shop, on both executors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

import plainsql
import plainsql.sync
from plainsql.testing import Databases
from tests.scenario.executors import Side
from tests.scenario.shop import SCHEMA


def _make_shop(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(SCHEMA.encode())


@pytest.fixture(scope="module")
def shop_url(plainsql_databases: Databases) -> Iterator[str]:
    with plainsql_databases.clone(plainsql_databases.template(_make_shop)) as url:
        yield url


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
