"""A Database in another event loop, thread or process than its own: refused by name, nothing is damaged."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import threading
import traceback
import warnings
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any

import pytest

import plainsql
from plainsql.errors import PlainsqlError
from plainsql.query import Args, many, one
from tests.database.ask import schedulers
from tests.database.stepping import settled

ANOTHER_LOOP = "this Database belongs to another event loop"
FORKED = "this Database was connected before a fork"

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@one[int]("t.plus", "t.sql", 1, "select :n::int + 1", read_only=True, session_clean=True)
def plus(*, n: int) -> Args:
    return (n,)


@one[int]("t.write", "t.sql", 1, "select :n::int + 1", session_clean=True)
def write(*, n: int) -> Args:
    return (n,)


@one[int]("t.pid", "t.sql", 1, "select pg_backend_pid()", session_clean=True)
def pid() -> Args:
    return ()


@many[int](
    "t.series", "t.sql", 1, "select n from generate_series(1, 1000) as n", read_only=True, session_clean=True
)
def series() -> Args:
    return ()


async def _read(db: plainsql.Database) -> None:
    await plus(db, n=1)


async def _reads(db: plainsql.Database) -> None:
    await asyncio.gather(*(plus(db, n=n) for n in range(50)))


async def _write(db: plainsql.Database) -> None:
    await write(db, n=1)


async def _tenant(db: plainsql.Database) -> None:
    await plus(db.tenant("a"), n=1)


async def _batch(db: plainsql.Database) -> None:
    await plus.batch(db, [{"n": 1}, {"n": 2}])


async def _many(db: plainsql.Database) -> None:
    await write.execute_many(db, [{"n": 1}, {"n": 2}])


async def _transaction(db: plainsql.Database) -> None:
    async with db.transaction():
        pass


async def _stream(db: plainsql.Database) -> None:
    async with aclosing(series.stream(db)) as rows:  # type: ignore[type-var]
        async for _ in rows:
            pass


async def _acquire(db: plainsql.Database) -> None:
    async with db.acquire():
        pass


async def _lock(db: plainsql.Database) -> None:
    async with db.lock("here"):
        pass


async def _listen(db: plainsql.Database) -> None:
    async with db.listen("here"):
        pass


async def _copy(db: plainsql.Database) -> None:
    await db.copy_in("nothing", [(1,)], columns=["n"])


KINDS: list[Callable[[plainsql.Database], Awaitable[None]]] = [
    _read,
    _reads,
    _write,
    _tenant,
    _batch,
    _many,
    _transaction,
    _stream,
    _acquire,
    _lock,
    _listen,
    _copy,
]


def _in_a_thread(make: Callable[[], Coroutine[Any, Any, Any]]) -> BaseException | None:
    """Run a coroutine in a thread and an event loop of its own, and return what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(make())
        except BaseException as error:  # noqa: BLE001 (handed on)
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    return raised[0] if raised else None


async def test_calls_from_another_thread_are_refused_and_change_nothing(database_url: str) -> None:
    async with plainsql.connect(database_url, max_size=2, acquire_timeout=10) as db:
        for kind in KINDS:
            error = _in_a_thread(lambda kind=kind: kind(db))  # type: ignore[misc]
            assert isinstance(error, PlainsqlError), (kind, error)
            assert ANOTHER_LOOP in error.message, kind
        error = _in_a_thread(db.close)
        assert isinstance(error, PlainsqlError)
        assert ANOTHER_LOOP in error.message
        for kind in KINDS[:-1]:
            await kind(db)
        await settled(lambda: db.stats().in_use == 0)
        assert db.stats().waiting == 0


async def test_calls_from_another_thread_while_this_one_calls_change_nothing(database_url: str) -> None:
    async with plainsql.connect(database_url, max_size=2) as db:
        ended = threading.Event()
        errors: list[BaseException | None] = []

        def disturb() -> None:
            while not ended.is_set():
                errors.append(_in_a_thread(lambda: _reads(db)))

        thread = threading.Thread(target=disturb)
        thread.start()
        try:
            for _ in range(50):
                assert await asyncio.gather(*(plus(db, n=n) for n in range(40))) == list(range(1, 41))
            await settled(lambda: bool(errors))
        finally:
            ended.set()
            await asyncio.to_thread(thread.join)
        assert {type(error) for error in errors} == {PlainsqlError}
        assert all(scheduler.at_rest for scheduler in schedulers(db))


# What was being opened as the first event loop ended warns that it was left open, as it should.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_database_of_an_earlier_run_is_refused_and_can_be_closed(database_url: str) -> None:
    opened: list[plainsql.Database] = []

    async def first() -> None:
        opened.append(await plainsql.connect(database_url))
        await _reads(opened[0])

    async def second(kind: Callable[[plainsql.Database], Awaitable[None]]) -> None:
        with pytest.raises(PlainsqlError, match=ANOTHER_LOOP) as raised:
            await kind(opened[0])
        assert raised.value.detail == "its event loop is closed"

    asyncio.run(first())
    for kind in KINDS:
        asyncio.run(second(kind))
    asyncio.run(opened[0].close())
    asyncio.run(opened[0].close())

    async def third() -> None:
        with pytest.raises(PlainsqlError, match="the database is closed"):
            await _read(opened[0])

    asyncio.run(third())
    opened.clear()
    _collect()


def _collect() -> None:
    """Have what the closed event loop has left warn here, and not in another test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


# Forks ------------------------------------------------------------------------------------------------


def _child(work: Callable[[], object]) -> int:
    """Run work in a forked child, which ends as a process does; return its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        work()
        gc.collect()
        code = 0
    except BaseException:  # noqa: BLE001 (the parent must not go on here)
        traceback.print_exc()
    finally:
        os._exit(code)


async def test_a_forked_child_is_refused_and_its_parent_goes_on(database_url: str) -> None:
    async with plainsql.connect(database_url, max_size=2) as db:
        before = await pid(db)

        def use() -> None:
            async def main() -> None:
                for kind in KINDS:
                    with pytest.raises(PlainsqlError, match=FORKED):
                        await kind(db)
                await db.close()

            # This thread's loop is the parent's; one of the child's own needs a thread of its own.
            error = _in_a_thread(main)
            if error is not None:
                raise error

        assert _child(use) == 0
        assert await pid(db) == before
        await _reads(db)


async def test_what_a_child_drops_or_cancels_does_not_reach_the_parents_session(database_url: str) -> None:
    async with plainsql.connect(database_url, max_size=2) as db, db.acquire() as connection:
        assert await connection.fetchval("select 1") == 1
        running = asyncio.create_task(connection.fetchval("select pg_sleep(0.3) is null"))
        before = db.stats()
        await asyncio.sleep(0)

        def drop() -> None:
            running.cancel()
            connections = [*db._connections._connector.connections]
            for each in connections:
                each.terminate()
            connections.clear()

        assert _child(drop) == 0
        assert await running is False
        assert await connection.fetchval("select 2") == 2
        assert db.stats() == before


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="for systems that fork")
async def test_a_worker_of_multiprocessing_connects_for_itself(database_url: str) -> None:
    async with plainsql.connect(database_url, max_size=2) as db:
        before = await pid(db)
        context = multiprocessing.get_context("fork")
        answers = context.SimpleQueue()

        def work() -> None:
            async def main() -> None:
                try:
                    await plus(db, n=1)
                except PlainsqlError as error:
                    answers.put(error.message)
                async with plainsql.connect(database_url) as own:
                    answers.put(await plus(own, n=1))

            error = _in_a_thread(main)
            if error is not None:
                answers.put(repr(error))

        process = context.Process(target=work)
        process.start()
        await asyncio.to_thread(process.join, 60)
        assert FORKED in answers.get()
        assert answers.get() == 2
        assert process.exitcode == 0
        assert await pid(db) == before
