"""Limits for threads: they count together with the asynchronous ones."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from plainsql.errors import BindError
from plainsql.limits import Limits, SyncLimits


@pytest.fixture
def sync_limits(redis_url: str, prefix: str) -> Iterator[SyncLimits]:
    with SyncLimits(redis_url, prefix=prefix, deadline=30) as limits:
        yield limits


async def test_both_kinds_count_together(sync_limits: SyncLimits, redis_url: str, prefix: str) -> None:
    bucket = sync_limits.bucket("sending", rate=3, per=3600)
    window = sync_limits.window("searches")
    async with Limits(redis_url, prefix=prefix, deadline=30) as limits:
        assert await limits.bucket("sending", rate=3, per=3600).consume("ana", 2)
        assert bucket.check("ana").remaining == 1
        assert bucket.consume("ana")
        assert not await limits.bucket("sending", rate=3, per=3600).check("ana")
        assert not window.is_limited("ana", 2, 3600)
        assert window.consume("ana", 2, 3600)
        assert await limits.window("searches").is_limited("ana", 2, 3600)
    assert (bucket.remaining("ana"), window.remaining("ana", 2, 3600)) == (0, 0)
    assert window.check("ana", 2, 3600).retry_after > 3000
    charges = bucket.charge("bea"), window.charge("ana", 2, 3600)
    assert sync_limits.check(*charges).refused_by == ("searches",)
    assert not sync_limits.consume(*charges)
    assert bucket.remaining("bea") == 3
    with pytest.raises(BindError):
        bucket.consume(None)  # type: ignore[arg-type]


def test_threads_wait_for_their_tokens(sync_limits: SyncLimits) -> None:
    bucket = sync_limits.bucket("fast", rate=200, burst=1)
    with ThreadPoolExecutor(8) as threads:
        decisions = list(threads.map(lambda _: bucket.wait("ana", timeout=30), range(40)))
    assert all(decisions)
    refused = sync_limits.window("slow")
    assert refused.wait("ana", 1, 3600)
    decision = refused.wait("ana", 1, 3600, timeout=0.01)
    assert not decision
    assert decision.refused_by == ("slow",)
    assert not sync_limits.wait(refused.charge("ana", 1, 3600), timeout=0)


def test_without_redis_the_process_counts() -> None:
    with SyncLimits("redis://127.0.0.1:1", prefix="p", without_redis="local") as limits:
        bucket = limits.bucket("b", rate=2, per=3600)
        decisions = [bucket.consume("ana") for _ in range(3)]
    assert [decision.allowed for decision in decisions] == [True, True, False]
    assert all(decision.without_redis for decision in decisions)
    assert repr(bucket).startswith("<SyncTokenBucket 'b': ")
