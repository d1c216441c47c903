"""The scripts against the definition of a limit, on a clock that goes forward, stops and is set back.

The server's clock cannot be set. The scripts are the ones that run in production, but for the first lines:
there the time comes from ``TIME``, here from a key.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from plainsql.limits import Charge, Decision, Limits
from plainsql.limits import limits as limits_module
from plainsql.limits.local import LocalLimits
from plainsql.redis_connection import Script
from tests.limits.model import Bucket, Window

CLOCK = "local function microseconds() return tonumber(redis.call('GET', 'limits-test:clock')) end"
# The year 2026: as many digits as real times have.
START = 1_790_000_000_123_457

rates = st.integers(1, 1000)
periods = st.sampled_from([0.001, 0.3, 1, 7, 60, 86_400])
bursts = st.integers(1, 50)
steps = st.one_of(
    st.integers(0, 3),
    st.integers(0, 100_000),
    st.integers(0, 3_000_000),
    st.integers(-2_000_000, 0),
    st.just(86_400_000_000),
)
forward = steps.filter(lambda step: step >= 0)
asks = st.tuples(st.integers(1, 50), st.booleans())
few = settings(max_examples=120, deadline=None)


@pytest.fixture(scope="module", autouse=True)
def scripts_with_a_clock_to_be_set() -> Generator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("take", "return_tokens"):
            script = Script.read("plainsql.limits", "state.lua", f"{name}.lua", clock=CLOCK)
            patch.setattr(limits_module, f"_{name}", lambda script=script: script)
        yield


class Clocked:
    """Limits, and the server's clock."""

    def __init__(self, redis: Redis, limits: Limits) -> None:
        self._redis = redis
        self.limits = limits
        self.now = START

    async def go(self, step: int) -> int:
        self.now += step
        await self._redis.set("limits-test:clock", self.now)
        return self.now


@asynccontextmanager
async def clocked(url: str) -> AsyncGenerator[Clocked]:
    async with Redis.from_url(url) as redis:
        clock = Clocked(redis, Limits(redis, prefix=f"limits-{uuid.uuid4().hex}", deadline=10))
        await clock.go(0)
        yield clock


def expected(model: Bucket | Window, n: int, now: int, *, take: bool) -> Decision:
    enough, wait = model.enough(n, now), model.wait(n, now)
    if enough and take:
        model.take(n, now)
    return Decision(enough, model.left(now), wait / 1_000_000, () if enough else ("it",))


async def ask(limits: Limits, charge: Charge, *, take: bool) -> Decision:
    return await (limits.consume(charge) if take else limits.check(charge))


@few
@given(rate=rates, per=periods, burst=bursts, story=st.lists(st.tuples(steps, asks), max_size=25))
def test_a_bucket_is_what_its_definition_says(
    redis_url: str, rate: int, per: float, burst: int, story: list[tuple[int, tuple[int, bool]]]
) -> None:
    async def run() -> None:
        async with clocked(redis_url) as clock:
            bucket = clock.limits.bucket("it", rate=rate, per=per, burst=burst)
            model = Bucket(Fraction(rate, round(per * 1_000_000)), burst)
            for step, (n, take) in story:
                now = await clock.go(step)
                charge = bucket.charge("x", min(n, burst))
                assert await ask(clock.limits, charge, take=take) == expected(
                    model, min(n, burst), now, take=take
                )

    asyncio.run(run())


@few
@given(
    limit=st.integers(1, 50),
    length=st.sampled_from([0.001, 0.5, 1, 60]),
    story=st.lists(st.tuples(steps, asks), max_size=25),
)
def test_a_window_is_what_its_definition_says(
    redis_url: str, limit: int, length: float, story: list[tuple[int, tuple[int, bool]]]
) -> None:
    async def run() -> None:
        async with clocked(redis_url) as clock:
            window = clock.limits.window("it")
            model = Window(limit, round(length * 1_000_000))
            for step, (n, take) in story:
                now = await clock.go(step)
                charge = window.charge("x", limit, length, min(n, limit))
                assert await ask(clock.limits, charge, take=take) == expected(
                    model, min(n, limit), now, take=take
                )

    asyncio.run(run())


@few
@given(
    rate=rates,
    per=periods,
    burst=bursts,
    limit=st.integers(1, 50),
    story=st.lists(st.tuples(forward, st.integers(1, 20), st.integers(1, 20)), max_size=25),
)
def test_several_limits_take_all_or_nothing(
    redis_url: str, rate: int, per: float, burst: int, limit: int, story: list[tuple[int, int, int]]
) -> None:
    async def run() -> None:
        async with clocked(redis_url) as clock:
            bucket = clock.limits.bucket("bucket", rate=rate, per=per, burst=burst)
            window = clock.limits.window("window")
            tokens = Bucket(Fraction(rate, round(per * 1_000_000)), burst)
            log = Window(limit, 1_000_000)
            for step, some, more in story:
                now = await clock.go(step)
                n, m = min(some, burst), min(more, limit)
                answer = await clock.limits.consume(bucket.charge("x", n), window.charge("x", limit, 1, m))
                refused = [
                    name
                    for name, model, asked in (("bucket", tokens, n), ("window", log, m))
                    if not model.enough(asked, now)
                ]
                wait = max(tokens.wait(n, now), log.wait(m, now))
                if not refused:
                    tokens.take(n, now)
                    log.take(m, now)
                left = min(tokens.left(now), log.left(now))
                assert answer == Decision(not refused, left, wait / 1_000_000, tuple(refused))

    asyncio.run(run())


@few
@given(rate=rates, per=periods, burst=bursts, story=st.lists(steps, max_size=40))
def test_however_the_clock_jumps_no_more_is_granted_than_it_went_forward(
    redis_url: str, rate: int, per: float, burst: int, story: list[int]
) -> None:
    async def run() -> None:
        async with clocked(redis_url) as clock:
            bucket = clock.limits.bucket("it", rate=rate, per=per, burst=burst)
            granted = 0
            for step in story:
                await clock.go(step)
                left = await bucket.remaining("x")
                if left:
                    assert await bucket.consume("x", left)
                granted += left
            gone = sum(step for step in story if step > 0)
            assert granted <= burst + Fraction(rate, round(per * 1_000_000)) * gone

    asyncio.run(run())


@few
@given(
    rate=rates,
    per=periods,
    burst=bursts,
    starts=st.sampled_from(["full", "empty"]),
    story=st.lists(st.tuples(forward, asks, asks), max_size=25),
)
def test_the_limits_in_the_process_are_the_same_limits(
    redis_url: str,
    rate: int,
    per: float,
    burst: int,
    starts: str,
    story: list[tuple[int, tuple[int, bool], tuple[int, bool]]],
) -> None:
    async def run() -> None:
        async with clocked(redis_url) as clock:
            local = LocalLimits(Fraction(1), clock_us=lambda: clock.now)
            bucket = clock.limits.bucket("bucket", rate=rate, per=per, burst=burst, starts=starts)  # type: ignore[arg-type]
            window = clock.limits.window("window")
            for step, (n, take), (m, _) in story:
                await clock.go(step)
                charges = (bucket.charge("x", min(n, burst)), window.charge("x", 20, 1, min(m, 20)))
                there = await (clock.limits.consume if take else clock.limits.check)(*charges)
                here = limits_module._decision(charges, local.decide(charges, take=take))
                assert here == there

    asyncio.run(run())


async def test_nobody_waits_for_a_clock_that_was_set_back_an_hour(redis_url: str) -> None:
    async with clocked(redis_url) as clock:
        bucket, window = clock.limits.bucket("bucket", rate=10), clock.limits.window("window")
        assert await bucket.consume("x", 10)
        assert await window.consume("x", 3, 60, 3)
        await clock.go(-3_600_000_000)
        assert (await bucket.check("x")).retry_after == 0.1
        assert (await window.check("x", 3, 60)).retry_after == 60
        await clock.go(100_000)
        assert await bucket.remaining("x") == 1
        await clock.go(60_000_000)
        assert await window.remaining("x", 3, 60) == 3


async def test_a_window_moves_with_the_clock_even_where_it_is_long(redis_url: str) -> None:
    async with clocked(redis_url) as clock:
        window = clock.limits.window("window")
        for _ in range(3):
            assert await window.consume("x", 10_000, 60, 3_000)
            await clock.go(1_000_000)
        await clock.go(-3_600_000_000)
        assert await window.remaining("x", 10_000, 60) == 1_000
        await clock.go(58_000_000)
        assert await window.remaining("x", 10_000, 60) == 4_000


async def test_tokens_keep_their_worth_when_the_rate_changes(redis_url: str) -> None:
    async with clocked(redis_url) as clock:
        slow = clock.limits.bucket("sending", rate=80, burst=100)
        fast = clock.limits.bucket("sending", rate=250, burst=100)
        assert await slow.consume("x", 60)
        assert await fast.remaining("x") == 40
        await clock.go(100_000)
        assert await fast.consume("x", 5)
        assert await slow.remaining("x") == 60


async def test_what_is_given_back_is_no_more_than_was_taken(redis_url: str) -> None:
    async with clocked(redis_url) as clock:
        limits = clock.limits
        bucket, window = limits.bucket("bucket", rate=10), limits.window("window")
        charges = (bucket.charge("x", 4), window.charge("x", 5, 60, 2))
        answer = await limits._decide(charges, take=True)
        await limits._return_tokens(charges, answer)
        assert await bucket.remaining("x") == 10
        assert await window.remaining("x", 5, 60) == 5
        # A bucket that would have been full all the time would have gained nothing: neither does this one.
        answer = await limits._decide(charges, take=True)
        await clock.go(300_000)
        assert await bucket.consume("x", 9)
        await limits._return_tokens(charges, answer)
        assert await bucket.remaining("x") == 1
        assert await window.remaining("x", 5, 60) == 5
