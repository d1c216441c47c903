"""Values on the worker's Redis, under a prefix of the test's own."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import msgspec
import pytest
from redis.asyncio import Redis

from plainsql.values import Values


class Rate(msgspec.Struct):
    currency: str
    euros: float = 1.0


@pytest.fixture
def prefix() -> str:
    return f"values-{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def values(redis_url: str, prefix: str) -> AsyncIterator[Values[Rate]]:
    async with Values(redis_url, Rate, prefix=prefix, deadline=30) as values:
        yield values


@pytest.fixture
async def other(redis_url: str, prefix: str) -> AsyncIterator[Values[Rate]]:
    """The same values as another process has them: it shares nothing but Redis."""
    async with Values(redis_url, Rate, prefix=prefix, deadline=30) as values:
        yield values


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as redis:
        yield redis
