"""A vault on both executors, its queries generated and loaded, and a ring of two keys."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import plainsql
import plainsql.sync
from plainsql.crypto import KEYS_VARIABLE
from plainsql.testing import Databases
from tests.crypto.project.queries.vault import channels, customers, messages
from tests.scenario.executors import Side

PROJECT = Path(__file__).parent / "project"
OLD = f"old:{base64.b64encode(b'o' * 32).decode()}"
NEW = f"new:{base64.b64encode(b'n' * 32).decode()}"


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ring that tests begin with."""
    monkeypatch.setenv(KEYS_VARIABLE, OLD)


def _make_vault(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute((PROJECT / "migrations/0001_vault.sql").read_bytes())
        connection.execute((PROJECT / "migrations/0002_customers.sql").read_bytes())


@pytest.fixture(scope="module")
def vault_url(plainsql_databases: Databases) -> Iterator[str]:
    with plainsql_databases.clone(plainsql_databases.template(_make_vault)) as url:
        yield url


@pytest.fixture
def empty_vault(vault_url: str) -> str:
    with psycopg.connect(vault_url, autocommit=True) as connection:
        connection.execute("truncate vault.channels, vault.messages, vault.customers")
    return vault_url


@pytest.fixture(params=["asyncpg", "psycopg"])
async def vault(request: pytest.FixtureRequest, empty_vault: str) -> AsyncIterator[Side]:
    """The empty vault on one of the executors."""
    if request.param == "asyncpg":
        async with plainsql.connect(empty_vault, max_size=2, prefetch=3) as db:
            yield Side("asyncpg", db)
    else:
        with plainsql.sync.connect(empty_vault, prefetch=3) as db:
            yield Side("psycopg", db)


@pytest.fixture(params=["generated", "loaded"])
def q(request: pytest.FixtureRequest) -> Any:
    """The queries, by folders such as ``q.channels``, made in one of the two ways."""
    if request.param == "loaded":
        return plainsql.load(PROJECT / "sql").vault

    class Generated:
        pass

    generated: Any = Generated()
    generated.channels, generated.messages, generated.customers = channels, messages, customers
    return generated
