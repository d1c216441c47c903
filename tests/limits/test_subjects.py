"""The subject of a limit is named, or refused: callers without a name do not share a bucket by accident."""

from __future__ import annotations

import logging
import uuid
from typing import Any

import pytest
from redis.asyncio import Redis

from plainsql.errors import BindError, OptionError
from plainsql.limits import Limits
from tests.redis_server import redis_server


@pytest.mark.parametrize(
    "subject", [None, 1.5, b"x", True, "", "\ud800", "x" * 513, 10**5000, ["x"], object()], ids=lambda _: ""
)
async def test_what_is_no_subject_is_refused(limits: Limits, subject: Any) -> None:
    bucket, window = limits.bucket("b", rate=1), limits.window("w")
    with pytest.raises(BindError, match=r"^subject: expected"):
        bucket.charge(subject)
    with pytest.raises(BindError, match=r"^subject: expected"):
        window.charge(subject, 1, 60)
    for waiting in (
        bucket.consume(subject),
        bucket.wait(subject, timeout=0),
        window.is_limited(subject, 1, 60),
    ):
        with pytest.raises(BindError, match=r"^subject: expected"):
            await waiting


async def test_what_stands_for_one_subject_is_one(limits: Limits) -> None:
    bucket = limits.bucket("b", rate=5, per=3600)
    id = uuid.uuid4()
    await bucket.consume(id)
    await bucket.consume(str(id))
    await bucket.consume(7)
    await bucket.consume("7")
    assert [await bucket.remaining(each) for each in (id, 7, 2**255)] == [3, 3, 5]


@pytest.mark.parametrize("name", [None, 5, "", "a{b", "\ud800", "x" * 513])
def test_what_is_no_name_is_refused(limits: Limits, name: Any) -> None:
    for make in (lambda: limits.bucket(name, rate=1), lambda: limits.window(name)):
        with pytest.raises(OptionError, match=r"\(\): name: expected"):
            make()


async def test_a_key_of_another_type_is_a_loss_and_no_error(
    limits: Limits, redis_url: str, prefix: str
) -> None:
    bucket, window = limits.bucket("b", rate=2, per=3600), limits.window("w")
    async with Redis.from_url(redis_url) as redis:
        for key in (f"{prefix}:b:{{x}}", f"{prefix}:w:{{x}}:60000000"):
            await redis.hset(key, "another", "program's")
        assert (await bucket.remaining("x"), await window.remaining("x", 3, 60)) == (2, 3)
        assert await bucket.consume("x", 2)
        assert await window.consume("x", 3, 60, 3)
        assert not await bucket.consume("x")
        await redis.set(f"{prefix}:b:{{x}}", "no bucket of ours")
        assert await bucket.consume("x", 2)


async def test_in_one_slot_a_window_is_not_anothers_bucket(redis_url: str, prefix: str) -> None:
    async with Limits(redis_url, prefix=prefix, tag="all", deadline=30) as limits:
        bucket, window = limits.bucket("same", rate=1, per=3600), limits.window("same")
        assert await window.consume("x", 1, 60)
        assert await bucket.consume("x:60000000")
        assert not await window.consume("x", 1, 60)
        assert not await bucket.consume("x:60000000")


async def test_an_outage_is_logged_once_and_its_end_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "plainsql.limits")
    monkeypatch.setattr("plainsql.limits.limits._REDIS_RETRY_S", 0.0)
    with redis_server() as server:
        async with Limits(server.url, prefix="x", without_redis="allow", deadline=30) as limits:
            bucket = limits.bucket("b", rate=100)
            assert [bool(await bucket.consume("x")) for _ in range(5)] == [True] * 5
            server.start()
            assert [bool(await bucket.consume("x")) for _ in range(5)] == [True] * 5
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "without Redis (allow)" in caplog.text
