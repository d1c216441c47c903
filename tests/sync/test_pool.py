"""``plainsql.sync.Pool``: connections that threads share without taking turns."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from plainsql.errors import ConnectError, OptionError, PlainsqlError, PoolTimeoutError, TenantError
from plainsql.query import Binder, ManyQuery, OneQuery, QueryFacts
from plainsql.sync import Pool
from tests.database.ask import READS, SELECT_1, count, many, one
from tests.proxy import Proxy

PID = one("select pg_backend_pid()")
ADD = count("insert into shop.leads (name) values (:name)", "name")
NAMES = many("select name from shop.leads order by name")
SERIES = many("select n from generate_series(1, 25) as n")
TENANT = one("select coalesce(current_setting('app.jwt_tenant', true), '')")
PURE_PID: OneQuery[..., Any] = OneQuery(
    "t.pid", "t.sql", 1, "select pg_backend_pid()", Binder((), {}, {}, None), object, READS
)


@pytest.fixture
def pool(shop_url: str, connection: psycopg.Connection[Any]) -> Generator[Pool]:
    """A pool of two connections on the module's shop, whose leads go at the end of the test."""
    with Pool(shop_url, max_size=2, acquire_timeout=20, prefetch=10) as pool:
        yield pool
    connection.execute("delete from shop.leads")


def terminate(connection: psycopg.Connection[Any], pid: int) -> None:
    connection.execute("select pg_terminate_backend(%s, 5000)", [pid])


def in_threads(*calls: Callable[[], Any]) -> list[Any]:
    with ThreadPoolExecutor(len(calls)) as threads:
        return [done.result(30) for done in [threads.submit(call) for call in calls]]


def test_threads_have_connections_of_their_own(pool: Pool) -> None:
    both = threading.Barrier(2, timeout=30)

    def call() -> int:
        with pool.transaction() as tx:
            both.wait()
            pid: int = PID(tx)
            both.wait()
            return pid

    assert len({*in_threads(call, call)}) == 2
    assert pool.stats() == (2, 0, 2, 0, 2)


def test_a_call_commits_and_a_transaction_is_all_or_none(pool: Pool) -> None:
    ADD(pool, name="ana")
    assert ADD.batch(pool, [{"name": "bob"}, {"name": "cid"}]) == [1, 1]
    with pytest.raises(psycopg.errors.UniqueViolation):
        ADD.execute_many(pool, [{"name": "dan"}, {"name": "ana"}])
    with pool.transaction() as tx:
        ADD(tx, name="eve")
        assert NAMES(pool) == ["ana", "bob", "cid"]
    assert list(NAMES.stream(pool)) == ["ana", "bob", "cid", "eve"]
    rows = SERIES.stream(pool)
    assert [next(rows), SELECT_1(pool), *rows] == [1, 1, *range(2, 26)]


def test_no_connection_keeps_a_tenant(tenant_url: str) -> None:
    letters: ManyQuery[..., Any] = ManyQuery(
        "t.letters",
        "t.sql",
        1,
        "select n from shop.letters order by n",
        Binder((), {}, {}, None),
        object,
        QueryFacts(read_only=True, session_clean=True, row_security={"shop.letters": ("app.jwt_tenant",)}),
    )
    with Pool(tenant_url, max_size=1) as pool:
        for _ in range(2):
            assert letters(pool.tenant("a")) == [1]
            assert letters(pool.tenant("b", user_id=7)) == [2]
            with pool.tenant("b").transaction() as tx:
                assert letters(tx) == [2]
            assert list(letters.stream(pool.tenant("b"))) == [2]
            with pytest.raises(psycopg.errors.DivisionByZero):
                many("select 1 / 0")(pool.tenant("a"))
            with pytest.raises(TenantError):
                letters(pool)
            assert TENANT(pool) == ""
        # A statement that sets it for the session: the connection is reset.
        one("select set_config('app.jwt_tenant', 'a', false)")(pool.tenant("b"))
        assert TENANT(pool) == ""


def test_a_session_that_was_changed_is_reset_and_not_closed(pool: Pool) -> None:
    with pool.transaction() as tx:
        pid = PID(tx)
        one("select set_config('DateStyle', 'German', false)")(tx)
        one("select set_config('work_mem', '12MB', false)")(tx)
        one("select pg_advisory_lock(7)")(tx)
    assert PID(pool) == pid
    assert one("select current_setting('DateStyle')")(pool).startswith("ISO")
    assert one("select current_setting('work_mem')")(pool) != "12MB"
    # Other databases of the server have locks of their own: only those of this session count.
    held = one("select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()")
    assert held(pool) == 0
    with pool.acquire() as connection:
        connection.execute("prepare mine as select 1")
        connection.execute("create temp table notes (n int)")
        connection.execute("set DateStyle to German")
    assert one("select count(*)::int from pg_prepared_statements where name = 'mine'")(pool) == 0
    assert one("select to_regclass('pg_temp.notes') is null")(pool) is True
    assert one("select current_setting('DateStyle')")(pool).startswith("ISO")
    with pool.acquire() as connection:
        connection.execute("deallocate all")
    assert PID(pool) == pid


def test_a_transaction_that_is_left_open_is_rolled_back(pool: Pool) -> None:
    with pool.acquire() as connection:
        connection.execute("begin")
        connection.execute("insert into shop.leads (name) values ('ana')")
    assert NAMES(pool) == []


def test_a_connection_that_was_lost_while_idle_is_replaced(
    pool: Pool, connection: psycopg.Connection[Any]
) -> None:
    for _ in range(3):
        terminate(connection, PURE_PID(pool))
        ADD.execute_many(pool, [{"name": "ana"}])
        connection.execute("delete from shop.leads")
    assert pool.stats().open <= 2


def test_a_read_runs_again_if_its_connection_is_lost_and_a_write_says_so(
    pool: Pool, connection: psycopg.Connection[Any]
) -> None:
    killer = "select pg_terminate_backend(pg_backend_pid())"
    connection.execute("drop sequence if exists shop.once; create sequence shop.once")
    once = "select case when nextval('shop.once') = 1 then pg_terminate_backend(pg_backend_pid(), 0) end"
    read: ManyQuery[..., Any] = ManyQuery("t.r", "t.sql", 1, once, Binder((), {}, {}, None), object, READS)
    assert len(read(pool)) == 1
    one("select nextval('shop.once')")(pool)
    with pytest.raises(psycopg.OperationalError) as raised:
        one(killer)(pool)
    assert "may have been executed, or not" in raised.value.__notes__[-1]
    assert SELECT_1(pool) == 1
    connection.execute("drop sequence shop.once")


def test_a_call_without_a_free_connection_is_refused_in_time(shop_url: str) -> None:
    with Pool(shop_url, max_size=1, acquire_timeout=0.05) as pool, pool.transaction():
        with pytest.raises(PoolTimeoutError, match=r"within 0.05 s; max_size is 1\nHINT: this thread holds"):
            SELECT_1(pool)
        with ThreadPoolExecutor(1) as thread, pytest.raises(PoolTimeoutError, match="HINT: raise max_size"):
            thread.submit(SELECT_1, pool).result(30)


def test_more_calls_than_may_wait_are_refused(shop_url: str) -> None:
    with Pool(shop_url, max_size=1, max_waiting=1) as pool, ThreadPoolExecutor(1) as thread:
        with pool.transaction():
            waiting = thread.submit(SELECT_1, pool)
            while not pool.stats().waiting:
                pass
            with pytest.raises(PoolTimeoutError, match="1 calls wait for a connection already"):
                SELECT_1(pool)
        assert waiting.result(30) == 1


def test_a_server_that_cannot_be_reached_is_reported_when_it_opens(shop_url: str) -> None:
    with pytest.raises(ConnectError, match="the database 'nowhere' does not exist"):
        Pool("postgresql://postgres@/nowhere?" + shop_url.partition("?")[2])
    with pytest.raises(OptionError, match="min_size: expected at most max_size, which is 2, got 3"):
        Pool(shop_url, min_size=3, max_size=2)


async def test_a_server_that_goes_away_is_reported_by_the_calls(shop_url: str, proxy: Proxy) -> None:
    url = proxy.url(shop_url.partition("?")[0].rpartition("/")[2])
    pool = await asyncio.to_thread(Pool, url, acquire_timeout=2)
    try:
        assert await asyncio.to_thread(SELECT_1, pool) == 1
        proxy.refuse()
        proxy.cut()
        with pytest.raises((ConnectError, psycopg.OperationalError)):  # the cut may arrive after the call
            await asyncio.to_thread(SELECT_1, pool)
        with pytest.raises(ConnectError, match="cannot connect to"):
            await asyncio.to_thread(SELECT_1, pool)
    finally:
        await asyncio.to_thread(pool.close)


def test_a_closed_pool_refuses_calls_and_lets_running_ones_end(shop_url: str) -> None:
    pool = Pool(shop_url)
    with pool.transaction() as tx:
        pool.close()
        assert SELECT_1(tx) == 1
    with pytest.raises(PlainsqlError, match="the pool is closed"):
        SELECT_1(pool)
    pool.close()


def test_statement_timeout_is_the_servers(shop_url: str) -> None:
    with Pool(shop_url, statement_timeout=0.05, max_size=1) as pool:
        with pytest.raises(psycopg.errors.QueryCanceled):
            one("select pg_sleep(20)")(pool)
        one("select set_config('statement_timeout', '0', false)")(pool)
        with pytest.raises(psycopg.errors.QueryCanceled):
            one("select pg_sleep(20)")(pool)


def test_old_connections_are_replaced(shop_url: str) -> None:
    with Pool(shop_url, max_size=1, max_lifetime=0) as pool:
        assert PURE_PID(pool) != PURE_PID(pool)


def test_a_forked_process_is_refused_and_harms_nothing(pool: Pool) -> None:
    before = PURE_PID(pool)
    child = os.fork()
    if child == 0:
        try:
            SELECT_1(pool)
        except PlainsqlError as error:
            os._exit(0 if "before this process was forked" in str(error) else 1)
        os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert PURE_PID(pool) == before
