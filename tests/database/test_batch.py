"""Many sets of parameters: one round trip, typed results in order, all or nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import asyncpg
import pytest
from asyncpg import exceptions

import plainsql
from plainsql.database.execution.asyncpg_version import PIPELINES_RETURN_ROWS
from plainsql.errors import BindError, NoRowError, TooManyRowsError
from plainsql.query import Args, count, many, one, optional
from plainsql.rows import Row
from plainsql.types import UNSET, UnsetType
from tests.database.ask import READS
from tests.database.stepping import at_every_wait, settled
from tests.proxy import Proxy

IN_PIPELINES = pytest.mark.skipif(
    not PIPELINES_RETURN_ROWS, reason="asyncpg 0.29 returns no rows from a pipeline"
)


class Item(Row, frozen=True):
    id: int
    name: str | None
    tags: list[str]


@optional[Item](
    "t.get", "t.sql", 1, "select id, name, tags from item where id = :id", read_only=True, session_clean=True
)
def get(*, id: int) -> Args:
    return (id,)


@optional[Item](
    "t.by_key",
    "t.sql",
    1,
    "select id, name, tags from item where id = :id",
    read_only=True,
    session_clean=True,
    by_key=True,
)
def get_by_key(*, id: int) -> Args:
    return (id,)


@many[int](
    "t.named",
    "t.sql",
    1,
    "select id from item where tags && :tags\n  and name = :name  --?\norder by id",
    read_only=True,
    session_clean=True,
)
def named(*, tags: list[str], name: str | UnsetType | None = UNSET) -> Args:
    return (tags, name)


@one[Item](
    "t.add",
    "t.sql",
    1,
    "insert into item (id, name, tags) values (:id, :name, :tags) returning id, name, tags",
    session_clean=True,
)
def add(*, id: int, name: str | None = None, tags: list[str] | None = None) -> Args:
    return (id, name, tags or [])


@one[int](
    "t.rename", "t.sql", 1, "update item set name = :name where id = :id returning id", session_clean=True
)
def rename(*, id: int, name: str) -> Args:
    return (name, id)


@one[int](
    "t.rename",
    "t.sql",
    1,
    "update item set name = :name where id >= :low and id <= :high returning id",
    session_clean=True,
)
def rename_from(*, low: int, high: int, name: str) -> Args:
    return (name, low, high)


@optional[int](
    "t.try",
    "t.sql",
    1,
    "update item set name = :name where id >= :low and id <= :high returning id",
    session_clean=True,
)
def rename_one_at_most(*, low: int, high: int, name: str) -> Args:
    return (name, low, high)


@many[int](
    "t.many",
    "t.sql",
    1,
    "update item set name = :name where id >= :low and id <= :high returning id",
    session_clean=True,
)
def rename_many(*, low: int, high: int, name: str) -> Args:
    return (name, low, high)


@count("t.delete", "t.sql", 1, "delete from item where id >= :low and id <= :high", session_clean=True)
def delete(*, low: int, high: int) -> Args:
    return (low, high)


@one[int](
    "t.move",
    "t.sql",
    1,
    "with gone as (delete from item where id = :id returning id)"
    " insert into item (id) select id + 1000 from gone returning id",
    session_clean=True,
)
def move(*, id: int) -> Args:
    return (id,)


@one[int]("t.unknown", "t.sql", 1, "insert into item (id) values (:id) returning id")
def add_unknown(*, id: int) -> Args:
    return (id,)


@pytest.fixture
async def outside(outside: Any) -> Any:
    """The connection outside of the pool, after it has created the table ``item`` afresh."""
    await outside.execute(
        """
        drop table if exists item;
        create table item (id int primary key, name text, tags text[] not null default '{}');
        insert into item select n, 'n' || n, array['t' || n % 3] from generate_series(1, 100) as n;
        """
    )
    return outside


@pytest.fixture
async def proxied_items_db(database_url: str, outside: Any, proxy: Proxy) -> AsyncIterator[plainsql.Database]:
    name = database_url.partition("?")[0].rpartition("/")[2]
    async with plainsql.connect(proxy.url(name), max_size=2) as db:
        yield db


async def _round_trips(proxy: Proxy, call: Any) -> int:
    """The number of times that the driver waits for the server: a round ends with Sync, Flush or a simple
    query.
    """
    before = Counter(proxy.to_server.messages)
    await call
    sent = Counter(proxy.to_server.messages)
    sent.subtract(before)
    return sent["S"] + sent["H"] + sent["Q"]


async def _total(outside: Any) -> int:
    total: int = await outside.fetchval("select count(*) from item")
    return total


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a transaction"])
async def test_results_are_typed_and_in_the_order_of_the_sets(
    proxied_items_db: plainsql.Database, inside: bool
) -> None:
    async def check(on: Any) -> None:
        assert await get.batch(on, [{"id": n} for n in (7, 1000, 7, 1)]) == [
            Item(7, "n7", ["t1"]),
            None,
            Item(7, "n7", ["t1"]),
            Item(1, "n1", ["t1"]),
        ]
        sets: list[Any] = [
            {"tags": ["t0", "t1"]},
            {"tags": [], "name": "n1"},
            {"tags": ["t1"], "name": "n1"},
            {"tags": ["t2"]},
        ]
        assert await named.batch(on, sets) == [await named(on, **one) for one in sets]
        assert await add.batch(on, [{"id": n, "tags": ["x"] * (n % 3)} for n in (300, 200, 205)]) == [
            Item(300, None, []),
            Item(200, None, ["x", "x"]),
            Item(205, None, ["x"]),
        ]
        assert await rename_one_at_most.batch(
            on,
            [
                {"low": 1, "high": 1, "name": "a"},
                {"low": 0, "high": 0, "name": "b"},
                {"low": 2, "high": 2, "name": "c"},
            ],
        ) == [1, None, 2]
        found = await rename_many.batch(
            on,
            [
                {"low": 1, "high": 3, "name": "a"},
                {"low": 0, "high": 0, "name": "b"},
                {"low": 9, "high": 9, "name": "c"},
            ],
        )
        assert [sorted(rows) for rows in found] == [[1, 2, 3], [], [9]]
        assert await delete.batch(
            on, [{"low": 1, "high": 5}, {"low": 1, "high": 5}, {"low": 6, "high": 6}]
        ) == [5, 0, 1]
        assert await move.batch(on, [{"id": 10}, {"id": 11}]) == [1010, 1011]
        assert await add_unknown.batch(on, [{"id": 501}, {"id": 500}]) == [501, 500]
        for query in (get, add, delete, move):
            assert await query.batch(on, []) == []

    if inside:
        async with proxied_items_db.transaction() as tx:
            await check(tx)
    else:
        await check(proxied_items_db)


@IN_PIPELINES
async def test_a_hundred_reads_are_one_round_trip(
    proxied_items_db: plainsql.Database, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    from plainsql.database.execution import batch as many

    monkeypatch.setattr(many, "_MAX_STATEMENT_S", 60.0)  # the machine may be slow
    sets = [{"id": n} for n in range(100)]
    for query in (get, get_by_key):
        await query.batch(proxied_items_db, sets)
        assert await _round_trips(proxy, query.batch(proxied_items_db, sets)) == 1


@IN_PIPELINES
@pytest.mark.parametrize(
    ("query", "sets"),
    [
        (add, [{"id": 1000 + n} for n in range(500)]),
        (rename, [{"id": n, "name": "x"} for n in range(1, 100)]),
        (delete, [{"low": n, "high": n} for n in range(1, 100)]),
        (rename_many, [{"low": n, "high": n + 2, "name": "x"} for n in range(1, 90)]),
    ],
    ids=lambda value: value.name if hasattr(value, "name") else "",
)
async def test_many_writes_are_one_round_trip(
    proxied_items_db: plainsql.Database, proxy: Proxy, query: Any, sets: list[Any]
) -> None:
    first, rest = sets[:2], sets[2:]
    await query.batch(proxied_items_db, first)
    assert await _round_trips(proxy, query.batch(proxied_items_db, rest)) == 1
    await query.execute_many(proxied_items_db, rest[:0])
    await delete.execute_many(proxied_items_db, [{"low": 900, "high": 900}] * 2)
    assert (
        await _round_trips(proxy, delete.execute_many(proxied_items_db, [{"low": 900, "high": 900}] * 50))
        == 1
    )


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a transaction"])
async def test_a_row_too_few_in_one_set_and_too_many_in_another_is_an_error(
    proxied_items_db: plainsql.Database, outside: Any, inside: bool
) -> None:
    """Two sets and two rows, but none of the first and two of the second."""
    too_few = [{"low": 0, "high": 0, "name": "x"}, {"low": 1, "high": 2, "name": "x"}]
    too_many = [{"low": 1, "high": 1, "name": "x"}, {"low": 1, "high": 2, "name": "x"}]

    async def run(query: Any, sets: list[Any]) -> None:
        if inside:
            async with proxied_items_db.transaction() as tx:
                await query.batch(tx, sets)
        else:
            await query.batch(proxied_items_db, sets)

    with pytest.raises(NoRowError, match="exactly one row for each set of parameters, got 0 for set 1"):
        await run(rename_from, too_few)
    with pytest.raises(TooManyRowsError, match="exactly one row for each set of parameters, got 2 for set 2"):
        await run(rename_from, too_many)
    with pytest.raises(TooManyRowsError, match="at most one row for each set of parameters, got 2 for set 2"):
        await run(rename_one_at_most, too_few)
    assert await outside.fetchval("select count(*) from item where name = 'x'") == 0, "nothing was done"
    assert await get(proxied_items_db, id=1) == Item(1, "n1", ["t1"])


@pytest.mark.parametrize(
    "many_of_it", [add.batch, add.execute_many, add_unknown.batch, add_unknown.execute_many]
)
async def test_what_fails_in_the_middle_leaves_nothing(
    proxied_items_db: plainsql.Database, outside: Any, many_of_it: Any
) -> None:
    before = await _total(outside)
    sets: list[dict[str, Any]] = [{"id": 2000 + n} for n in range(300)]
    sets[250] = {"id": 1}
    with pytest.raises(asyncpg.UniqueViolationError) as raised:
        await many_of_it(proxied_items_db, sets)
    assert any("t.sql" in note for note in raised.value.__notes__)
    sets[250] = {"id": "one"}
    with pytest.raises(BindError, match="id: expected int4, got str"):
        await many_of_it(proxied_items_db, sets)
    assert await _total(outside) == before
    assert await get(proxied_items_db, id=1) is not None
    await settled(lambda: proxied_items_db.stats().in_use == 0)


@many[Item](
    "t.add_named",
    "t.sql",
    1,
    "insert into item (id, name) values (:id, :name) returning id, name, tags",
    session_clean=True,
    not_null=("name",),
)
def add_named(*, id: int, name: str | None) -> Args:
    return (id, name)


@pytest.mark.parametrize("count", [1, 3, 5000])
async def test_rows_that_cannot_be_read_leave_nothing_in_a_transaction(
    proxied_items_db: plainsql.Database, outside: Any, count: int
) -> None:
    """The server has no error: the header says of a column that it is not null, and one is."""
    before = await _total(outside)
    sets: list[Any] = [{"id": 2000 + n, "name": "n"} for n in range(count)]
    sets[-1]["name"] = None
    with suppress(plainsql.TransactionError, exceptions.PostgresError):  # it is aborted, or the batch undone
        async with proxied_items_db.transaction() as tx:
            with pytest.raises(BindError):
                await add_named.batch(tx, [{"id": "one", "name": "n"}])
            with pytest.raises(plainsql.DecodeError):
                await add_named.batch(tx, sets)
    assert await _total(outside) == before
    await settled(lambda: proxied_items_db.stats().in_use == 0)


async def test_of_many_reads_the_bad_one_is_named(proxied_items_db: plainsql.Database) -> None:
    sets: list[dict[str, Any]] = [{"tags": ["t1"], "name": "n1"} for _ in range(50)]
    sets[30] = {"tags": ["t1"], "name": 7}
    with pytest.raises(BindError, match="name: expected text, got int"):
        await named.batch(proxied_items_db, sets)
    async with proxied_items_db.transaction() as tx:
        with pytest.raises(BindError, match="name: expected text, got int"):
            await named.batch(tx, sets)
    assert await named(proxied_items_db, tags=["t1"], name="n1") == [1]


async def test_a_batch_that_is_cancelled_anywhere_is_done_or_not_done(
    proxied_items_db: plainsql.Database, outside: Any
) -> None:
    before = await _total(outside)
    sets = [{"id": 3000 + n} for n in range(20)]

    async def check() -> None:
        await settled(lambda: proxied_items_db.stats().in_use == 0)
        assert await _total(outside) in (before, before + 20)
        await delete(proxied_items_db, low=3000, high=4000)

    assert await at_every_wait(lambda: add.batch(proxied_items_db, sets), check) >= 1
    assert await at_every_wait(lambda: add_unknown.batch(proxied_items_db, sets), check) >= 3
    assert await at_every_wait(lambda: get.batch(proxied_items_db, sets), check) >= 1


async def test_batches_of_many_callers_at_once_keep_apart(proxied_items_db: plainsql.Database) -> None:
    async def one_caller(n: int) -> None:
        found = await get.batch(proxied_items_db, [{"id": 1 + (n + k) % 100} for k in range(50)])
        assert [item and item.id for item in found] == [1 + (n + k) % 100 for k in range(50)]

    await asyncio.gather(*(one_caller(n) for n in range(40)))


async def test_a_loaded_query_learns_its_columns_from_a_batch(proxied_items_db: plainsql.Database) -> None:
    from plainsql.query import Binder, ManyQuery

    query: ManyQuery[..., Any] = ManyQuery(
        "t.loaded",
        "t.sql",
        1,
        "select id, name from item where id = :id",
        Binder(("id",), {}, {}, "Loaded"),
        None,
        READS,
    )
    [[first], [second]] = await query.batch(proxied_items_db, [{"id": 1}, {"id": 2}])
    assert (first.name, second.name) == ("n1", "n2")
