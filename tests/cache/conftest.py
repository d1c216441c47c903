from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
from redis.asyncio import Redis

from plainsql.cache import Cache, MemoryStore, Store
from plainsql.cache.redis_store import RedisStore
from tests.cache.model import Table

Open = Callable[..., Cache]


@pytest.fixture
def table() -> Table:
    table = Table()
    table.versions[1] = 1
    return table


@pytest.fixture
def namespace() -> str:
    """A namespace of this test, in a Redis that tests share."""
    return uuid.uuid4().hex


@pytest.fixture
async def direct(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


class Shared(MemoryStore):
    """A store of several caches, which stays open when one of them is closed."""

    async def aclose(self) -> None:
        pass


@pytest.fixture(params=["memory", "redis"])
async def open_cache(request: pytest.FixtureRequest, redis_url: str, namespace: str) -> AsyncIterator[Open]:
    """Opens caches of one store, as processes would."""
    shared = Shared()

    def make_store() -> Store:
        if request.param == "memory":
            return shared
        return RedisStore(redis_url, namespace=namespace, deadline=10, write_deadline=10, quarantine=0)

    async with AsyncExitStack() as caches:
        opened: list[Cache] = []

        def open_cache(**options: object) -> Cache:
            cache = Cache(make_store(), jitter=0.0, **options)  # type: ignore[arg-type]
            caches.push_async_callback(cache.close)
            opened.append(cache)
            return cache

        yield open_cache


@pytest.fixture
async def open_redis_cache(redis_url: str, namespace: str) -> AsyncIterator[Open]:
    async with AsyncExitStack() as caches:

        def open_cache(url: str = redis_url, *, quarantine: float = 0, **options: object) -> Cache:
            store = RedisStore(
                url, namespace=namespace, deadline=10, write_deadline=10, quarantine=quarantine
            )
            cache = Cache(store, jitter=0.0, **options)  # type: ignore[arg-type]
            caches.push_async_callback(cache.close)
            return cache

        yield open_cache
