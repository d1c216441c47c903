"""Caches as processes have them, each closed in the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from benchmarks.cache_soak.broken import STORES
from plainsql.cache import Cache

__all__ = ["OpenCache", "opened_caches"]

OpenCache = Callable[..., Cache]
"""Opens a cache, of a protocol with a hole if one is named, and at another URL if one is given."""


@asynccontextmanager
async def opened_caches(url: str, namespace: str) -> AsyncIterator[OpenCache]:
    """Yield what opens caches of a namespace."""
    default = url
    async with AsyncExitStack() as caches:

        def open_cache(broken: str = "", url: str = default) -> Cache:
            store = STORES[broken](url, namespace=namespace, deadline=2, write_deadline=2, quarantine=0)
            cache = Cache(store, jitter=0.0, on_failure="fail")
            caches.push_async_callback(cache.close)
            return cache

        yield open_cache
