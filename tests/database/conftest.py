"""A database with one connection, and a session beside it that looks and disturbs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

import plainsql


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[plainsql.Database]:
    """A database with one connection: whatever is not given back is missed at once."""
    async with plainsql.connect(database_url, max_size=1, acquire_timeout=10) as db:
        yield db


@pytest.fixture
async def outside(database_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()
