"""Leased connections: fair, bounded, replaced when they are dead or old, and without a tenant when they are
released.
"""

# ruff: noqa: ASYNC110 (what is waited for happens in the server)

from __future__ import annotations

import asyncio
import random
from time import monotonic
from typing import Any

import asyncpg
import pytest

import plainsql
from plainsql.errors import PlainsqlError, PoolTimeoutError
from plainsql.query import Args, count, many, one
from tests.database.stepping import at_every_wait, settled
from tests.proxy import Proxy


@one[int]("t.pid", "t.sql", 1, "select pg_backend_pid()", session_clean=True)
def pid() -> Args:
    return ()


@one[int]("t.plus", "t.sql", 1, "select :n::int + 1", read_only=True, session_clean=True)
def plus(*, n: int) -> Args:
    return (n,)


@one[int]("t.put", "t.sql", 1, "insert into kept (n) values (:n) returning n", session_clean=True)
def put(*, n: int) -> Args:
    return (n,)


@one[bool]("t.slow", "t.sql", 1, "select pg_sleep(:seconds) is null", session_clean=True)
def slow(*, seconds: float) -> Args:
    return (seconds,)


@one[bool]("t.wait", "t.sql", 1, "select pg_advisory_xact_lock(3) is null", session_clean=True)
def wait_for_lock() -> Args:
    return ()


@one[str](
    "t.role",
    "t.sql",
    1,
    "select current_user::text || coalesce(to_regclass('hiding')::text, '')",
    session_clean=True,
)
def who() -> Args:
    return ()


@count("t.set", "t.sql", 1, "set role pg_monitor")
def take_role() -> Args:
    return ()


@count("t.temp", "t.sql", 1, "create temp table hiding (n int)")
def hide() -> Args:
    return ()


@many[int]("t.fail", "t.sql", 1, "select 1 / (:n::int - :n::int)", session_clean=True)
def fail(*, n: int) -> Args:
    return (n,)


@pytest.fixture
async def outside(outside: Any) -> Any:
    """The connection outside of the pool, after it has created the table ``kept`` without rows."""
    await outside.execute("create table if not exists kept (n int); truncate kept")
    return outside


async def _sessions(outside: Any) -> int:
    found: int = await outside.fetchval(
        "select count(*) from pg_stat_activity"
        " where datname = current_database() and application_name = 'plainsql'"
    )
    return found


async def _nobody_is_left(db: plainsql.Database) -> None:
    await settled(lambda: db.stats().in_use == 0)
    stats = db.stats()
    assert stats.waiting == 0
    assert stats.open <= stats.max_size


# Fair -------------------------------------------------------------------------------------------------


async def test_those_who_wait_are_served_in_the_order_in_which_they_came(database_url: str) -> None:
    async with plainsql.connect(database_url, max_size=1) as db:
        served: list[int] = []

        async def call(number: int) -> None:
            await pid(db)
            served.append(number)
            if number == 3:
                # One who comes in the moment in which a connection is given back comes last all the same.
                late.append(asyncio.create_task(call(99)))

        late: list[asyncio.Task[None]] = []
        async with db.acquire():
            calls = [asyncio.create_task(call(number)) for number in range(10)]
            await settled(lambda: db.stats().waiting == 10)
        await asyncio.gather(*calls)
        await asyncio.gather(*late)
        assert served == [*range(10), 99]


async def test_a_place_that_becomes_free_goes_to_who_waits_longest(database_url: str, outside: Any) -> None:
    """The connection that is given back is dead: its place, not a connection, is handed over."""
    async with plainsql.connect(database_url, max_size=1) as db:
        served: list[int] = []

        async def call(number: int) -> None:
            await pid(db)
            served.append(number)

        async with db.acquire() as connection:
            calls = [asyncio.create_task(call(number)) for number in range(5)]
            await settled(lambda: db.stats().waiting == 5)
            await outside.execute("select pg_terminate_backend($1)", connection.get_server_pid())
            await settled(connection.is_closed)
        # A call comes whenever the loop goes round, and takes whatever is free.
        for _ in range(50):
            calls.append(asyncio.create_task(call(len(calls))))
            await asyncio.sleep(0)
        await asyncio.gather(*calls)
        assert served == sorted(served)


# Bounded ----------------------------------------------------------------------------------------------


async def test_never_more_connections_than_max_size(database_url: str, outside: Any) -> None:
    chance = random.Random(5)
    async with plainsql.connect(database_url, max_size=3, acquire_timeout=30) as db:

        async def anything(number: int) -> None:
            choice = chance.randrange(6)
            if choice == 0:
                assert await plus(db, n=number) == number + 1
            elif choice == 1:
                await asyncio.wait_for(slow(db, seconds=1), 0.001 * chance.random())
            elif choice == 2:
                await fail(db, n=number)
            elif choice == 3:
                async with db.transaction() as tx:
                    assert await plus(tx, n=number) == number + 1
            elif choice == 4:
                await take_role(db)
            else:
                await pid(db)

        most = 0
        done = asyncio.Event()

        async def watch() -> None:
            nonlocal most
            while not done.is_set():
                most = max(most, await _sessions(outside))

        watching = asyncio.create_task(watch())
        answers = await asyncio.gather(*(anything(n) for n in range(300)), return_exceptions=True)
        done.set()
        await watching
        unexpected = [
            a
            for a in answers
            if a is not None and not isinstance(a, TimeoutError | asyncpg.DivisionByZeroError)
        ]
        assert unexpected == []
        assert 1 <= most <= 3
        await _nobody_is_left(db)


async def test_one_too_many_who_wait_is_told_so(database_url: str) -> None:
    async with plainsql.connect(database_url, max_size=1, max_waiting=2) as db:
        async with db.acquire():
            calls = [asyncio.create_task(pid(db)) for _ in range(2)]
            await settled(lambda: db.stats().waiting == 2)
            with pytest.raises(PoolTimeoutError, match="2 calls wait for a connection already"):
                await pid(db)
        assert len(set(await asyncio.gather(*calls))) == 1


async def test_who_waits_too_long_is_told_so_and_leaves_the_queue(database_url: str) -> None:
    async with plainsql.connect(database_url, max_size=1, acquire_timeout=0.05) as db:
        async with db.acquire():
            with pytest.raises(PoolTimeoutError, match=r"no connection became free within 0\.05 s"):
                await pid(db)
            assert db.stats().waiting == 0
        await settled(lambda: db.stats().idle == 1)
        assert await plus(db, n=1) == 2


async def test_each_of_those_who_wait_waits_as_long(database_url: str) -> None:
    async with plainsql.connect(database_url, max_size=1, acquire_timeout=0.2) as db:
        loop = asyncio.get_running_loop()

        async def wait() -> float:
            began = loop.time()
            with pytest.raises(PoolTimeoutError):
                await pid(db)
            return loop.time() - began

        async with db.acquire(), asyncio.timeout(30):
            first = asyncio.create_task(wait())
            await asyncio.wait([first], timeout=0.1)
            second = asyncio.create_task(wait())
            assert await first > 0.19
            assert db.stats().waiting == 1
            assert await second > 0.19
        assert await plus(db, n=1) == 2


async def test_who_is_cancelled_while_waiting_leaves_the_queue(database_url: str) -> None:
    async with plainsql.connect(database_url, max_size=1) as db:
        async with db.acquire():
            call = asyncio.create_task(pid(db))
            await settled(lambda: db.stats().waiting == 1)
            call.cancel()
            await asyncio.wait([call])
            assert db.stats().waiting == 0
        assert await plus(db, n=1) == 2


async def test_a_call_of_a_neutral_statement_is_one_round_trip(
    server: Any, database_url: str, proxy: Proxy
) -> None:
    name = database_url.partition("?")[0].rpartition("/")[2]
    async with plainsql.connect(proxy.url(name), max_size=1) as db:
        for n in range(2):
            await plus(db, n=n)
        before = proxy.to_server.messages.copy()
        for n in range(10):
            await plus(db, n=n)
        sent = proxy.to_server.messages - before
        assert sent == {"B": 10, "E": 10, "S": 10}


# Good -------------------------------------------------------------------------------------------------


async def test_idle_connections_that_died_are_replaced_without_an_error(
    database_url: str, outside: Any
) -> None:
    async with plainsql.connect(database_url, max_size=4) as db:
        for _ in range(3):
            await asyncio.gather(*(slow(db, seconds=0.01) for _ in range(4)))
            await settled(lambda: db.stats().in_use == 0)  # a call may be served before its connection opens
            await outside.execute(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
                "where datname = current_database() and application_name = 'plainsql'"
            )
            assert await asyncio.gather(*(plus(db, n=n) for n in range(20))) == list(range(1, 21))
        await _nobody_is_left(db)


async def test_a_connection_is_replaced_when_it_is_old(database_url: str) -> None:
    async with plainsql.connect(database_url, max_size=1, max_lifetime=0.0) as db:
        pids = [await pid(db) for _ in range(5)]
        assert len(set(pids)) == 5


async def test_the_age_of_a_connection_counts_on_when_the_pool_had_it_back(database_url: str) -> None:
    async with plainsql.connect(database_url, max_size=1) as db:
        [first] = [await pid(db)]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(slow(db, seconds=10), 0.05)
        await settled(lambda: db.stats().in_use == 0)
        lease = await db._connections.acquire()
        assert lease.connection.get_server_pid() == first
        assert lease.idle_since > lease.born
        db._connections.release(lease)


async def test_idle_connections_are_closed_down_to_min_size(database_url: str, outside: Any) -> None:
    async with plainsql.connect(database_url, min_size=2, max_size=5, max_idle=0.05) as db:
        taken = [await db._connections.acquire() for _ in range(5)]
        assert await _sessions(outside) == 5
        for lease in taken:
            db._connections.release(lease)
        async with asyncio.timeout(10):
            while await _sessions(outside) > 2:
                await asyncio.sleep(0)
        await settled(lambda: db.stats().open == 2)
        assert await plus(db, n=1) == 2


@pytest.mark.parametrize("change", [take_role, hide])
async def test_what_a_statement_changes_in_the_session_is_gone_for_the_next(
    database_url: str, change: Any
) -> None:
    async with plainsql.connect(database_url, max_size=1) as db:
        untouched = await who(db)
        await change(db)
        assert await who(db) == untouched
        async with db.transaction() as tx:
            await change(tx)
        assert await who(db) == untouched


async def test_connections_come_back_from_transactions(database_url: str) -> None:
    async with plainsql.connect(database_url, max_size=2) as db:

        async def work(n: int) -> int:
            async with db.transaction() as tx:
                return await plus(tx, n=n)

        answers = await asyncio.gather(*(work(n) if n % 2 else plus(db, n=n) for n in range(50)))
        assert answers == list(range(1, 51))
        await _nobody_is_left(db)


# The end ----------------------------------------------------------------------------------------------


async def test_close_waits_for_running_calls_and_refuses_all_others(database_url: str, outside: Any) -> None:
    async with outside.transaction():
        await outside.execute("select pg_advisory_xact_lock(3)")
        db = await plainsql.connect(database_url, max_size=1)
        running = asyncio.create_task(wait_for_lock(db))
        await settled(lambda: db.stats().in_use == 1)
        waiting = asyncio.create_task(plus(db, n=1))
        await settled(lambda: db.stats().waiting == 1)
        closing = asyncio.create_task(db.close())
        with pytest.raises(PlainsqlError, match="the database is closed"):
            await waiting
        with pytest.raises(PlainsqlError, match="the database is closed"):
            await plus(db, n=1)
        assert not closing.done()
    assert await running is False
    await closing
    assert await _sessions(outside) == 0


async def test_close_does_not_wait_for_ever(database_url: str, outside: Any) -> None:
    db = await plainsql.connect(database_url, max_size=1)
    running = asyncio.create_task(slow(db, seconds=60))
    await settled(lambda: db.stats().in_use == 1)
    async with asyncio.timeout(30):
        await db.close(timeout=0.05)
    with pytest.raises(asyncpg.QueryCanceledError):
        await running
    async with asyncio.timeout(30):
        while await _sessions(outside):
            await asyncio.sleep(0)


# Cancellation at every point at which a call waits ----------------------------------------------------


async def test_a_call_that_is_cancelled_anywhere_leaves_its_connection_good(
    database_url: str, outside: Any
) -> None:
    async with plainsql.connect(database_url, max_size=1) as db:

        async def check() -> None:
            assert await put(db, n=-1) == -1
            await _nobody_is_left(db)

        waits = await at_every_wait(lambda: put(db, n=1), check)
        assert waits >= 1


async def test_a_call_that_is_cancelled_while_it_waits_for_its_turn_hands_it_on(database_url: str) -> None:
    async with plainsql.connect(database_url, max_size=1) as db:
        others: list[asyncio.Task[Any]] = []

        async def start() -> None:
            async def hold() -> None:
                async with db.acquire() as connection:
                    await connection.execute("select pg_sleep(0.002)")

            others[:] = [asyncio.create_task(hold())]
            await settled(lambda: db.stats().in_use == 1)

        async def call() -> None:
            task = asyncio.create_task(pid(db))  # one who comes behind it
            others.append(task)
            await put(db, n=1)

        async def check() -> None:
            await asyncio.gather(*others)
            await _nobody_is_left(db)

        await _with_table(db)
        assert await at_every_wait(call, check, start=start) >= 2


async def test_a_call_cancelled_as_it_gets_a_connection_hands_that_on(
    database_url: str, outside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with plainsql.connect(database_url, max_size=1) as db:
        hand_over = db._connections._waiters.hand_over

        def cancelling(given: Any) -> bool:
            handed = hand_over(given)
            if handed:
                calls[0].cancel()
            return handed

        async with db.acquire() as connection:
            calls = [asyncio.create_task(pid(db)) for _ in range(2)]
            await settled(lambda: db.stats().waiting == 2)
            monkeypatch.setattr(db._connections._waiters, "hand_over", cancelling)
            await outside.execute("select pg_terminate_backend($1)", connection.get_server_pid())
            await settled(connection.is_closed)
        async with asyncio.timeout(10):
            assert await calls[1]
        assert calls[0].cancelled()
        await _nobody_is_left(db)


async def test_a_call_cancelled_while_a_connection_opens_leaves_its_place_free(
    database_url: str,
) -> None:
    async with plainsql.connect(database_url, max_size=1, max_lifetime=0.0) as db:

        async def check() -> None:
            assert await plus(db, n=1) == 2
            await _nobody_is_left(db)

        # Each call opens a connection: the one before was too old to be kept.
        assert await at_every_wait(lambda: plus(db, n=5), check) >= 3


async def test_a_transaction_cancelled_anywhere_leaves_its_connection_good(database_url: str) -> None:
    async with plainsql.connect(database_url, max_size=1) as db:
        await _with_table(db)

        async def work() -> None:
            async with db.transaction() as tx:
                await put(tx, n=1)
                async with tx.transaction() as inner:
                    await put(inner, n=2)

        async def check() -> None:
            async with db.acquire() as connection:
                assert not connection.is_in_transaction()
                assert await connection.fetchval("select count(*) % 2 from kept") == 0
            await _nobody_is_left(db)

        assert await at_every_wait(work, check) >= 4


async def _with_table(db: plainsql.Database) -> None:
    async with db.acquire() as connection:
        await connection.execute("create table if not exists kept (n int); truncate kept")


# Retired ----------------------------------------------------------------------------------------------


async def test_connections_from_before_a_moment_are_closed_idle_or_not(
    database_url: str, outside: Any
) -> None:
    async with plainsql.connect(database_url, max_size=2) as db:
        async with db.acquire() as connection:
            used, idle = connection.get_server_pid(), await pid(db)
            db._connections.discard_before(monotonic())
            await settled(lambda: db.stats().open == 1)
            newer = await pid(db)
            assert newer not in (used, idle)
        await settled(lambda: db.stats().open == 1)
        assert {await pid(db) for _ in range(5)} == {newer}
        assert (
            await outside.fetchval("select count(*) from pg_stat_activity where pid in ($1, $2)", used, idle)
            == 0
        )


@pytest.mark.parametrize("calls", [1, 20])
async def test_a_value_that_does_not_fit_leaves_no_lock(database_url: str, outside: Any, calls: int) -> None:
    await outside.execute("drop table if exists locked; create table locked (n int)")

    @many[int]("t.unfit", "t.sql", 1, "select n from locked where n = :n", read_only=True, session_clean=True)
    def read(*, n: Any) -> Args:
        return (n,)

    @count("t.unfit_write", "t.sql", 1, "insert into locked (n) values (:n)", session_clean=True)
    def write(*, n: Any) -> Args:
        return (n,)

    async with plainsql.connect(database_url, max_size=3) as db:
        for query in (read, write):
            found = await asyncio.gather(*(query(db, n="x") for _ in range(calls)), return_exceptions=True)
            assert {type(error) for error in found} == {plainsql.BindError}
            async with asyncio.timeout(10):
                await outside.execute("alter table locked add column if not exists more int")
