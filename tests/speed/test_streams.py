"""Streams through the compiled part: rows in blocks, the next one on its way, and connections that serve."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import date
from functools import partial
from typing import Any

import pytest

import plainsql
from plainsql.database.execution import driver
from plainsql.query import Args, many
from plainsql.rows import Row
from plainsql.speed.loaded import PORTAL
from plainsql.sqlstate_errors import StatementTimeoutError
from tests.database.stepping import at_every_wait, settled

pytestmark = pytest.mark.skipif(PORTAL is None, reason="needs the compiled part")

PREFETCH = 10


class Item(Row, frozen=True):
    id: int
    name: str


class Order(Row, frozen=True):
    id: int
    items: list[Item]


def _many(item: Any, sql: str, **facts: Any) -> Any:
    facts = {"read_only": True, "session_clean": True} | facts

    @many[item]("speed.stream", "speed/stream.sql", 1, sql, **facts)
    def query(*, most: int) -> Args:
        return (most,)

    return query


SERIES = "from generate_series(1, :most::int) as n"
ITEMS = _many(Item, f"select n as id, 'n' || n as name {SERIES}")
NUMBERS = _many(int, f"select n {SERIES}")
FAILING = _many(int, f"select 100 / (n - 25) {SERIES}")
UNREADABLE = _many(date, f"select date '0001-01-25' - n {SERIES}")
SLEEP = "n + length(pg_sleep(60)::text)"
# Two blocks come immediately, the next one after a minute.
SLOW = _many(int, f"select case when n <= 20 then n else {SLEEP} end {SERIES}")
SLOWER = _many(int, f"select {SLEEP} {SERIES}")
ORDERS = _many(
    Order,
    f'select n / 4 as id, n as "items[].id", \'n\' || n as "items[].name" {SERIES}',
    list_keys={"": ("id",), "items[]": ("items[].id",)},
    contiguous=True,
)
ONE = _many(int, "select :most::int")
BACKEND = _many(int, "select pg_backend_pid() + 0 * :most::int")


@pytest.fixture
async def single_db(database_url: str) -> AsyncIterator[plainsql.Database]:
    async with plainsql.connect(database_url, max_size=1, prefetch=PREFETCH, acquire_timeout=10) as single_db:
        yield single_db


async def serves(single_db: plainsql.Database) -> bool:
    return bool(await ONE(single_db, most=3) == [3])


async def plain(single_db: plainsql.Database, query: Any, most: int) -> list[Any]:
    """Return the rows of a stream through asyncpg's cursor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "reads_rows", lambda connection, query: False)
        return [row async for row in query.stream(single_db, most=most)]


@pytest.mark.parametrize("query", [ITEMS, NUMBERS, ORDERS])
@pytest.mark.parametrize("inside", [False, True])
async def test_the_rows_are_those_of_asyncpgs_cursor(
    single_db: plainsql.Database, query: Any, inside: bool
) -> None:
    for most in (0, 1, PREFETCH - 1, PREFETCH, PREFETCH + 1, 2 * PREFETCH, 3 * PREFETCH + 1, 100):
        expected = await plain(single_db, query, most)
        if inside:
            async with single_db.transaction() as tx:
                found = [row async for row in query.stream(tx, most=most)]
        else:
            found = [row async for row in query.stream(single_db, most=most)]
        assert found == expected
        assert len(found) == (most if query is not ORDERS else most // 4 + (most > 0))
        assert await serves(single_db)


async def test_other_queries_run_between_the_blocks_in_a_transaction(single_db: plainsql.Database) -> None:
    async with single_db.transaction() as tx:
        found = []
        async for number in NUMBERS.stream(tx, most=35):
            assert await ONE(tx, most=number) == [number]
            if number == 5:
                assert [inner async for inner in NUMBERS.stream(tx, most=25)] == [*range(1, 26)]
            found.append(number)
        assert found == [*range(1, 36)]


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(
    ("query", "kind"), [(FAILING, plainsql.ServerError), (UNREADABLE, plainsql.DecodeError)]
)
async def test_an_error_in_the_middle_comes_after_the_blocks_before_it(
    single_db: plainsql.Database, query: Any, kind: type[Exception], inside: bool
) -> None:
    errors: list[Any] = []
    for stream in (query.stream, partial(_plain_stream, query)):
        found: list[Any] = []
        on: AbstractAsyncContextManager[Any] = single_db.transaction() if inside else nullcontext(single_db)
        with pytest.raises(kind) as raised:
            await _read(found, on, stream)
        assert len(found) == 20
        errors.append((type(raised.value), str(raised.value), getattr(raised.value, "__notes__", [])))
        assert await serves(single_db)
    assert errors[0] == errors[1]


async def _read(found: list[Any], on: AbstractAsyncContextManager[Any], stream: Any) -> None:
    async with on as executor:
        async for row in stream(executor, most=100):
            found.append(row)  # noqa: PERF401 (what came before the error stays)


async def _plain_stream(query: Any, on: Any, most: int) -> AsyncIterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "reads_rows", lambda connection, query: False)
        async for row in query.stream(on, most=most):
            yield row


async def test_a_stream_is_left_while_the_next_block_is_on_its_way(single_db: plainsql.Database) -> None:
    async with asyncio.timeout(30):
        [backend] = await BACKEND(single_db, most=1)
        rows = SLOW.stream(single_db, most=100)
        # From the second block on, the next one is requested.
        assert [await anext(rows) for _ in range(15)] == [*range(1, 16)]
        await rows.aclose()
        assert await BACKEND(single_db, most=1) == [backend]
        async for number in SLOW.stream(single_db, most=100):
            if number == 15:
                break
        await settled(lambda: single_db.stats().in_use == 0)
        assert await BACKEND(single_db, most=1) == [backend]
        with pytest.raises(ZeroDivisionError):
            await _read([], nullcontext(single_db), _broken)
        assert await BACKEND(single_db, most=1) == [backend]


async def _broken(single_db: plainsql.Database, most: int) -> AsyncIterator[float]:
    async for number in SLOW.stream(single_db, most=most):
        yield 1 / (15 - number)


async def test_a_stream_is_cancelled_while_it_waits_for_a_block(single_db: plainsql.Database) -> None:
    reached = asyncio.Event()

    async def read() -> None:
        async for number in SLOW.stream(single_db, most=100):
            if number == 20:
                reached.set()

    async with asyncio.timeout(30):
        [backend] = await BACKEND(single_db, most=1)
        task = asyncio.create_task(read())
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await BACKEND(single_db, most=1) == [backend]


async def test_a_stream_cancelled_anywhere_leaves_a_connection_that_serves(
    single_db: plainsql.Database,
) -> None:
    async def read() -> None:
        async for _ in NUMBERS.stream(single_db, most=35):
            await asyncio.sleep(0)

    async def check() -> None:
        await settled(lambda: single_db.stats().in_use == 0)
        assert await serves(single_db)

    assert await at_every_wait(read, check) > 4


async def test_the_time_limit_is_one_of_each_block(database_url: str) -> None:
    async with (
        plainsql.connect(database_url, max_size=1, prefetch=PREFETCH, statement_timeout=0.3) as single_db,
        asyncio.timeout(30),
    ):
        for query, rows in ((SLOWER, 0), (SLOW, 20)):
            numbers: list[Any] = []
            with pytest.raises(StatementTimeoutError):
                await _read(numbers, nullcontext(single_db), query.stream)
            assert len(numbers) == rows
            await settled(lambda: single_db.stats().in_use == 0)
            assert await serves(single_db)


async def test_a_statement_with_effects_runs_no_further_than_is_wanted(
    single_db: plainsql.Database,
) -> None:
    async with single_db.acquire() as connection:
        await connection.execute("drop sequence if exists made; create sequence made")
    counting = _many(int, "select nextval('made') from generate_series(1, :most::int)", read_only=False)
    last = _many(int, "select last_value + 0 * :most::int from made")
    for leaves in (5, 15):
        async with single_db.acquire() as connection:
            await connection.execute("alter sequence made restart")
        rows = counting.stream(single_db, most=1000)
        for _ in range(leaves):
            await anext(rows)
        await rows.aclose()
        # A sequence is not rolled back.
        assert await last(single_db, most=1) == [(leaves // PREFETCH + 1) * PREFETCH]
