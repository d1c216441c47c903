"""A call that waits in vain for a connection learns which blocks hold them all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

import pytest

import plainsql
from plainsql.database.pool.holders import Holders
from plainsql.errors import PoolTimeoutError
from plainsql.query import Args, many, one


@one[int]("h.one", "h.sql", 1, "select 1", session_clean=True)
def call() -> Args:
    return ()


@many[int](
    "h.series", "h.sql", 1, "select n from generate_series(1, 3000) as n", read_only=True, session_clean=True
)
def series() -> Args:
    return ()


@asynccontextmanager
async def lock(db: plainsql.Database, key: str) -> AsyncIterator[None]:
    async with db.lock(key):
        yield


@asynccontextmanager
async def transaction(db: plainsql.Database, _: str) -> AsyncIterator[None]:
    async with db.transaction():
        yield


@asynccontextmanager
async def acquired(db: plainsql.Database, _: str) -> AsyncIterator[None]:
    async with db.acquire():
        yield


@asynccontextmanager
async def stream(db: plainsql.Database, _: str) -> AsyncIterator[None]:
    rows: Any = series.stream(db)
    async with aclosing(rows):
        await anext(rows)
        yield


@asynccontextmanager
async def listener(db: plainsql.Database, channel: str) -> AsyncIterator[None]:
    async with db.listen(channel):
        yield


KINDS: dict[Any, tuple[str, str, str]] = {
    lock: ("locks", "a lock", "raise max_size above the number of locks that are held at once"),
    transaction: ("transactions", "a transaction", "call on the transaction, or leave it first"),
    acquired: ("'acquire' blocks", "an 'acquire' block", "run the statement on the connection"),
    stream: ("streams", "a stream", "read the stream to its end or close it first"),
    listener: ("listeners", "a listener", "raise max_size above their number"),
}


# A listener's connection is held by a task of its own: any task learns of it as another does.
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not listener])
async def test_tasks_that_call_while_they_hold_all_connections_are_told(database_url: str, kind: Any) -> None:
    many_of, one_of, remedy = KINDS[kind]
    inside = asyncio.Barrier(3)

    async def work(db: plainsql.Database, number: int) -> PoolTimeoutError:
        async with kind(db, f"job {number}"):
            await inside.wait()
            with pytest.raises(PoolTimeoutError) as raised:
                await call(db)
            await inside.wait()
        return raised.value

    async with plainsql.connect(database_url, max_size=3, min_size=3, acquire_timeout=0.2) as db:
        async with asyncio.timeout(60):
            errors = await asyncio.gather(*(work(db, number) for number in range(3)))
        for error in errors:
            assert error.detail == f"all 3 connections are in use: 3 by {many_of}"
            assert error.hint is not None
            assert error.hint.startswith(f"this task is inside of {one_of} of this database")
            assert remedy in error.hint
        assert not db._state.pool.holders
        assert await call(db) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_another_task_is_told_who_holds_them(database_url: str, kind: Any) -> None:
    many_of, one_of, _ = KINDS[kind]
    async with (
        plainsql.connect(database_url, max_size=3, min_size=3, acquire_timeout=0.2) as db,
        AsyncExitStack() as held,
    ):
        await held.enter_async_context(kind(db, "a"))
        await held.enter_async_context(kind(db, "b"))
        await held.enter_async_context(kind(db, "c"))

        async def other() -> str:
            with pytest.raises(PoolTimeoutError) as raised:
                await call(db)
            return str(raised.value)

        said = await asyncio.create_task(other())
        assert f"3 by {many_of}" in said
        assert "this task is inside" not in said
        assert "HINT: " in said
        assert one_of.split()[-1].strip("'") in said.partition("HINT: ")[2]


async def test_the_next_in_line_at_a_full_queue_is_told_as_well(database_url: str) -> None:
    async with plainsql.connect(database_url, max_size=1, max_waiting=1) as db, db.lock("job"):
        waiting = asyncio.create_task(call(db))
        while not db.stats().waiting:  # noqa: ASYNC110
            await asyncio.sleep(0)
        with pytest.raises(PoolTimeoutError, match="1 by a lock"):
            await asyncio.create_task(_call(db))
        waiting.cancel()
        await asyncio.wait([waiting])


async def _call(db: plainsql.Database) -> int:
    return await call(db)


async def test_a_stream_that_is_closed_by_another_task_is_forgotten(database_url: str) -> None:
    async with plainsql.connect(database_url, max_size=1) as db:
        rows: Any = series.stream(db)
        await asyncio.create_task(_first(rows))
        assert len(db._state.pool.holders) == 1
        await rows.aclose()
        assert not db._state.pool.holders


async def _first(rows: Any) -> int:
    first: int = await anext(rows)
    return first


def test_nothing_is_said_where_nothing_is_held() -> None:
    error = PoolTimeoutError("m", detail="all 1 connections are in use", hint="h")
    Holders().explain(error)
    assert (error.detail, error.hint) == ("all 1 connections are in use", "h")
