"""A database with the schema of the analysis's tests, and an analyser of it, for each module."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import psycopg
import pytest

from plainsql.analysis import Analyser
from tests.analysis.effects_cases import build
from tests.analysis.schema import SCHEMA


@pytest.fixture(scope="module")
def schema_connection(database_url: str) -> Generator[psycopg.Connection[Any]]:
    """A connection to a database with this folder's schema, in autocommit mode."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
        yield connection


@pytest.fixture(scope="module")
def analyser(schema_connection: psycopg.Connection[Any]) -> Generator[Analyser]:
    """An analyser of this folder's schema."""
    with Analyser(schema_connection) as analyser:
        yield analyser


@pytest.fixture
def honest(connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """A database in which the function has this label."""
    build(connection, "honest")
    return connection
