"""The fixtures of the assistant's tests: its migrations, and a tenant as the application sees it."""

from __future__ import annotations

import functools
import uuid
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

import plainsql
from plainsql import migrate
from plainsql.database import TenantDatabase
from plainsql.testing import Databases, Migrate
from tests.layers.assistant.desk import Desk, open_desk
from tests.layers.isolation import application_url

MIGRATIONS = Path(__file__).parents[3] / "migrations"


@pytest.fixture(scope="session")
def plainsql_migrate() -> Migrate:
    return functools.partial(migrate.apply, folder=MIGRATIONS, layers=["assistant"])


@pytest.fixture(scope="module")
def application(plainsql_database_url: str) -> Generator[str]:
    """The module's database, as a login role with the role assistant_app."""
    with application_url(plainsql_database_url, "assistant_app") as url:
        yield url


@pytest.fixture
async def app_db(application: str) -> AsyncGenerator[plainsql.Database]:
    """The module's database with the application's connections, without a tenant."""
    async with plainsql.connect(application) as db:
        yield db


@pytest.fixture
async def owner_db(plainsql_database_url: str) -> AsyncGenerator[plainsql.Database]:
    """The module's database as its superuser sees it, with all rows."""
    async with plainsql.connect(plainsql_database_url) as db:
        yield db


@pytest.fixture
def tenant(app_db: plainsql.Database) -> TenantDatabase:
    """A tenant of this test alone, as its user "ana"."""
    return app_db.tenant(uuid.uuid4().hex, user_id="ana")


@pytest.fixture
async def desk(tenant: TenantDatabase) -> Desk:
    """A user with an event, a note and a conversation of one message, and a deleted row of each kind."""
    return await open_desk(tenant)


@pytest.fixture
def second_database_url(plainsql_databases: Databases, plainsql_template: str) -> Generator[str]:
    """A second database with assistant's schema and no rows, of this test alone."""
    with plainsql_databases.clone(plainsql_template) as url:
        yield url
