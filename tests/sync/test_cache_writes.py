"""Writes of the synchronous side invalidate what an asynchronous database has stored in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from uuid import UUID, uuid4

import psycopg
import pytest
from redis import Redis

import plainsql
from plainsql.errors import CacheError
from plainsql.sync import Database, Pool, Transaction
from tests.database.test_cache import Note, add, by, edit, get, hidden, purge, stores
from tests.proxy import Proxy
from tests.redis_server import redis_server

Writer = Database | Pool


@pytest.fixture
async def cached_db(fresh_database_url: str, redis_url: str) -> AsyncGenerator[plainsql.Database]:
    """A database of the asynchronous side that stores results in Redis."""
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        connection.execute(
            "create table note (id uuid primary key default gen_random_uuid(), author int not null, "
            "text text not null)"
        )
        connection.execute("create procedure do_it() language sql as 'update note set text = text || ''!'''")
    async with plainsql.connect(fresh_database_url, redis=redis_url) as db:
        await stores(db)
        yield db


@pytest.fixture(params=["connect", "Pool"])
def writer(
    request: pytest.FixtureRequest, cached_db: plainsql.Database, fresh_database_url: str, redis_url: str
) -> Generator[Writer]:
    """A synchronous database that knows the same Redis."""
    with getattr(plainsql.sync, request.param)(fresh_database_url, redis=redis_url) as db:
        yield db


async def stored(db: plainsql.Database, id: UUID) -> str | None:
    """The text that the cache has of a note, which is read until it is a hit."""
    while True:
        before = db.cache.stats().hits
        note = await get(db, id=id)
        if db.cache.stats().hits > before:
            return None if note is None else note.text


async def test_no_kind_of_write_leaves_a_stale_row(cached_db: plainsql.Database, writer: Writer) -> None:
    note = add(writer, author=1, text="a")
    assert await stored(cached_db, note.id) == "a"

    def in_transaction(tx: Transaction) -> None:
        edit(tx, id=note.id, text="d")
        with tx.transaction() as savepoint:
            edit(savepoint, id=note.id, text="e")

    def streamed() -> None:
        with writer.transaction() as tx:
            assert len([*get.stream(tx, id=note.id)]) == 1
        assert [*edit.stream(writer, id=note.id, text="f")]

    def copied() -> None:
        purge(writer)
        writer.copy_in("note", [Note(note.id, 1, "g")])

    steps: list[tuple[str | None, Callable[[], object]]] = [
        ("b", lambda: edit(writer, id=note.id, text="b")),
        ("c", lambda: edit.batch(writer, [{"id": note.id, "text": "c"}])),
        ("c2", lambda: edit.execute_many(writer, [{"id": note.id, "text": "c2"}])),
        ("e", lambda: writer.retry(in_transaction)),
        ("f", streamed),
        ("f!", lambda: hidden(writer)),
        ("g", copied),
        ("h", lambda: edit(writer.tenant("t"), id=note.id, text="h")),
        (None, lambda: purge(writer)),
    ]
    for expected, write in steps:
        write()
        found = await get(cached_db, id=note.id)
        assert (None if found is None else found.text) == expected
        assert await stored(cached_db, note.id) == expected


async def test_a_write_of_one_row_leaves_the_others_stored(
    cached_db: plainsql.Database, writer: Writer
) -> None:
    add(writer, author=1, text="a")
    add(writer, author=2, text="b")
    for author in (1, 2):
        while True:
            before = cached_db.cache.stats().hits
            await by(cached_db, author=author)
            if cached_db.cache.stats().hits > before:
                break
    before = cached_db.cache.stats().hits
    add(writer, author=1, text="c")
    assert len(await by(cached_db, author=2)) == 1
    assert cached_db.cache.stats().hits == before + 1
    assert [note.text for note in await by(cached_db, author=1)] == ["a", "c"]
    assert cached_db.cache.stats().hits == before + 1


async def test_a_transaction_invalidates_at_its_commit_and_nothing_if_it_fails(
    cached_db: plainsql.Database, writer: Writer
) -> None:
    note = add(writer, author=1, text="a")
    assert await stored(cached_db, note.id) == "a"
    with writer.transaction() as tx:
        edit(tx, id=note.id, text="b")
        # Not committed: the stored one is right.
        assert await stored(cached_db, note.id) == "a"
    assert await stored(cached_db, note.id) == "b"
    with pytest.raises(ZeroDivisionError), writer.transaction() as tx:
        raise ZeroDivisionError(edit(tx, id=note.id, text="c"))
    assert await stored(cached_db, note.id) == "b"


async def test_a_reader_between_marker_and_commit_stores_nothing(
    cached_db: plainsql.Database, writer: Writer, fresh_database_url: str
) -> None:
    note = add(writer, author=1, text="a")
    assert await stored(cached_db, note.id) == "a"
    # The write waits for the row, so that its marker is set and it is not committed.
    with psycopg.connect(fresh_database_url) as other:
        other.execute("select from note for update")
        writing = asyncio.create_task(asyncio.to_thread(edit, writer, id=note.id, text="b"))
        waits = (
            "select count(*) from pg_stat_activity"
            " where datname = current_database() and wait_event_type = 'Lock'"
        )
        while other.execute(waits).fetchone() == (0,):
            assert not writing.done()
            await get(cached_db, id=uuid4())
        before = cached_db.cache.stats()
        found = await get(cached_db, id=note.id)
        assert found is not None
        assert found.text == "a"
        assert cached_db.cache.stats().fills == before.fills
        assert cached_db.cache.stats().hits == before.hits
    assert await writing is not None
    assert await stored(cached_db, note.id) == "b"


def test_without_redis_a_write_commits_or_fails_as_it_is_set(fresh_database_url: str) -> None:
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        connection.execute(
            "create table note (id uuid primary key default gen_random_uuid(), author int not null, "
            "text text not null)"
        )
    with redis_server() as server:  # it is not started
        for open_one in (plainsql.sync.connect, Pool):
            with open_one(fresh_database_url, redis=server.url) as db:
                add(db, author=1, text="x")
            with open_one(fresh_database_url, redis=server.url, on_cache_failure="fail") as db:
                with pytest.raises(CacheError, match="this write was not made"):
                    add(db, author=2, text="x")
                with pytest.raises(CacheError, match="this write was not made"), db.transaction() as tx:
                    add(tx, author=2, text="x")
    with psycopg.connect(fresh_database_url) as connection:
        assert connection.execute("select author from note").fetchall() == [(1,), (1,)]


async def test_a_write_that_redis_missed_is_published_when_it_answers(
    fresh_database_url: str, redis_url: str, redis_proxy: Proxy, cached_db: plainsql.Database
) -> None:
    url = f"redis://127.0.0.1:{redis_proxy.port}"
    with await asyncio.to_thread(plainsql.sync.connect, fresh_database_url, redis=url) as db:
        note = await asyncio.to_thread(add, db, author=1, text="a")
        assert await stored(cached_db, note.id) == "a"
        redis_proxy.refuse()
        redis_proxy.cut()
        await asyncio.to_thread(edit, db, id=note.id, text="b")
        await redis_proxy.accept()
        while await get(cached_db, id=note.id) != Note(note.id, 1, "b"):
            pass


async def test_programs_with_another_prefix_do_not_share_a_cache(
    cached_db: plainsql.Database, fresh_database_url: str, redis_url: str
) -> None:
    note = Note(uuid4(), 1, "a")
    with plainsql.sync.connect(fresh_database_url, redis=redis_url, cache_prefix="other") as db:
        db.copy_in("note", [note])
        assert await stored(cached_db, note.id) == "a"
        edit(db, id=note.id, text="b")
        assert await stored(cached_db, note.id) == "a"
    with Redis.from_url(redis_url) as redis:
        assert any(key.startswith(b"plainsql:other:") for key in redis.scan_iter(count=1000))
