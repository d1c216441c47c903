"""The pool: who waits, for how long, and what a closed database says."""

# ruff: noqa: PT012 (it is the block of a transaction or stream that raises)

# ruff: noqa: ASYNC110 (what is waited for happens in the server)

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import plainsql
from tests.database.ask import SELECT_1, many, one
from tests.database.stepping import settled

BACKEND = one("select pg_backend_pid()")


async def test_a_database_is_awaited_or_entered(database_url: str) -> None:
    async with plainsql.connect(database_url) as db:
        assert await SELECT_1(db) == 1
    db = await plainsql.connect(database_url)
    async with db:
        assert await SELECT_1(db) == 1
    with pytest.raises(plainsql.PlainsqlError, match="closed"):
        await SELECT_1(db)


async def test_a_call_that_gets_no_connection_in_time_says_so(database_url: str) -> None:
    async with plainsql.connect(database_url, max_size=1, acquire_timeout=0.01) as db:
        async with db.acquire():
            with pytest.raises(plainsql.PoolTimeoutError) as raised:
                await SELECT_1(db)
        await settled(lambda: db.stats().idle == 1)
        assert await SELECT_1(db) == 1
    assert raised.value.message == "no connection became free within 0.01 s"
    assert raised.value.hint is not None
    assert raised.value.hint.startswith("this task is inside of an 'acquire' block of this database")
    assert isinstance(raised.value, TimeoutError)


async def test_calls_that_wait_are_served_in_turn(one_connection_db: plainsql.Database) -> None:
    async with asyncio.TaskGroup() as tasks:
        answers = [tasks.create_task(SELECT_1(one_connection_db)) for _ in range(20)]
    assert [task.result() for task in answers] == [1] * 20


async def test_one_connection_is_opened_again_and_again_only_when_it_is_lost(
    one_connection_db: plainsql.Database,
) -> None:
    assert len({await BACKEND(one_connection_db) for _ in range(5)}) == 1


@pytest.mark.parametrize("use", ["call", "stream", "transaction", "acquire"])
async def test_a_closed_database_refuses_every_use(database_url: str, use: str) -> None:
    db = await plainsql.connect(database_url)
    await db.close()
    with pytest.raises(plainsql.PlainsqlError, match=r"the database is closed\nHINT: use it inside"):
        if use == "call":
            await SELECT_1(db)
        elif use == "stream":
            [row async for row in many("select 1").stream(db)]
        elif use == "transaction":
            async with db.transaction():
                pass
        else:
            async with db.acquire():
                pass


async def test_closing_twice_is_closing_once(database_url: str) -> None:
    db = await plainsql.connect(database_url)
    await db.close()
    await db.close()


async def test_closing_lets_running_queries_end(database_url: str, outside: Any) -> None:
    locked = one("select pg_advisory_lock(1) is null")
    db = await plainsql.connect(database_url, max_size=1)
    async with outside.transaction():
        await outside.execute("select pg_advisory_xact_lock(1)")
        running = asyncio.create_task(locked(db))
        await _until_waiting(outside)
        closing = asyncio.create_task(db.close())
        await asyncio.sleep(0)
        assert not closing.done()
    assert await running is False
    await closing


async def test_closing_gives_up_after_its_timeout(database_url: str, outside: Any) -> None:
    locked = one("select pg_advisory_lock(2) is null")
    db = await plainsql.connect(database_url, max_size=1)
    async with outside.transaction():
        await outside.execute("select pg_advisory_xact_lock(2)")
        running = asyncio.create_task(locked(db))
        await _until_waiting(outside)
        await db.close(timeout=0.01)
        with pytest.raises(Exception, match=r"closed|cancel|terminat"):
            await running


async def test_settings_of_the_session_do_not_reach_the_next_call(
    one_connection_db: plainsql.Database,
) -> None:
    setting = one("select current_setting('work_mem')")
    before = await setting(one_connection_db)
    async with one_connection_db.acquire() as connection:
        await connection.execute("set work_mem = '77MB'")
    assert await setting(one_connection_db) == before


async def _until_waiting(connection: Any) -> None:
    while not await connection.fetchval(
        "select count(*) from pg_locks where not granted and locktype = 'advisory'"
        " and database = (select oid from pg_database where datname = current_database())"
    ):
        await asyncio.sleep(0)
