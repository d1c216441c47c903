"""Queries with ``cache:``: stored, ended by the writes that matter and by no others, in transactions too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from redis.asyncio import Redis

import plainsql
from plainsql import Call
from plainsql.dependencies import EVERYTHING, CachedRead, Change, Dependency
from plainsql.errors import BindError, CacheError
from plainsql.query import Args, count, many, one, optional
from plainsql.rows import Row
from tests.redis_server import RedisServer, redis_server

Open = Callable[..., Any]


class Note(Row, frozen=True):
    id: UUID
    author: int
    text: str


_BY_ID = (Change("public.note", (("id", "parameter", "id"), ("author", "returned", "author"))),)


@optional[Note](
    "n.get",
    "n.sql",
    1,
    "select id, author, text from note where id = :id",
    read_only=True,
    session_clean=True,
    cache=CachedRead(60, (Dependency("public.note", "id", "id"),)),
)
def get(*, id: UUID) -> Args:
    return (id,)


@many[Note](
    "n.by",
    "n.sql",
    1,
    "select id, author, text from note where author = :author order by text",
    read_only=True,
    session_clean=True,
    cache=CachedRead(60, (Dependency("public.note", "author", "author"),)),
)
def by(*, author: int) -> Args:
    return (author,)


@one[int](
    "n.total",
    "n.sql",
    1,
    "select count(*) from note",
    read_only=True,
    session_clean=True,
    cache=CachedRead(60, (Dependency("public.note"),), local=30),
)
def total() -> Args:
    return ()


@one[Note](
    "n.add",
    "n.sql",
    1,
    "insert into note (author, text) values (:author, :text) returning id, author, text",
    session_clean=True,
    changes=(Change("public.note", (("author", "parameter", "author"), ("id", "returned", "id"))),),
)
def add(*, author: int, text: str) -> Args:
    return (author, text)


@optional[Note](
    "n.edit",
    "n.sql",
    1,
    "update note set text = :text where id = :id returning id, author, text",
    session_clean=True,
    changes=_BY_ID,
)
def edit(*, id: UUID, text: str) -> Args:
    return (text, id)


@count("n.purge", "n.sql", 1, "delete from note", session_clean=True, changes=(Change("public.note"),))
def purge() -> Args:
    return ()


@count("n.hidden", "n.sql", 1, "call do_it()", changes=EVERYTHING)
def hidden() -> Args:
    return ()


@pytest.fixture(params=["process", "redis"])
async def connect(
    request: pytest.FixtureRequest, fresh_database_url: str, redis_url: str
) -> AsyncIterator[Open]:
    """Opens the database; with Redis, as several processes would."""
    owner = await asyncpg.connect(fresh_database_url)
    await owner.execute(
        """
        create table note (
          id uuid primary key default gen_random_uuid(), author int not null, text text not null
        );
        create procedure do_it() language sql as 'update note set text = text || ''!''';
        """
    )
    await owner.close()
    async with AsyncExitStack() as stack:

        async def open_one(**options: Any) -> plainsql.Database:
            redis = redis_url if request.param == "redis" else None
            db = await stack.enter_async_context(plainsql.connect(fresh_database_url, redis=redis, **options))
            if options.get("cache", True):
                await stores(db)
            return db

        yield open_one


async def stores(db: plainsql.Database) -> None:
    """Wait until results are stored: Redis may have lost a writer's marker with a table's versions, and
    stores nothing of a table that is new to it for a second."""
    before = db.cache.stats().fills
    while db.cache.stats().fills == before:
        await get(db, id=uuid4())
        await asyncio.sleep(0.02)


async def behind(db: plainsql.Database, sql: str, *values: object) -> None:
    """Change the data where plainsql does not see it."""
    async with db.acquire() as connection:
        await connection.execute(sql, *values)


async def test_a_read_is_stored_and_a_write_of_its_partition_ends_it(connect: Open) -> None:
    db = await connect()
    note = await add(db, author=1, text="a")
    other = await add(db, author=2, text="b")
    assert [await get(db, id=note.id), await get(db, id=other.id)] == [note, other]
    await behind(db, "update note set text = 'unseen'")
    assert [await get(db, id=note.id), await get(db, id=other.id)] == [note, other], "stored"
    edited = await edit(db, id=note.id, text="c")
    assert await get(db, id=note.id) == edited
    assert await get(db, id=other.id) == other, "another partition"


@many[str](
    "n.texts",
    "n.sql",
    1,
    "select text from note where author = :author\n  and text < 'b' --? early\norder by text",
    read_only=True,
    session_clean=True,
    cache=CachedRead(60, (Dependency("public.note", "author", "author"),)),
)
def texts(*, author: int, early: bool = False) -> Args:
    return (author, early)


async def test_results_with_and_without_a_flag_are_stored_apart(connect: Open) -> None:
    db = await connect()
    await add(db, author=1, text="a")
    await add(db, author=1, text="c")
    for _ in range(2):
        assert await texts(db, author=1) == ["a", "c"]
        assert await texts(db, author=1, early=True) == ["a"]
        with pytest.raises(BindError, match="early: expected one of False, True"):
            await texts(db, author=1, early=1)  # type: ignore[call-overload]
    await behind(db, "update note set text = 'a' || text")
    assert await texts(db, author=1, early=True) == ["a"], "stored"
    assert await texts(db, author=1) == ["a", "c"], "stored"
    await add(db, author=1, text="b")
    assert await texts(db, author=1, early=True) == ["aa", "ac"]


async def test_the_partition_may_be_told_by_what_the_write_returns(connect: Open) -> None:
    db = await connect()
    note, other = await add(db, author=1, text="a"), await add(db, author=2, text="b")
    assert (await by(db, author=1), await by(db, author=2)) == ([note], [other])
    await behind(db, "update note set text = 'unseen'")
    edited = await edit(db, id=note.id, text="c")
    assert await by(db, author=1) == [edited]
    assert await by(db, author=2) == [other], "the write has returned another author"


async def test_nothing_found_is_stored_until_it_is_there(connect: Open) -> None:
    db = await connect()
    assert await by(db, author=7) == []
    await behind(db, "insert into note (author, text) values (7, 'unseen')")
    assert await by(db, author=7) == []
    added = await add(db, author=7, text="z")
    assert added in await by(db, author=7)


async def test_a_transaction_reads_its_own_writes_and_invalidates_at_its_commit(
    connect: Open,
) -> None:
    db = await connect()
    note = await add(db, author=1, text="a")
    await get(db, id=note.id)
    async with db.transaction() as tx:
        edited = await edit(tx, id=note.id, text="b")
        assert await get(tx, id=note.id) == edited, "never from the cache"
        assert await get(db, id=note.id) == note, "not committed yet"
    assert await get(db, id=note.id) == edited


async def test_a_transaction_that_is_rolled_back_changes_nothing(connect: Open) -> None:
    db = await connect()
    note = await add(db, author=1, text="a")
    await get(db, id=note.id)
    with pytest.raises(RuntimeError):  # noqa: PT012
        async with db.transaction() as tx:
            await edit(tx, id=note.id, text="b")
            raise RuntimeError
    assert await get(db, id=note.id) == note


async def test_every_way_to_write_is_seen(connect: Open) -> None:
    db = await connect()
    note = await add(db, author=1, text="0")

    async def stored() -> list[str]:
        return [found.text for found in await by(db, author=1)]

    async def in_transaction(write: Callable[[Any], Any]) -> None:
        async with db.transaction() as tx:
            await write(tx)

    async def copy(to: Any) -> None:
        await to.copy_in("note", [(1, "4")], columns=["author", "text"])

    async def exhaust(to: Any) -> None:
        async for _ in edit.stream(to, id=note.id, text="5"):
            pass

    expected = ["0"]
    assert await stored() == expected
    writes: list[tuple[Callable[[Any], Any], str]] = [
        (lambda to: add.batch(to, [{"author": 1, "text": "1"}, {"author": 3, "text": "x"}]), "1"),
        (lambda to: add.execute_many(to, [{"author": 1, "text": "2"}]), "2"),
        (copy, "4"),
    ]
    for write, text in writes:
        for in_a_transaction in (False, True):
            await (in_transaction(write) if in_a_transaction else write(db))
            expected = sorted([*expected, text])
            assert await stored() == expected
    await exhaust(db)
    assert "5" in await stored()
    await hidden(db)
    assert all(text.endswith("!") for text in await stored())
    await purge(db)
    assert await stored() == []


async def test_fresh_goes_around_it(connect: Open) -> None:
    db = await connect()
    note = await add(db, author=1, text="a")
    await get(db, id=note.id)
    await behind(db, "update note set text = 'seen'")
    found = await get.fresh(db, id=note.id)
    assert found is not None
    assert found.text == "seen"
    assert await get(db, id=note.id) == note
    async with db.transaction() as tx:
        assert await get.fresh(tx, id=note.id) == found


async def test_it_can_be_told_by_hand(connect: Open) -> None:
    db = await connect()
    note = await add(db, author=1, text="a")
    by_hand: list[Callable[[], Any]] = [
        lambda: db.cache.forget(get, id=note.id),
        lambda: db.cache.clear("n"),
        lambda: db.cache.invalidate("public.note", id=note.id),
        lambda: db.cache.invalidate("public.note"),
    ]
    for tell in by_hand:
        before = await get(db, id=note.id)
        await behind(db, "update note set text = text || '.'")
        assert await get(db, id=note.id) == before
        await tell()
        assert await get(db, id=note.id) != before
    await db.cache.invalidate("public.note", id=uuid4())


async def test_calls_are_counted_and_watched(connect: Open) -> None:
    calls: list[Call] = []
    db = await connect(on_call=calls.append)
    before = db.cache.stats()
    calls.clear()
    await asyncio.gather(*(total(db) for _ in range(5)))
    await total(db)
    stats = db.cache.stats()
    assert stats.fills == before.fills + 1
    assert stats.local_hits == 1
    assert stats.shared == 4
    assert sum(not call.cached for call in calls) == 1, "one has asked PostgreSQL"
    assert all(call.rows == 1 for call in calls)


async def test_row_level_security_keeps_tenants_apart(connect: Open) -> None:
    db = await connect()
    await behind(db, "alter table note enable row level security; alter table note force row level security")
    scoped = many[Note](
        "n.mine",
        "n.sql",
        1,
        "select id, author, text from note order by text",
        read_only=True,
        session_clean=True,
        cache=CachedRead(60, (Dependency("public.note"),), local=60, scoped=True),
    )(lambda: ())
    await behind(
        db, "create policy own on note using (author::text = current_setting('app.jwt_tenant', true))"
    )
    await behind(
        db,
        "do $$ begin create role plainsql_test_cached login nosuperuser nobypassrls;"
        " exception when duplicate_object or unique_violation then null; end $$",
    )
    await behind(db, "grant select on note to plainsql_test_cached")
    mine, _other = await add(db, author=1, text="a"), await add(db, author=2, text="b")
    role = await connect(server_settings={"role": "plainsql_test_cached"})
    for _ in range(2):
        assert await scoped(role.tenant(1)) == [mine]
        assert [note.author for note in await scoped(role.tenant(2))] == [2]


async def test_without_a_cache_every_read_is_postgresqls(connect: Open) -> None:
    db = await connect(cache=False)
    note = await add(db, author=1, text="a")
    await get(db, id=note.id)
    await behind(db, "update note set text = 'seen'")
    found = await get(db, id=note.id)
    assert found is not None
    assert found.text == "seen"
    await db.cache.invalidate("public.note")
    assert db.cache.stats().hits == 0


async def test_another_process_hears_of_a_write(fresh_database_url: str, redis_url: str) -> None:
    owner = await asyncpg.connect(fresh_database_url)
    await owner.execute(
        "create table note (id uuid primary key default gen_random_uuid(), author int not null,"
        " text text not null)"
    )
    await owner.close()
    async with (
        plainsql.connect(fresh_database_url, redis=redis_url) as one_process,
        plainsql.connect(fresh_database_url, redis=redis_url) as other,
    ):
        note = await add(one_process, author=1, text="a")
        assert await get(other, id=note.id) == note
        edited = await edit(one_process, id=note.id, text="b")
        assert await get(other, id=note.id) == edited


async def test_a_write_that_no_read_could_meet_asks_nobody(fresh_database_url: str) -> None:
    """A write is one statement until something was read through the process's own cache."""
    calls: list[Call] = []
    async with plainsql.connect(fresh_database_url, on_call=calls.append) as db:
        await behind(db, "create table note (id uuid default gen_random_uuid(), author int, text text)")
        note = await add(db, author=1, text="a")
        assert db.cache.stats().writes == 0
        assert await get(db, id=note.id) == note
        await edit(db, id=note.id, text="b")
        assert db.cache.stats().writes == 1


async def test_without_redis_reads_go_to_postgresql_and_writes_may_fail(
    fresh_database_url: str,
) -> None:
    with redis_server() as server:
        await asyncio.to_thread(server.start)
        await _lose_redis(fresh_database_url, server)


async def _lose_redis(url: str, server: RedisServer) -> None:
    async with plainsql.connect(url, redis=server.url, on_cache_failure="fail") as db:
        await behind(
            db,
            "create table note (id uuid primary key default gen_random_uuid(), author int not null,"
            " text text not null)",
        )
        note = await add(db, author=1, text="a")
        assert await get(db, id=note.id) == note
        server.kill()
        assert await get(db, id=note.id) == note
        for write in (lambda to: edit(to, id=note.id, text="b"), purge):
            with pytest.raises(CacheError, match="this write was not made"):
                await write(db)
            with pytest.raises(CacheError, match="this write was not made"):
                async with db.transaction() as tx:
                    await write(tx)
        assert await get.fresh(db, id=note.id) == note


async def test_what_is_stored_is_no_secret_key_and_no_argument(
    fresh_database_url: str, redis_url: str
) -> None:
    async with (
        plainsql.connect(fresh_database_url, redis=redis_url) as db,
        Redis.from_url(redis_url) as redis,
    ):
        await behind(db, "create table note (id uuid, author int, text text)")
        await by(db, author=73573573)
        assert not [key async for key in redis.scan_iter("*73573573*")]


async def test_a_name_that_is_none_is_refused_and_what_depends_on_it_is_counted(connect: Open) -> None:
    db = await connect()
    await get(db, id=uuid4())
    assert await db.cache.invalidate("public.note") == 1
    assert await db.cache.clear("n") == await db.cache.clear() == await db.cache.clear("n.get") == 1
    assert await db.cache.clear("nonsense") == 0, "another process may have queries of that name"
    await behind(db, "create table if not exists elsewhere (id int)")
    await behind(db, "create or replace view notes as select id from note")
    assert await db.cache.invalidate("public.elsewhere", id=1) == 0, "another process may read it"
    before = db.cache.stats().writes
    tables: list[Any] = ["note", "no_such_table", "", ".note", "public.", None, 5]
    for table in tables:
        with pytest.raises(BindError, match="expected a table with its schema"):
            await db.cache.invalidate(table)
    with pytest.raises(BindError, match=r"there is no table 'public.no_such_table'"):
        await db.cache.invalidate("public.no_such_table", id=1)
    with pytest.raises(BindError, match=r"'public.notes' is a view"):
        await db.cache.invalidate("public.notes")
    prefixes: list[Any] = ["n.", ".n", "a b", "n..x", "n.*", None]
    for prefix in prefixes:
        with pytest.raises(BindError, match="expected the name of a query"):
            await db.cache.clear(prefix)
    assert db.cache.stats().writes == before
