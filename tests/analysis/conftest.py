"""A database with the shop's schema, and an analyser of it, for each test module."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import psycopg
import pytest

from plainsql.analysis import Analyser
from tests.analysis.effects_cases import build
from tests.analysis.shop import SHOP


@pytest.fixture(scope="module")
def shop(database_url: str) -> Generator[psycopg.Connection[Any]]:
    """A connection to a database with the shop's schema, in autocommit mode."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SHOP.encode())
        yield connection


@pytest.fixture(scope="module")
def analyser(shop: psycopg.Connection[Any]) -> Generator[Analyser]:
    """An analyser of the shop."""
    with Analyser(shop) as analyser:
        yield analyser


@pytest.fixture
def honest(connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """A database in which the function has this label."""
    build(connection, "honest")
    return connection
