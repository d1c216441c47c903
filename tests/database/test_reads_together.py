"""Concurrent calls of one read run as one statement, and only the time shows it."""

# ruff: noqa: ASYNC110 (what is waited for happens in the server)

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

import plainsql
from plainsql.database.execution import driver
from plainsql.query import Args, Query, many, one, optional
from plainsql.rows import Row
from plainsql.types import Json
from tests.database.stepping import settled


class Thing(Row, frozen=True):
    id: int
    name: str | None
    tags: list[str]


@optional[Thing](
    "t.get",
    "t.sql",
    1,
    "select id, name, tags from thing where id = :id",
    read_only=True,
    session_clean=True,
    by_key=True,
)
def get(*, id: int) -> Args:
    return (id,)


@one[Thing](
    "t.need",
    "t.sql",
    1,
    "select id, name, tags from thing where id = :id",
    read_only=True,
    session_clean=True,
    by_key=True,
)
def need(*, id: int) -> Args:
    return (id,)


@many[int](
    "t.first",
    "t.sql",
    1,
    "select id from thing where id > :after order by id desc limit :limit -- the last ones",
    read_only=True,
    session_clean=True,
)
def first(*, after: int, limit: int) -> Args:
    return (after, limit)


@many[int](
    "t.any",
    "t.sql",
    1,
    "select id from thing where id = any(:ids) and (:name::text is null or name = :name) order by id",
    read_only=True,
    session_clean=True,
)
def among(*, ids: list[int] | None, name: str | None) -> Args:
    return (ids, name)


@one[int]("t.total", "t.sql", 1, "select count(*) from thing", read_only=True, session_clean=True)
def total() -> Args:
    return ()


@one[Json]("t.echo", "t.sql", 1, "select :value::jsonb as value", read_only=True, session_clean=True)
def echo(*, value: Any) -> Args:
    return (value,)


@one[int](
    "t.divide",
    "t.sql",
    1,
    "select 100 / :by::int as x from thing where id = 1",
    read_only=True,
    session_clean=True,
)
def divide(*, by: Any) -> Args:
    return (by,)


@pytest.fixture
async def tagged_things_db(
    request: pytest.FixtureRequest, database_url: str
) -> AsyncIterator[plainsql.Database]:
    if "form" in request.fixturenames:
        request.getfixturevalue("form")  # before the database has its chain
    async with plainsql.connect(database_url, max_size=4) as db:
        async with db.acquire() as connection:
            await connection.execute(
                """
                create table if not exists thing (id int primary key, name text, tags text[] not null);
                insert into thing
                select n, nullif('n' || n % 7, 'n0'), array['a', 'b' || n]
                from generate_series(1, 200) as n
                on conflict do nothing
                """
            )
        yield db


async def _statements(db: plainsql.Database, calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run calls concurrently and return the texts that were sent."""
    sent: list[str] = []

    def spy_on(name: str) -> None:
        original = getattr(driver, name)

        async def spy(connection: Any, sql: str, *rest: Any) -> list[Any]:
            sent.append(sql)
            found: list[Any] = await original(connection, sql, *rest)
            return found

        monkeypatch.setattr(driver, name, spy)

    for name in ("fetch", "fetch_rows", "fetch_many"):
        spy_on(name)
    await asyncio.gather(*calls)
    return sent


@pytest.mark.parametrize("form", ["joined", "pipelined"], indirect=True)
async def test_sixty_four_calls_are_a_few_statements(
    tagged_things_db: plainsql.Database, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asyncio.gather(*(get(tagged_things_db, id=n) for n in range(8)))  # the joined text is made
    sent = await _statements(tagged_things_db, [get(tagged_things_db, id=n) for n in range(64)], monkeypatch)
    # Some alone and the others together; in more where the machine is busy, and calls seem to cost much.
    assert len(sent) <= 32
    assert "plainsql_read" not in sent[0]
    assert any("plainsql_read" in text for text in sent[1:])
    assert any("unnest" in text for text in sent[1:]) == (form == "joined")


async def test_a_lone_call_is_sent_as_it_is(
    tagged_things_db: plainsql.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await get(tagged_things_db, id=1)  # a connection is open and set up
    sent = await _statements(tagged_things_db, [get(tagged_things_db, id=1)], monkeypatch)
    assert sent == ["select id, name, tags from thing where id = $1 /* t.get */"]


async def test_every_call_gets_its_own_answer(tagged_things_db: plainsql.Database) -> None:
    async def same(query: Query[..., Any, Any], **parameters: Any) -> None:
        alone = await query(quiet, **parameters)
        assert await query(tagged_things_db, **parameters) == alone

    chance = random.Random(7)
    async with plainsql.connect(
        tagged_things_db._state.pool.name.replace("***", ""), autobatch=False
    ) as quiet:
        for _ in range(5):
            calls = []
            for _ in range(150):
                ids = chance.choice([None, [], [chance.randrange(210) for _ in range(chance.randrange(9))]])
                calls += [
                    same(get, id=chance.randrange(-3, 210)),
                    same(first, after=chance.randrange(210), limit=chance.randrange(5)),
                    same(among, ids=ids, name=chance.choice([None, "n1", "n2"])),
                    same(total),
                    same(echo, value=chance.choice([None, 1, "x", [1, [2, None]], {"a": []}, []])),
                ]
            await asyncio.gather(*calls)


async def test_a_bad_value_hurts_its_caller_alone(tagged_things_db: plainsql.Database) -> None:
    values: list[Any] = [1, 2, 0, 5, "text", 10, 2**40, 20]
    answers = await asyncio.gather(
        *(divide(tagged_things_db, by=value) for value in values), return_exceptions=True
    )
    assert [answer for answer in answers if isinstance(answer, int)] == [100, 50, 20, 10, 5]
    assert isinstance(answers[2], asyncpg.DivisionByZeroError)
    assert isinstance(answers[4], plainsql.BindError)
    assert isinstance(answers[6], plainsql.BindError)
    await settled(lambda: tagged_things_db.stats().in_use == 0)


async def test_no_row_is_an_error_for_its_caller_alone(tagged_things_db: plainsql.Database) -> None:
    answers = await asyncio.gather(
        *(need(tagged_things_db, id=n) for n in (1, 999, 2, 998, 3)), return_exceptions=True
    )
    assert [getattr(answer, "id", type(answer)) for answer in answers] == [
        1,
        plainsql.NoRowError,
        2,
        plainsql.NoRowError,
        3,
    ]


async def test_cancelled_callers_are_left_out_and_the_others_are_served(
    tagged_things_db: plainsql.Database,
) -> None:
    for turns in range(12):
        tasks = [asyncio.create_task(_get(tagged_things_db, n)) for n in range(1, 41)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        for n, answer in enumerate(answers, 1):
            if isinstance(answer, asyncio.CancelledError):
                assert (n - 1) % 3 == 0, "nobody else is cancelled"
            else:
                assert isinstance(answer, Thing)
                assert answer.id == n
    await _until_idle(tagged_things_db)


async def test_a_killed_backend_hurts_no_reader(tagged_things_db: plainsql.Database) -> None:
    outside = await asyncpg.connect(tagged_things_db._state.pool.name)
    try:
        for _ in range(5):
            calls = [asyncio.create_task(_get(tagged_things_db, n)) for n in range(1, 101)]
            await outside.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid() "
                "and backend_type = 'client backend'"
            )
            answers = await asyncio.gather(*calls)
            assert [answer.id for answer in answers if answer] == list(range(1, 101))
    finally:
        await outside.close()
    await _until_idle(tagged_things_db)


async def test_the_pool_is_not_exceeded_and_everything_comes_back(
    tagged_things_db: plainsql.Database,
) -> None:
    most = 0

    async def call(n: int) -> None:
        nonlocal most
        await (get(tagged_things_db, id=n) if n % 2 else first(tagged_things_db, after=n, limit=2))
        most = max(most, tagged_things_db.stats().open)

    await asyncio.gather(*(call(n) for n in range(500)))
    assert 0 < most <= 4
    await _until_idle(tagged_things_db)


async def _get(db: plainsql.Database, n: int) -> Thing | None:
    return await get(db, id=n)


async def _until_idle(db: plainsql.Database) -> None:
    async with asyncio.timeout(20):
        while db.stats().in_use or db.stats().waiting:
            await asyncio.sleep(0)
