"""A hook gets every call, by name and number, with any outcome; and can harm none."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing

import asyncpg
import pytest

import plainsql
from plainsql import Call
from plainsql.query import Args, count, many, one


@many[int](
    "t.series", "t.sql", 1, "select generate_series(1, :last::int)", read_only=True, session_clean=True
)
def series(*, last: int) -> Args:
    return (last,)


@one[int]("t.divide", "t.sql", 1, "select 1 / :n::int", read_only=True, session_clean=True)
def divide(*, n: int) -> Args:
    return (n,)


@count("t.nothing", "t.sql", 1, "create temp table if not exists gone as select 1 from generate_series(1, 0)")
def nothing() -> Args:
    return ()


@one[str]("t.sleep", "t.sql", 1, "select pg_sleep(60)::text", session_clean=True)
def sleep() -> Args:
    return ()


@pytest.fixture
def calls() -> list[Call]:
    return []


@pytest.fixture
async def watched_db(
    request: pytest.FixtureRequest, database_url: str, calls: list[Call]
) -> AsyncIterator[plainsql.Database]:
    if "form" in request.fixturenames:
        request.getfixturevalue("form")  # before the database has its chain
    async with plainsql.connect(database_url, max_size=2, on_call=calls.append) as db:
        yield db


async def test_each_way_to_call_is_told(watched_db: plainsql.Database, calls: list[Call]) -> None:
    await series(watched_db, last=3)
    await series.batch(watched_db, [{"last": 1}, {"last": 2}])
    await nothing.execute_many(watched_db, [{}, {}])
    async for _ in series.stream(watched_db, last=4):
        pass
    parts: list[bytes] = []

    async def take(part: bytes) -> None:
        parts.append(part)

    await watched_db.copy_out(series, take, {"last": 5}, header=False)
    async with watched_db.transaction() as tx:
        await series(tx, last=6)
    told = [(call.query.name, call.operation, call.sets, call.rows, call.in_transaction) for call in calls]
    assert told == [
        ("t.series", "call", 1, 3, False),
        ("t.series", "batch", 2, 3, False),
        ("t.nothing", "execute_many", 2, 0, False),
        ("t.series", "stream", 1, 4, False),
        ("t.series", "copy_out", 1, 5, False),
        ("t.series", "call", 1, 6, True),
    ]
    assert all(0 <= call.lease_wait <= call.duration for call in calls)
    assert all(call.error is None for call in calls)


async def test_failures_and_cancellations_are_reported(
    watched_db: plainsql.Database, calls: list[Call]
) -> None:
    with pytest.raises(asyncpg.DivisionByZeroError) as raised:
        await divide(watched_db, n=0)
    task = asyncio.create_task(sleep(watched_db))
    while not watched_db.stats().in_use:  # noqa: ASYNC110
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert calls[0].error is raised.value
    assert isinstance(calls[1].error, asyncio.CancelledError)
    assert "0" not in repr(calls[0].query), "no value is in what is told"


async def test_a_stream_that_is_left_early_is_no_failure(
    watched_db: plainsql.Database, calls: list[Call]
) -> None:
    async with aclosing(series.stream(watched_db, last=1000)) as rows:  # type: ignore[type-var]
        async for row in rows:
            if row == 7:
                break
    assert [(call.rows, call.error) for call in calls] == [(7, None)]


async def test_those_who_wait_for_a_connection_are_told_how_long(
    watched_db: plainsql.Database, calls: list[Call]
) -> None:
    async with watched_db.acquire(), watched_db.acquire():
        waiting = asyncio.create_task(sleep(watched_db))
        while not watched_db.stats().waiting:  # noqa: ASYNC110
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
    assert calls[0].lease_wait == 0, "it never had one"


@pytest.mark.parametrize("form", ["pipelined", "shared"], indirect=True)
async def test_calls_sent_together_report_how_many(
    watched_db: plainsql.Database, calls: list[Call], form: str
) -> None:
    await asyncio.gather(*(series(watched_db, last=n) for n in range(1, 65)))
    assert len(calls) == 64
    assert sorted(call.rows for call in calls) == [*range(1, 65)]
    assert max(call.joined for call in calls) > 1
    assert all(call.joined >= 1 for call in calls)


async def test_a_hook_that_fails_is_logged_and_takes_nothing_away(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(call: Call) -> None:
        raise RuntimeError("the hook")

    async with plainsql.connect(database_url, on_call=fail) as db:
        with caplog.at_level(logging.ERROR, "plainsql"):
            assert await series(db, last=2) == [1, 2]
    assert "the hook of t.series failed" in caplog.text
