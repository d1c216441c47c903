"""Writes that plainsql has not made reach the cache through triggers and a table."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from plainsql.cache import Cache, CachedQuery
from plainsql.cache.outbox import Fetch, drain, keep_draining, migration
from plainsql.dependencies import CachedRead, Dependency
from plainsql.errors import BindError, CacheError
from tests.cache.model import eventually

TABLES = {"shop.messages": ["conversation_id", "Kind", "raw"], "shop.order": []}
SCHEMA = """
create schema shop;
create table shop.messages (
  id bigint generated always as identity,
  conversation_id uuid,
  "Kind" text,
  raw bytea,
  body text
);
create table shop."order" (id bigint);
"""
WRITER = f"outbox_writer_{uuid.uuid4().hex[:12]}"
"""Roles belong to the server, which other workers test on as well."""
A, B, C = (uuid.UUID(int=n) for n in (1, 2, 3))


@pytest.fixture
async def outbox_connection(fresh_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(fresh_database_url)
    await connection.execute(SCHEMA)
    await connection.execute(migration(TABLES).apply)
    yield connection
    await connection.close()


def number(value: object) -> int:
    assert isinstance(value, int)
    return value


def begin_on(url: str) -> Any:
    @asynccontextmanager
    async def begin() -> AsyncIterator[Fetch]:
        connection = await asyncpg.connect(url)
        try:
            async with connection.transaction():

                async def fetch(statement: str, limit: int) -> Sequence[Mapping[str, Any]]:
                    return await connection.fetch(statement, limit)  # type: ignore[no-any-return]

                yield fetch
        finally:
            await connection.close()

    return begin


BY_CONVERSATION = CachedQuery[int](
    "shop.count",
    CachedRead(60, (Dependency("shop.messages", "conversation_id", "conversation_id"),)),
    ("conversation_id",),
    int,
)
BY_RAW = CachedQuery[int](
    "shop.raw", CachedRead(60, (Dependency("shop.messages", "raw", "raw"),)), ("raw",), int
)
ORDERS = CachedQuery[int]("shop.orders", CachedRead(60, (Dependency("shop.order"),)), (), int)


async def count(cache: Cache, connection: asyncpg.Connection, conversation: uuid.UUID) -> int:
    async def load() -> int:
        return number(
            await connection.fetchval(
                "select count(*) from shop.messages where conversation_id = $1", conversation
            )
        )

    return await cache.read(BY_CONVERSATION, (conversation,), load)


async def test_what_others_write_ends_exactly_what_it_changes(
    outbox_connection: asyncpg.Connection, fresh_database_url: str
) -> None:
    begin = begin_on(fresh_database_url)
    insert = "insert into shop.messages (conversation_id) values ($1)"
    async with Cache() as cache:

        async def counts() -> list[int]:
            return [await count(cache, outbox_connection, conversation) for conversation in (A, B, C)]

        assert await counts() == [0, 0, 0]
        await outbox_connection.execute(insert, A)
        assert await counts() == [0, 0, 0], "nobody has told the cache"
        assert await drain(cache, begin) == 1
        hits = cache.stats().hits
        assert await counts() == [1, 0, 0]
        assert cache.stats().hits == hits + 2, "the other two are as they were"
        await outbox_connection.execute("update shop.messages set conversation_id = $1", B)
        assert await drain(cache, begin) == 1
        assert await counts() == [0, 1, 0], "both sides of a row that moves"
        await outbox_connection.execute("delete from shop.messages")
        await outbox_connection.execute("delete from shop.messages")
        assert await drain(cache, begin) == 1, "a statement that changes nothing leaves no note"
        assert await counts() == [0, 0, 0]
        await outbox_connection.execute(insert, A)
        await outbox_connection.execute("truncate shop.messages")
        assert await drain(cache, begin) == 2
        assert await counts() == [0, 0, 0]
        assert await drain(cache, begin) == 0


async def test_values_are_the_partitions_that_reads_have(
    outbox_connection: asyncpg.Connection, fresh_database_url: str
) -> None:
    async with Cache() as cache:

        async def load() -> int:
            return number(
                await outbox_connection.fetchval("select count(*) from shop.messages where raw = $1", b"ab")
            )

        assert await cache.read(BY_RAW, (b"ab",), load) == 0
        await outbox_connection.execute("insert into shop.messages (raw, \"Kind\") values ('ab', 'it''s')")
        await drain(cache, begin_on(fresh_database_url))
        assert await cache.read(BY_RAW, (b"ab",), load) == 1


async def test_a_table_without_columns_and_with_a_reserved_name(
    outbox_connection: asyncpg.Connection, fresh_database_url: str
) -> None:
    async with Cache() as cache:

        async def load() -> int:
            return number(await outbox_connection.fetchval('select count(*) from shop."order"'))

        assert await cache.read(ORDERS, (), load) == 0
        await outbox_connection.execute('insert into shop."order" values (1)')
        await drain(cache, begin_on(fresh_database_url))
        assert await cache.read(ORDERS, (), load) == 1


async def test_a_statement_over_many_partitions_is_one_note(
    outbox_connection: asyncpg.Connection, fresh_database_url: str
) -> None:
    async with Cache() as cache:
        assert await count(cache, outbox_connection, A) == 0
        await outbox_connection.execute(
            "insert into shop.messages (conversation_id) "
            "select gen_random_uuid() from generate_series(1, 1000)"
        )
        await outbox_connection.execute("insert into shop.messages (conversation_id) values ($1)", A)
        assert await drain(cache, begin_on(fresh_database_url)) == 2
        assert await count(cache, outbox_connection, A) == 1


async def test_who_writes_needs_no_rights_on_the_outbox(outbox_connection: asyncpg.Connection) -> None:
    await outbox_connection.execute(
        f"create role {WRITER}; grant usage on schema shop to {WRITER};"
        f"grant select, insert on shop.messages to {WRITER}"
    )
    try:
        async with outbox_connection.transaction():
            await outbox_connection.execute(f"set local role {WRITER}")
            await outbox_connection.execute("insert into shop.messages (conversation_id) values ($1)", A)
    finally:
        await outbox_connection.execute(f"drop owned by {WRITER}; drop role {WRITER}")
    assert await outbox_connection.fetchval("select count(*) from plainsql.cache_outbox") == 1


async def test_what_the_cache_has_not_heard_stays(
    outbox_connection: asyncpg.Connection, fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = begin_on(fresh_database_url)
    await outbox_connection.execute("insert into shop.messages (conversation_id) values ($1)", A)
    async with Cache() as cache:
        with monkeypatch.context() as unreachable_tables:
            unreachable_tables.setattr(cache._breaker, "allows", lambda: False)
            with pytest.raises(CacheError):
                await drain(cache, begin)
        assert await drain(cache, begin) == 1


async def test_a_loop_drains_until_it_is_cancelled(
    outbox_connection: asyncpg.Connection, fresh_database_url: str
) -> None:
    async with Cache() as cache:
        loop = asyncio.ensure_future(keep_draining(cache, begin_on(fresh_database_url), every=0.01))
        for number in range(3):
            assert await count(cache, outbox_connection, A) == number
            writes = cache.stats().writes
            await outbox_connection.execute("insert into shop.messages (conversation_id) values ($1)", A)
            await eventually(lambda writes=writes: cache.stats().writes > writes)  # type: ignore[misc]
            assert await count(cache, outbox_connection, A) == number + 1
        loop.cancel()
        await asyncio.wait([loop])


async def test_the_rollback_leaves_nothing(outbox_connection: asyncpg.Connection) -> None:
    await outbox_connection.execute(migration(TABLES).rollback)
    left = "select count(*) from pg_class where relnamespace = 'plainsql'::regnamespace"
    assert await outbox_connection.fetchval(left) == 0
    await outbox_connection.execute("insert into shop.messages (conversation_id) values ($1)", A)
    await outbox_connection.execute(migration(TABLES).apply)


def test_a_table_without_schema_is_refused() -> None:
    with pytest.raises(BindError, match="expected a table with its schema, got 'messages'"):
        migration({"messages": []})
