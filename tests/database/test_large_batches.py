"""Batches larger than one piece: with every fault while they are sent, the call ends, and what it did
is whole.
"""

# ruff: noqa: ASYNC110, PT017 (what is waited for is at the proxy; each error is looked at)

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import asyncpg
import pytest
import uvloop
from asyncpg import exceptions

import plainsql
from plainsql.database.execution.errors import is_lost
from plainsql.embedded import EmbeddedServer
from plainsql.errors import BindError
from plainsql.query import Args, count, many, one, optional
from plainsql.types import UNSET, UnsetType
from tests.database.stepping import settled
from tests.proxy import Proxy, open_proxy

SETS = 400
LETTER = "x" * 5_000
"""The text of each set: together 2 MB."""


@one[int](
    "l.add",
    "l.sql",
    1,
    "insert into letter (id, text) values (:id, :text) returning id",
    session_clean=True,
)
def add(*, id: int, text: str = LETTER) -> Args:
    return (id, text)


@count("l.put", "l.sql", 1, "insert into letter (id, text) values (:id, :text)")
def put(*, id: int, text: str = LETTER) -> Args:
    return (id, text)


@one[int](
    "l.add_with",
    "l.sql",
    1,
    "with n as (select :id::int as id) insert into letter (id, text) select id, :text from n returning id",
    session_clean=True,
)
def add_with(*, id: int, text: str = LETTER) -> Args:
    return (id, text)


@count(
    "l.rename",
    "l.sql",
    1,
    "update letter set text = :text\nwhere true\n  and id = :id  --?",
    session_clean=True,
)
def rename(*, text: str, id: int | UnsetType = UNSET) -> Args:
    return (text, id)


@optional[int](
    "l.find",
    "l.sql",
    1,
    "select id from letter where id = :id and text = :text",
    read_only=True,
    session_clean=True,
)
def find(*, id: int, text: str = LETTER) -> Args:
    return (id, text)


@many[int]("l.all", "l.sql", 1, "select id from letter order by id", read_only=True, session_clean=True)
def everything() -> Args:
    return ()


LETTERS: list[dict[str, Any]] = [{"id": n} for n in range(SETS)]

CALLS: dict[str, Callable[[Any, list[dict[str, Any]]], Coroutine[Any, Any, Any]]] = {
    "batch": add.batch,
    "execute_many": add.execute_many,
    "batch of what nothing is proved of": put.batch,
    "execute_many of what nothing is proved of": put.execute_many,
    "one after the other": add_with.batch,
    "reads": find.batch,
}
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
WHERE = ["alone", "transaction", "savepoint", "tenant"]


class Setting(NamedTuple):
    db: plainsql.Database
    proxy: Proxy
    outside: Any

    async def kept(self) -> int:
        kept: int = await self.outside.fetchval("select count(*) from letter")
        return kept

    async def serves_on(self) -> None:
        """The database has its connections back."""
        await settled(lambda: self.db.stats().in_use == 0)
        async with asyncio.timeout(30):
            await asyncio.gather(*(everything(self.db) for _ in range(4)))
        await settled(lambda: self.db.stats().in_use == 0)


@pytest.fixture(params=LOOPS)
def run(
    request: pytest.FixtureRequest, server: EmbeddedServer, database_url: str
) -> Iterator[Callable[..., None]]:
    """Run a test in a loop of either kind, with a proxy between the database and its server."""
    name = urlsplit(database_url).path[1:]

    @asynccontextmanager
    async def setting(options: dict[str, Any]) -> AsyncIterator[Setting]:
        outside: Any = await asyncpg.connect(database_url)
        await outside.execute(
            "drop table if exists letter; create table letter (id int primary key, text text)"
        )
        try:
            async with (
                open_proxy(server.socket) as proxy,
                plainsql.connect(proxy.url(name), max_size=2, **options) as db,
            ):
                yield Setting(db, proxy, outside)
        finally:
            await outside.close()

    async def whole(test: Callable[[Setting], Coroutine[Any, Any, None]], options: dict[str, Any]) -> None:
        async with asyncio.timeout(120), setting(options) as made:
            await test(made)

    with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
        yield lambda test, **options: runner.run(whole(test, options))


def _caller(kind: str, sets: Any) -> Callable[[Any], Coroutine[Any, Any, Any]]:
    return lambda on: CALLS[kind](on, sets)


async def call_at(where: str, db: plainsql.Database, call: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
    if where == "alone":
        return await call(db)
    if where == "tenant":
        return await call(db.tenant("acme"))
    async with db.transaction() as tx:
        if where == "transaction":
            return await call(tx)
        async with tx.transaction() as savepoint:
            return await call(savepoint)


@pytest.mark.parametrize("where", WHERE)
def test_a_large_batch_is_done_as_a_small_one(run: Callable[..., None], where: str) -> None:
    async def test(setting: Setting) -> None:
        db = setting.db
        assert await call_at(where, db, lambda on: add.batch(on, LETTERS)) == list(range(SETS))
        assert await call_at(where, db, lambda on: find.batch(on, LETTERS)) == list(range(SETS))
        more = [{"id": n, "text": LETTER * (n % 40)} for n in range(SETS, SETS + 100)]
        assert await call_at(where, db, lambda on: put.batch(on, more)) == [1] * 100
        assert await call_at(where, db, lambda on: add.execute_many(on, [{"id": 9_999}])) is None
        sets = [{"id": n, "text": LETTER} for n in range(100)] + [
            {"text": "y"},
            {"id": 7, "text": "z" * 20_000},
        ]
        assert await call_at(where, db, lambda on: rename.batch(on, sets)) == [*[1] * 100, SETS + 101, 1]
        assert await everything(db) == [*range(SETS + 100), 9_999]
        await setting.serves_on()

    run(test)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("kind", CALLS)
def test_cancelled_while_the_network_is_silent_it_ends_and_nothing_is_kept(
    run: Callable[..., None], where: str, kind: str
) -> None:
    async def test(setting: Setting) -> None:
        for more in (1, 300_000):
            setting.proxy.after(more, setting.proxy.pause)
            task = asyncio.create_task(call_at(where, setting.db, _caller(kind, LETTERS)))
            await setting.proxy.until(lambda: not setting.proxy.waits_for_fault)
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                async with asyncio.timeout(30):
                    await task
            setting.proxy.resume()
            setting.proxy.cut()
            await setting.serves_on()
            assert await setting.kept() == 0

    run(test, statement_timeout=None, connect_timeout=2)


@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize("where", WHERE)
def test_cut_while_it_is_sent_it_is_a_lost_connection(
    run: Callable[..., None], where: str, kind: str
) -> None:
    async def test(setting: Setting) -> None:
        for more in (1, 50_000, 1_000_000):
            setting.proxy.after(more, setting.proxy.cut)
            try:
                await call_at(where, setting.db, _caller(kind, LETTERS))
            except (exceptions.PostgresError, exceptions.InterfaceError, OSError) as error:
                assert is_lost(error), repr(error)
                assert await setting.kept() == 0
            else:
                assert kind == "reads" or await setting.kept() == SETS, "the loss fell on its first statement"
                await setting.outside.execute("truncate letter")
            assert not setting.proxy.waits_for_fault
            await setting.serves_on()

    run(test)


@pytest.mark.parametrize("kind", CALLS)
def test_whenever_its_backend_is_terminated_it_ends_whole(run: Callable[..., None], kind: str) -> None:
    async def test(setting: Setting) -> None:
        failed = 0
        for n in range(12):
            task = asyncio.create_task(call_at(WHERE[n % 4], setting.db, _caller(kind, LETTERS)))
            reached = setting.proxy.to_server.bytes + n * 80_000
            while not task.done() and setting.proxy.to_server.bytes < reached:
                await asyncio.sleep(0)
            await setting.outside.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )
            try:
                async with asyncio.timeout(30):
                    await task
            except (exceptions.PostgresError, exceptions.InterfaceError, OSError) as error:
                assert is_lost(error), repr(error)
                failed += 1
            kept = await setting.kept()
            assert kept in (0, SETS)
            await setting.outside.execute("truncate letter")
            await setting.serves_on()
        assert failed or kind == "reads"

    run(test)


@pytest.mark.parametrize("where", WHERE)
def test_its_time_limit_ends_it_when_the_network_is_silent(run: Callable[..., None], where: str) -> None:
    async def test(setting: Setting) -> None:
        for kind in ("batch", "execute_many"):
            setting.proxy.after(300_000, setting.proxy.pause)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(60):
                    await call_at(where, setting.db, _caller(kind, LETTERS))
            assert not setting.proxy.waits_for_fault
            setting.proxy.resume()
            setting.proxy.cut()
            await setting.serves_on()
            assert await setting.kept() == 0

    run(test, statement_timeout=2, connect_timeout=2)


@pytest.mark.parametrize("where", ["transaction", "savepoint"])
@pytest.mark.parametrize("kind", ["batch", "execute_many", "one after the other"])
def test_a_transaction_that_goes_on_keeps_nothing_of_a_cancelled_batch(
    run: Callable[..., None], where: str, kind: str
) -> None:
    async def test(setting: Setting) -> None:
        kept: set[int] = set()
        for n in range(10):
            async with setting.db.transaction() as outer:
                await put(outer, id=-1)

                async def batch(on: Any, bytes_: int = n * 60_000) -> None:
                    task = asyncio.create_task(CALLS[kind](on, LETTERS))
                    reached = setting.proxy.to_server.bytes + bytes_
                    while not task.done() and setting.proxy.to_server.bytes < reached:
                        await asyncio.sleep(0)
                    task.cancel()
                    await asyncio.wait([task])

                if where == "transaction":
                    await batch(outer)
                else:
                    async with outer.transaction() as savepoint:
                        await batch(savepoint)
                kept.add(await outer_count(outer))
            await setting.outside.execute("truncate letter")
        assert kept <= {1, SETS + 1}
        assert 1 in kept

    async def outer_count(on: Any) -> int:
        return len(await everything(on))

    run(test)


@pytest.mark.parametrize("size", [10, 20_000])
@pytest.mark.parametrize("where", ["alone", "savepoint"])
@pytest.mark.parametrize("kind", CALLS)
def test_a_value_that_does_not_fit_is_told_by_its_set(
    run: Callable[..., None], where: str, kind: str, size: int
) -> None:
    async def test(setting: Setting) -> None:
        number = 100 if size > 10 or kind == "one after the other" else 3_000
        for bad in (1, 2, number - number // 20):
            sets = (
                {"id": n, "text": "x" * size} if n != bad else {"id": "?!", "text": ""}
                for n in range(1, number + 1)
            )
            with pytest.raises(BindError, match=rf"set {bad}: id: expected int4, got str") as raised:
                await call_at(where, setting.db, _caller(kind, sets))
            assert "?!" not in str(raised.value)
            assert await setting.kept() == 0
        await setting.serves_on()

    run(test)


@pytest.mark.parametrize("kind", [kind for kind in CALLS if kind != "reads"])
def test_a_transaction_that_goes_on_keeps_nothing_of_what_did_not_fit(
    run: Callable[..., None], kind: str
) -> None:
    async def test(setting: Setting) -> None:
        for number in (2, 50, SETS):
            sets: list[dict[str, Any]] = [dict(one) for one in LETTERS]
            sets[number - 1] = {"id": "two"}
            async with setting.db.transaction() as tx:
                await put(tx, id=-1)
                with pytest.raises(BindError, match=f"set {number}: "):
                    await CALLS[kind](tx, sets)
                assert await everything(tx) == [-1]
            assert await setting.kept() == 1
            await setting.outside.execute("truncate letter")

    run(test)


def test_what_the_server_refuses_late_leaves_nothing(run: Callable[..., None]) -> None:
    async def test(setting: Setting) -> None:
        sets = [*LETTERS, {"id": 5}]
        for kind in ("batch", "execute_many", "one after the other"):
            for where in WHERE:
                with pytest.raises(asyncpg.UniqueViolationError) as raised:
                    await call_at(where, setting.db, _caller(kind, sets))
                assert any("l.sql" in note for note in raised.value.__notes__)
                assert await setting.kept() == 0
        await setting.serves_on()

    run(test)
