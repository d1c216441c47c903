"""After a failover the pool leaves the former primary, which refuses writes, and finds the new one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import quote

import pytest
from asyncpg import exceptions

import plainsql
from plainsql.database.pool import read_only_servers as read_only
from plainsql.embedded import EmbeddedServer
from plainsql.query import Args, count, many, one
from tests.database.stepping import settled
from tests.failover import Node, failover_pair
from tests.proxy import Proxy, open_proxy

REPLACED = "the connections to it are replaced: run the transaction again, as 'db.retry' does"


@count("f.put", "f.sql", 1, "insert into fo values (:n, 'x')", session_clean=True)
def put(*, n: int) -> Args:
    return (n,)


@one[int]("f.put_one", "f.sql", 1, "insert into fo values (:n, 'x') returning n")
def put_unproved(*, n: int) -> Args:
    return (n,)


@many[int]("f.put_all", "f.sql", 1, "insert into fo values (:n, 'x') returning n", session_clean=True)
def put_rows(*, n: int) -> Args:
    return (n,)


@one[int]("f.pid", "f.sql", 1, "select pg_backend_pid()", read_only=True, session_clean=True)
def pid() -> Args:
    return ()


@one[str]("f.hold", "f.sql", 1, "select pg_sleep(0.05)::text", session_clean=True)
def hold() -> Args:
    return ()


PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def pair() -> Generator[tuple[Node, Node]]:
    with failover_pair({"max_standby_streaming_delay": "0", "hot_standby_feedback": "off"}) as (a, b):
        a.execute("create table fo (n int, t text)")
        b.wait_for(a)
        yield a, b


@asynccontextmanager
async def demoted(proxy: Proxy, pair: tuple[Node, Node], size: int) -> AsyncIterator[plainsql.Database]:
    """A database whose connections lead to a server that only reads, while its address leads to the one that
    writes: as after a failover, for the standby is as read-only as a fenced primary.
    """
    primary, standby = pair
    primary.execute("truncate fo")
    standby.wait_for(primary)  # what is applied later would cancel what is in its way
    proxy.retarget(standby.socket)
    async with plainsql.connect(proxy.url(), max_size=size, min_size=size) as db:
        await asyncio.gather(*(hold(db) for _ in range(size)))
        assert db.stats().open == size
        proxy.retarget(primary.socket)
        yield db


@pytest.fixture
async def moving(pair: tuple[Node, Node]) -> AsyncIterator[Proxy]:
    async with open_proxy(pair[0].socket) as proxy:
        yield proxy


async def _stream(db: Any) -> None:
    assert [n async for n in put_rows.stream(db, n=1)] == [1]


async def _transaction(db: Any) -> None:
    async with db.transaction() as tx:
        await put(tx, n=1)


async def _serializable(db: Any) -> None:
    async with db.transaction(isolation="serializable") as tx:
        await put(tx, n=1)


async def _serializable_read(db: Any) -> None:
    async with db.transaction(isolation="serializable", read_only=True, deferrable=True) as tx:
        await pid(tx)


async def _savepoint(db: Any) -> None:
    async with db.transaction() as tx:
        with suppress(exceptions.ReadOnlySQLTransactionError):
            async with tx.transaction() as savepoint:
                await put(savepoint, n=1)
                return
        raise exceptions.ReadOnlySQLTransactionError("it was handled in the block")


async def _connection(db: Any) -> None:
    async with db.transaction() as tx:
        await tx.connection.execute("insert into fo values (1)")


async def _acquired(db: Any) -> None:
    async with db.acquire() as connection:
        await connection.execute("insert into fo values (1)")


async def _prepared(db: Any) -> None:
    async with db.acquire() as connection:
        statement = await connection.prepare("insert into fo values (1)")
        await statement.fetch()


RETRIED: dict[str, Callable[[Any], Awaitable[object]]] = {
    "write": lambda db: put(db, n=1),
    "unproved write": lambda db: put_unproved(db, n=1),
    "write that returns": lambda db: put_rows(db, n=1),
    "batch": lambda db: put.batch(db, [{"n": n} for n in range(5)]),
    "execute_many": lambda db: put.execute_many(db, [{"n": n} for n in range(5)]),
    "tenant": lambda db: put(db.tenant("a"), n=1),
    "retry": lambda db: db.retry(lambda tx: put(tx, n=1)),
    "retry of a tenant": lambda db: db.tenant("a").retry(lambda tx: put(tx, n=1)),
}

REFUSED_ONCE: dict[str, Callable[[Any], Awaitable[object]]] = {
    "transaction": _transaction,
    "serializable transaction": _serializable,
    "serializable transaction that only reads": _serializable_read,
    "tenant's transaction": lambda db: _transaction(db.tenant("a")),
    "handled in a savepoint": _savepoint,
    "connection of a transaction": _connection,
    "acquire": _acquired,
    "prepared": _prepared,
    "copy in": lambda db: db.copy_in("fo", [(1,)], columns=["n"]),
    "stream": _stream,
    "batch in a transaction": lambda db: put_unproved.batch(db, [{"n": 1}, {"n": 2}]),
}


@pytest.mark.parametrize("kind", RETRIED)
async def test_a_write_that_is_refused_runs_on_the_new_primary(
    moving: Proxy, pair: tuple[Node, Node], kind: str
) -> None:
    async with demoted(moving, pair, 3) as db:
        await RETRIED[kind](db)
        assert pair[0].execute("select count(*) > 0 from fo") == [(True,)]
        await settled(lambda: db.stats().in_use == 0)
        # All of the old connections are gone, and not only the one that was refused.
        await asyncio.gather(*(put(db, n=99) for _ in range(9)))
        assert pair[0].execute("select count(*) from fo where n = 99") == [(9,)]
        await moving.until(lambda: moving.connections == db.stats().open)
        await _left(pair[1])


@pytest.mark.parametrize("kind", REFUSED_ONCE)
async def test_a_refused_block_fails_once_and_the_next_has_the_new_primary(
    moving: Proxy, pair: tuple[Node, Node], kind: str
) -> None:
    async with demoted(moving, pair, 3) as db:
        refused = (exceptions.ReadOnlySQLTransactionError, exceptions.FeatureNotSupportedError)
        with pytest.raises(refused) as raised:
            await REFUSED_ONCE[kind](db)
        if kind != "handled in a savepoint":
            assert raised.value.__notes__.count(REPLACED) == 1
        await settled(lambda: db.stats().in_use == 0)
        await REFUSED_ONCE[kind](db)
        await _left(pair[1])


async def test_connections_in_use_are_replaced_when_they_come_back(
    moving: Proxy, pair: tuple[Node, Node]
) -> None:
    async with demoted(moving, pair, 3) as db, db.acquire() as held:
        server = await held.fetchval("select pg_is_in_recovery()")
        assert server is True
        await put(db, n=1)
        assert await held.fetchval("select pg_is_in_recovery()") is True
    await _left(pair[1])


async def test_many_writers_meet_the_failover_and_none_fails(moving: Proxy, pair: tuple[Node, Node]) -> None:
    async with demoted(moving, pair, 5) as db:
        await asyncio.gather(*(put(db, n=n) for n in range(200)))
        assert pair[0].execute("select count(distinct n), count(*) from fo") == [(200, 200)]
        assert moving.accepted <= 2 * 5 + 2


async def test_a_write_that_was_asked_to_be_read_only_replaces_nothing(
    moving: Proxy, pair: tuple[Node, Node]
) -> None:
    @count("f.read_only", "f.sql", 1, "set transaction read only")
    def set_read_only() -> Args:
        return ()

    async def option(db: Any) -> None:
        async with db.transaction(read_only=True) as tx:
            await put(tx, n=1)

    async def statement(db: Any) -> None:
        async with db.transaction() as tx:
            await set_read_only(tx)
            await put(tx, n=1)

    async def acquired(db: Any) -> None:
        async with db.acquire() as connection, connection.transaction(readonly=True):
            await connection.execute("insert into fo values (1)")

    async with plainsql.connect(moving.url(), max_size=1) as db:
        backend = await pid(db)
        for work in (option, statement, acquired):
            with pytest.raises(exceptions.ReadOnlySQLTransactionError) as raised:
                await work(db)
            assert not any(
                "the server is read-only" in note for note in getattr(raised.value, "__notes__", ())
            )
        assert await pid(db) == backend
    # Also on a server that is read-only: the caller wants no write.
    async with demoted(moving, pair, 1) as db:
        backend = await pid(db)
        with pytest.raises(exceptions.ReadOnlySQLTransactionError):
            await option(db)
        assert await pid(db) == backend


async def test_a_server_that_stays_read_only_is_not_reconnected_to_all_the_time(
    moving: Proxy, pair: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_only, "_DISCARD_PAUSE_S", 3600.0)  # the machine may be slow
    moving.retarget(pair[1].socket)
    async with plainsql.connect(moving.url(), max_size=3, min_size=3) as db:
        await asyncio.gather(*(hold(db) for _ in range(3)))
        before = moving.accepted
        for n in range(30):
            with pytest.raises(exceptions.ReadOnlySQLTransactionError) as raised:
                await put(db, n=n)
            assert any("the server is read-only" in note for note in raised.value.__notes__)
            with pytest.raises(exceptions.ReadOnlySQLTransactionError):
                await _transaction(db)
        assert moving.accepted - before <= 3
        # After a while it may be another server.
        db._state.pool.read_only._retired_at -= 7200
        moving.retarget(pair[0].socket)
        await put(db, n=1)


async def test_a_database_that_is_made_read_only_and_writable_again(database_url: str, outside: Any) -> None:
    """Sessions that began while it was read-only stay so."""
    name = await outside.fetchval("select current_database()")
    await outside.execute("drop table if exists fo; create table fo (n int, t text)")
    await outside.execute(f"""alter database "{name}" set default_transaction_read_only = on""")
    try:
        async with plainsql.connect(database_url, max_size=2, min_size=2) as db:
            with pytest.raises(exceptions.ReadOnlySQLTransactionError):
                await put(db, n=1)
            await outside.execute(f"""alter database "{name}" reset default_transaction_read_only""")
            db._state.pool.read_only._retired_at -= 60
            await put(db, n=2)
            async with db.transaction() as tx:
                await put(tx, n=3)
        assert await outside.fetchval("select array_agg(n) from fo") == [2, 3]
    finally:
        await outside.execute(f"""alter database "{name}" reset default_transaction_read_only""")


async def test_a_fenced_primary_whose_standby_is_promoted() -> None:
    """The whole of it, on two servers: acknowledged writes are on the new primary."""
    with failover_pair() as (old, new):
        old.execute("create table fo (n int, t text)")
        new.wait_for(old)
        async with (
            open_proxy(old.socket) as proxy,
            plainsql.connect(proxy.url(), max_size=3, min_size=3) as db,
        ):
            await asyncio.gather(*(put(db, n=n) for n in range(9)))
            await asyncio.to_thread(old.read_only)
            await asyncio.to_thread(new.wait_for, old)
            await asyncio.to_thread(new.promote)
            proxy.retarget(new.socket)
            await asyncio.gather(*(put(db, n=n) for n in range(9, 50)))
            assert new.execute("select count(distinct n), count(*) from fo") == [(50, 50)]
            assert old.execute("select count(*) from fo") == [(9,)]


async def test_a_read_that_a_standby_cancels_for_what_it_applies_is_run_again(
    moving: Proxy, pair: tuple[Node, Node]
) -> None:
    primary, standby = pair
    primary.execute("drop table if exists gone")
    primary.execute("create table gone ()")
    standby.wait_for(primary)

    @one[int](
        "f.slow",
        "f.sql",
        1,
        "select f.n::int from (select count(*) as n from fo) as f"
        " where pg_sleep(case when to_regclass('gone') is null then 0 else 600 end) is not null",
        read_only=True,
        session_clean=True,
    )
    def slow() -> Args:
        return ()

    moving.retarget(standby.socket)
    async with plainsql.connect(moving.url(), max_size=1, application_name="slow") as db:
        call = asyncio.ensure_future(slow(db))
        while standby.execute(  # noqa: ASYNC110 (it happens in the server)
            "select count(*) from pg_stat_activity where application_name = 'slow' and wait_event = 'PgSleep'"
        ) != [(1,)]:
            await asyncio.sleep(0)
        primary.execute("drop table gone")
        primary.execute("truncate fo")
        async with asyncio.timeout(60):
            assert await call == 0


# -- With `failover_timeout` calls wait for the next primary, and run again what was proved not executed.


async def test_a_call_is_run_until_the_address_leads_to_a_primary(
    moving: Proxy, pair: tuple[Node, Node]
) -> None:
    moving.retarget(pair[1].socket)
    async with plainsql.connect(moving.url(), max_size=1, failover_timeout=PATIENCE_S) as db:
        call = asyncio.ensure_future(put(db, n=101))
        await moving.until(lambda: moving.accepted >= 2)  # the second attempt is refused as well
        assert not call.done()
        moving.retarget(pair[0].socket)
        await call
    assert pair[0].execute("select count(*) from fo where n = 101") == [(1,)]


async def test_a_retry_does_not_count_the_attempts_that_a_failover_ends(
    moving: Proxy, pair: tuple[Node, Node]
) -> None:
    moving.retarget(pair[1].socket)
    failed: list[int] = []

    def on_retry(attempt: int, _: BaseException) -> None:
        failed.append(attempt)
        if attempt == 2:
            moving.retarget(pair[0].socket)

    async with plainsql.connect(moving.url(), max_size=1, failover_timeout=PATIENCE_S) as db:
        await db.retry(lambda tx: put(tx, n=102), attempts=1, on_retry=on_retry)
    assert failed[:2] == [1, 2]
    assert pair[0].execute("select count(*) from fo where n = 102") == [(1,)]


@pytest.mark.parametrize("patience", [PATIENCE_S, None])
async def test_a_transaction_that_is_lost_before_its_commit_runs_again(
    moving: Proxy, pair: tuple[Node, Node], patience: float | None
) -> None:
    attempts = []

    async def work(tx: plainsql.Transaction) -> None:
        attempts.append(1)
        await put(tx, n=103)
        if len(attempts) == 1:
            moving.cut()
            await put(tx, n=104)

    pair[0].execute("delete from fo")
    async with plainsql.connect(moving.url(), max_size=1, failover_timeout=patience) as db:
        if patience:
            await db.retry(work)
            assert pair[0].execute("select n from fo") == [(103,)]
        else:
            with pytest.raises(plainsql.ConnectionLostError):
                await db.retry(work)
            assert pair[0].execute("select n from fo") == []


@pytest.mark.parametrize("kind", ["connect", "Pool"])
async def test_scripts_wait_as_well(moving: Proxy, pair: tuple[Node, Node], kind: str) -> None:
    moving.retarget(pair[1].socket)
    failed: list[int] = []

    def on_retry(attempt: int, _: BaseException) -> None:
        failed.append(attempt)
        if attempt == 2:
            moving.retarget(pair[0].socket)

    db = await asyncio.to_thread(getattr(plainsql.sync, kind), moving.url(), failover_timeout=PATIENCE_S)
    try:
        await asyncio.to_thread(db.retry, lambda tx: put(tx, n=105), attempts=1, on_retry=on_retry)
        moving.retarget(pair[1].socket)
        moving.cut()
        before = moving.accepted
        call = asyncio.ensure_future(asyncio.to_thread(lambda: put(db, n=106)))
        await moving.until(lambda: moving.accepted >= before + 2)
        moving.retarget(pair[0].socket)
        await call
    finally:
        await asyncio.to_thread(db.close)
    assert failed[:2] == [1, 2]
    assert pair[0].execute("select count(*) from fo where n in (105, 106)") == [(2,)]
    pair[0].execute("delete from fo")


async def test_calls_wait_for_a_promotion_and_lose_no_acknowledged_write() -> None:
    """The whole of it: the primary is killed, no server takes writes, the standby is promoted."""
    with failover_pair() as (old, new):
        old.execute("create table fo (n int, t text)")
        folders = quote(f"{old.folder},{new.folder}", safe="")
        url = f"postgresql://postgres@/postgres?host={folders}&port=5432&target_session_attrs=read-write"
        async with (
            plainsql.connect(url) as impatient,
            plainsql.connect(url, failover_timeout=PATIENCE_S) as db,
        ):
            with (
                plainsql.sync.connect(url, failover_timeout=PATIENCE_S) as script,
                plainsql.sync.Pool(url, failover_timeout=PATIENCE_S) as pool,
            ):
                put(script, n=0)
                put(pool, n=1)
                await put(db, n=2)
                await put(impatient, n=3)
                new.wait_for(old)
                await asyncio.to_thread(old.stop, immediately=True)
                with pytest.raises(plainsql.ConnectError, match="no reachable server is read-write"):
                    await put(impatient, n=4)
                calls = [
                    asyncio.ensure_future(put(db, n=5)),
                    asyncio.ensure_future(db.retry(lambda tx: put(tx, n=6))),
                    asyncio.ensure_future(asyncio.to_thread(put, script, n=7)),
                    asyncio.ensure_future(asyncio.to_thread(put, pool, n=8)),
                ]
                with pytest.raises(plainsql.ConnectError):
                    await put(impatient, n=9)
                assert not any(call.done() for call in calls)
                await asyncio.to_thread(new.promote)
                await asyncio.gather(*calls)
        found = new.execute("select array_agg(n order by n) from fo")
        assert found == [([0, 1, 2, 3, 5, 6, 7, 8],)]


async def test_a_wait_ends_with_the_error_of_the_last_attempt(moving: Proxy, pair: tuple[Node, Node]) -> None:
    moving.retarget(pair[1].socket)
    async with plainsql.connect(moving.url(), max_size=1, failover_timeout=0.2) as db:
        with pytest.raises(exceptions.ReadOnlySQLTransactionError):
            await put(db, n=9)


async def test_a_primary_is_found_beside_servers_that_are_silent(
    server: EmbeddedServer, proxy: Proxy
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        hosts = f"127.0.0.1:{silent.getsockname()[1]},127.0.0.1:{proxy.port}"
        url = f"postgresql://postgres@{hosts}/postgres?sslmode=disable&target_session_attrs=primary"
        # The servers in turn, each with its share of the time, would take half an hour.
        async with plainsql.connect(url, connect_timeout=3600, min_size=4) as db:
            assert db.stats().open == 4
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):  # the server that was the primary was tried first
            silent.accept()


async def test_a_promotion_is_noticed_while_another_server_is_silent(
    pair: tuple[Node, Node], moving: Proxy
) -> None:
    """The connection is being opened when the server becomes the primary: it is tried again meanwhile."""
    moving.retarget(pair[1].socket)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hosts = f"127.0.0.1:{silent.getsockname()[1]},127.0.0.1:{moving.port}"
        url = f"postgresql://postgres@{hosts}/postgres?sslmode=disable&target_session_attrs=read-write"
        opening = asyncio.ensure_future(plainsql.connect(url, connect_timeout=3600)._open())
        await moving.until(lambda: moving.accepted >= 2)
        moving.retarget(pair[0].socket)
        await (await opening).close()


async def _left(node: Node) -> None:
    """Wait until no connection of the pool's is there any more."""
    async with asyncio.timeout(60):
        while node.execute(_SESSIONS) != [(0,)]:  # noqa: ASYNC110 (it happens in the server)
            await asyncio.sleep(0)


_SESSIONS = (
    "select count(*) from pg_stat_activity where backend_type = 'client backend'"
    " and application_name = 'plainsql'"
)
