"""Queries over connections and pools that the program has opened, with its own codecs and settings."""

# ruff: noqa: PT012 (it is the block of a transaction that raises)

from __future__ import annotations

import asyncio
import gc
import json
import warnings
import weakref
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import asyncpg
import pytest
from asyncpg import exceptions
from asyncpg.protocol import protocol

import plainsql
from plainsql.database import Call
from plainsql.database.execution import driver, prepared_statements
from plainsql.database.guest import guest_connection
from plainsql.embedded import EmbeddedServer
from plainsql.errors import BindError, PlainsqlError, TenantError, TransactionError
from plainsql.query import Args, many, one
from plainsql.rows import Composite, Row
from plainsql.types import JSON
from plainsql.vector import Vector
from tests import shop
from tests.database.ask import count
from tests.database.stepping import settled
from tests.pgbouncer import pgbouncer, url_through
from tests.shop import Lead, Payload


class Part(Composite, frozen=True):
    size: int
    meta: Annotated[Payload | None, JSON]


class Thing(Row, frozen=True):
    id: int
    mood: Literal["calm", "loud"]
    part: Part
    tags: list[str]
    meta: Annotated[Payload, JSON]
    place: Vector
    label: str


_THINGS = "id, mood, part, tags, meta, place, label"


@one[Thing](
    "things.add",
    "sql/things/add.sql",
    1,
    "insert into thing (id, mood, part, tags, meta, place, label)"
    f" values (:id, :mood, :part, :tags, :meta, :place, :label) returning {_THINGS}",
)
def add_thing(
    *,
    id: int,
    mood: str,
    part: tuple[int, Payload],
    tags: list[str],
    meta: Payload,
    place: Vector,
    label: str,
) -> Args:
    return (id, mood, part, tags, meta, place, label)


@many[Thing](
    "things.list",
    "sql/things/list.sql",
    1,
    f"select {_THINGS} from thing order by id",
    read_only=True,
    session_clean=True,
)
def list_things() -> Args:
    return ()


@one[int](
    "letters.count",
    "sql/letters/count.sql",
    1,
    "select count(*)::int from shop.letters",
    read_only=True,
    session_clean=True,
    row_security={"shop.letters": ("app.jwt_tenant",)},
)
def count_letters() -> Args:
    return ()


THING = Thing(1, "loud", Part(3, Payload("in", 1)), ["a", "b"], Payload("out", 2), Vector([1, 2, 3]), "Big")


@pytest.fixture
async def existing(database_url: str) -> AsyncIterator[Any]:
    """A connection of the program to the empty shop."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("truncate shop.leads, shop.messages restart identity")
    yield connection
    await connection.close()


@pytest.fixture
async def things(existing: Any) -> Any:
    """The connection, to a database with types that need codecs."""
    await existing.execute(
        """
        create extension if not exists vector;
        create extension if not exists citext;
        drop table if exists thing;
        drop type if exists thing_part, thing_mood;
        create type thing_mood as enum ('calm', 'loud');
        create type thing_part as (size int, meta jsonb);
        create table thing (
          id int primary key, mood thing_mood not null, part thing_part not null, tags text[] not null,
          meta json not null, place vector(3) not null, label citext not null
        );
        """
    )
    return existing


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Any]:
    """A pool of the program with two connections."""
    async with asyncpg.create_pool(database_url, min_size=1, max_size=2) as pool:
        await pool.execute("truncate shop.leads, shop.messages restart identity")
        yield pool


async def _set_foreign_codecs(connection: Any) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
    await connection.set_type_codec("vector", encoder=repr, decoder=lambda text: ("vector", text))
    await connection.set_type_codec("thing_mood", encoder=str.lower, decoder=str.upper)
    await connection.set_type_codec("int4", schema="pg_catalog", encoder=str, decoder=lambda text: -int(text))


# -- Transactions ------------------------------------------------------------------------------------------


async def test_queries_run_in_the_open_transaction_and_never_commit_it(existing: Any) -> None:
    db = plainsql.over(existing)
    transaction = existing.transaction()
    await transaction.start()
    await existing.execute("insert into shop.leads (name) values ('old side')")
    await shop.add(db, name="new side")
    await shop.add.batch(db, [{"name": "b1"}, {"name": "b2"}])
    await shop.add.execute_many(db, [{"name": "m1"}, {"name": "m2"}])
    assert await db.copy_in("shop.leads", [("copied",)], columns=["name"]) == 1
    assert await shop.names(db) == ["old side", "new side", "b1", "b2", "m1", "m2", "copied"]
    assert [name async for name in shop.names.stream(db)] == await shop.names(db)
    assert await shop.raise_scores(db, by=1, below=5) == 7
    assert (await shop.find(db, name="b1")) == Lead(3, "b1", None)
    await transaction.rollback()
    assert await shop.count_all(db) == 0


async def test_a_transaction_that_the_program_commits_is_committed(existing: Any, database_url: str) -> None:
    async with existing.transaction():
        await shop.add(plainsql.over(existing), name="Ana")
    other = await asyncpg.connect(database_url)
    assert await other.fetchval("select name from shop.leads") == "Ana"
    await other.close()


async def test_a_transaction_that_sql_began_counts_as_open(existing: Any) -> None:
    db = plainsql.over(existing)
    await existing.execute("begin")
    async with db.transaction() as tx:
        await shop.add(tx, name="kept")
    with pytest.raises(exceptions.DivisionByZeroError):
        async with db.transaction() as tx:
            await shop.add(tx, name="undone")
            await shop.divide(tx, a=1, b=0)
    assert await shop.names(db) == ["kept"]
    assert existing.is_in_transaction()
    await existing.execute("rollback")
    assert await shop.names(db) == []


async def test_a_nested_transaction_is_a_savepoint_of_the_open_one(existing: Any) -> None:
    db = plainsql.over(existing)
    with pytest.raises(KeyError):
        async with existing.transaction():
            with pytest.raises(RuntimeError):
                async with db.transaction() as tx:
                    await shop.add(tx, name="undone")
                    raise RuntimeError
            async with db.transaction() as tx:
                async with tx.transaction() as inner:
                    await shop.add(inner, name="a")
                async with existing.transaction():
                    await existing.execute("insert into shop.leads (name) values ('b')")
                await shop.add(db, name="c")
            assert await shop.names(db) == ["a", "b", "c"]
            raise KeyError
    assert await shop.names(db) == []


async def test_without_an_open_transaction_a_block_is_one(existing: Any, database_url: str) -> None:
    db = plainsql.over(existing)
    other = await asyncpg.connect(database_url)
    async with db.transaction(isolation="serializable", read_only=False) as tx:
        assert await shop.setting(tx, name="transaction_isolation") == "serializable"
        await shop.add(tx, name="Ana")
        assert await other.fetchval("select count(*) from shop.leads") == 0
        assert tx.connection is existing
    assert await other.fetchval("select count(*) from shop.leads") == 1
    assert not existing.is_in_transaction()
    await other.close()


async def test_options_of_a_transaction_are_refused_if_one_is_open(existing: Any) -> None:
    async with existing.transaction():
        with pytest.raises(TransactionError, match="a transaction is open on the connection"):
            async with plainsql.over(existing).transaction(isolation="serializable"):
                pass


async def test_without_a_transaction_each_call_commits_by_itself(existing: Any, database_url: str) -> None:
    db = plainsql.over(existing)
    other = await asyncpg.connect(database_url)
    await shop.add(db, name="Ana")
    assert await other.fetchval("select count(*) from shop.leads") == 1
    with pytest.raises(exceptions.UniqueViolationError):
        await shop.add.batch(db, [{"name": "Bo"}, {"name": "Ana"}])
    with pytest.raises(exceptions.UniqueViolationError):
        await shop.add.execute_many(db, [{"name": "Bo"}, {"name": "Ana"}])
    assert await other.fetchval("select count(*) from shop.leads") == 1
    await other.close()


async def test_a_stream_without_a_transaction_is_refused_on_a_connection(existing: Any) -> None:
    with pytest.raises(TransactionError, match=r"^shop\.leads\.names: .* no transaction is open"):
        async for _ in shop.names.stream(plainsql.over(existing)):
            pass
    assert not existing.is_in_transaction()


async def test_what_the_program_prepared_outlives_our_transaction(existing: Any) -> None:
    prepared = await existing.prepare("select 7")
    async with plainsql.over(existing).transaction() as tx:
        await shop.add(tx, name="Ana")
    assert await prepared.fetchval() == 7


# -- Codecs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False], ids=["known asyncpg", "unknown asyncpg"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_codecs_of_the_program_do_not_change_our_rows(
    things: Any, when: str, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (driver, prepared_statements):
        monkeypatch.setattr(module, "IS_KNOWN", known)
    db = plainsql.over(things)
    if when == "after":
        assert await list_things(db) == []
    await _set_foreign_codecs(things)
    written = await add_thing(
        db,
        id=1,
        mood="loud",
        part=(3, Payload("in", 1)),
        tags=THING.tags,
        meta=THING.meta,
        place=THING.place,
        label="Big",
    )
    assert written == THING
    assert await list_things(db) == [THING]
    assert await list_things.batch(db, [{}, {}]) == [[THING], [THING]]
    async with things.transaction():
        assert [thing async for thing in list_things.stream(db)] == [THING]


async def test_our_codecs_do_not_change_what_the_program_fetches(things: Any) -> None:
    db = plainsql.over(things)
    await things.execute(
        "insert into thing values"
        """ (1, 'loud', row(3, '{"text": "in"}'), '{a}', '{"text": "out"}', '[1,2,3]', 'Big')"""
    )
    sql = "select id, mood, tags, meta, place, label, meta::jsonb as j from thing"
    # JSON is text, and a vector as well, on a connection without codecs.
    before = tuple(await things.fetchrow(sql))
    assert before[3:5] == ('{"text": "out"}', "[1,2,3]")
    assert len(await list_things(db)) == 1
    assert tuple(await things.fetchrow(sql)) == before
    fresh = sql + " where true"
    assert tuple(await things.fetchrow(fresh)) == before
    await _set_foreign_codecs(things)
    await list_things(db)
    assert tuple(await things.fetchrow(sql)) == (
        *(-1, "LOUD", ["a"], {"text": "out"}, ("vector", "[1,2,3]"), "Big", {"text": "out"}),
    )


async def test_a_changed_search_path_reads_the_other_table(existing: Any) -> None:
    await existing.execute(
        "drop schema if exists north, south cascade; create schema north; create schema south;"
        "create table north.city (id int, name text); create table south.city (id int, name text);"
        "insert into north.city values (1, 'Oslo'); insert into south.city values (2, 'Rome')"
    )
    db = plainsql.over(existing)

    @many[Lead]("city.list", "sql/city/list.sql", 1, "select id, name, null::text as email from city")
    def cities() -> Args:
        return ()

    for schema, expected in (("north", "Oslo"), ("south", "Rome"), ("north", "Oslo")):
        await existing.execute(f"set search_path = {schema}")
        assert [city.name for city in await cities(db)] == [expected]
        async with existing.transaction():
            assert [city.name for city in await cities(db)] == [expected]
    # A table with another type of column is prepared and compared again.
    await existing.execute("alter table north.city alter column name type int using 1")
    with pytest.raises(plainsql.ContractError, match="column 'name' has another type, got int4"):
        await cities(db)


async def test_statements_that_the_program_deallocates_are_prepared_again(existing: Any) -> None:
    db = plainsql.over(existing)
    for statement in ("deallocate all", "discard all"):
        await shop.add(db, name=statement)
        await existing.execute(statement)
        assert await shop.find(db, name=statement) is not None
    assert await shop.count_all(db) == 2


async def test_loggers_of_the_program_see_our_statements(existing: Any) -> None:
    logged: list[str] = []
    with existing.query_logger(lambda record: logged.append(record.query)):
        await shop.count_all(plainsql.over(existing))
        await asyncio.sleep(0)  # the loop calls it
    assert "select count(*)::int from shop.leads /* shop.leads.count_all */" in logged


async def test_another_client_encoding_is_refused(existing: Any) -> None:
    await existing.execute("set client_encoding = 'latin1'")
    with pytest.raises(PlainsqlError, match="client_encoding: expected utf-8, got iso8859-1"):
        await shop.names(plainsql.over(existing))


async def test_an_asyncpg_that_works_otherwise_is_refused_by_its_version(
    existing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest_connection, "IS_KNOWN", False)
    monkeypatch.delattr(protocol, "PreparedStatementState")
    with pytest.raises(PlainsqlError, match=r"^over\(\): asyncpg 0\.\d+\.\d+ works in a way that"):
        await shop.names(plainsql.over(existing))


# -- Pools -------------------------------------------------------------------------------------------------


async def test_each_call_over_a_pool_has_a_connection_of_its_own(pool: Any) -> None:
    db = plainsql.over(pool)
    await asyncio.gather(*(shop.add(db, name=f"n{n}") for n in range(20)))
    assert await shop.count_all(db) == 20
    async with db.transaction() as tx:
        await shop.add(tx, name="inside")
        assert await shop.count_all(db) == 20
    assert await shop.count_all(db) == 21
    assert len([name async for name in shop.names.stream(db)]) == 21
    async for _ in shop.names.stream(db):
        break
    assert await shop.add.batch(db, [{"name": "x"}, {"name": "y"}])
    # The loop closes the stream that was left, and its connection is released with that.
    await settled(lambda: pool.get_idle_size() == pool.get_size())


async def test_a_connection_of_a_pool_works_until_it_is_released(pool: Any) -> None:
    async with pool.acquire() as connection, connection.transaction():
        db = plainsql.over(connection)
        await shop.add(db, name="Ana")
        async with db.transaction() as tx:
            await shop.add(tx, name="Bo")
    assert await shop.names(plainsql.over(pool)) == ["Ana", "Bo"]
    with pytest.raises(PlainsqlError, match="the connection has been released to its pool"):
        await shop.names(db)


async def test_a_reset_between_two_users_of_a_pool_is_no_harm(database_url: str) -> None:
    async with asyncpg.create_pool(database_url, min_size=1, max_size=1) as pool:
        db = plainsql.over(pool)
        for _ in range(3):
            await shop.names(db)
            async with pool.acquire() as connection:
                await connection.execute("set search_path = shop; deallocate all")


async def test_a_connection_that_a_database_lends_runs_queries_too(db: plainsql.Database) -> None:
    async with db.acquire() as connection:
        assert await shop.numbers(plainsql.over(connection), count=2) == [1, 2]
    async with db.transaction() as tx:
        assert await shop.numbers(plainsql.over(tx.connection), count=2) == [1, 2]


async def test_behind_a_pooler_statements_are_not_kept(server: EmbeddedServer, database_url: str) -> None:
    with pgbouncer(server, "transaction", size=1) as folder:
        url = url_through(folder, database_url.partition("?")[0].rpartition("/")[2])
        first = await asyncpg.connect(url, statement_cache_size=0)
        second = await asyncpg.connect(url, statement_cache_size=0)
        await first.execute("truncate shop.leads, shop.messages restart identity")
        for connection in (first, second, first):
            db = plainsql.over(connection)
            await shop.add(db, name=f"n{id(connection)}") if connection is second else None
            assert await shop.numbers(db, count=2) == [1, 2]
            async with connection.transaction():
                assert [n async for n in shop.numbers.stream(db, count=3)] == [1, 2, 3]
                assert await shop.numbers.batch(db, [{"count": 1}, {"count": 2}]) == [[1], [1, 2]]
        await first.close()
        await second.close()


# -- Errors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "hint"),
    [(None, None), ("postgresql://h/db", None), (plainsql.connect("postgresql://h/db"), "await it first")],
)
def test_what_is_no_connection_is_refused(source: Any, hint: str | None) -> None:
    with pytest.raises(BindError, match=r"^over\(\): expected a connection or a pool of asyncpg") as raised:
        plainsql.over(source)
    assert raised.value.message.endswith(f"got {type(source).__name__}")
    assert raised.value.hint == hint


async def test_what_is_an_executor_already_is_refused(db: plainsql.Database) -> None:
    with pytest.raises(BindError, match="got Database\nHINT: it runs queries already"):
        plainsql.over(db)


async def test_a_query_that_gets_the_connection_names_plainsql_over(existing: Any, pool: Any) -> None:
    for source in (existing, pool):
        with pytest.raises(BindError, match=r"HINT: make an executor of it: 'plainsql\.over\(…\)'"):
            await shop.names(source)


async def test_errors_of_the_server_keep_their_class_and_name_the_query(existing: Any) -> None:
    with pytest.raises(exceptions.DivisionByZeroError) as raised:
        await shop.divide(plainsql.over(existing), a=1, b=0)
    assert any("shop.divide" in note for note in raised.value.__notes__)
    with pytest.raises(BindError, match=r"^shop\.divide: a: expected int4, got str"):
        await shop.divide(plainsql.over(existing), a="x", b=0)  # type: ignore[call-overload]


@pytest.mark.parametrize("earlier_calls", [0, 1])
async def test_a_lost_connection_is_reported_as_lost(existing: Any, outside: Any, earlier_calls: int) -> None:
    db = plainsql.over(existing)
    for _ in range(earlier_calls):  # the first call also reads which extension types there are
        await shop.names(db)
    sleep = count("select from pg_sleep(60)")
    call = asyncio.create_task(sleep(db))
    await asyncio.sleep(0)  # in progress: without a call, asyncpg may notice the loss before the next one
    await outside.execute("select pg_terminate_backend($1)", existing.get_server_pid())
    with pytest.raises(plainsql.ConnectionLostError):
        await call
    with pytest.raises(PlainsqlError, match=r"^over\(\): the connection is closed$"):
        await shop.names(db)


async def test_two_tasks_on_one_connection_are_refused(existing: Any) -> None:
    db = plainsql.over(existing)
    sleep = count("select from pg_sleep(0.2)")
    first = asyncio.create_task(sleep(db))
    await asyncio.sleep(0)
    with pytest.raises(TransactionError, match="busy with another task's query"):
        await shop.names(db)
    assert await first == 1


async def test_a_cancelled_call_leaves_the_connection_usable(existing: Any) -> None:
    db = plainsql.over(existing)
    sleep = count("select from pg_sleep(60)")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await sleep(db)
    assert await shop.names(db) == []


async def test_row_security_without_a_tenant_is_refused(tenant_url: str) -> None:
    connection = await asyncpg.connect(tenant_url)
    db = plainsql.over(connection)
    with pytest.raises(TenantError):
        await count_letters(db)
    async with connection.transaction():
        await connection.execute("select set_config('app.jwt_tenant', 'a', true)")
        assert await count_letters(db) == 1
    await connection.close()


# -- Hooks and lifetimes -------------------------------------------------------------------------------------


async def test_a_hook_gets_each_call(existing: Any) -> None:
    calls: list[Call] = []
    db = plainsql.over(existing, on_call=calls.append)
    await shop.names(db)
    async with existing.transaction():
        await shop.add.batch(db, [{"name": "a"}, {"name": "b"}])
        assert len([name async for name in shop.names.stream(db)]) == 2
    seen = [(call.query.name, call.operation, call.in_transaction, call.rows) for call in calls]
    assert seen == [
        ("shop.leads.names", "call", False, 0),
        ("shop.leads.add", "batch", True, 2),
        ("shop.leads.names", "stream", True, 2),
    ]


async def test_statements_stay_prepared_between_executors(existing: Any) -> None:
    for _ in range(3):
        await shop.numbers(plainsql.over(existing), count=1)
    prepared = await existing.fetchval(
        "select count(*) from pg_prepared_statements where statement like 'select n from generate_series%'"
    )
    assert prepared == 1


async def test_a_connection_that_is_gone_leaves_nothing_behind(database_url: str) -> None:
    connection: Any = await asyncpg.connect(database_url)
    await shop.names(plainsql.over(connection))
    await connection.close()
    gone = weakref.ref(connection)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del connection
        gc.collect()
    assert gone() is None
