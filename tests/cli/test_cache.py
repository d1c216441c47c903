"""``plainsql cache``: audits by running programs, and the invalidation after external writes."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import PIPE, Popen

import psycopg
import pytest
from redis.asyncio import Redis

import plainsql
from plainsql.cache.outbox import migration
from plainsql.cache.redis_store import RedisStore
from plainsql.dependencies import CachedRead, Dependency
from plainsql.errors import CacheError, SettingsError
from plainsql.query import Args, optional
from plainsql.rows import Row
from tests.cli.conftest import NOTES, Command, Done, Write
from tests.redis_server import RedisServer, redis_server

TABLE = (
    "create table note (id int primary key, text text not null); insert into note values (1, 'a'), (2, 'b')"
)
OUTBOX = migration({"public.note": ["id"]}).apply


class Note(Row, frozen=True):
    id: int
    text: str


@optional[Note](
    "n.get",
    "n.sql",
    1,
    "select id, text from note where id = :id",
    read_only=True,
    session_clean=True,
    cache=CachedRead(600, (Dependency("public.note", "id", "id"),)),
)
def get(*, id: int) -> Args:
    return (id,)


@pytest.fixture(scope="module")
def redis_of_module() -> Iterator[RedisServer]:
    """A Redis of this module: an audit speaks to all programs that share one."""
    with redis_server() as server:
        server.start()
        yield server


@pytest.fixture
async def redis(redis_of_module: RedisServer) -> RedisServer:
    """The same, empty."""
    async with Redis.from_url(redis_of_module.url) as client:
        await client.flushall()
    return redis_of_module


@pytest.fixture
def table(configured: str) -> Iterator[psycopg.Connection]:
    """A connection for writes past plainsql."""
    with psycopg.connect(configured, autocommit=True) as connection:
        connection.execute(TABLE.encode())
        yield connection


async def stored(db: plainsql.Database, id: int) -> Note:
    """Read until the result comes from the cache: a new Redis stores nothing for a second."""
    hits = db.cache.stats().hits
    while True:
        found = await get(db, id=id)
        if db.cache.stats().hits > hits:
            assert found is not None
            return found
        await asyncio.sleep(0.02)


@asynccontextmanager
async def reading(db: plainsql.Database, id: int) -> AsyncIterator[None]:
    """A program that goes on reading in the background."""

    async def read() -> None:
        while True:
            await get(db, id=id)
            await asyncio.sleep(0.005)

    await stored(db, id)
    task = asyncio.ensure_future(read())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.timeout(120)
async def test_an_audit_finds_exactly_the_external_write(
    table: psycopg.Connection, redis: RedisServer, configured: str, process: Command
) -> None:
    async def audit() -> Done:
        command = ("cache", "audit", "--sample", "100%", "--seconds", "3", "--redis", redis.url)
        return await asyncio.to_thread(process, *command, "--json")

    async with (
        plainsql.connect(configured, redis=redis.url) as broken,
        plainsql.connect(configured, redis=redis.url) as whole,
        reading(broken, 1),
        reading(whole, 2),
    ):
        done = await audit()
        assert done.code == 0, done
        told = json.loads(done.out)
        assert (told["processes"], told["violations"], told["found"]) == (2, 0, [])
        assert told["audited"] > 0
        assert [query["query"] for query in told["queries"]] == ["n.get"]

        table.execute("update note set text = 'secret value' where id = 1")
        done = await audit()
        assert done.code == 1, done
        told = json.loads(done.out)
        assert told["processes"] == 2
        assert 0 < told["violations"] < told["audited"]
        assert told["queries"] == [
            {"query": "n.get", "audited": told["audited"], "violations": told["violations"]}
        ]
        assert {(found["query"], *found["tables"]) for found in told["found"]} == {("n.get", "public.note")}
        assert "secret" not in done.out
        assert broken.cache.stats().violations > 0
        assert whole.cache.stats().violations == 0

        audited = whole.cache.stats().audited
        await stored(whole, 2)
        assert whole.cache.stats().audited == audited, "after the audit, no hit is read again"


@pytest.mark.timeout(60)
async def test_the_report_is_lines_and_has_the_results_of_ended_processes(
    table: psycopg.Connection, redis: RedisServer, configured: str, process: Command
) -> None:
    command = ("cache", "audit", "--sample", "1", "--seconds", "5")
    environment = {"REDIS_URL": redis.url}
    async with Redis.from_url(redis.url) as client:
        asked = asyncio.create_task(asyncio.to_thread(process, *command, environment=environment))
        while not await client.exists("plainsql:{~}:audit"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        store = RedisStore(redis.url)
        with pytest.raises(CacheError, match="another audit is in progress"):
            await store.audits.request(1, 1)
        await store.aclose()
        async with plainsql.connect(configured, redis=redis.url) as db:
            while not db.cache.stats().audited:
                await get(db, id=1)
                await asyncio.sleep(0.005)
        audited = db.cache.stats().audited
        done = await asked
        assert done.code == 0, done
        assert done.out.splitlines() == [
            "query    audited  violations",
            f"n.get  {audited:>9,}           0",
            f"{audited:,} hit{'s' if audited > 1 else ''} audited by 1 process: 0 violations",
        ]
        assert not await client.exists("plainsql:{~}:audit"), "nothing is left behind"


def test_an_audit_that_no_process_answers_says_so(process: Command, redis_of_module: RedisServer) -> None:
    done = process("cache", "audit", "--seconds", "0.1", "--redis", redis_of_module.url)
    assert done.code == 2
    assert done.err.startswith("no process answered: nothing was audited\nHINT: ")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--sample", "0"], "--sample: expected a part of the hits, such as 1% or 0.01, got '0'"),
        (["--sample", "101%"], "--sample: expected a part"),
        (["--sample", "1%%"], "--sample: expected a part"),
        (["--sample", "nan"], "--sample: expected a part"),
        (["--seconds", "0"], "--seconds: expected seconds above 0"),
        ([], "no Redis is configured"),
        (["--redis", "unix:///nowhere/redis.sock"], "cannot be reached"),
    ],
)
def test_an_audit_that_cannot_be_is_refused(
    arguments: list[str], error: str, command: Command, monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    write(NOTES)
    for name in ("REDIS_URL", "REDIS_HOST"):
        monkeypatch.delenv(name, raising=False)
    done = command("cache", "audit", *arguments)
    assert (done.code, done.out) == (2, "")
    assert error in done.err


# The outbox ------------------------------------------------------------------------------------------------


def _start(command: list[str]) -> Popen[str]:
    return Popen(command, stdout=PIPE, stderr=PIPE, text=True)


async def until(db: plainsql.Database, text: str) -> None:
    """Wait until a cached read sees an external write."""
    while (found := await get(db, id=1)) is None or found.text != text:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


@pytest.mark.timeout(60)
async def test_an_external_write_is_visible_after_draining(
    table: psycopg.Connection, redis: RedisServer, configured: str, process: Command
) -> None:
    table.execute(OUTBOX.encode())
    async with plainsql.connect(configured, redis=redis.url) as db:
        await stored(db, 1)
        table.execute("update note set text = 'new' where id = 1")
        assert (await stored(db, 1)).text == "a", "no drainer has run"
        done = await asyncio.to_thread(process, "cache", "drain", "--once", "--redis", redis.url)
        assert (done.code, done.out) == (0, "1 external write processed\n")
        found = await get(db, id=1)
        assert found is not None
        assert found.text == "new"
        table.execute("update note set text = 'newer' where id = 1")
        assert await db.cache.drain() == 1
        assert await db.cache.drain() == 0
        assert db.cache.stats().drained == 1
        await until(db, "newer")


@pytest.mark.timeout(60)
async def test_one_database_drains_in_the_background_and_another_takes_over(
    table: psycopg.Connection, redis: RedisServer, configured: str
) -> None:
    table.execute(OUTBOX.encode())
    async with plainsql.connect(configured, redis=redis.url) as reader:
        first = await plainsql.connect(configured, redis=redis.url, cache_outbox=True)
        await stored(reader, 1)
        table.execute("update note set text = 'first' where id = 1")
        await until(reader, "first")
        async with plainsql.connect(configured, redis=redis.url, cache_outbox=True) as second:
            await stored(reader, 1)
            table.execute("update note set text = 'again' where id = 1")
            await until(reader, "again")
            assert (first.cache.stats().drained, second.cache.stats().drained) == (2, 0)
            await first.close()
            await stored(reader, 1)
            table.execute("update note set text = 'second' where id = 1")
            await until(reader, "second")
            assert second.cache.stats().drained == 1
            # Its connection is lost, and with it the lock.
            table.execute(
                "select pg_terminate_backend(pid) from pg_locks"
                " where locktype = 'advisory' and pid <> pg_backend_pid()"
                " and database = (select oid from pg_database where datname = current_database())"
            )
            await stored(reader, 1)
            table.execute("update note set text = 'third' where id = 1")
            await until(reader, "third")
        left = table.execute("select count(*) from plainsql.cache_outbox").fetchone()
        assert left == (0,)


@pytest.mark.timeout(60)
async def test_a_drainer_that_is_killed_loses_no_note(
    table: psycopg.Connection, redis: RedisServer, configured: str, process: Command
) -> None:
    table.execute(OUTBOX.encode())
    command = [sys.executable, "-m", "plainsql", "cache", "drain", "--redis", redis.url]
    drainer = _start(command)
    try:
        assert drainer.stderr is not None
        line = await asyncio.to_thread(drainer.stderr.readline)
        assert line.startswith("draining postgresql://")
        async with plainsql.connect(configured, redis=redis.url) as db:
            await stored(db, 1)
            redis.freeze()  # it reads the record, and cannot invalidate
            try:
                table.execute("update note set text = 'new' where id = 1")
                while not table.execute(  # noqa: ASYNC110
                    "select from pg_stat_activity where datname = current_database()"
                    " and application_name = 'plainsql cache drain'"
                    " and state = 'idle in transaction' and query like '%delete from%'"
                ).fetchall():
                    await asyncio.sleep(0.005)
                drainer.kill()
                drainer.wait()
            finally:
                redis.thaw()
            assert table.execute("select count(*) from plainsql.cache_outbox").fetchone() == (1,)
            done = await asyncio.to_thread(process, "cache", "drain", "--once", "--redis", redis.url)
            assert (done.code, done.out) == (0, "1 external write processed\n")
            await until(db, "new")
    finally:
        drainer.kill()
        drainer.communicate()


@pytest.mark.timeout(60)
async def test_a_drainer_ends_on_a_signal(
    table: psycopg.Connection, redis: RedisServer, configured: str
) -> None:
    table.execute(OUTBOX.encode())
    table.execute("update note set text = 'new'")
    command = [sys.executable, "-m", "plainsql", "cache", "drain", "--redis", redis.url]
    drainer = _start(command)
    while table.execute("select count(*) from plainsql.cache_outbox").fetchone() != (0,):
        assert drainer.poll() is None
        await asyncio.sleep(0.01)
    drainer.send_signal(signal.SIGTERM)
    out, _ = await asyncio.to_thread(drainer.communicate)
    assert (drainer.returncode, out) == (0, "1 external write processed\n")


async def test_draining_without_an_outbox_or_a_connection_is_refused(configured: str) -> None:
    with pytest.raises(SettingsError, match=r"there is no table plainsql\.cache_outbox to drain"):
        await plainsql.connect(configured, cache_outbox=True)
    with pytest.raises(SettingsError, match="expected max_size=2 or more"):
        plainsql.connect(configured, cache_outbox=True, max_size=1)
    with pytest.raises(SettingsError, match="cache_outbox: expected a cache"):
        plainsql.connect(configured, cache_outbox=True, cache=False)


# Triggers --------------------------------------------------------------------------------------------------

CACHED = {
    "sql/notes/get.sql": (
        "-- One note.\n-- returns: optional Note\n-- cache: 5m\n"
        "select n.id, n.text, n.stars\nfrom notes as n\nwhere n.id = :id\n"
    )
}
BY_STARS = {
    "sql/notes/list_by_stars.sql": (
        "-- Notes with so many stars.\n-- returns: many Note\n-- cache: 5m\n"
        "select n.id, n.text, n.stars\nfrom notes as n\nwhere n.stars = :stars\norder by n.id\n"
    )
}
UP, DOWN = "migrations/0002_note_writes_for_cache.sql", "migrations/0002_note_writes_for_cache.rollback.sql"


def test_triggers_are_on_the_tables_of_cached_reads_and_change_no_map(
    write: Write, command: Command, configured: str
) -> None:
    folder = write(NOTES)
    done = command("cache", "triggers")
    assert done.code == 2
    assert "no query is cached" in done.err
    write(CACHED)
    assert command("generate").code == 0
    before = command("check", "--cache-map")
    assert before.code == 0, before
    printed = command("cache", "triggers")
    assert printed.code == 0
    assert "after update on public.notes" in printed.out
    assert not (folder / UP).exists()

    done = command("cache", "triggers", "--write")
    assert (done.code, done.out.split()) == (0, [UP, DOWN]), done
    assert printed.out.startswith((folder / UP).read_text())
    assert command("migrate").code == 0
    assert command("generate").code == 0
    after = command("check", "--cache-map")
    assert (after.code, after.out) == (0, before.out), "a write changes what it did, and its notes"
    again = command("cache", "triggers", "--write")
    assert (again.code, again.out, again.err) == (
        0,
        "",
        "nothing to write: the migrations have all triggers\n",
    )

    with psycopg.connect(configured, autocommit=True) as connection:
        connection.execute("insert into notes (text, stars) values ('x', 3)")
        noted = connection.execute("select table_name, known from plainsql.cache_outbox").fetchall()
        assert noted == [("public.notes", {"id": [1]})]


def test_a_new_recorded_column_replaces_the_function_until_the_rollback(
    write: Write, command: Command, configured: str
) -> None:
    write(NOTES | CACHED)
    assert command("cache", "triggers", "--write").code == 0
    write({"migrations/0003_index.sql": "create index on notes (stars);\n"})
    write({"migrations/0003_index.rollback.sql": "drop index notes_stars_idx;\n"} | BY_STARS)
    done = command("cache", "triggers", "public.notes", "--write")
    assert done.code == 0, done
    assert "create trigger" not in Path(done.out.split()[0]).read_text()
    assert command("migrate").code == 0
    insert = "insert into notes (text, stars) values ('x', 3)"
    last = "select known from plainsql.cache_outbox order by id desc limit 1"
    with psycopg.connect(configured, autocommit=True) as connection:
        connection.execute(insert)
        assert connection.execute(last).fetchone() == ({"id": [1], "stars": [3]},)
        assert command("migrate", "rollback", "--steps", "1").code == 0
        connection.execute(insert)
        assert connection.execute(last).fetchone() == ({"id": [2]},)
    assert command("migrate").code == 0
    assert command("migrate", "rollback", "--all").code == 0
    with psycopg.connect(configured) as connection:
        assert connection.execute("select to_regclass('plainsql.cache_outbox')").fetchone() == (None,)


def test_in_a_folder_with_layers_each_has_its_own_pair(
    write: Write, command: Command, configured: str
) -> None:
    files: dict[str, str | bytes] = {"pyproject.toml": "[tool.plainsql]\n"}
    for layer in ("blog", "shop"):
        files |= {
            f"migrations/{layer}/0001_t.sql": (
                f"create schema {layer};\ncreate table {layer}.t (id int primary key, v text not null);\n"
            ),
            f"migrations/{layer}/0001_t.rollback.sql": f"drop schema {layer} cascade;\n",
            f"sql/{layer}/t/get.sql": (
                "-- One.\n-- returns: optional T\n-- cache: 5m\n"
                f"select t.v\nfrom {layer}.t as t\nwhere t.id = :id\n"
            ),
        }
    write(files)
    done = command("cache", "triggers", "--write")
    assert done.code == 0, done
    assert done.out.split()[::2] == [
        f"migrations/{layer}/0002_note_writes_for_cache.sql" for layer in ("blog", "shop")
    ]
    assert command("migrate").code == 0
    assert command("migrate", "rollback", "--layer", "blog").code == 0
    with psycopg.connect(configured, autocommit=True) as connection:
        connection.execute("insert into shop.t values (1, 'x'); insert into blog.t values (1, 'x')")
        noted = connection.execute("select table_name from plainsql.cache_outbox").fetchall()
    assert noted == [("shop.t",)]
    done = command("cache", "triggers", "shop.u")
    assert done.code == 2
    assert done.err == "no cached read depends on 'shop.u'\nHINT: they depend on blog.t, shop.t\n"
