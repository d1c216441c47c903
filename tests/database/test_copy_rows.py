"""A value that is no row of a copy is reported by its number, other failures by name; no row is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import date
from typing import Any

import asyncpg
import msgspec
import pytest
from asyncpg import exceptions

import plainsql
from plainsql.database.execution.errors import is_lost
from plainsql.errors import BindError, OptionError
from plainsql.rows import Composite
from tests.database.stepping import settled
from tests.proxy import Proxy


class Pair(msgspec.Struct):
    id: int
    name: str


class Turned(msgspec.Struct):
    name: str
    id: int


class Other(msgspec.Struct):
    id: int
    label: str


class Size(Composite, frozen=True):
    x: int
    unit: str


COLUMNS = ["id", "name"]


@pytest.fixture
async def outside(outside: Any) -> Any:
    """The connection outside of the pool, after it has created the table ``parcel`` afresh."""
    await outside.execute(
        """
        drop table if exists parcel; drop type if exists size;
        create type size as (x int, unit text);
        create table parcel (id int primary key, name text, day date, tags text[], size size, doc jsonb,
          words tsvector, amount numeric(10, 2), small smallint);
        do $$ begin create role plainsql_copier login nosuperuser nobypassrls;
        exception when duplicate_object then null; end $$;
        grant all on parcel to plainsql_copier;
        create policy all_of_it on parcel using (true);
        """
    )
    return outside


@pytest.fixture(params=["copied", "inserted"])
async def parcels_db(
    request: pytest.FixtureRequest, database_url: str, outside: Any
) -> AsyncIterator[plainsql.Database]:
    """Rows go by COPY, and, where policies hold for the role, in pipelines."""
    if request.param == "inserted":
        await outside.execute("alter table parcel enable row level security")
    url = database_url.replace("//postgres@", "//plainsql_copier@")
    async with plainsql.connect(url, max_size=2) as db:
        yield db


async def later(rows: list[Any]) -> AsyncIterator[Any]:
    for row in rows:
        await asyncio.sleep(0)
        yield row


SOURCES: dict[str, Callable[[list[Any]], Any]] = {"list": list, "iterator": iter, "asynchronous": later}


def with_row(bad: Any, at: int) -> list[Any]:
    rows: list[Any] = [(n, f"n{n}") for n in range(1, 2501)]
    rows[at - 1] = bad
    return rows


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("at", [1, 2, 1000, 1001, 2500])
async def test_what_is_no_row_is_refused(
    parcels_db: plainsql.Database, outside: Any, source: str, at: int
) -> None:
    refused: list[tuple[Any, str]] = [
        ((1, "x", "EXTRA"), "expected 2 values, got 3"),
        ([1], "expected 2 values, got 1"),
        ((), "expected 2 values, got 0"),
        (None, "expected a struct or a sequence of values, got NoneType"),
        ("ab", "expected a struct or a sequence of values, got str"),
        (b"ab", "expected a struct or a sequence of values, got bytes"),
        (17, "expected a struct or a sequence of values, got int"),
        ({"id": 1, "name": "x"}, "expected a struct or a sequence of values, got dict"),
        ({1, 2}, "expected a struct or a sequence of values, got set"),
        (iter((1, "x")), "expected a struct or a sequence of values, got tuple_iterator"),
        (Other(1, "x"), "Other has no field 'name'"),
        ((1, 4711.5), "name: expected text, got float"),
        (("4711", "x"), "id: expected int4, got str"),
        ((2**40, "x"), "id: expected int4, got int\nDETAIL: the value is out of range"),
        ((1, "a\0b"), "name: it holds a NUL character"),
    ]
    for bad, said in refused:
        with pytest.raises(BindError) as raised:
            await parcels_db.copy_in("parcel", SOURCES[source](with_row(bad, at)), columns=COLUMNS)
        assert str(raised.value).startswith(f"copy into parcel: row {at}: {said}")
        assert "4711" not in str(raised.value)
    assert await outside.fetchval("select count(*) from parcel") == 0
    await settled(lambda: parcels_db.stats().in_use == 0)
    assert (
        await parcels_db.copy_in("parcel", SOURCES[source](with_row((0, None), at)), columns=COLUMNS) == 2500
    )


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("day", "2026-01-01", "expected date, got str"),
        ("tags", ["a", 1], "expected text[], got list"),
        ("tags", 7, "expected text[], got int"),
        ("tags", ["a", "b\0"], "it holds a NUL character"),
        ("size", Size("x", "cm"), "expected size, got tuple"),  # type: ignore[arg-type]
        ("size", Size(1, "c\0m"), "it holds a NUL character"),
        ("doc", object(), "expected jsonb, got object"),
        ("amount", "many", "expected numeric, got str\nDETAIL: the text is not a valid numeric"),
        ("small", 40_000, "expected int2, got int\nDETAIL: the value is out of range"),
    ],
)
async def test_a_value_is_told_by_its_column(
    parcels_db: plainsql.Database, outside: Any, column: str, value: Any, said: str
) -> None:
    rows = [(n, None) for n in range(1, 51)]
    rows[36] = (37, value)
    with pytest.raises(BindError) as raised:
        await parcels_db.copy_in("parcel", rows, columns=["id", column])
    assert str(raised.value).startswith(f"copy into parcel: row 37: {column}: {said}")
    assert await outside.fetchval("select count(*) from parcel") == 0


async def test_what_are_no_rows_or_columns_is_refused(parcels_db: plainsql.Database) -> None:
    refused: list[tuple[Any, Any]] = [
        (None, COLUMNS),
        (7, COLUMNS),
        ("ab", COLUMNS),
        (Pair(1, "x"), None),
        ([(1, "x")], "id"),
        ([(1, "x")], [1, 2]),
    ]
    for rows, columns in refused:
        with pytest.raises(OptionError, match=r"copy_in\(\): (rows|columns): expected"):
            await parcels_db.copy_in("parcel", rows, columns=columns)
    told: list[tuple[Any, Any, str]] = [
        ([(1, "x")], None, "expected columns=, got rows that are tuples"),
        ([None], None, "expected columns=, got rows that are NoneTypes"),
        ([(1, "x")], ["id", "id"], "columns: 'id' is given twice"),
        ([(1, "x")], [], "columns: expected at least one"),
    ]
    for rows, columns, said in told:
        with pytest.raises(BindError) as raised:
            await parcels_db.copy_in("parcel", rows, columns=columns)
        assert str(raised.value).startswith(f"copy into parcel: {said}")
    with pytest.raises(asyncpg.UndefinedColumnError):
        await parcels_db.copy_in("parcel", [(1,)], columns=["nothing"])


async def test_structs_are_read_by_the_names_of_their_fields(
    parcels_db: plainsql.Database, outside: Any
) -> None:
    assert await parcels_db.copy_in("parcel", [Pair(1, "a"), Pair(2, "b")]) == 2
    assert await parcels_db.copy_in("parcel", [Turned("c", 3)], columns=COLUMNS) == 1
    assert await parcels_db.copy_in("parcel", [Pair(4, "d"), Turned("e", 5), Pair(6, "f")]) == 3
    assert await parcels_db.copy_in("parcel", [(7, "g"), Turned("h", 8), [9, "i"]], columns=COLUMNS) == 3
    assert await parcels_db.copy_in("parcel", [Pair(10, "x")], columns=["id"]) == 1
    found = await outside.fetch("select id, name from parcel order by id")
    assert [tuple(row) for row in found] == [
        *((n, name) for n, name in enumerate("abcdefghi", 1)),
        (10, None),
    ]


class OwnError(Exception):
    pass


@pytest.mark.parametrize("at", [0, 1, 999, 1000, 2000])
@pytest.mark.parametrize(
    "error", [OwnError, TypeError, asyncpg.DataError, exceptions.InterfaceError, BindError, OSError, KeyError]
)
async def test_what_the_source_of_the_rows_raises_comes_through(
    parcels_db: plainsql.Database, outside: Any, at: int, error: type[Exception]
) -> None:
    raised = error("mine")

    def rows() -> Iterator[Any]:
        yield from ((n, "x") for n in range(at))
        raise raised

    async def later_rows() -> AsyncIterator[Any]:
        for row in rows():
            yield row

    for source in (rows, later_rows):
        with pytest.raises(error) as caught:
            await parcels_db.copy_in("parcel", source(), columns=COLUMNS)
        assert caught.value is raised
    assert await outside.fetchval("select count(*) from parcel") == 0
    await settled(lambda: parcels_db.stats().in_use == 0)


async def test_in_a_transaction_that_goes_on_nothing_is_kept(
    parcels_db: plainsql.Database, outside: Any
) -> None:
    rows = with_row(("x", "x"), 2300)
    async with parcels_db.transaction() as tx:
        await tx.copy_in("parcel", [(-1, "before")], columns=COLUMNS)
        with pytest.raises(BindError):
            async with tx.transaction() as savepoint:
                await savepoint.copy_in("parcel", rows, columns=COLUMNS)
        await tx.copy_in("parcel", [(-2, "after")], columns=COLUMNS)
    found = await outside.fetch("select id from parcel order by id")
    assert [row["id"] for row in found] == [-2, -1]


@pytest.mark.parametrize("kind", ["list", "asynchronous"])
async def test_a_lost_connection_is_no_mistake_of_the_caller(
    parcels_db: plainsql.Database, outside: Any, kind: str
) -> None:
    """The server's farewell comes before the copy, in it and after it."""
    stop = asyncio.Event()
    outcomes: list[BaseException | int] = []

    async def copies(n: int) -> None:
        while not stop.is_set():
            rows = [(n, "x" * 1000)] if len(outcomes) % 2 else [(n + k, "x" * 1000) for k in range(300)]
            try:
                outcomes.append(await parcels_db.copy_in("parcel", SOURCES[kind](rows), columns=COLUMNS))
            except asyncpg.UniqueViolationError:
                pass
            except Exception as error:  # noqa: BLE001
                outcomes.append(error)

    async def kill() -> None:
        for _ in range(150):
            await outside.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and usename = 'plainsql_copier'"
            )
            await outside.execute("truncate parcel")
        stop.set()

    async with asyncio.timeout(60):
        await asyncio.gather(kill(), *(copies(n * 1000) for n in range(3)))
    errors = [one for one in outcomes if isinstance(one, BaseException)]
    assert errors
    for error in errors:
        assert not isinstance(error, BindError)
        assert is_lost(error) or isinstance(error, ConnectionError), repr(error)
    await settled(lambda: parcels_db.stats().in_use == 0)


async def test_a_copy_that_is_cut_anywhere_is_a_lost_connection(
    database_url: str, outside: Any, proxy: Proxy
) -> None:
    name = database_url.partition("?")[0].rpartition("/")[2]
    async with plainsql.connect(proxy.url(name), max_size=1) as db:
        rows = [(n, "x" * 1000) for n in range(3000)]
        for source in SOURCES.values():
            for more in (1, 300, 1000, 100_000, 1_000_000, 2_500_000):
                proxy.after(more, proxy.cut)
                try:
                    async with asyncio.timeout(30):
                        await db.copy_in("parcel", source(rows), columns=COLUMNS)
                except (exceptions.PostgresError, exceptions.InterfaceError, OSError) as error:
                    assert is_lost(error), repr(error)  # noqa: PT017
                    assert await outside.fetchval("select count(*) from parcel") == 0
                else:
                    assert more <= 1000, "the cut fell on the opening of a connection, or its reset"
                    await outside.execute("truncate parcel")
                await settled(lambda: db.stats().in_use == 0)
        assert await db.copy_in("parcel", [(1, date(2026, 1, 1))], columns=["id", "day"]) == 1


async def test_a_copy_is_cancelled_though_the_network_is_silent(
    database_url: str, outside: Any, proxy: Proxy
) -> None:
    name = database_url.partition("?")[0].rpartition("/")[2]
    async with plainsql.connect(proxy.url(name), max_size=1) as db:
        rows = [(n, "x" * 1000) for n in range(20_000)]
        for source in SOURCES.values():
            proxy.after(300_000, proxy.pause)
            task = asyncio.create_task(db.copy_in("parcel", source(rows), columns=COLUMNS))
            await proxy.until(lambda: not proxy.waits_for_fault)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                async with asyncio.timeout(30):
                    await task
            proxy.resume()
            proxy.cut()
            await settled(lambda: db.stats().in_use == 0)
            assert await outside.fetchval("select count(*) from parcel") == 0
