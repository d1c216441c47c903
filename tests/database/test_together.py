"""A call returns what it returns alone, and as soon as it can, with any other concurrent calls."""

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
from plainsql.database.execution.forms import Forms
from plainsql.database.execution.pipelined_statement import MAX_PIPELINE_BYTES
from plainsql.query import Args, many, one
from plainsql.types import Json
from tests.database.ask import is_at_rest, schedulers
from tests.database.stepping import settled


@many[int](
    "t.top",
    "t.sql",
    1,
    "select id from score where team = :team and points < :below order by points desc, id limit :limit",
    read_only=True,
    session_clean=True,
)
def top(*, team: int, below: int, limit: int) -> Args:
    return (team, below, limit)


@one[int](
    "t.count",
    "t.sql",
    1,
    "select count(*) from score where team = :team",
    read_only=True,
    session_clean=True,
    by_key=True,
)
def count_of(*, team: int) -> Args:
    return (team,)


@one[int](
    "t.nap",
    "t.sql",
    1,
    "select :n::int from pg_sleep(case when :n::int = 13 then :nap::float8 else 0 end)",
    read_only=True,
    session_clean=True,
    by_key=True,
)
def nap(*, n: int, nap: float) -> Args:
    return (n, nap)


@one[int](
    "t.divide", "t.sql", 1, "select 100 / :by::int as x", read_only=True, session_clean=True, by_key=True
)
def divide(*, by: Any) -> Args:
    return (by,)


@one[Json](
    "t.echo", "t.sql", 1, "select :value::jsonb as value", read_only=True, session_clean=True, by_key=True
)
def echo(*, value: Any) -> Args:
    return (value,)


@one[int]("t.length", "t.sql", 1, "select length(:text::text) as n", read_only=True, session_clean=True)
def length(*, text: str) -> Args:
    return (text,)


@pytest.fixture
async def scores_db(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[plainsql.Database]:
    if "form" in request.fixturenames:
        request.getfixturevalue("form")  # before the database has its chain
    async with plainsql.connect(database_url, max_size=6, cache=False) as db:
        async with db.acquire() as connection:
            await connection.execute(
                """
                create table if not exists score (id int primary key, team int not null, points int not null);
                insert into score
                select n, case when n % 50 = 0 then n % 7 else 99 end, n * 7919 % 10007
                from generate_series(1, 20000) as n
                on conflict do nothing;
                create index if not exists score_team on score (team);
                create index if not exists score_points on score (points desc, id);
                analyze score;
                """
            )
        await asyncio.gather(*(nap(db, n=n, nap=0.0) for n in range(100)))  # they seem to cost little
        yield db


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """The texts and sets of arguments of all pipelines."""
    calls: list[tuple[str, Any]] = []
    fetch_many = driver.fetch_many

    async def spy(connection: Any, sql: str, sets: Any, *rest: Any) -> list[Any]:
        calls.append((sql, sets))
        return await fetch_many(connection, sql, sets, *rest)

    monkeypatch.setattr(driver, "fetch_many", spy)
    return calls


async def test_rows_and_order_are_those_of_a_single_call(scores_db: plainsql.Database, form: str) -> None:
    chance = random.Random(5)
    calls = [
        {"team": chance.choice([*range(7), 99]), "below": chance.choice([50, 5000, 10007]), "limit": limit}
        for limit in (1, 3, 40, 500)
        for _ in range(40)
    ]
    alone = [await top(scores_db, **call) for call in calls]
    for _ in range(3):
        assert await asyncio.gather(*(top(scores_db, **call) for call in calls)) == alone
        assert await top.batch(scores_db, calls) == alone


@pytest.mark.parametrize("form", ["pipelined"], indirect=True)
async def test_only_a_read_by_key_is_batched(
    scores_db: plainsql.Database, sent: list[tuple[str, Any]], form: str
) -> None:
    assert not top.compiled.by_key
    calls = [{"team": 1, "below": below, "limit": 5} for below in range(60)]
    await asyncio.gather(*(top(scores_db, **call) for call in calls))
    await top.batch(scores_db, calls)
    assert all("unnest" not in sql for sql, _ in sent)
    assert any(len(sets) > 1 for _, sets in sent)


async def test_a_call_that_takes_long_holds_up_no_call_that_was_sent_with_it(
    scores_db: plainsql.Database, form: str
) -> None:
    calls = {n: asyncio.create_task(nap(scores_db, n=n, nap=60.0)) for n in range(60)}
    slow = calls.pop(13)
    async with asyncio.timeout(20):
        assert await asyncio.gather(*calls.values()) == [*calls]
        assert not slow.done()
        for _ in range(20):  # and none that comes later
            assert await asyncio.gather(*(nap(scores_db, n=n, nap=60.0) for n in range(20, 60))) == [
                *range(20, 60)
            ]
    slow.cancel()
    await asyncio.wait([slow])
    await settled(lambda: is_at_rest(scores_db))


async def test_a_call_over_its_time_limit_fails_at_that_time(database_url: str, form: str) -> None:
    async with (
        plainsql.connect(database_url, max_size=6, statement_timeout=1.5) as db,
        plainsql.connect(database_url, autobatch=False, statement_timeout=1.5) as other,
    ):
        await asyncio.gather(*(nap(db, n=n, nap=0.0) for n in range(100)))
        order: list[str] = []

        async def run(name: str, on: plainsql.Database, n: int) -> None:
            with pytest.raises(TimeoutError):
                await nap(on, n=n, nap=60.0)
            order.append(name)

        async def twice_alone() -> None:
            await run("alone", other, 13)
            await run("alone again", other, 13)

        clock = asyncio.create_task(twice_alone())
        slow = asyncio.create_task(run("with others", db, 13))
        others = [n for n in range(60) if n != 13]
        assert await asyncio.gather(*(nap(db, n=n, nap=60.0) for n in others)) == others
        await asyncio.gather(clock, slow)
        assert order.index("with others") < order.index("alone again")
        await settled(lambda: is_at_rest(db))


async def test_errors_are_their_callers_alone(scores_db: plainsql.Database, form: str) -> None:
    for bad in ([0], [0, "x"], ["x"], [2**40], [0, 0, 0, "x", "y", 2**40]):
        values: list[Any] = [*range(1, 41), *bad]
        random.Random(len(bad)).shuffle(values)
        answers = await asyncio.gather(
            *(divide(scores_db, by=value) for value in values), return_exceptions=True
        )
        for value, answer in zip(values, answers, strict=True):
            if value == 0:
                assert isinstance(answer, asyncpg.DivisionByZeroError)
                assert "query: t.divide" in answer.__notes__[0]
            elif isinstance(value, str) or value > 2**31:
                assert isinstance(answer, plainsql.BindError)
            else:
                assert answer == 100 // value
    await settled(lambda: is_at_rest(scores_db))


@pytest.mark.parametrize("form", ["pipelined"], indirect=True)
async def test_equal_calls_are_sent_once(
    scores_db: plainsql.Database, form: str, sent: list[tuple[str, Any]]
) -> None:
    expected = [await count_of(scores_db, team=n % 5) for n in range(60)]
    sent.clear()
    assert await asyncio.gather(*(count_of(scores_db, team=n % 5) for n in range(60))) == expected
    assert sent
    for _, sets in sent:
        assert len({arguments[:-1] for arguments in sets}) == len(sets)


async def test_callers_of_equal_calls_may_be_cancelled(scores_db: plainsql.Database, form: str) -> None:
    for left in (0, 5, 39):
        calls = [asyncio.create_task(_team(scores_db)) for _ in range(40)]
        await asyncio.sleep(0)
        for number, call in enumerate(calls):
            if number != left:
                call.cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert answers[left] == await _team(scores_db)
    await settled(lambda: is_at_rest(scores_db))


async def _team(db: plainsql.Database) -> int:
    return await count_of(db, team=3)


async def test_values_that_python_takes_for_equal_are_not_confused(
    scores_db: plainsql.Database, form: str
) -> None:
    values: list[Any] = [1, True, 1.0, 0, False, 0.0, -0.0, None, "1"] * 4
    answers = await asyncio.gather(*(echo(scores_db, value=value) for value in values))
    assert [(type(answer), repr(answer)) for answer in answers] == [
        (type(answer), repr(answer)) for answer in [await echo(scores_db, value=value) for value in values]
    ]


@pytest.mark.parametrize("size", [10, 3_000, 40_000, 200_000])
async def test_a_pipeline_is_sent_in_one_piece(
    scores_db: plainsql.Database, sent: list[tuple[str, Any]], form: str, size: int
) -> None:
    texts = [chr(97 + n % 26) * (size + n) for n in range(60)]
    assert await asyncio.gather(*(length(scores_db, text=text) for text in texts)) == [
        len(text) for text in texts
    ]
    for _, sets in sent:
        assert len(sets) <= 3 or sum(len(arguments[0]) for arguments in sets) < MAX_PIPELINE_BYTES


async def test_readers_cancelled_while_large_arguments_are_sent_leave_no_trace(
    scores_db: plainsql.Database, form: str
) -> None:
    for turns in range(1, 6):
        calls = [asyncio.create_task(_length(scores_db, "x" * 30_000)) for _ in range(64)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
    async with asyncio.timeout(20):
        await settled(lambda: is_at_rest(scores_db))
        assert await _length(scores_db, "abc") == 3


async def _length(db: plainsql.Database, text: str) -> int:
    return await length(db, text=text)


@pytest.mark.parametrize("form", ["pipelined"], indirect=True)
async def test_a_call_that_goes_alone_is_cancelled_on_the_server_with_its_caller(
    scores_db: plainsql.Database, database_url: str, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """Calls that waited to be sent together, and are left to go alone, belong to their callers again."""

    async def until(sleeping: int) -> None:
        async with asyncio.timeout(20):
            while sleeping != await outside.fetchval(
                "select count(*) from pg_stat_activity"
                " where wait_event = 'PgSleep' and datname = current_database()"
            ):
                await asyncio.sleep(0)

    outside: Any = await asyncpg.connect(database_url)
    [scheduler] = [s for s in schedulers(scores_db) if s.forms.pipelined.sql.find("t.nap") > 0]
    monkeypatch.setattr(type(scheduler), "accepts", lambda self: True)
    monkeypatch.setattr(Forms, "_compare", lambda self: None)
    scheduler.forms.prefers_alone, scheduler.forms.trial, scheduler.crowded = True, False, True
    calls = [asyncio.create_task(_nap(scores_db)) for _ in range(4)]
    await until(4)
    for left in (3, 2, 1, 0):
        calls[left].cancel()
        await until(left)
    await asyncio.wait(calls)
    await settled(lambda: is_at_rest(scores_db))
    await outside.close()


async def _nap(db: plainsql.Database) -> int:
    return await nap(db, n=13, nap=60.0)
