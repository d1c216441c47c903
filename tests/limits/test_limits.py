"""Limits on a real server and its real clock."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from plainsql.errors import BindError, OptionError
from plainsql.limits import Decision, Limits
from tests.limits.full_load import load


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as redis:
        yield redis


async def test_a_bucket_starts_full_and_refuses_what_it_has_not(limits: Limits) -> None:
    bucket = limits.bucket("sending", rate=1, per=3600, burst=3)
    assert await bucket.check("7", 3) == Decision(True, 3)
    assert await bucket.consume("7", 2) == Decision(True, 1)
    refused = await bucket.consume("7", 2)
    assert not refused
    assert (refused.remaining, refused.refused_by) == (1, ("sending",))
    assert 3590 < refused.retry_after <= 3600
    assert await bucket.remaining("7") == 1
    assert await bucket.remaining("8") == 3, "every subject has its own"


async def test_a_window_counts_what_it_allows_and_nothing_else(limits: Limits) -> None:
    window = limits.window("searches")
    assert [await window.is_limited("ana", 2, 60) for _ in range(4)] == [False, False, True, True]
    assert not await window.is_limited("bea", 2, 60)
    assert not await window.is_limited("ana", 3, 60), "a higher limit has room for one more"
    assert await window.remaining("ana", 3, 60) == 0
    assert await window.remaining("ana", 5, 60) == 2


async def test_eighty_and_two_hundred_and_fifty_a_second_are_exact_at_full_load(redis_url: str) -> None:
    for one in await asyncio.gather(load(redis_url, 80, 2), load(redis_url, 250, 2)):
        assert one.error == 0, str(one)
        assert one.asked > one.allowed, "nothing was refused: that was not full load"


async def test_a_call_is_one_round_trip_on_one_limit_or_several(limits: Limits, redis: Redis) -> None:
    bucket, window = limits.bucket("a", rate=80), limits.window("b")
    await bucket.consume("x")
    before = await redis.info("commandstats")
    await bucket.consume("x")
    await window.is_limited("x", 5, 60)
    await limits.consume(bucket.charge("x"), window.charge("x", 5, 60))
    await bucket.wait("x")
    after = await redis.info("commandstats")

    def calls(command: str) -> int:
        return int(
            after[f"cmdstat_{command}"]["calls"] - before.get(f"cmdstat_{command}", {"calls": 0})["calls"]
        )

    assert calls("evalsha") == 4
    assert before.get("cmdstat_eval") == after.get("cmdstat_eval")


async def test_a_key_lives_until_its_bucket_is_full_and_its_window_past(
    limits: Limits, redis: Redis, prefix: str
) -> None:
    await limits.bucket("bucket", rate=10, per=100, burst=50).consume("x", 5)
    await limits.window("window").consume("x", 5, 30)
    # A second more than that, for what is rounded.
    assert 50_000 < await redis.pttl(f"{prefix}:bucket:{{x}}") <= 51_000
    assert 30_000 < await redis.pttl(f"{prefix}:window:{{x}}:30000000") <= 31_000


async def test_looking_leaves_no_key_behind(limits: Limits, redis: Redis, prefix: str) -> None:
    await limits.bucket("bucket", rate=10).check("x")
    await limits.window("window").check("x", 5, 30)
    assert await redis.keys(f"{prefix}*") == []


async def test_a_bucket_that_starts_empty_gives_nothing_when_its_key_is_lost(
    limits: Limits, redis: Redis, prefix: str
) -> None:
    full = limits.bucket("full", rate=1, per=3600, burst=3)
    empty = limits.bucket("empty", rate=1, per=3600, burst=3, starts="empty")
    assert await full.remaining("x") == 3
    assert await empty.remaining("x") == 0
    assert await redis.pttl(f"{prefix}:empty:{{x}}") > 86_000_000, "an idle day does not empty it again"
    await full.consume("x", 3)
    await redis.delete(f"{prefix}:full:{{x}}", f"{prefix}:empty:{{x}}")
    assert await full.remaining("x") == 3, "one burst too many is what a lost key gives"
    assert await empty.remaining("x") == 0


@pytest.mark.parametrize("subject", ["a{b}c", "}{", "%7B", "ñ \n", 42, uuid.uuid4()])
async def test_any_subject_is_a_subject_of_its_own(limits: Limits, subject: str | int | uuid.UUID) -> None:
    bucket = limits.bucket("sending", rate=1, per=3600, burst=5)
    await bucket.consume(subject, 2)
    assert await bucket.remaining(subject) == 3
    assert await bucket.remaining("another") == 5


async def test_a_client_that_decodes_replies_will_do(redis_url: str, prefix: str) -> None:
    async with Redis.from_url(redis_url, decode_responses=True, protocol=3) as client:
        bucket = Limits(client, prefix=prefix).bucket("sending", rate=80)
        assert (await bucket.consume("x", 80)).remaining == 0


def test_what_is_out_of_range_is_told_before_anything_is_sent() -> None:
    limits = Limits("redis://127.0.0.1:1")
    bucket, window = limits.bucket("b", rate=80), limits.window("w")
    told = [
        (
            lambda: limits.bucket("b", rate=0),
            "bucket(): rate: expected an integer",
        ),
        (
            lambda: limits.bucket("b", rate=True),
            "bucket(): rate: expected an integer",
        ),
        (
            lambda: limits.bucket("b", rate=80, per=0),
            "bucket(): per: expected seconds from 0.000001",
        ),
        (
            lambda: limits.bucket("b", rate=7, per=86_400, burst=10**6),
            "bucket(): burst: expected one with which the rate can be calculated exactly",
        ),
        (lambda: bucket.charge("x", 81), "charge(): n: expected at most 80, all that 'b' ever"),
        (
            lambda: bucket.charge("x", -1),
            "charge(): n: expected an integer",
        ),
        (
            lambda: window.charge("x", 100_001, 60),
            "charge(): limit: expected an integer from 1 to 100000",
        ),
        (
            lambda: window.charge("x", 5, float("nan")),
            "charge(): window: expected seconds from 0.000001",
        ),
        (
            lambda: Limits("redis://", local_share=0),
            "Limits(): local_share: expected a number above 0",
        ),
        (
            lambda: Limits("redis://", deadline=0),
            "Limits(): deadline: expected seconds above 0",
        ),
    ]
    for call, message in told:
        with pytest.raises(OptionError) as error:
            call()  # type: ignore[no-untyped-call]
        assert str(error.value).startswith(message)


async def test_a_limit_cannot_be_charged_twice_in_one_call(limits: Limits) -> None:
    bucket = limits.bucket("b", rate=80)
    with pytest.raises(BindError, match="each of them once"):
        await limits.consume(bucket.charge("x"), bucket.charge("x"))
    with pytest.raises(BindError, match="at least one limit"):
        await limits.consume()
