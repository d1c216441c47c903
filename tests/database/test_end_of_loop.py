"""An event loop that ends with something open: nothing is logged, and nothing stays at the server."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest

import plainsql
from plainsql.query import Args, many, one

KEPT: list[object] = []
"""The objects that a program still holds when its event loop ends."""


@one[bool]("t.slow", "t.sql", 1, "select pg_sleep(:seconds) is null", session_clean=True)
def slow(*, seconds: float) -> Args:
    return (seconds,)


@many[int](
    "t.series", "t.sql", 1, "select n from generate_series(1, 10000) as n", read_only=True, session_clean=True
)
def series() -> Args:
    return ()


async def _open_stream(db: plainsql.Database) -> None:
    rows = series.stream(db)
    KEPT.append(rows)
    await anext(rows)


async def _open_transaction(db: plainsql.Database) -> None:
    block = db.transaction()
    KEPT.append(block)
    await slow(await block.__aenter__(), seconds=0)


async def _open_acquire(db: plainsql.Database) -> None:
    block = db.acquire()
    KEPT.append(block)
    await (await block.__aenter__()).fetchval("select 1")


async def _start(work: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    begun = asyncio.Event()

    async def run() -> None:
        await work(begun)

    KEPT.append(asyncio.create_task(run()))
    await begun.wait()


async def _running_call(db: plainsql.Database) -> None:
    async def work(begun: asyncio.Event) -> None:
        begun.set()
        await slow(db, seconds=60)

    await _start(work)


async def _running_stream(db: plainsql.Database) -> None:
    async def work(begun: asyncio.Event) -> None:
        async for _ in series.stream(db):
            begun.set()
            await asyncio.sleep(0)

    await _start(work)


async def _running_transaction(db: plainsql.Database) -> None:
    async def work(begun: asyncio.Event) -> None:
        async with db.transaction() as tx:
            begun.set()
            await slow(tx, seconds=60)

    await _start(work)


@pytest.mark.parametrize(
    "leave",
    [
        _open_stream,
        _open_transaction,
        _open_acquire,
        _running_call,
        _running_stream,
        _running_transaction,
    ],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore:.*ResourceWarning.*:pytest.PytestUnraisableExceptionWarning")
def test_nothing_is_logged_when_an_event_loop_ends_with_something_open(
    database_url: str, caplog: pytest.LogCaptureFixture, leave: Any
) -> None:
    async def program() -> None:
        await leave(await plainsql.connect(database_url, application_name="ended"))

    with caplog.at_level(logging.WARNING):
        asyncio.run(program())
        KEPT.clear()
        gc.collect()
    assert caplog.records == []
    with psycopg.connect(database_url, autocommit=True) as connection:
        ends = time.monotonic() + 60
        while connection.execute(
            "select from pg_stat_activity where application_name = 'ended' and datname = current_database()"
        ).fetchall():
            assert time.monotonic() < ends
            time.sleep(0.01)
