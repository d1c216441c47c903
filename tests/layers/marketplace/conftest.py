"""The fixtures of the marketplace's tests: its migrations, a database, and a stall with one row each."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

import plainsql
from plainsql import migrate
from plainsql.testing import Migrate
from tests.layers.marketplace.stall import Stall, open_stall

MIGRATIONS = Path(__file__).parents[3] / "migrations"


@pytest.fixture(scope="session")
def plainsql_migrate() -> Migrate:
    return functools.partial(migrate.apply, folder=MIGRATIONS, layers=["marketplace"])


@pytest.fixture
async def marketplace_db(plainsql_database_url: str) -> AsyncGenerator[plainsql.Database]:
    """A database with the marketplace's schema, shared by the tests of a module."""
    async with plainsql.connect(plainsql_database_url, server_settings={"role": "marketplace_app"}) as db:
        yield db


@pytest.fixture
async def fresh_db(plainsql_fresh_database_url: str) -> AsyncGenerator[plainsql.Database]:
    """A database with the marketplace's schema and no rows."""
    async with plainsql.connect(plainsql_fresh_database_url) as db:
        yield db


@pytest.fixture
async def stall(marketplace_db: plainsql.Database) -> Stall:
    """One product, one buyer, one conversation about it."""
    return await open_stall(marketplace_db)
