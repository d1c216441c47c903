"""A connection cannot be used after its block, and what a user did to its session reaches no other task."""

# ruff: noqa: PT012 (it is the block that raises)

# ruff: noqa: ASYNC110 (what is waited for happens in the server)

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import pytest
from asyncpg import exceptions

import plainsql
from plainsql.database.pool.commit_outcome import CommitOutcome
from plainsql.database.pool.transaction_block import block
from plainsql.query import Args, one
from plainsql.types import Json
from tests.database.stepping import at_every_wait, settled

RELEASED = "released back to the pool"

Use = Callable[[Any], Awaitable[object]]


@one[int]("b.pid", "b.sql", 1, "select pg_backend_pid()", read_only=True, session_clean=True)
def pid() -> Args:
    return ()


@asynccontextmanager
async def acquired(db: plainsql.Database) -> AsyncIterator[Any]:
    async with db.acquire() as connection:
        yield connection


@asynccontextmanager
async def of_transaction(db: plainsql.Database) -> AsyncIterator[Any]:
    async with db.transaction() as tx:
        yield tx.connection


@asynccontextmanager
async def of_savepoint(db: plainsql.Database) -> AsyncIterator[Any]:
    async with db.transaction() as tx, tx.transaction() as savepoint:
        yield savepoint.connection


BLOCKS = [acquired, of_transaction, of_savepoint]


async def _listen(c: Any) -> None:
    await c.add_listener("news", print)


async def _iterate(c: Any) -> None:
    async for _ in c.cursor("select 1"):
        pass


USES: dict[str, Use] = {
    "execute": lambda c: c.execute("select 1"),
    "fetch": lambda c: c.fetch("select 1"),
    "fetchrow": lambda c: c.fetchrow("select 1"),
    "fetchval": lambda c: c.fetchval("select 1"),
    "fetchmany": lambda c: c.fetchmany("select $1::int", [(1,)]),
    "executemany": lambda c: c.executemany("select $1::int", [(1,)]),
    "prepare": lambda c: c.prepare("select 1"),
    "cursor": _iterate,
    "transaction": lambda c: c.transaction().start(),
    "add_listener": _listen,
    "copy_from_query": lambda c: c.copy_from_query("select 1", output=print),
    "copy_records_to_table": lambda c: c.copy_records_to_table("t", records=[(1,)]),
    "set_type_codec": lambda c: c.set_type_codec("json", encoder=str, decoder=str),
    "reset": lambda c: c.reset(),
    "close": lambda c: c.close(),
}


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("use", USES)
async def test_every_method_is_refused_after_the_block(
    one_connection_db: plainsql.Database, block: Any, use: str
) -> None:
    async with block(one_connection_db) as connection:
        assert isinstance(connection, asyncpg.Connection)
        assert await connection.fetchval("select 1") == 1
    with pytest.raises(exceptions.InterfaceError, match=RELEASED):
        await USES[use](connection)
    assert await pid(one_connection_db)


@pytest.mark.parametrize("block", BLOCKS)
async def test_attributes_that_are_no_coroutines_are_refused_as_well(
    one_connection_db: plainsql.Database, block: Any
) -> None:
    async with block(one_connection_db) as connection:
        connection.get_server_pid()
    for use in (connection.terminate, connection.is_closed, connection.get_server_pid):
        with pytest.raises(exceptions.InterfaceError, match=RELEASED):
            use()
    with pytest.raises(exceptions.InterfaceError, match=RELEASED):
        connection.add_query_logger(print)
    assert "released" in repr(connection)


@pytest.mark.parametrize("block", BLOCKS)
async def test_what_was_made_in_the_block_ends_with_it(
    one_connection_db: plainsql.Database, block: Any
) -> None:
    async with block(one_connection_db) as connection:
        statement = await connection.prepare("select generate_series(1, 3)")
        transaction = connection.transaction()
        if not connection.is_in_transaction():
            await transaction.start()
        cursor = await connection.cursor("select generate_series(1, 30)")
        factory = statement.cursor()
        begun = connection.transaction()
        await begun.start()
    later: list[Callable[[], Awaitable[object]]] = [
        statement.fetch,
        lambda: statement.executemany([()]),
        lambda: cursor.fetch(1),
        begun.commit,
        begun.rollback,
        transaction.start,
        lambda: _all_of(factory),
    ]
    for use in later:
        with pytest.raises(exceptions.InterfaceError, match=RELEASED):
            await use()
    assert await pid(one_connection_db)


async def _all_of(factory: Any) -> list[object]:
    return [row async for row in factory]


async def test_a_coroutine_that_was_made_in_the_block_does_not_run_after_it(
    one_connection_db: plainsql.Database,
) -> None:
    async with one_connection_db.acquire() as connection:
        made = connection.execute("create table never (n int)")
    with pytest.raises(exceptions.InterfaceError, match=RELEASED):
        await made
    async with one_connection_db.acquire() as connection:
        assert await connection.fetchval("select to_regclass('never') is null")


async def test_a_stray_task_reaches_no_other_transaction(one_connection_db: plainsql.Database) -> None:
    """Another's transaction has the same connection then: it must not be ended, nor read."""
    async with one_connection_db.acquire() as stray:
        await stray.execute("drop table if exists kept; create table kept (n int)")
        backend = stray.get_server_pid()
    async with one_connection_db.transaction() as tx:
        assert tx.connection.get_server_pid() == backend
        await tx.connection.execute("insert into kept values (1)")
        with pytest.raises(exceptions.InterfaceError, match=RELEASED):
            await stray.execute("rollback")
        await tx.connection.execute("insert into kept values (2)")
    async with one_connection_db.acquire() as connection:
        assert await connection.fetchval("select count(*) from kept") == 2


async def test_a_statement_that_still_runs_at_the_end_of_the_block_is_cancelled(
    one_connection_db: plainsql.Database, outside: Any
) -> None:
    """Its connection is closed: one that is still busy serves no other task."""
    async with one_connection_db.acquire() as connection:
        backend = connection.get_server_pid()
        stray = asyncio.create_task(connection.execute("select pg_sleep(600)"))
        await _until(outside, "state = 'active'", backend)
    with pytest.raises(exceptions.InterfaceError, match=RELEASED) as raised:
        await stray
    assert "while it ran" in str(raised.value)
    assert await pid(one_connection_db) != backend
    await _until_gone(outside, backend)


@pytest.mark.parametrize("made", ["connection", "prepared"])
async def test_a_statement_that_still_runs_at_the_end_of_a_transaction_fails_it(
    one_connection_db: plainsql.Database, outside: Any, made: str
) -> None:
    await outside.execute("drop table if exists stray; create table stray (n int)")
    stray: asyncio.Task[Any] = asyncio.create_task(asyncio.sleep(0))
    backend = 0
    with pytest.raises(exceptions.InterfaceError, match="another operation is in progress") as raised:
        async with one_connection_db.transaction() as tx:
            connection = tx.connection
            backend = connection.get_server_pid()
            await connection.execute("insert into stray values (1)")
            sleep = "select pg_sleep(600)"
            if made == "connection":
                stray = asyncio.create_task(connection.execute(sleep))
            else:
                statement = await connection.prepare(sleep)
                stray = asyncio.create_task(statement.fetch())
            await _until(outside, "wait_event = 'PgSleep'", backend)
    assert raised.value.__notes__ == ["the transaction was not committed: nothing of it was done"]
    with pytest.raises((exceptions.InterfaceError, exceptions.PostgresError)):
        await stray
    assert await pid(one_connection_db) != backend
    assert await outside.fetchval("select count(*) from stray") == 0
    await _until_gone(outside, backend)


async def test_a_stray_statement_of_a_savepoint_is_not_kept_by_the_outer_one(
    one_connection_db: plainsql.Database, outside: Any
) -> None:
    await outside.execute("drop table if exists stray; create table stray (n int)")
    stray: asyncio.Task[Any] = asyncio.create_task(asyncio.sleep(0))
    with pytest.raises(plainsql.ConnectionLostError):
        async with one_connection_db.transaction() as tx:
            backend = tx.connection.get_server_pid()
            with suppress(LookupError):
                async with tx.transaction() as savepoint:
                    await savepoint.connection.execute("insert into stray values (1)")
                    stray = asyncio.create_task(savepoint.connection.execute("select pg_sleep(600)"))
                    await _until(outside, "wait_event = 'PgSleep'", backend)
                    raise LookupError
    await asyncio.wait([stray])
    assert stray.exception() is not None
    assert await outside.fetchval("select count(*) from stray") == 0


async def test_a_listener_is_given_what_ends_with_the_block(
    one_connection_db: plainsql.Database, outside: Any
) -> None:
    given: asyncio.Queue[Any] = asyncio.Queue()
    async with one_connection_db.acquire() as connection:
        await connection.add_listener("news", lambda c, *_: given.put_nowait(c))
        await outside.execute("notify news")
        async with asyncio.timeout(10):
            received = await given.get()
        assert await received.fetchval("select 1") == 1
    with pytest.raises(exceptions.InterfaceError, match=RELEASED):
        await received.fetchval("select 1")
    await outside.execute("notify news")
    await pid(one_connection_db)  # what had arrived would have been passed on
    assert given.empty()


# What is left behind --------------------------------------------------------------------------------------


async def _codec(c: Any) -> None:
    await c.set_type_codec("jsonb", encoder=str, decoder=lambda _: 0, schema="pg_catalog")


async def _builtin_codec(c: Any) -> None:
    await c.set_builtin_type_codec("money", schema="pg_catalog", codec_name="int8")


async def _no_codec(c: Any) -> None:
    await c.reset_type_codec("jsonb", schema="pg_catalog")


async def _named(c: Any) -> None:
    c.kept = await c.prepare("select 1", name="p")


async def _lock(c: Any) -> None:
    await c.execute("select pg_advisory_lock(77); select pg_advisory_lock_shared(78)")


async def _lock_in_transaction(c: Any) -> None:
    await c.execute("begin; select pg_advisory_lock(77)")


async def _log(c: Any) -> None:
    c.add_query_logger(_LOGGED.append)


async def _log_messages(c: Any) -> None:
    c.add_log_listener(lambda *_: _LOGGED.append("message"))


async def _end(c: Any) -> None:
    c.add_termination_listener(lambda _: _LOGGED.append("ended"))


async def _cursor(c: Any) -> None:
    async with c.transaction():
        await c.execute("declare held cursor with hold for select 1")


async def _drop_cached(c: Any) -> None:
    await c.execute("deallocate all")


async def _fail(c: Any) -> None:
    with pytest.raises(asyncpg.DivisionByZeroError):
        await c.execute("begin; select 1 / 0")


_LOGGED: list[Any] = []

CHANGES: dict[str, Use] = {
    "set_type_codec": _codec,
    "set_builtin_type_codec": _builtin_codec,
    "reset_type_codec": _no_codec,
    "prepare as": lambda c: c.execute("prepare p as select 1"),
    "prepare as, in a transaction": lambda c: c.execute("begin; prepare p as select 1"),
    "prepare by the driver": _named,
    "deallocate all": _drop_cached,
    "discard all": lambda c: c.execute("discard all"),
    "listener": _listen,
    "listen": lambda c: c.execute("listen news"),
    "query logger": _log,
    "log listener": _log_messages,
    "termination listener": _end,
    "advisory locks": _lock,
    "advisory lock in an open transaction": _lock_in_transaction,
    "temporary table": lambda c: c.execute("create temp table pg_class (n int)"),
    "temporary function": lambda c: c.execute(
        "create function pg_temp.f() returns int language sql as 'select 1'"
    ),
    "temporary type": lambda c: c.execute("create domain pg_temp.jsonb as pg_catalog.jsonb"),
    "role": lambda c: c.execute("set role pg_monitor"),
    "session authorization": lambda c: c.execute("set session authorization pg_monitor"),
    "search path": lambda c: c.execute("set search_path = pg_temp, public"),
    "custom setting": lambda c: c.execute("set app.jwt_tenant = 'evil'"),
    "read only": lambda c: c.execute("set session characteristics as transaction read only"),
    "time zone": lambda c: c.execute("set time zone 'Asia/Tokyo'"),
    "encoding": lambda c: c.execute("set client_encoding = 'latin1'"),
    "open transaction": lambda c: c.execute("begin; create table undone (n int)"),
    "failed transaction": _fail,
    "cursor": _cursor,
    "sequence": lambda c: c.execute("create temp sequence s; select nextval('s')"),
}


# All that one session can see of itself. Settings that differ from one moment to the next, as of the
# transaction, are read outside of one.
_STATE = """
select jsonb_build_object(
  'settings', (select jsonb_object_agg(name, setting) from pg_settings),
  'tenant', coalesce(current_setting('app.jwt_tenant', true), ''),
  'user', session_user || ' ' || current_user,
  'prepared', (select jsonb_agg(name) from pg_prepared_statements where name not like '\\_\\_asyncpg%'),
  'locks', (
    select jsonb_agg(l.objid) from pg_locks as l
    where l.pid = pg_backend_pid() and l.locktype = 'advisory'
  ),
  'channels', (select jsonb_agg(c) from pg_listening_channels() as c),
  'cursors', (select jsonb_agg(name) from pg_cursors where name not like '\\_\\_asyncpg%' and name <> ''),
  'temporary', (
    select count(*) from pg_class as c where c.relnamespace = pg_my_temp_schema()
  ) + (select count(*) from pg_proc as p where p.pronamespace = pg_my_temp_schema())
    + (select count(*) from pg_type as t where t.typnamespace = pg_my_temp_schema())
)::text
"""


@one[str]("b.state", "b.sql", 1, _STATE, read_only=True, session_clean=True)
def state() -> Args:
    return ()


@one[Json]("b.json", "b.sql", 1, """select '{"a": 1}'::jsonb""", read_only=True, session_clean=True)
def json() -> Args:
    return ()


@one[Any]("b.money", "b.sql", 1, "select '1'::money", read_only=True, session_clean=True)
def money() -> Args:
    return ()


@pytest.mark.parametrize("change", CHANGES)
async def test_what_a_user_changes_in_an_acquired_session_is_undone_or_closed(
    database_url: str, change: str
) -> None:
    _LOGGED.clear()
    async with plainsql.connect(database_url, max_size=1) as db:
        before = [await state(db), await json(db), await money(db)]
        async with db.acquire() as connection:
            await CHANGES[change](_Keeping(connection))
        _LOGGED.clear()
        assert [await state(db), await json(db), await money(db)] == before
        async with db.acquire() as connection:
            await connection.execute("do $$ begin raise warning 'x'; end $$")
            await connection.prepare("select 1", name="p")
            await connection.execute("drop table if exists undone")
        assert [await state(db), await json(db), await money(db)] == before
        assert _LOGGED == []


@pytest.mark.parametrize(
    "change", sorted(set(CHANGES) - {name for name in CHANGES if "transaction" in name} - {"discard all"})
)
async def test_what_a_user_changes_through_a_transaction_is_undone_or_closed(
    database_url: str, change: str
) -> None:
    _LOGGED.clear()
    async with plainsql.connect(database_url, max_size=1) as db:
        before = [await state(db), await json(db), await money(db)]
        async with db.transaction() as tx:
            await CHANGES[change](_Keeping(tx.connection))
        _LOGGED.clear()
        assert [await state(db), await json(db), await money(db)] == before
        assert _LOGGED == []


@pytest.mark.parametrize("change", [_codec, _builtin_codec, _no_codec])
async def test_a_connection_whose_codecs_were_changed_is_closed(
    one_connection_db: plainsql.Database, change: Use
) -> None:
    async with one_connection_db.acquire() as connection:
        await change(connection)
        backend = connection.get_server_pid()
    assert await pid(one_connection_db) != backend


async def test_statements_of_a_transaction_end_before_its_connection_is_free(
    one_connection_db: plainsql.Database,
) -> None:
    """Between the commit and the release Redis is notified of the write: that takes a while."""
    async with one_connection_db._pool.acquire() as connection:
        with CommitOutcome() as ending:
            async with block(connection, ending):
                statement = await connection.prepare("select 1")
                assert await statement.fetchval() == 1
        with pytest.raises(exceptions.InterfaceError, match=RELEASED):
            await statement.fetchval()


class _Keeping:
    """A connection on which a test can keep what it made alive."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)


@one[str]("b.prepare", "b.sql", 1, "prepare p as select 1")
def prepare() -> Args:
    return ()


@one[str]("b.discard", "b.sql", 1, "discard all")
def discard() -> Args:
    return ()


async def test_a_query_that_prepares_statements_leaves_none_to_the_next(
    database_url: str,
) -> None:
    async with plainsql.connect(database_url, max_size=1) as db:
        before = await state(db)
        with suppress(exceptions.PostgresError, plainsql.PlainsqlError):
            await prepare(db)
        assert await state(db) == before
        with suppress(plainsql.PlainsqlError):
            await discard(db)
        assert await state(db) == before
        with suppress(plainsql.PlainsqlError):
            async with db.transaction() as tx:
                await prepare(tx)
        assert await state(db) == before


async def test_a_connection_that_was_only_used_is_kept(one_connection_db: plainsql.Database) -> None:
    """Closing is for what cannot be undone: it costs a new connection."""
    backends = set()
    for _ in range(3):
        async with one_connection_db.acquire() as connection:
            await connection.fetch("select $1::int", 1)
            await connection.prepare("select 2")
            backends.add(connection.get_server_pid())
        async with one_connection_db.transaction() as tx:
            await tx.connection.execute("set local work_mem = '5MB'")
        backends.add(await pid(one_connection_db))
    assert len(backends) == 1


async def _until(outside: Any, condition: str, backend: int) -> None:
    async with asyncio.timeout(30):
        while not await outside.fetchval(
            f"select exists (select from pg_stat_activity where pid = $1 and {condition})", backend
        ):
            await asyncio.sleep(0)


async def _until_gone(outside: Any, backend: int) -> None:
    async with asyncio.timeout(30):
        while await outside.fetchval("select exists (select from pg_stat_activity where pid = $1)", backend):
            await asyncio.sleep(0)


async def test_a_block_that_is_cancelled_anywhere_ends_what_it_handed_out(
    one_connection_db: plainsql.Database,
) -> None:
    handed: list[Any] = []

    async def acquire() -> None:
        async with one_connection_db.acquire() as connection:
            handed.append(connection)
            await connection.execute("select 1")
            async with connection.transaction():
                await connection.fetch("select 1")

    async def transact() -> None:
        async with one_connection_db.transaction() as tx:
            handed.append(tx.connection)
            await tx.connection.execute("select 1")
            async with tx.transaction() as savepoint:
                await savepoint.connection.fetch("select 1")

    async def check() -> None:
        for connection in handed:
            with pytest.raises(exceptions.InterfaceError, match=RELEASED):
                await connection.execute("select 1")
        handed.clear()
        assert await pid(one_connection_db)
        await settled(lambda: one_connection_db.stats().in_use == 0)
        assert not one_connection_db._state.pool.holders

    assert await at_every_wait(acquire, check) >= 4
    assert await at_every_wait(transact, check) >= 5


async def test_nothing_is_counted_as_in_use_afterwards(one_connection_db: plainsql.Database) -> None:
    async with one_connection_db.acquire() as connection:
        await connection.set_type_codec("json", encoder=str, decoder=str, schema="pg_catalog")
    await settled(lambda: one_connection_db.stats().in_use == 0)
    assert not one_connection_db._state.pool.holders
