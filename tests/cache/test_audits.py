"""Audits of all processes: requested and answered in Redis, and over when they are taken back or lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from plainsql.cache import Cache
from plainsql.cache.redis_store import RedisStore
from plainsql.cache.shared_audit import AuditResult, SharedAudit, follow
from plainsql.cache.stats import Violation
from plainsql.errors import CacheError
from tests.cache.model import Table, eventually


@asynccontextmanager
async def process(
    redis_url: str, namespace: str, own_rate: float = 0.0
) -> AsyncIterator[tuple[Cache, SharedAudit]]:
    """A program that checks often for a request."""
    store = RedisStore(redis_url, namespace=namespace, deadline=10, write_deadline=10, quarantine=0)
    async with Cache(store, jitter=0, audit_rate=own_rate) as cache:
        task = asyncio.ensure_future(follow(store.audits, cache._auditor, every=0.01))
        try:
            yield cache, store.audits
        finally:
            task.cancel()
            await asyncio.wait([task])


async def test_hits_are_audited_until_the_request_is_withdrawn(
    redis_url: str, namespace: str, table: Table
) -> None:
    async with process(redis_url, namespace) as (cache, audits):
        id = await audits.request(1.0, 60)
        await eventually(lambda: cache._auditor.rate == 1.0)
        assert [await table.read(cache) for _ in range(3)] == [1, 1, 1]
        await eventually(lambda: cache.stats().audited == 2)
        tally = await audits.result(id)
        while tally.audited < 2:
            tally = await audits.result(id)
        assert (tally.processes, tally.violations, tally.found) == (1, 0, ())
        table.versions[1] = 2
        assert await table.read(cache) == 1
        while tally.violations < 1:
            tally = await audits.result(id)
        assert [found.query for found in tally.found] == [each.query for each in tally.queries]
        await audits.result(id, remove=True)
        await eventually(lambda: cache._auditor.rate == 0.0)
        with pytest.raises(CacheError, match="Redis has lost the audit"):
            await audits.result(id)


async def test_a_rate_of_its_own_is_never_lowered(redis_url: str, namespace: str) -> None:
    async with process(redis_url, namespace, own_rate=0.5) as (cache, audits):
        id = await audits.request(0.01, 60)
        while not (await audits.result(id)).processes:
            assert cache._auditor.rate == 0.5
        assert cache._auditor.rate == 0.5


async def test_it_ends_by_its_time_and_a_process_takes_part_once(redis_url: str, namespace: str) -> None:
    async with process(redis_url, namespace) as (cache, audits):
        id = await audits.request(1.0, 0.05)
        tally = AuditResult(0, 0, (), ())
        while not tally.done:
            tally = await audits.result(id)
        assert (tally.processes, tally.done) == (1, 1)
        assert cache._auditor.rate == 0.0
        assert await audits.request(1.0, 60), "the next one need not wait"


async def test_an_audit_that_redis_loses_ends(redis_url: str, namespace: str, direct: Redis) -> None:
    async with process(redis_url, namespace) as (cache, audits):
        await audits.request(1.0, 60)
        await eventually(lambda: cache._auditor.rate == 1.0)
        keys = [key async for key in direct.scan_iter(f"plainsql:{namespace}:*audit*")]
        assert len(keys) == 1
        await direct.delete(*keys)
        await eventually(lambda: cache._auditor.rate == 0.0)


async def test_reports_of_an_audit_that_is_over_do_not_count_for_the_next(
    redis_url: str, namespace: str
) -> None:
    store = RedisStore(redis_url, namespace=namespace)
    first = await store.audits.request(1.0, 0.001)
    found = [Violation("shop.get", ("shop.t",), 0.0)]
    second = ""
    while not second:
        try:
            second = await store.audits.request(1.0, 60)
        except CacheError:
            continue
    asked = await store.audits.report(first, {"a shop.get": 1, "v shop.get": 1}, found)
    assert asked is not None
    assert (asked.id, asked.rate) == (second, 1.0)
    assert await store.audits.result(second) == AuditResult(0, 0, (), ())
    await store.aclose()
