"""Calls of any reads and tenants share round trips: each returns and raises what it does alone, whatever
becomes of the others."""

# ruff: noqa: ASYNC110 (what is waited for happens in the server)

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import asyncpg
import pytest

import plainsql
from plainsql.database.execution.read_costs import ReadCosts
from plainsql.query import Args, many, one, optional
from plainsql.rows import Row
from plainsql.speed.loaded import STEP
from plainsql.types import Json
from tests.database.ask import is_at_rest
from tests.database.stepping import settled
from tests.proxy import Proxy

pytestmark = pytest.mark.skipif(STEP is None, reason="the compiled part is not in use")

READ: Any = {"read_only": True, "session_clean": True}
BY_KEY: Any = READ | {"by_key": True}


class Part(Row, frozen=True):
    id: int
    name: str | None
    tags: list[str]
    more: Json


@optional[Part]("p.get", "p.sql", 1, "select id, name, tags, more from part where id = :id", **BY_KEY)
def get(*, id: Any) -> Args:
    return (id,)


@many[Part](
    "p.list",
    "p.sql",
    1,
    "select id, name, tags, more from part where id > :id order by id limit :limit",
    **READ,
)
def after(*, id: int, limit: int) -> Args:
    return (id, limit)


@one[int]("p.divide", "p.sql", 1, "select 100 / :by::int as x from part where id = 1", **BY_KEY)
def divide(*, by: Any) -> Args:
    return (by,)


@one[str](
    "p.tenant",
    "p.sql",
    1,
    "select coalesce(nullif(current_setting('app.jwt_tenant', true), ''), 'none') || ' ' || id"
    " from part where id = :id",
    **BY_KEY,
)
def whose(*, id: int) -> Args:
    return (id,)


@one[Any]("p.early", "p.sql", 1, "select date '0001-01-01' - :days::int as day", **READ)
def early(*, days: int) -> Args:
    return (days,)


@one[int]("p.length", "p.sql", 1, "select length(:text::text) as n", **READ)
def length(*, text: str) -> Args:
    return (text,)


NAP = "select :n::int from pg_sleep(case when :n::int < 0 then 60 else :nap::float8 end)"


@one[int]("p.light_nap", "p.sql", 1, NAP, **BY_KEY)
def light_nap(*, n: int, nap: float = 0.0) -> Args:
    return (n, nap)


@one[int]("p.nap", "p.sql", 1, NAP, **READ)
def nap(*, n: int, nap: float = 0.0) -> Args:
    return (n, nap)


@pytest.fixture(autouse=True)
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have all reads share round trips, whatever they cost on a slow machine."""
    monkeypatch.setattr(ReadCosts, "record_alone", lambda self, elapsed_s, concurrent: None)
    monkeypatch.setattr(ReadCosts, "record_step", lambda self, elapsed_s: None)
    monkeypatch.setattr(ReadCosts, "shares", property(lambda self: self._can_share, lambda self, _: None))


@pytest.fixture(scope="module")
def parts_url(plainsql_databases: Any, database_url: str) -> str:
    import psycopg

    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            """
            create table part (id int primary key, name text, tags text[] not null, more jsonb not null);
            insert into part
            select n, nullif('n' || n % 7, 'n0'), array['a', 'b' || n], jsonb_build_object('n', n)
            from generate_series(1, 200) as n
            """
        )
    return database_url


@pytest.fixture
async def parts_db(parts_url: str) -> AsyncIterator[plainsql.Database]:
    async with plainsql.connect(parts_url, max_size=4, cache=False) as db:
        yield db


async def _answer(call: Callable[[Any], Awaitable[Any]], db: plainsql.Database) -> tuple[Any, ...]:
    """Return what a call returns, or all that its error says."""
    try:
        return ("returned", await call(db))
    except asyncio.CancelledError:
        raise
    except Exception as error:  # noqa: BLE001 (compared)
        return (type(error), str(error), getattr(error, "__notes__", None), getattr(error, "detail", None))


def _some_call(chance: random.Random) -> Callable[[plainsql.Database], Awaitable[Any]]:
    number = chance.randrange(-3, 210)
    tenant = f"t{chance.randrange(20)}"
    calls: list[Callable[[Any], Awaitable[Any]]] = [
        lambda db: get(db, id=number),
        lambda db: get(db, id=number),
        lambda db: after(db, id=number, limit=number % 5),
        lambda db: whose(db.tenant(tenant), id=1 + number % 200),
        lambda db: whose(db.tenant(tenant), id=1 + number % 200),
        lambda db: get(db.tenant(tenant), id=number),
        lambda db: whose(db, id=7),
        lambda db: early(db, days=0),
    ]
    failing: list[Callable[[Any], Awaitable[Any]]] = [
        lambda db: divide(db, by=0),
        lambda db: divide(db.tenant(tenant), by=0),
        lambda db: divide(db, by="one"),
        lambda db: get(db, id=2**40),
        lambda db: early(db, days=1),
        lambda db: length(db, text="a\0b"),
    ]
    return chance.choice(failing if chance.random() < 0.15 else calls)


async def test_every_call_returns_and_raises_what_it_does_alone(parts_db: plainsql.Database) -> None:
    chance = random.Random(3)
    async with plainsql.connect(parts_db._state.pool.name, autobatch=False, cache=False) as quiet:
        for _ in range(12):
            calls = [_some_call(chance) for _ in range(chance.choice([3, 12, 60, 150]))]
            alone = [await _answer(call, quiet) for call in calls]
            tasks = [asyncio.create_task(_answer(call, parts_db)) for call in calls]
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            cancelled = {n for n in range(len(tasks)) if chance.random() < 0.1}
            for n in cancelled:
                tasks[n].cancel()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            for n, (expected, found) in enumerate(zip(alone, answers, strict=True)):
                if not (n in cancelled and isinstance(found, asyncio.CancelledError)):
                    assert found == expected
    await settled(lambda: is_at_rest(parts_db))


async def test_calls_of_many_reads_and_tenants_are_one_round_trip(parts_url: str, proxy: Proxy) -> None:
    async with plainsql.connect(proxy.url(parts_url.partition("?")[0].rpartition("/")[2]), max_size=1) as db:

        async def together() -> list[Any]:
            found: list[Any] = await asyncio.gather(
                *(whose(db.tenant(f"t{n}"), id=n) for n in range(1, 6)),
                *(get(db, id=n) for n in range(1, 6)),
                *(after(db, id=n, limit=1) for n in range(1, 6)),
            )
            return found

        expected = await together()
        assert expected[:5] == [f"t{n} {n}" for n in range(1, 6)]
        before = Counter(proxy.to_server.messages)
        assert await together() == expected
        sent = Counter(proxy.to_server.messages)
        sent.subtract(before)
        assert sent["S"] == 11, "only the rows by their key are known to be light, and share a Sync"
        assert sent["B"] == sent["E"] == 20, "a tenant's call has its settings in front"
        assert sent["P"] == sent["Q"] == 0


async def test_an_error_behind_a_shared_sync_is_given_to_its_own_call_alone(
    parts_url: str, proxy: Proxy
) -> None:
    async with plainsql.connect(proxy.url(parts_url.partition("?")[0].rpartition("/")[2]), max_size=1) as db:

        async def together(by: int) -> tuple[list[Any], int]:
            before = proxy.to_server.messages["S"]
            alone = get(db, id=9)  # the others join, as it is on its way
            calls = (alone, get(db, id=1), divide(db, by=by), get(db, id=2), get(db, id=3))
            found = await asyncio.gather(*calls, return_exceptions=True)
            return [*found], proxy.to_server.messages["S"] - before - 1

        await together(5)
        found, syncs = await together(5)
        assert (found[2], syncs) == (20, 1)
        rows = [found[1], *found[3:]]
        assert [row.id for row in rows] == [1, 2, 3]
        found, syncs = await together(0)
        assert isinstance(found[2], asyncpg.DivisionByZeroError)
        assert [found[1], *found[3:]] == rows
        assert syncs == 1 + 4, "each was sent again, with a Sync of its own"
        _, syncs = await together(5)
        assert syncs == 4, "for a while each has a Sync of its own"


@pytest.mark.parametrize(("calls", "nap"), [(8, nap), (40, nap), (2, light_nap)])
async def test_what_hangs_holds_up_no_other_and_ends_with_its_callers(
    parts_db: plainsql.Database, outside: Any, calls: int, nap: Any
) -> None:
    async def until(sleeping: int) -> None:
        async with asyncio.timeout(10):
            while sleeping != await outside.fetchval(
                "select count(*) from pg_stat_activity"
                " where wait_event = 'PgSleep' and datname = current_database()"
            ):
                await asyncio.sleep(0)

    await asyncio.gather(*(nap(parts_db, n=n) for n in range(9)))
    hanging = [asyncio.create_task(nap(parts_db, n=-n)) for n in (1, 2, 3)]
    others = [asyncio.create_task(nap(parts_db, n=n)) for n in range(calls)]
    async with asyncio.timeout(10):
        assert await asyncio.gather(*others) == [*range(calls)]
    assert not any(task.done() for task in hanging)
    for task in hanging:
        task.cancel()
    await asyncio.wait(hanging)
    await until(0)
    await settled(lambda: is_at_rest(parts_db))


async def _get(db: plainsql.Database, n: int) -> Part | None:
    return await get(db, id=n)


async def _nap(db: plainsql.Database, n: int, nap_s: float = 0.0) -> int:
    return await nap(db, n=n, nap=nap_s)


async def test_a_call_over_its_time_limit_fails_alone(parts_url: str) -> None:
    async with plainsql.connect(parts_url, max_size=4, statement_timeout=0.3) as db:
        await asyncio.gather(*(nap(db, n=n) for n in range(9)))
        answers = await asyncio.gather(
            *(_answer(partial(_nap, n=n), db) for n in (1, 2, -1, 3, 4)),
            *(_answer(partial(_nap, n=n, nap_s=0.1), db) for n in range(9)),
        )
        assert [answer[0] for answer in answers] == ["returned"] * 2 + [answers[2][0]] + ["returned"] * 11
        assert issubclass(answers[2][0], TimeoutError)
        assert "p.nap" in answers[2][2][0]
        await settled(lambda: is_at_rest(db))


async def test_a_lost_connection_loses_no_call(parts_url: str, proxy: Proxy) -> None:
    name = parts_url.partition("?")[0].rpartition("/")[2]
    async with plainsql.connect(proxy.url(name), max_size=2) as db:
        await asyncio.gather(*(get(db, id=n) for n in range(1, 60)))
        for more in (1, 700, 2_000):
            proxy.after(more, proxy.cut)
            found = await asyncio.gather(
                *(get(db, id=n) for n in range(1, 60)), *(whose(db.tenant("t"), id=n) for n in range(1, 60))
            )
            assert [getattr(row, "id", None) for row in found[:59]] == [*range(1, 60)]
            assert found[59:] == [f"t {n}" for n in range(1, 60)]
        await settled(lambda: is_at_rest(db))


async def test_reads_that_come_while_a_lost_connection_is_replaced_are_sent(
    parts_url: str, proxy: Proxy
) -> None:
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    name = parts_url.partition("?")[0].rpartition("/")[2]

    async with plainsql.connect(proxy.url(name), max_size=2) as db:
        await asyncio.gather(*(get(db, id=n) for n in range(1, 60)))
        proxy.after(700, proxy.cut)
        first = asyncio.gather(*(get(db, id=n) for n in range(1, 60)))
        later: list[asyncio.Task[Part | None]] = []
        while not first.done():
            later += [asyncio.create_task(_get(db, n)) for n in range(1, 11)]
            await asyncio.sleep(0)
        found = [*await first, *await asyncio.gather(*later)]
        assert [row and row.id for row in found] == [*range(1, 60)] + [*range(1, 11)] * (len(later) // 10)
    assert reported == []


async def test_a_changed_table_is_prepared_again(parts_db: plainsql.Database, outside: Any) -> None:
    await outside.execute("create table moved as select n, 'a'::text as a from generate_series(1, 50) as n")

    @many[Any]("p.moved", "p.sql", 1, "select n, a from moved where n = :n", **READ)
    def moved(*, n: int) -> Args:
        return (n,)

    class Moved(Row, frozen=True):
        n: int
        a: str

    moved.compiled.item = Moved
    for type_ in ("varchar", "text", "varchar(9)"):
        rows = await asyncio.gather(*(moved(parts_db, n=n) for n in range(1, 51)))
        assert [[(row.n, row.a) for row in found] for found in rows] == [[(n, "a")] for n in range(1, 51)]
        await outside.execute(f"alter table moved alter a type {type_}")
    rows = await asyncio.gather(*(moved(parts_db, n=n) for n in range(1, 51)))
    assert len(rows) == 50


async def test_a_statement_that_leaves_the_cache_meanwhile_is_not_sent(parts_url: str, proxy: Proxy) -> None:
    name = parts_url.partition("?")[0].rpartition("/")[2]
    async with plainsql.connect(proxy.url(name), max_size=1, cache=False) as db:
        await get(db, id=1)
        await whose(db, id=1)
        connection = db._connections._idle[-1].connection
        proxy.hold_after("1")  # the answer to Parse, of the settings
        calls = asyncio.gather(get(db, id=1), get(db, id=2), whose(db.tenant("t"), id=3))
        async with asyncio.timeout(10):
            while not proxy.holds:
                await asyncio.sleep(0)
        connection._drop_local_statement_cache()  # as when another connection finds a changed table
        proxy.resume()
        _, second, third = await calls
        assert second is not None
        assert (second.id, third) == (2, "t 3")


async def test_large_arguments_are_not_in_the_way(parts_db: plainsql.Database) -> None:
    texts = ["x" * (n % 3 * 70_000 + n) for n in range(40)]
    assert await asyncio.gather(*(length(parts_db, text=text) for text in texts)) == [len(t) for t in texts]
