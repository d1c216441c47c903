"""Sessions on the worker's Redis, under a prefix of the test's own."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import msgspec
import pytest
from redis.asyncio import Redis

from plainsql.sessions import Sessions


class Login(msgspec.Struct):
    roles: list[str] = []
    visits: int = 0


@pytest.fixture
def prefix() -> str:
    return f"sessions-{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def sessions(redis_url: str, prefix: str) -> AsyncIterator[Sessions[Login]]:
    async with Sessions(redis_url, Login, prefix=prefix, deadline=10) as sessions:
        yield sessions


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as redis:
        yield redis
