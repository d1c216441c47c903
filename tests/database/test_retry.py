"""Transactions that are run again, advisory locks, and what is said when either fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asyncpg import exceptions

import plainsql
from plainsql.database import Transaction
from plainsql.errors import ConnectError
from plainsql.query import Args, one
from tests.database.stepping import at_every_wait, settled


@one[int]("r.get", "r.sql", 1, "select n from counter where id = :id", read_only=True, session_clean=True)
def get(*, id: int) -> Args:
    return (id,)


@one[int]("r.set", "r.sql", 1, "update counter set n = :n where id = :id returning n", session_clean=True)
def put(*, id: int, n: int) -> Args:
    return (n, id)


@pytest.fixture
async def outside(outside: Any) -> Any:
    """The connection outside of the pool, after it has created the table ``counter`` afresh."""
    await outside.execute(
        "drop table if exists counter; create table counter (id int primary key, n int not null);"
        "insert into counter values (1, 0), (2, 0)"
    )
    return outside


@pytest.fixture
async def counters_db(database_url: str, outside: Any) -> AsyncIterator[plainsql.Database]:
    async with plainsql.connect(database_url, max_size=8) as db:
        yield db


@pytest.mark.parametrize("as_tenant", [False, True])
async def test_increments_that_collide_are_all_counted(
    counters_db: plainsql.Database, as_tenant: bool
) -> None:
    told: list[tuple[int, BaseException]] = []
    began: list[Transaction] = []
    both = asyncio.Barrier(2)

    async def increment(tx: Transaction) -> int:
        began.append(tx)
        is_first = len(began) <= 2
        n = await get(tx, id=1)
        if is_first:
            await both.wait()  # these two collide in any case
        return await put(tx, id=1, n=n + 1)

    view: Any = counters_db.tenant(1) if as_tenant else counters_db
    results = await asyncio.gather(
        *(
            view.retry(increment, attempts=50, on_retry=lambda attempt, error: told.append((attempt, error)))
            for _ in range(12)
        )
    )
    assert sorted(results) == list(range(1, 13))
    assert await get(counters_db, id=1) == 12
    assert told
    assert all(isinstance(error, exceptions.SerializationError) for _, error in told)
    assert {attempt for attempt, _ in told} >= {1}
    await settled(lambda: counters_db.stats().in_use == 0)


async def test_a_deadlock_is_run_again(counters_db: plainsql.Database, outside: Any) -> None:
    both = asyncio.Barrier(2)
    attempts: list[int] = []

    async def work(tx: Transaction, first: int, second: int) -> None:
        async with tx.transaction():
            pass
        await tx.connection.execute("set local deadlock_timeout = '20ms'")
        await put(tx, id=first, n=1)
        if len(attempts) == 0:
            await both.wait()
        await put(tx, id=second, n=2)

    def told(attempt: int, error: BaseException) -> None:
        assert isinstance(error, exceptions.DeadlockDetectedError)
        attempts.append(attempt)

    await outside.execute("grant set on parameter deadlock_timeout to current_user")
    await asyncio.gather(
        counters_db.retry(lambda tx: work(tx, 1, 2), isolation=None, on_retry=told),
        counters_db.retry(lambda tx: work(tx, 2, 1), isolation=None, on_retry=told),
    )
    assert attempts == [1]


async def test_the_last_error_says_how_many_attempts_there_were(counters_db: plainsql.Database) -> None:
    calls = 0

    async def fails(_: Transaction) -> None:
        nonlocal calls
        calls += 1
        raise exceptions.SerializationError("could not serialize")

    with pytest.raises(exceptions.SerializationError) as raised:
        await counters_db.retry(fails, attempts=3)
    assert calls == 3
    assert raised.value.__notes__ == ["after 3 attempts"]
    with pytest.raises(ValueError, match=r"^retry\(\): attempts: expected an integer from 1 to \d+, got 0"):
        await counters_db.retry(fails, attempts=0)


async def test_other_errors_are_not_run_again(counters_db: plainsql.Database) -> None:
    calls = 0

    async def fails(tx: Transaction) -> None:
        nonlocal calls
        calls += 1
        await put(tx, id=1, n=99)
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        await counters_db.retry(fails)
    assert calls == 1
    assert await get(counters_db, id=1) == 0


async def test_read_only_and_deferrable_reach_the_server(counters_db: plainsql.Database) -> None:
    async with counters_db.transaction(isolation="serializable", read_only=True, deferrable=True) as tx:
        settings = await tx.connection.fetchrow(
            "select current_setting('transaction_isolation'), current_setting('transaction_read_only'), "
            "current_setting('transaction_deferrable')"
        )
        assert tuple(settings) == ("serializable", "on", "on")
    with pytest.raises(exceptions.ReadOnlySQLTransactionError):
        async with counters_db.transaction(read_only=True) as tx:
            await put(tx, id=1, n=1)


# Advisory locks ----------------------------------------------------------------------------------------


async def test_a_lock_has_one_holder_even_if_more_tasks_wait_than_connections(
    counters_db: plainsql.Database,
) -> None:
    inside = 0

    async def work(_: int) -> None:
        nonlocal inside
        async with counters_db.lock("job") as held:
            assert held
            inside += 1
            assert inside == 1
            await get(counters_db, id=1)  # on another connection: there must be one
            inside -= 1

    async with asyncio.timeout(20):
        await asyncio.gather(*(work(n) for n in range(40)))
    assert counters_db._locks._turns == {}


async def test_a_lock_is_held_across_processes_and_let_go(
    database_url: str, counters_db: plainsql.Database
) -> None:
    async with plainsql.connect(database_url) as other:
        async with counters_db.lock("job"):
            for database in (counters_db, other):
                async with database.lock("job", wait=False) as held:
                    assert held is False
            async with other.lock("another", wait=False) as held:
                assert held is True
        for database in (other, counters_db):
            async with database.lock("job", wait=False) as held:
                assert held is True


async def test_a_lock_is_let_go_wherever_its_holder_is_cancelled(
    database_url: str, counters_db: plainsql.Database
) -> None:
    async with plainsql.connect(database_url) as other:

        async def work() -> None:
            async with counters_db.lock("job"):
                await asyncio.sleep(0)

        async def check() -> None:
            async with asyncio.timeout(10), other.lock("job") as held:
                assert held
            await settled(lambda: counters_db.stats().in_use == 0 and not counters_db._locks._turns)

        assert await at_every_wait(work, check) >= 3


async def test_a_lock_that_was_lost_is_not_taken_for_held(
    counters_db: plainsql.Database, outside: Any
) -> None:
    with pytest.raises(ConnectError, match="the advisory lock was lost"):  # noqa: PT012
        async with counters_db.lock("job"):
            await outside.execute(
                "select pg_terminate_backend(pid, 5000) from pg_locks where locktype = 'advisory' and granted"
                " and database = (select oid from pg_database where datname = current_database())"
            )
            await settled(lambda: all(c.is_closed() for c in _leased(counters_db)))
    async with counters_db.lock("job", wait=False) as held:
        assert held


def _leased(db: plainsql.Database) -> list[Any]:
    leases = db._connections
    return [lease.connection for lease in leases._connections.values() if lease not in leases._idle]


# What became of it --------------------------------------------------------------------------------------


async def test_a_transaction_whose_connection_is_lost_says_that_nothing_was_done(
    counters_db: plainsql.Database, outside: Any
) -> None:
    with pytest.raises((exceptions.PostgresConnectionError, exceptions.InterfaceError)) as raised:  # noqa: PT012
        async with counters_db.transaction() as tx:
            await put(tx, id=1, n=5)
            await outside.execute("select pg_terminate_backend($1, 5000)", tx.connection.get_server_pid())
            await get(tx, id=1)
    assert any("not committed" in note for note in raised.value.__notes__)
    assert await get(counters_db, id=1) == 0


async def test_who_does_not_wait_for_a_lock_does_not_queue_behind_one_who_does(database_url: str) -> None:
    async with plainsql.connect(database_url, max_size=3) as db:
        release = asyncio.Event()

        async def wait_for_it() -> None:
            async with db.lock("contended"):
                await release.wait()

        async with db.lock("contended"):
            waiter = asyncio.ensure_future(wait_for_it())
            await asyncio.sleep(0)
        # Its turn has come, and it has not run yet.
        async with asyncio.timeout(10), db.lock("contended", wait=False) as held:
            assert not held
        release.set()
        await waiter
