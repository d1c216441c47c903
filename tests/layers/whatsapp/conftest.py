"""The fixtures of whatsapp's tests: its migrations, and a tenant as the application sees it."""

from __future__ import annotations

import base64
import functools
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

import plainsql
from plainsql import migrate
from plainsql.crypto import KEYS_VARIABLE
from plainsql.testing import Migrate
from tests.layers.isolation import application_url
from tests.layers.whatsapp.business import Business, open_business

MIGRATIONS = Path(__file__).parents[3] / "migrations"


@pytest.fixture(scope="session")
def plainsql_migrate() -> Migrate:
    return functools.partial(migrate.apply, folder=MIGRATIONS, layers=["whatsapp"])


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keyring of the access tokens."""
    monkeypatch.setenv(KEYS_VARIABLE, f"test:{base64.b64encode(b'k' * 32).decode()}")


@pytest.fixture(scope="module")
def application(plainsql_database_url: str) -> Generator[str]:
    """The module's database, as a login role with the role whatsapp_app."""
    with application_url(plainsql_database_url, "whatsapp_app") as url:
        yield url


@pytest.fixture
async def app_db(application: str) -> AsyncGenerator[plainsql.Database]:
    """The module's database with the application's connections, without a tenant."""
    async with plainsql.connect(application) as db:
        yield db


@pytest.fixture
async def business(app_db: plainsql.Database) -> Business:
    """A tenant of this test alone with an active channel, a contact and a message each way."""
    return await open_business(app_db)
