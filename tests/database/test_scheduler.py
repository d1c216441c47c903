"""Calls that are sent together: the same answers as alone, for all types; no caller gets another's error;
nothing is left behind."""

# ruff: noqa: ASYNC110 (what is waited for happens in the server)

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

import asyncpg
import pytest

import plainsql
from plainsql.database.execution import autobatch as direct
from plainsql.database.execution.batched_statement import BatchedStatement
from plainsql.database.execution.pipelined_statement import PipelinedStatement
from plainsql.database.execution.scheduler import Scheduler
from plainsql.errors import PoolTimeoutError
from plainsql.query import Binder, ManyQuery
from tests.database.ask import READS, is_at_rest, schedulers
from tests.database.stepping import at_every_wait, settled


def read(sql: str, *names: str, by_key: bool = True, autobatch: bool = True) -> ManyQuery[..., Any]:
    """A read that returns the values of its only column, whatever its type."""
    query: ManyQuery[..., Any] = ManyQuery(
        "t.read",
        "t.sql",
        1,
        sql,
        Binder(names, {}, {}, None),
        None,
        replace(READS, by_key=by_key, autobatch=autobatch),
    )
    query.compiled.item = Any
    vars(query.compiled)["compare"] = lambda _: None  # JSON texts are values here
    return query


BitString: Any = asyncpg.BitString  # its annotations are wrong
GET = read("select name from item where id = :id", "id")
SERIES = read("select n from generate_series(1, :last) as n", "last")
LOCKED = read(
    "select name from item where id = :id and pg_sleep(case when :wait then 60 else 0 end) is not null",
    "id",
    "wait",
)


@pytest.fixture(scope="module")
def items_url(plainsql_databases: Any, database_url: str) -> str:
    import psycopg

    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            """
            create extension vector;
            create type mood as enum ('glad', 'sad');
            create type "Odd point" as (x int, "y y" text);
            create domain word as text check (value !~ ' ');
            create schema other;
            create type other.mood as enum ('red', 'blue');
            create table item (id int primary key, name text not null);
            insert into item select n, 'n' || n from generate_series(1, 500) as n;
            """
        )
    return database_url


@pytest.fixture
async def items_db(request: pytest.FixtureRequest, items_url: str) -> AsyncIterator[plainsql.Database]:
    if "form" in request.fixturenames:
        request.getfixturevalue("form")  # before the database has its chain
    async with plainsql.connect(items_url, max_size=4) as db:
        yield db


async def _until_refused(
    db: plainsql.Database, query: ManyQuery[..., Any], form: Callable[[Any], Any]
) -> None:
    """Call a query until PostgreSQL has refused a form of it.

    Once is not always enough: on a slow machine the calls are answered alone before the group is.
    """
    async with asyncio.timeout(60):
        while not schedulers(db) or not all(form(s.forms).refused for s in schedulers(db)):
            await asyncio.gather(*(query(db, v=n) for n in range(1, 41)))


# The same as alone ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        ("select row_to_json(n)::text from (select :v::int as a) as n", [1, None, 3]),
        # The text around the query must not be found by its names.
        ("select plainsql_1::text from (select :v::int as a) as plainsql_1", [1, 2]),
        ("select n::text from (select :v::int as a) as n", [1, 2]),
        ("select :v::mood", ["glad", None, "sad"]),
        ("select :v::other.mood", ["red", None, "blue"]),
        ("select :v::mood[]", [["glad", None], None, [], ["sad"]]),
        ('select (:v::"Odd point")."y y"', [(1, "a"), None, (None, "c"), (None, None)]),
        ('select (:v::"Odd point"[])[2]."y y"', [[(1, "a"), (2, "b")], None, [(1, "x")]]),
        ("select :v::word", ["a", None, "b"]),
        ("select :v::bpchar || '|'", ["ab", "a", None]),
        ('select :v::"char"', [b"a", b"b"]),
        ("select :v::bit varying", [BitString("101"), BitString("1")]),
        ("select :v::numeric", [None, 1, 10**30]),
        ("select :v::date", [date(2026, 1, 1), None, date.max]),
        ("select :v::uuid", [UUID(int=1), None, UUID(int=2)]),
        ("select :v::bytea", [b"", None, b"\0\xff"]),
        ("select :v::text", ["", None, "it's", "{}", "ü"]),
        ("select :v::text[]", [[], None, ["a", None, ""], ["{", '"', "NULL"]]),
        ("select :v::int[]", [[[1, 2], [3, 4]], [1], None]),
        ("select :v::jsonb::text", [[1, 2], None, {"a": [1]}, "x", 3]),
        ("select (:v::jsonb[])[1]::text", [[[1, 2]], None, []]),
        ("select :v::vector::text", [[1.0, 2.0], None, [3.0]]),
        ("select :v::int4range::text", [asyncpg.Range(1, 3), None, asyncpg.Range(empty=True)]),
        ("select :v::point::text", [asyncpg.Point(1, 2), None]),
        ("select :v::interval::text", [None]),
        (
            (
                "with w as materialized (select :v::int as a)"
                " select a from w union all select a + 1 from w order by 1"
            ),
            [1, 2],
        ),
        ("select id from item order by id desc limit :v", [0, 3, None]),
        ("select count(*) from item where id < :v", [1, 5, None]),
        # An aggregate over nothing but parameters would be one of the statement around it: this is not
        # joined.
        ("select max(:v::int) from item", [1, 2, 3]),
    ],
)
async def test_every_type_is_answered_as_alone(
    items_db: plainsql.Database, form: str, sql: str, values: list[Any]
) -> None:
    from plainsql.types import Opaque

    query = read(sql, "v")
    wraps = "jsonb[]" in sql
    given = [[Opaque(x) for x in v] if wraps and v is not None else v for v in values]
    alone = [await query(items_db, v=value) for value in given]
    for _ in range(2):
        assert await asyncio.gather(*(query(items_db, v=value) for value in given * 2)) == alone * 2


async def test_a_list_for_a_scalar_is_refused_as_alone(items_db: plainsql.Database, form: str) -> None:
    """Several lists are an array of two dimensions: they must not be taken for more calls."""
    answers = await asyncio.gather(*(GET(items_db, id=[n]) for n in range(1, 5)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [plainsql.BindError] * 4
    text = read("select :v::text", "v")
    answers = await asyncio.gather(*(text(items_db, v={str(n)}) for n in range(1, 5)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [plainsql.BindError] * 4


async def test_a_column_that_python_cannot_hold_hurts_its_caller_alone(
    items_db: plainsql.Database, form: str
) -> None:
    query = read("select (date '0001-01-01' - :v::int)", "v")
    answers = await asyncio.gather(*(query(items_db, v=n) for n in (0, 0, 5, 0)), return_exceptions=True)
    assert [answer for n, answer in enumerate(answers) if n != 2] == [[date.min]] * 3
    assert isinstance(answers[2], plainsql.DecodeError)
    await settled(lambda: is_at_rest(items_db))


@pytest.mark.parametrize("form", ["joined"], indirect=True)
async def test_a_query_that_postgresql_refuses_batched_is_not_batched_again(
    items_db: plainsql.Database, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = read("select max(:v::int) from item", "v")
    await _until_refused(items_db, query, lambda forms: forms.batched)

    async def never(*_: Any) -> None:
        pytest.fail("joined")

    monkeypatch.setattr(BatchedStatement, "fetch", never)
    assert await asyncio.gather(*(query(items_db, v=n) for n in range(10))) == [[n] for n in range(10)]
    await settled(lambda: is_at_rest(items_db))


@pytest.mark.parametrize("form", ["pipelined"], indirect=True)
async def test_a_query_that_postgresql_takes_in_no_other_form_goes_alone(
    items_db: plainsql.Database, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = ", ".join(f"{n} as c{n}" for n in range(1664))  # the most that a row may have
    query = read(f"select {columns} where :v > 0", "v", by_key=False)
    await _until_refused(items_db, query, lambda forms: forms.pipelined)

    async def never(*_: Any) -> None:
        pytest.fail("pipelined")

    monkeypatch.setattr(PipelinedStatement, "fetch", never)
    assert len(await asyncio.gather(*(query(items_db, v=n) for n in range(1, 21)))) == 20
    await settled(lambda: is_at_rest(items_db))


@pytest.mark.parametrize("form", ["joined", "pipelined"], indirect=True)
async def test_a_bad_call_does_not_stop_its_query_from_being_sent_together(
    items_db: plainsql.Database, form: str
) -> None:
    await asyncio.gather(*(GET(items_db, id="x") for _ in range(5)), return_exceptions=True)
    await asyncio.gather(*(GET(items_db, id=n) for n in range(1, 5)))
    [scheduler] = schedulers(items_db)
    assert scheduler.forms.batched is not None
    assert not scheduler.forms.batched.refused
    assert not scheduler.forms.pipelined.refused


async def test_a_query_and_a_database_can_do_without(items_url: str) -> None:
    async with plainsql.connect(items_url, autobatch=False) as db:
        assert await asyncio.gather(*(GET(db, id=n) for n in range(1, 9))) == [[f"n{n}"] for n in range(1, 9)]
        assert schedulers(db) == []
    async with plainsql.connect(items_url) as db:
        quiet = read("select name from item where id = :id", "id", autobatch=False)
        await asyncio.gather(*(quiet(db, id=n) for n in range(1, 9)))
        assert schedulers(db) == []


# No call waits for another ------------------------------------------------------------------------------


async def test_a_call_that_hangs_holds_up_no_other(
    items_db: plainsql.Database, form: str, outside: Any
) -> None:
    """The first call of a query is on its way and stays there: those behind it are sent on another
    connection.
    """
    await asyncio.gather(*(LOCKED(items_db, id=n, wait=False) for n in range(1, 20)))
    hanging = asyncio.create_task(LOCKED(items_db, id=1, wait=True))
    await settled(lambda: not is_at_rest(items_db))
    async with asyncio.timeout(5):
        for _ in range(3):
            answers = await asyncio.gather(*(LOCKED(items_db, id=n, wait=False) for n in range(1, 20)))
            assert answers == [[f"n{n}"] for n in range(1, 20)]
    assert not hanging.done()
    hanging.cancel()
    await asyncio.wait([hanging])
    await settled(lambda: is_at_rest(items_db))


@pytest.mark.parametrize("form", ["joined"], indirect=True)
async def test_a_statement_that_nobody_waits_for_is_cancelled_on_the_server(
    form: str, items_url: str, outside: Any
) -> None:
    async with plainsql.connect(items_url, max_size=9) as db:
        await _abandon_together(db, outside)


async def _abandon_together(db: plainsql.Database, outside: Any) -> None:
    async def until(sleeping: int) -> None:
        async with asyncio.timeout(10):
            while sleeping != await outside.fetchval(
                "select count(*) from pg_stat_activity"
                " where wait_event = 'PgSleep' and datname = current_database()"
            ):
                await asyncio.sleep(0)

    first = [asyncio.create_task(LOCKED(db, id=n, wait=True)) for n in range(1, 9)]  # each goes alone
    await asyncio.sleep(0)
    calls = [asyncio.create_task(LOCKED(db, id=n, wait=True)) for n in range(9, 14)]
    await until(9)
    for call in calls[1:-1]:
        call.cancel()
    await asyncio.wait(calls[1:-1])
    await until(9)  # two still wait for it
    calls[-1].cancel()
    calls[0].cancel()
    await asyncio.wait(calls)
    await until(8)
    for call in first:
        call.cancel()
    await asyncio.wait(first)
    await settled(lambda: is_at_rest(db))


async def test_where_there_is_no_connection_each_caller_gets_an_error_of_its_own(items_url: str) -> None:
    async with plainsql.connect(items_url, max_size=1, acquire_timeout=0.05) as db:
        await asyncio.gather(*(GET(db, id=n) for n in range(1, 9)))
        async with db.acquire():
            answers = await asyncio.gather(*(GET(db, id=n) for n in range(1, 9)), return_exceptions=True)
        assert all(isinstance(answer, PoolTimeoutError) for answer in answers)
        assert len({id(answer) for answer in answers}) == 8
        assert all(answer.hint for answer in answers if isinstance(answer, PoolTimeoutError))
        await settled(lambda: is_at_rest(db))


async def test_other_queries_run_while_one_query_is_called_all_the_time(
    items_db: plainsql.Database,
) -> None:
    done = False

    async def flood(n: int) -> None:
        while not done:
            await SERIES(items_db, last=200)

    floods = [asyncio.create_task(flood(n)) for n in range(200)]
    async with asyncio.timeout(20):
        for n in range(1, 30):
            assert await GET(items_db, id=n) == [f"n{n}"]
            async with items_db.transaction() as tx:
                assert await GET(tx, id=n) == [f"n{n}"]
    done = True
    await asyncio.gather(*floods)


@pytest.mark.parametrize("form", ["joined", "pipelined"], indirect=True)
async def test_a_group_that_lost_its_connection_is_run_again(
    items_db: plainsql.Database, form: str, outside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = read("select pg_sleep(:nap)::text || name from item where id = :id", "nap", "id")
    await asyncio.gather(*(query(items_db, id=n, nap=0.0) for n in range(1, 60)))
    # On a slow machine the query may seem too dear to be joined.
    monkeypatch.setattr(Scheduler, "accepts", lambda self: True)
    calls = [asyncio.create_task(query(items_db, id=n, nap=0.3)) for n in range(1, 9)]
    async with asyncio.timeout(10):
        while not await outside.fetchval(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity "
            "where query like '%plainsql_read%' and pid <> pg_backend_pid() and datname = current_database()"
        ):
            await asyncio.sleep(0)
    assert await asyncio.gather(*calls) == [[f"n{n}"] for n in range(1, 9)]


async def test_the_statement_timeout_of_a_group_is_nobodys(items_url: str, form: str) -> None:
    """Eight short naps in one statement are too long for the timeout; each alone is not."""
    nap = read("select pg_sleep(0.1)::text || name from item where id = :id", "id")
    both: list[dict[str, Any]] = [
        {"statement_timeout": 0.5},
        {"server_settings": {"statement_timeout": "500ms"}},
    ]
    for options in both:
        async with plainsql.connect(items_url, max_size=4, **options) as db:
            answers = await asyncio.gather(*(nap(db, id=n) for n in range(1, 9)))
            assert answers == [[f"n{n}"] for n in range(1, 9)]


# Cancellation ------------------------------------------------------------------------------------------


async def test_a_caller_that_is_cancelled_anywhere_takes_nothing_from_the_others(
    items_db: plainsql.Database, form: str
) -> None:
    others: list[asyncio.Task[Any]] = []

    async def start() -> None:
        others[:] = [asyncio.create_task(GET(items_db, id=n)) for n in range(1, 6)]
        for _ in range(2):
            await asyncio.sleep(0)

    async def check() -> None:
        assert await asyncio.gather(*others) == [[f"n{n}"] for n in range(1, 6)]
        await settled(lambda: is_at_rest(items_db))

    await asyncio.gather(*(GET(items_db, id=n) for n in range(1, 9)))
    assert await at_every_wait(lambda: GET(items_db, id=7), check, start=start) >= 1


async def test_the_first_caller_may_be_cancelled_anywhere(items_db: plainsql.Database, form: str) -> None:
    others: list[asyncio.Task[Any]] = []

    async def call() -> None:
        others[:] = [asyncio.create_task(GET(items_db, id=n)) for n in range(1, 6)]
        await GET(items_db, id=7)

    async def check() -> None:
        assert await asyncio.gather(*others) == [[f"n{n}"] for n in range(1, 6)]
        await settled(lambda: is_at_rest(items_db))

    assert await at_every_wait(call, check) >= 1


async def test_callers_that_time_out_at_random_hurt_nobody(items_db: plainsql.Database, form: str) -> None:
    async def call(n: int) -> None:
        try:
            async with asyncio.timeout(0.0004 * (n % 7)):
                assert await GET(items_db, id=1 + n % 500) == [f"n{1 + n % 500}"]
        except TimeoutError:
            assert n % 7 < 6 or True

    async def patient(n: int) -> None:
        assert await GET(items_db, id=1 + n % 500) == [f"n{1 + n % 500}"]

    for _ in range(5):
        await asyncio.gather(*(patient(n) if n % 3 else call(n) for n in range(300)))
    await settled(lambda: is_at_rest(items_db))


async def test_many_tenants_leave_a_bounded_number_of_schedulers_behind(
    items_db: plainsql.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "_MAX_SCHEDULERS", 20)

    async def some(tenant: int) -> None:
        await asyncio.gather(*(GET(items_db.tenant(tenant), id=n) for n in range(1, 9)))

    for _ in range(3):
        await asyncio.gather(*(some(tenant) for tenant in range(10)))
        for tenant in range(100):
            await GET(items_db.tenant(tenant), id=1)
    await settled(lambda: is_at_rest(items_db))
    assert len(schedulers(items_db)) <= 20
