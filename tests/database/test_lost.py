"""A lost connection is one class of error everywhere, with the server's reason and the outcome."""

# ruff: noqa: PT012 (it is the block of a transaction or stream that raises)

# ruff: noqa: ASYNC110 (what is waited for happens in the server; the loop must not read meanwhile)

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import psycopg
import pytest
from asyncpg import exceptions

import plainsql
from plainsql import ConnectionLostError
from plainsql.errors import ConnectError
from plainsql.query import Args, count, many, one
from tests.database.stepping import settled
from tests.proxy import Proxy

NOTHING_DONE = "the transaction was not committed: nothing of it was done"
NOT_SENT = "the connection was closed before the statement was sent: it was not executed"
UNKNOWN = "the connection was lost while the statement ran: it may have been executed, or not"
CHANGES_NOTHING = "the connection was lost while the statement ran; it changes nothing, it may be run again"
NOT_HELD = "the connection was lost before the advisory lock was acquired: it is not held"
PERHAPS_COMMITTED = (
    "the connection was lost while the transaction was being committed: it may be committed, or not"
)


@one[str]("l.sleep", "l.sql", 1, "select pg_sleep(600)::text", session_clean=True)
def sleep() -> Args:
    return ()


@one[str]("l.sleep", "l.sql", 1, "select pg_sleep(600)::text")
def sleep_unproved() -> Args:
    return ()


@many[str]("l.rows", "l.sql", 1, "select pg_sleep(600)::text from generate_series(1, 3)", session_clean=True)
def sleeping_rows() -> Args:
    return ()


@count("l.put", "l.sql", 1, "insert into lost values (:n)", session_clean=True)
def put(*, n: int) -> Args:
    return (n,)


@many[int](
    "l.series", "l.sql", 1, "select n from generate_series(1, 1000) as n", read_only=True, session_clean=True
)
def series() -> Args:
    return ()


@pytest.fixture
async def outside(outside: Any) -> Any:
    """The connection outside of the pool, after it has created the table ``lost`` without rows."""
    await outside.execute("create table if not exists lost (n int); truncate lost")
    return outside


# While a statement runs -----------------------------------------------------------------------------------


async def _in_transaction(db: Any) -> None:
    async with db.transaction() as tx:
        await put(tx, n=1)
        await sleep(tx)


async def _in_savepoint(db: Any) -> None:
    async with db.transaction() as tx:
        await put(tx, n=1)
        async with tx.transaction() as savepoint:
            await sleep(savepoint)


async def _on_transactions_connection(db: Any) -> None:
    async with db.transaction() as tx:
        await put(tx, n=1)
        await tx.connection.execute("select pg_sleep(600)")


async def _acquired(db: Any) -> None:
    async with db.acquire() as connection:
        await connection.execute("select pg_sleep(600)")


async def _prepared(db: Any) -> None:
    async with db.acquire() as connection:
        statement = await connection.prepare("select pg_sleep(600)")
        await statement.fetch()


async def _cursor(db: Any) -> None:
    async with db.acquire() as connection, connection.transaction():
        async for _ in connection.cursor("select pg_sleep(600)"):
            pass


async def _cursor_in_transaction(db: Any) -> None:
    async with db.transaction() as tx:
        async for _ in tx.connection.cursor("select pg_sleep(600)"):
            pass


async def _streamed(db: Any) -> None:
    async for _ in sleeping_rows.stream(db):
        pass


async def _streamed_in_transaction(db: Any) -> None:
    async with db.transaction() as tx:
        async for _ in sleeping_rows.stream(tx):
            pass


async def _waiting_for_lock(db: Any) -> None:
    async with db.lock("taken"):
        pass


async def _copied(db: Any) -> None:
    async def take(_: bytes) -> None: ...

    await db.copy_out(sleeping_rows, take)


async def _retried(db: Any) -> None:
    await db.retry(sleep)


RUNNING: dict[str, tuple[Callable[[Any], Awaitable[Any]], str]] = {
    "call": (sleep, UNKNOWN),
    "unproved call": (sleep_unproved, UNKNOWN),
    "batch": (lambda db: sleep.batch(db, [{}, {}]), NOTHING_DONE),
    "execute_many": (lambda db: sleep.execute_many(db, [{}, {}]), UNKNOWN),
    "stream": (_streamed, NOTHING_DONE),
    "transaction": (_in_transaction, NOTHING_DONE),
    "savepoint": (_in_savepoint, NOTHING_DONE),
    "connection of a transaction": (_on_transactions_connection, NOTHING_DONE),
    "cursor of a transaction": (_cursor_in_transaction, NOTHING_DONE),
    "stream of a transaction": (_streamed_in_transaction, NOTHING_DONE),
    "acquire": (_acquired, UNKNOWN),
    "prepared statement": (_prepared, UNKNOWN),
    "cursor": (_cursor, UNKNOWN),
    "copy out": (_copied, NOTHING_DONE),
    "lock": (_waiting_for_lock, NOT_HELD),
    "retry": (_retried, NOTHING_DONE),
}


@pytest.mark.parametrize("as_tenant", [False, True])
@pytest.mark.parametrize("kind", RUNNING)
async def test_a_backend_that_is_terminated_while_a_statement_runs(
    database_url: str, outside: Any, kind: str, as_tenant: bool
) -> None:
    work, outcome = RUNNING[kind]
    async with plainsql.connect(database_url, max_size=1, application_name="losing") as db:
        if as_tenant and kind == "lock":
            pytest.skip("locks are of no tenant")
        await outside.execute("select pg_advisory_lock(hashtextextended('taken', 0))")
        call = asyncio.ensure_future(work(db.tenant("a") if as_tenant else db))
        await _terminate_waiting(outside)
        with pytest.raises(ConnectionLostError) as raised:
            await call
        await outside.execute("select pg_advisory_unlock_all()")
        _check(raised.value, "57P01", outcome)
        assert raised.value.detail is not None
        assert "terminating connection due to administrator command" in str(raised.value)
        assert await put(db, n=2) == 1
        await settled(lambda: db.stats().in_use == 0)
    assert await outside.fetchval("select array_agg(n) from lost") == [2]


# Between two statements -----------------------------------------------------------------------------------


async def _next_call(tx: Any) -> None:
    await put(tx, n=1)


async def _nothing(tx: Any) -> None:
    pass


async def _next_savepoint(tx: Any) -> None:
    async with tx.transaction():
        pass


async def _next_batch(tx: Any) -> None:
    await put.batch(tx, [{"n": 1}, {"n": 2}])


async def _next_stream(tx: Any) -> None:
    assert [row async for row in series.stream(tx)]


async def _next_on_connection(tx: Any) -> None:
    await tx.connection.fetch("select 1")


async def _next_copy(tx: Any) -> None:
    async def take(_: bytes) -> None: ...

    await tx.copy_out(series, take)


@pytest.mark.parametrize("turns", range(5))
@pytest.mark.parametrize(
    "then",
    [_nothing, _next_call, _next_savepoint, _next_batch, _next_stream, _next_on_connection, _next_copy],
)
async def test_a_transaction_whose_backend_is_terminated_between_two_statements(
    database_url: str, outside: Any, then: Callable[[Any], Awaitable[None]], turns: int
) -> None:
    """The server's farewell is unread, or read and not followed by the end yet, or all is known."""
    async with plainsql.connect(database_url, max_size=1) as db:
        with pytest.raises(ConnectionLostError) as raised:
            async with db.transaction() as tx:
                await put(tx, n=1)
                _terminate(database_url, tx.connection.get_server_pid())
                for _ in range(turns):
                    await asyncio.sleep(0)
                await then(tx)
        assert raised.value.sqlstate in ("57P01", "08003")
        assert {NOTHING_DONE, PERHAPS_COMMITTED} & set(raised.value.__notes__)
        if then is not _nothing:
            assert NOTHING_DONE in raised.value.__notes__
        await settled(lambda: db.stats().in_use == 0)
    assert await outside.fetchval("select count(*) from lost") == 0


@pytest.mark.parametrize("turns", range(5))
async def test_after_the_loss_each_further_use_says_it_again(
    database_url: str, outside: Any, turns: int
) -> None:
    async with plainsql.connect(database_url, max_size=1) as db:
        with pytest.raises(ConnectionLostError) as raised:
            async with db.transaction() as tx:
                _terminate(database_url, tx.connection.get_server_pid())
                for _ in range(turns):
                    await asyncio.sleep(0)
                for _ in range(3):
                    with pytest.raises(ConnectionLostError):
                        await put(tx, n=1)
                    with pytest.raises(ConnectionLostError):
                        await tx.connection.execute("select 1")
                    with pytest.raises(ConnectionLostError):
                        async with tx.transaction():
                            pass
        _check(raised.value, None, NOTHING_DONE)


@pytest.mark.parametrize("turns", range(5))
@pytest.mark.parametrize("kind", ["lock", "try lock", "acquire", "transaction", "tenant", "write", "stream"])
async def test_a_connection_that_ended_in_the_pool(
    database_url: str, outside: Any, kind: str, turns: int
) -> None:
    """Either it is noticed, and another is taken, or the error is the one of a lost connection."""

    async def use(db: plainsql.Database) -> object:
        if kind in ("lock", "try lock"):
            async with db.lock("free", wait=kind == "lock") as held:
                return held
        if kind == "acquire":
            async with db.acquire() as connection:
                return await connection.fetchval("select 1")
        if kind == "transaction":
            async with db.transaction() as tx:
                return await put(tx, n=1)
        if kind == "stream":
            return [row async for row in series.stream(db)]
        return await put(db.tenant("a") if kind == "tenant" else db, n=1)

    async with plainsql.connect(database_url, max_size=1) as db:
        await use(db)
        await settled(lambda: db.stats().in_use == 0)
        async with db.acquire() as connection:
            backend = connection.get_server_pid()
        await settled(lambda: db.stats().in_use == 0)
        _terminate(database_url, backend)
        for _ in range(turns):
            await asyncio.sleep(0)
        try:
            assert await use(db)
        except ConnectionLostError as error:
            assert error.__notes__  # noqa: PT017
        assert await use(db)


async def test_a_connection_that_is_cut_without_a_word_says_so(proxy: Proxy, database_url: str) -> None:
    name = database_url.partition("?")[0].rpartition("/")[2]
    async with plainsql.connect(proxy.url(name), max_size=1) as db:
        call = asyncio.ensure_future(sleep(db))
        before = proxy.to_server.bytes
        await proxy.until(lambda: proxy.to_server.bytes > before)
        proxy.cut()
        with pytest.raises(ConnectionLostError) as raised:
            await call
        _check(raised.value, "08003", UNKNOWN)


async def test_a_commit_that_gets_no_answer_may_be_one(proxy: Proxy, database_url: str, outside: Any) -> None:
    name = database_url.partition("?")[0].rpartition("/")[2]
    async with plainsql.connect(proxy.url(name), max_size=1) as db:
        before = 0

        async def work() -> None:
            nonlocal before
            async with db.transaction() as tx:
                await put(tx, n=1)
                before = proxy.to_server.messages["Q"]
                proxy.pause()

        call = asyncio.ensure_future(work())
        await proxy.until(lambda: bool(before) and proxy.to_server.messages["Q"] > before)
        proxy.cut()
        with pytest.raises(ConnectionLostError) as raised:
            await call
        proxy.resume()
        _check(raised.value, "08003", PERHAPS_COMMITTED)


async def test_a_lock_that_is_lost_is_a_lost_connection_and_a_connect_error(
    one_connection_db: plainsql.Database, outside: Any
) -> None:
    with pytest.raises(ConnectionLostError, match="the advisory lock was lost") as raised:
        async with one_connection_db.lock("job"):
            await outside.execute(
                "select pg_terminate_backend(pid, 5000) from pg_locks where locktype = 'advisory' and granted"
                " and database = (select oid from pg_database where datname = current_database())"
            )
    assert isinstance(raised.value, ConnectError)
    assert "HINT: another session may have held it meanwhile" in str(raised.value)


async def test_the_error_of_a_block_is_not_hidden_by_the_loss_of_its_lock(
    one_connection_db: plainsql.Database, outside: Any
) -> None:
    with pytest.raises(LookupError) as raised:
        async with one_connection_db.lock("job"):
            await outside.execute(
                "select pg_terminate_backend(pid, 5000) from pg_locks where locktype = 'advisory' and granted"
                " and database = (select oid from pg_database where datname = current_database())"
            )
            raise LookupError
    assert raised.value.__notes__ == ["the advisory lock was lost: its connection ended while it was held"]


async def test_the_error_of_a_block_is_not_hidden_by_the_loss_of_its_connection(
    database_url: str, one_connection_db: plainsql.Database
) -> None:
    for turns in range(4):
        with pytest.raises(LookupError):
            async with one_connection_db.transaction() as tx:
                _terminate(database_url, tx.connection.get_server_pid())
                for _ in range(turns):
                    await asyncio.sleep(0)
                raise LookupError


@pytest.mark.parametrize("error", [ConnectionResetError("theirs"), exceptions.InterfaceError("theirs")])
async def test_a_connection_error_of_the_users_code_is_passed_on(
    one_connection_db: plainsql.Database, outside: Any, error: Exception
) -> None:
    """An error of an HTTP client or of another database: ours is not lost."""

    async def source() -> AsyncIterator[bytes]:
        yield b""
        raise error

    async def transaction() -> None:
        async with one_connection_db.transaction():
            raise error

    async def savepoint() -> None:
        async with one_connection_db.transaction() as tx, tx.transaction():
            raise error

    async def acquired() -> None:
        async with one_connection_db.acquire():
            raise error

    async def copied() -> None:
        async with one_connection_db.acquire() as connection:
            await connection.execute("create temp table copied (n int)")
            await connection.copy_to_table("copied", source=source())

    async def locked() -> None:
        async with one_connection_db.lock("job"):
            raise error

    for work in (transaction, savepoint, acquired, copied, locked):
        with pytest.raises(type(error), match="theirs") as raised:
            await work()
        assert raised.value is error
    assert await put(one_connection_db, n=1)


def test_it_is_caught_by_what_caught_the_drivers() -> None:
    error = ConnectionLostError("lost", sqlstate="57P01", detail="why")
    for kind in (
        exceptions.ConnectionDoesNotExistError,
        exceptions.PostgresConnectionError,
        exceptions.PostgresError,
        exceptions.InterfaceError,
    ):
        assert isinstance(error, kind)
    assert not isinstance(error, plainsql.PlainsqlError)
    assert str(error) == "lost\nDETAIL:  why"
    assert ConnectionLostError("lost").sqlstate == "08003"


def _check(error: ConnectionLostError, sqlstate: str | None, outcome: str) -> None:
    assert sqlstate is None or error.sqlstate == sqlstate
    assert error.__notes__.count(outcome) == 1


def _terminate(url: str, backend: int) -> None:
    """Terminate a backend while this loop is blocked: it has read nothing of it when this returns."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("select pg_terminate_backend(%s, 10000)", [backend])


async def _terminate_waiting(outside: Any) -> None:
    async with asyncio.timeout(30):
        while not await outside.fetchval(
            "select pg_terminate_backend(pid, 10000) from pg_stat_activity"
            " where datname = current_database() and application_name = 'losing'"
            " and (wait_event = 'PgSleep' or wait_event_type = 'Lock')"
        ):
            await asyncio.sleep(0)
