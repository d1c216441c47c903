"""Limits on the worker's Redis, under a prefix of the test's own."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest

from plainsql.limits import Limits


@pytest.fixture
def prefix() -> str:
    return f"limits-{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def limits(redis_url: str, prefix: str) -> AsyncIterator[Limits]:
    async with Limits(redis_url, prefix=prefix, deadline=10) as limits:
        yield limits
