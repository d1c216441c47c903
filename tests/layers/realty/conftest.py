"""The fixtures of realty's tests: its migrations, a database, and an agency with one row of everything."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

import plainsql
from plainsql import migrate
from plainsql.testing import Migrate
from tests.layers.realty.agency import Agency, open_agency

MIGRATIONS = Path(__file__).parents[3] / "migrations"


@pytest.fixture(scope="session")
def plainsql_migrate() -> Migrate:
    return functools.partial(migrate.apply, folder=MIGRATIONS, layers=["realty"])


@pytest.fixture
async def realty_db(plainsql_database_url: str) -> AsyncGenerator[plainsql.Database]:
    """A database with realty's schema, shared by the tests of a module."""
    async with plainsql.connect(plainsql_database_url, server_settings={"role": "realty_app"}) as db:
        yield db


@pytest.fixture
async def fresh_realty_db(plainsql_fresh_database_url: str) -> AsyncGenerator[plainsql.Database]:
    """A database with realty's schema and no rows."""
    async with plainsql.connect(plainsql_fresh_database_url) as db:
        yield db


@pytest.fixture
async def agency(realty_db: plainsql.Database) -> Agency:
    """One lead in one conversation, and one home in one project."""
    return await open_agency(realty_db)
