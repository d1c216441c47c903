"""A pipeline: different calls in one round trip, in order, all done or none."""

# ruff: noqa: PT012 (the end of a block raises)

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import Any

import asyncpg
import pytest

import plainsql
from plainsql.errors import BindError, DecodeError, NoRowError, TransactionError
from plainsql.query import Args, count, many, one, optional
from plainsql.speed.loaded import STEP
from tests.proxy import Proxy

CLEAN: Any = {"session_clean": True}


@one[int]("l.add", "l.sql", 1, "insert into line (id, name) values (:id, :name) returning id", **CLEAN)
def add(*, id: int, name: str = "") -> Args:
    return (id, name)


@count("l.rename", "l.sql", 1, "update line set name = :name where id >= :low", **CLEAN)
def rename(*, low: Any, name: str) -> Args:
    return (name, low)


@optional[str]("l.name", "l.sql", 1, "select name from line where id = :id", read_only=True, **CLEAN)
def name_of(*, id: int) -> Args:
    return (id,)


@many[int]("l.ids", "l.sql", 1, "select id from line order by id", read_only=True, **CLEAN)
def ids() -> Args:
    return ()


@one[int]("l.divide", "l.sql", 1, "select 1 / :by::int as x", read_only=True, **CLEAN)
def divide(*, by: int) -> Args:
    return (by,)


@one[int]("l.touch", "l.sql", 1, "update line set name = name where id = :id returning id", **CLEAN)
def touch(*, id: int) -> Args:
    return (id,)


@pytest.fixture
async def lines_db(database_url: str, outside: Any, proxy: Proxy) -> AsyncIterator[plainsql.Database]:
    await outside.execute(
        "drop table if exists line; create table line (id int primary key, name text not null)"
    )
    name = database_url.partition("?")[0].rpartition("/")[2]
    async with plainsql.connect(proxy.url(name), max_size=1, cache=False) as db:
        yield db


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a transaction"])
async def test_results_are_in_order_and_see_what_came_before(
    lines_db: plainsql.Database, inside: bool
) -> None:
    async def run(on: Any) -> None:
        async with on.pipeline() as pipeline:
            first = pipeline.add(add, id=1, name="a")
            pipeline.add(add, id=2, name="x" * 90_000)
            pipeline.add(add, id=3, name="y" * 90_000)
            changed = pipeline.add(rename, low=2, name="b")
            found = pipeline.add(name_of, id=2)
            none = pipeline.add(name_of, id=9)
            every = pipeline.add(ids)
            with pytest.raises(TransactionError, match="its block has not ended"):
                first.result()
        assert (first.result(), changed.result(), found.result(), none.result()) == (1, 2, "b", None)
        assert every.result() == [1, 2, 3]

    if inside:
        async with lines_db.transaction() as tx:
            await run(tx)
    else:
        await run(lines_db)
    assert await ids(lines_db) == [1, 2, 3]


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a transaction"])
@pytest.mark.parametrize(
    ("bad", "parameters", "expected"),
    [
        (divide, {"by": 0}, asyncpg.DivisionByZeroError),
        (rename, {"low": "low", "name": ""}, BindError),
        (rename, {"low": 1, "name": "\0"}, BindError),
        (touch, {"id": 9}, NoRowError),
    ],
    ids=["server", "argument", "nul", "rows"],
)
async def test_one_that_fails_raises_its_error_and_nothing_is_done(
    lines_db: plainsql.Database, outside: Any, inside: bool, bad: Any, parameters: Any, expected: Any
) -> None:
    async def run(on: Any) -> None:
        with pytest.raises(expected) as raised:
            async with on.pipeline() as pipeline:
                before = pipeline.add(add, id=1)
                pipeline.add(bad, **parameters)
                pipeline.add(add, id=2)
        said = [str(raised.value), *getattr(raised.value, "__notes__", [])]
        assert any(bad.name in text for text in said), said
        with pytest.raises(TransactionError, match="it has failed"):
            before.result()  # pyright: ignore[reportPossiblyUnboundVariable]

    if not inside:
        await run(lines_db)
    elif expected is asyncpg.DivisionByZeroError:
        with pytest.raises(TransactionError):  # the server has aborted it
            async with lines_db.transaction() as tx:
                await run(tx)
    else:
        async with lines_db.transaction() as tx:
            await add(tx, id=7)
            await run(tx)
        await outside.execute("delete from line where id = 7")
    assert await outside.fetchval("select count(*) from line") == 0
    assert await ids(lines_db) == []


async def test_a_block_that_fails_sends_nothing(lines_db: plainsql.Database) -> None:
    with pytest.raises(KeyError):
        async with lines_db.pipeline() as pipeline:
            place = pipeline.add(add, id=1)
            raise KeyError
    with pytest.raises(TransactionError, match="nothing was sent"):
        place.result()  # pyright: ignore[reportPossiblyUnboundVariable]
    with pytest.raises(TransactionError, match="the pipeline has ended"):
        pipeline.add(add, id=2)  # pyright: ignore[reportPossiblyUnboundVariable]
    with pytest.raises(BindError):
        async with lines_db.pipeline() as pipeline:
            pipeline.add(add, ident=1)  # type: ignore[call-arg]
    async with lines_db.pipeline():
        pass
    assert await ids(lines_db) == []


@pytest.mark.skipif(STEP is None, reason="the compiled part is not in use")
async def test_different_statements_are_one_round_trip(lines_db: plainsql.Database, proxy: Proxy) -> None:
    async def run(first: int) -> Counter[str]:
        async with lines_db.transaction() as tx:
            before = Counter(proxy.to_server.messages)
            async with tx.pipeline() as pipeline:
                pipeline.add(rename, low=first, name="b")
                pipeline.add(ids)
                pipeline.add(rename, low=first, name="c")
            sent = Counter(proxy.to_server.messages)
        sent.subtract(before)
        return sent

    await run(1)
    sent = await run(2)
    assert (sent["B"], sent["E"], sent["S"], sent["Q"]) == (3, 3, 1, 0)


@pytest.mark.skipif(STEP is None, reason="the compiled part is not in use")
async def test_a_statement_that_leaves_the_cache_meanwhile_stays_open(
    lines_db: plainsql.Database, proxy: Proxy
) -> None:
    await ids(lines_db)
    await name_of(lines_db, id=1)
    async with lines_db.transaction() as tx:
        connection = tx.connection
        proxy.hold_after("1")  # the answer to Parse: the second of the three is being prepared
        task = asyncio.create_task(_three(tx))
        async with asyncio.timeout(10):
            while not proxy.holds:  # noqa: ASYNC110 (in the proxy)
                await asyncio.sleep(0)
        connection._drop_local_statement_cache()  # as when another connection finds a changed table
        proxy.resume()
        assert await task == ([], 0, None)
        assert await ids(tx) == []


async def _three(tx: Any) -> tuple[Any, Any, Any]:
    async with tx.pipeline() as pipeline:
        places = pipeline.add(ids), pipeline.add(rename, low=1, name="a"), pipeline.add(name_of, id=1)
    return (places[0].result(), places[1].result(), places[2].result())


@pytest.mark.skipif(STEP is None, reason="the compiled part is not in use")
async def test_a_changed_table_fails_one_pipeline_on_a_connection(
    lines_db: plainsql.Database, outside: Any
) -> None:
    async def run() -> list[int]:
        async with lines_db.pipeline() as pipeline:
            found = pipeline.add(ids)
        return found.result()

    assert await run() == []
    await outside.execute("alter table line alter id type int8")
    with pytest.raises(asyncpg.InvalidCachedStatementError):
        await run()
    assert await run() == []


@pytest.mark.parametrize("together", [True, False], ids=["pipeline", "shared"])
async def test_statements_that_are_too_long_for_the_cache_are_not_mixed_up(
    lines_db: plainsql.Database, together: bool
) -> None:
    await ids(lines_db)
    if together:
        async with lines_db.pipeline() as pipeline:
            places = [pipeline.add(long) for long in LONG]
        found = [place.result() for place in places]
    else:
        calls = [long(on) for on in (lines_db, lines_db.tenant("a"), lines_db.tenant("b")) for long in LONG]
        found = await asyncio.gather(*calls)
        assert found[:3] == found[3:6] == found[6:]
        assert [await long(lines_db.tenant("a")) for long in LONG] == found[:3]
    assert found[-3:] == ["0", "1", "2"]


def _long(number: int) -> Any:
    sql = f"select '{number}' || left('{'x' * 20_000}', 0) as x"

    @one[str](f"l.long{number}", "l.sql", 1, sql, read_only=True, by_key=True, **CLEAN)
    def long() -> Args:
        return ()

    return long


LONG = [_long(number) for number in range(3)]


@one[Any]("l.early", "l.sql", 1, "select date '0001-01-01' - 1 as day", read_only=True, **CLEAN)
def early() -> Args:
    return ()


@many[Any]("l.days", "l.sql", 1, "select date '0001-01-01' - 1 as day", read_only=True, **CLEAN)
def days() -> Args:
    return ()


@pytest.mark.parametrize("unreadable", [early, days])
async def test_a_result_that_cannot_be_read_undoes_the_pipeline(
    lines_db: plainsql.Database, unreadable: Any
) -> None:
    await add(lines_db, id=1, name="a")
    is_aborted = STEP is not None and unreadable is days
    with pytest.raises(TransactionError) if is_aborted else nullcontext():
        async with lines_db.transaction() as tx:
            with pytest.raises(DecodeError, match=unreadable.name):
                async with tx.pipeline() as pipeline:
                    pipeline.add(rename, low=1, name="b")
                    pipeline.add(unreadable)
    assert await name_of(lines_db, id=1) == "a"


async def test_a_result_that_cannot_be_read_leaves_the_transaction_usable(
    lines_db: plainsql.Database,
) -> None:
    async with lines_db.transaction() as tx:
        with pytest.raises(DecodeError):
            async with tx.pipeline() as pipeline:
                pipeline.add(ids)
                pipeline.add(days)
        await add(tx, id=1)
    assert await ids(lines_db) == [1]
