from __future__ import annotations

from collections.abc import Generator

import psycopg
import pytest

from tests.statements.oracle import Oracle


@pytest.fixture(scope="module")
def oracle(database_url: str) -> Generator[Oracle]:
    """A connection to the module's database that only prepares."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield Oracle(connection)
