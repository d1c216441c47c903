"""Queries with ``cache:`` where a write ends otherwise than it should, and where a reader begins late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from ipaddress import IPv4Address
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from asyncpg import exceptions

import plainsql
from plainsql.dependencies import CachedRead, Change, Dependency
from plainsql.errors import DecodeError, TooManyRowsError
from plainsql.query import Args, count, many, one, optional
from plainsql.rows import Row
from tests.database.ask import cached_queries
from tests.database.test_cache import Note, add, behind, edit, get
from tests.proxy import Proxy

_SCHEMA = """
create table note (
  id uuid primary key default gen_random_uuid(), author int not null, text text not null
);
insert into note (id, author, text) values ('00000000-0000-0000-0000-000000000001', 1, 'old');
"""

ID = UUID(int=1)


@pytest.fixture
async def note_url(fresh_database_url: str) -> str:
    owner = await asyncpg.connect(fresh_database_url)
    await owner.execute(_SCHEMA)
    await owner.close()
    return fresh_database_url


@pytest.fixture
async def note_owner(note_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(note_url)
    yield connection
    await connection.close()


@count(
    "n.rename",
    "n.sql",
    1,
    "update note set text = :text where id = :id",
    session_clean=True,
    changes=(Change("public.note", (("id", "parameter", "id"),)),),
)
def rename(*, id: UUID, text: str) -> Args:
    return (text, id)


async def text(db: plainsql.Database) -> str:
    note = await get(db, id=ID)
    assert note is not None
    return note.text


# The first reader of a process begins during a write ----------------------------------------


async def test_a_first_reader_that_begins_while_a_write_waits_for_its_connection(note_url: str) -> None:
    async with plainsql.connect(note_url, max_size=2) as db:
        queries = cached_queries(db)
        async with db.acquire() as connection:
            await queries.identify(connection._con, get.compiled)
        async with db.acquire(), db.acquire():
            write = asyncio.ensure_future(edit(db, id=ID, text="new"))
            while not db.stats().waiting:  # noqa: ASYNC110 (the pool sets no event)
                await asyncio.sleep(0)
            queries.cached_query(get.compiled)  # what a read does first
            assert not write.done()
        await write
        assert db.cache.stats().writes == 1


async def test_a_first_reader_that_begins_during_a_copy(note_url: str) -> None:
    async with plainsql.connect(note_url) as db:
        await behind(
            db,
            "create function loud() returns trigger language plpgsql as"
            " 'begin update note set text = ''new'' where author = 1; return null; end';"
            " create trigger loud after insert on note for each statement execute function loud()",
        )

        async def rows() -> AsyncIterator[tuple[int, str]]:
            yield (2, "b")
            assert await text(db) == "old"
            yield (2, "c")

        await db.copy_in("note", rows(), columns=["author", "text"])
        assert await text(db) == "new"


async def test_a_first_reader_that_begins_during_a_copy_in_a_transaction(note_url: str) -> None:
    async with plainsql.connect(note_url) as db:
        async with db.transaction() as tx:
            await tx.copy_in("note", [(2, "b")], columns=["author", "text"])
            edited = await edit(tx, id=ID, text="new")
            assert await text(db) == "old"
        assert await get(db, id=ID) == edited


# The outcome of a write is unknown
# ---------------------------------------------------------------------------


async def test_a_write_whose_connection_was_cut_may_still_be_committed(
    proxy: Proxy, note_url: str, note_owner: Any
) -> None:
    name = note_url.partition("?")[0].rpartition("/")[2]
    async with plainsql.connect(proxy.url(name)) as db:
        assert await text(db) == "old"
        blocked = note_owner.transaction()
        await blocked.start()
        await note_owner.execute("select from note for update")
        write = asyncio.ensure_future(rename(db, id=ID, text="new"))
        await _until_blocked(note_url)
        proxy.cut()
        with pytest.raises(exceptions.PostgresConnectionError):
            await write
        assert await text(db) == "old"
        await blocked.rollback()
        await _until_blocked(note_url, nobody=True)
        assert await note_owner.fetchval("select text from note where id = $1", ID) == "new"
        assert await text(db) == "new"


async def _until_blocked(url: str, *, nobody: bool = False) -> None:
    watcher = await asyncpg.connect(url)
    running = (
        "select count(*) from pg_stat_activity where datname = current_database()"
        " and query like 'update note%' and state = 'active'"
    )
    try:
        async with asyncio.timeout(30):
            while bool(await watcher.fetchval(running)) is nobody:  # noqa: ASYNC110 (the server tells nobody)
                await asyncio.sleep(0.01)
    finally:
        await watcher.close()


async def test_a_copy_holds_up_no_reader_before_its_end_nor_after_a_failure(note_url: str) -> None:
    async with plainsql.connect(note_url) as db:
        assert await text(db) == "old"

        async def rows() -> AsyncIterator[tuple[int, str]]:
            yield (2, "b")
            assert await text(db) == "old"
            raise TimeoutError

        with pytest.raises(TimeoutError):
            await db.copy_in("note", rows(), columns=["author", "text"])
        assert await text(db) == "old"
        stats = db.cache.stats()
        assert (stats.hits, stats.pending) == (2, 0)


# A transaction goes on after a statement of its own has failed on this side only -------------------------


class Written(Row, frozen=True):
    id: UUID
    author: int
    moment: Any


@optional[Written](
    "n.written",
    "n.sql",
    1,
    "update note set text = :text where id = :id returning id, author, '4000-01-01 BC'::timestamp as moment",
    session_clean=True,
    changes=(Change("public.note", (("id", "parameter", "id"),)),),
)
def written_long_ago(*, id: UUID, text: str) -> Args:
    return (text, id)


async def test_what_a_transaction_wrote_counts_though_its_row_could_not_be_read(note_url: str) -> None:
    async with plainsql.connect(note_url) as db:
        assert await text(db) == "old"
        async with db.transaction() as tx:
            with pytest.raises(DecodeError):
                await written_long_ago(tx, id=ID, text="new")
        assert await get.fresh(db, id=ID) == Note(ID, 1, "new")
        assert await text(db) == "new"


# The role, the database and the path
# ---------------------------------------------------------------------------------------


async def test_sessions_that_are_set_up_differently_share_nothing(note_url: str, redis_url: str) -> None:
    role = "plainsql_test_set_up"
    async with plainsql.connect(note_url) as owner:
        await behind(
            owner,
            f"""
            do $$ begin create role {role} login nosuperuser nobypassrls;
              exception when duplicate_object or unique_violation then null; end $$;
            grant all on note to {role};
            alter table note enable row level security;
            create policy own on note using (author::text = current_setting('app.jwt_tenant', true));
            insert into note (author, text) values (2, 'of 2');
            """,
        )
    scoped = many[Note](
        "n.mine",
        "n.sql",
        1,
        "select id, author, text from note order by text",
        read_only=True,
        session_clean=True,
        row_security={"public.note": ("app.jwt_tenant",)},
        cache=CachedRead(60, (Dependency("public.note"),), scoped=True),
    )(lambda: ())
    for author in (1, 2, 1, 2):
        settings = {"role": role, "app.jwt_tenant": str(author)}
        async with plainsql.connect(note_url, redis=redis_url, server_settings=settings) as db:
            while not db.cache.stats().fills + db.cache.stats().hits:
                assert {note.author for note in await scoped(db)} == {author}


async def test_a_first_read_survives_the_loss_of_an_idle_connection(note_url: str, note_owner: Any) -> None:
    async with plainsql.connect(note_url, application_name="idle") as db:
        await get.fresh(db, id=ID)
        await note_owner.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'idle'"
            " and datname = current_database()"
        )
        assert await text(db) == "old"


# Results that are not what their types say ----------------------------------------------------------------


class Words(Row, frozen=True):
    words: list[str]


def _words(local: float | None = None) -> Any:
    return many[Words](
        "n.words",
        "n.sql",
        1,
        "select array[text, null] as words from note, pg_sleep(0.05)",
        read_only=True,
        session_clean=True,
        cache=CachedRead(60, (Dependency("public.note"),), local=local),
    )(lambda: ())


async def test_a_row_that_does_not_fit_its_type_is_what_it_is_without_the_cache(note_url: str) -> None:
    async with plainsql.connect(note_url) as db:
        for query in (_words(), _words(local=60)):
            expected = [Words(["old", None])]  # type: ignore[list-item]
            assert await query(db) == expected
            assert await query(db) == expected
            found = await asyncio.gather(*(query(db) for _ in range(5)))
            assert found == [expected] * 5


def _networks() -> Any:
    return many[IPv4Address](
        "n.networks",
        "n.sql",
        1,
        "select '10.0.0.1'::inet from note, pg_sleep(0.05)",
        read_only=True,
        session_clean=True,
        cache=CachedRead(60, (Dependency("public.note"),)),
    )(lambda: ())


async def test_no_two_callers_have_the_same_list(note_url: str) -> None:
    networks = _networks()
    async with plainsql.connect(note_url) as db:
        found = await asyncio.gather(*(networks(db) for _ in range(5)))
        assert len({id(one) for one in found}) == 5


async def test_no_two_callers_have_the_same_error(note_url: str) -> None:
    failing = one[int](
        "n.failing",
        "n.sql",
        1,
        "select 1 / count(*) from note where author = 0 and pg_sleep(0) is not null",
        read_only=True,
        session_clean=True,
        cache=CachedRead(60, (Dependency("public.note"),)),
    )(lambda: ())
    async with plainsql.connect(note_url) as db:
        errors = await asyncio.gather(*(failing(db) for _ in range(5)), return_exceptions=True)
        assert {isinstance(error, asyncpg.DivisionByZeroError) for error in errors} == {True}
        assert len({id(error) for error in errors}) == 5
        assert [error.__notes__ for error in errors] == [errors[0].__notes__] * 5  # type: ignore[union-attr]


@optional[Note](
    "n.shout",
    "n.sql",
    1,
    "update note set text = upper(text) where author = :author returning id, author, text",
    session_clean=True,
    changes=(Change("public.note", (("author", "parameter", "author"), ("id", "returned", "id"))),),
)
def shout(*, author: int) -> Args:
    return (author,)


async def test_a_write_that_returns_a_row_too_many_is_committed_all_the_same(
    note_url: str,
) -> None:
    for cache in (False, True):
        async with plainsql.connect(note_url, cache=cache) as db:
            note = await add(db, author=1, text="other")
            assert await get(db, id=note.id) == note
            with pytest.raises(TooManyRowsError):
                await shout(db, author=1)
            assert await get(db, id=note.id) == Note(note.id, 1, "OTHER")


# The end ----------------------------------------------------------------------------------------------------


async def test_a_close_that_runs_out_of_time_closes_the_cache_all_the_same(
    note_url: str, redis_proxy: Proxy
) -> None:
    db = await plainsql.connect(note_url, redis=f"redis://127.0.0.1:{redis_proxy.port}/0")
    async with db.acquire():
        assert await text(db) == "old"
        assert redis_proxy.connections
        await db.close(timeout=0.01)
        async with asyncio.timeout(30):
            await redis_proxy.until(lambda: not redis_proxy.connections)


async def test_what_cannot_be_stored_is_not_tried_at_each_read(note_url: str, redis_url: str) -> None:
    async with plainsql.connect(note_url, redis=redis_url, cache_prefix=uuid4().hex) as db:
        for query in (_words(), _words(local=60), _networks()):
            while True:  # a new Redis stores nothing for a while
                before = db.cache.stats()
                await query(db)
                if db.cache.stats().misses > before.misses:
                    break
                cached_queries(db).cache._reads._unstorable.clear()  # it would not be tried for a minute
            stats = db.cache.stats()
            for _ in range(3):
                await query(db)
            after = db.cache.stats()
            assert (after.misses, after.hits, after.fills, after.undecodable) == (stats.misses, 0, 0, 0)
            assert after.uncacheable == stats.uncacheable + 3
