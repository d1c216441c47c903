"""A prepared statement on the short path: the same answers and errors as from the driver's own method."""

# ruff: noqa: ASYNC110 (what is waited for happens in the server)

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from asyncpg import exceptions

from plainsql.database.execution import driver, prepared_statements
from plainsql.database.execution.asyncpg_version import PIPELINES_RETURN_ROWS, is_known
from plainsql.database.pool.resettable_connection import ResettableConnection
from plainsql.errors import ContractError
from plainsql.query import Binder, CountQuery, ManyQuery
from plainsql.rows import Row
from tests.database.ask import READS

# Of a count nothing is compared.
ANY: CountQuery[...] = CountQuery("t.any", "t.sql", 1, "select", Binder((), {}, {}, None), int, READS)

SQL = "select * from parcel where id >= $1 order by id"


@pytest.fixture(params=["known", "unknown"], autouse=True)
def asyncpg_is(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver takes the short path, or the public methods as with a version that it does not know."""
    if request.param == "unknown":
        for module in (driver, prepared_statements):
            monkeypatch.setattr(module, "IS_KNOWN", False)


@pytest.fixture
async def driver_connection(database_url: str) -> AsyncIterator[Any]:
    made: Any = await asyncpg.connect(database_url, connection_class=ResettableConnection)
    await made.execute(
        """
        drop table if exists parcel, boxes;
        drop type if exists box_size;
        create table parcel (id int primary key, name text);
        insert into parcel values (1, 'a'), (2, null), (3, 'c');
        """
    )
    yield made
    await made.close()


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that did not take the short path."""
    texts: list[str] = []
    get = asyncpg.Connection._get_statement

    async def spy(self: Any, query: str, *args: Any, **options: Any) -> Any:
        texts.append(query)
        return await get(self, query, *args, **options)

    monkeypatch.setattr(asyncpg.Connection, "_get_statement", spy)
    return texts


async def test_only_the_first_time_the_statement_is_looked_up(
    driver_connection: Any, looked_up: list[str]
) -> None:
    for _ in range(3):
        found = await driver.fetch(driver_connection, SQL, (2,), ANY.compiled)
        assert [tuple(record) for record in found] == [(2, None), (3, "c")]
        assert isinstance(found[0], asyncpg.Record)
        assert found[1]["name"] == "c"
    assert looked_up == [SQL]


async def test_a_logger_of_the_connection_is_called(driver_connection: Any) -> None:
    logged: list[str] = []
    await driver.fetch(driver_connection, SQL, (1,), ANY.compiled)
    with driver_connection.query_logger(lambda record: logged.append(record.query)):
        await driver.fetch(driver_connection, SQL, (1,), ANY.compiled)
        await driver.fetch_many(driver_connection, SQL, [(1,), (2,)], ANY.compiled, 0)
        await asyncio.sleep(0)  # it is called by the loop
    # Before 0.30 asyncpg returns no rows from a pipeline, so each set is a statement.
    assert logged == [SQL] * (2 if PIPELINES_RETURN_ROWS else 3)


async def test_without_a_statement_cache_each_is_prepared(
    database_url: str, driver_connection: Any, looked_up: list[str]
) -> None:
    bare: Any = await asyncpg.connect(
        database_url, statement_cache_size=0, connection_class=ResettableConnection
    )
    for _ in range(2):
        assert len(await driver.fetch(bare, SQL, (1,), ANY.compiled)) == 3
    await bare.close()
    assert looked_up == [SQL, SQL]


async def test_a_statement_whose_columns_have_changed_is_prepared_again(
    driver_connection: Any, looked_up: list[str]
) -> None:
    await driver.fetch(driver_connection, SQL, (3,), ANY.compiled)
    await driver_connection.execute("alter table parcel add column weight int default 7")
    assert [tuple(record) for record in await driver.fetch(driver_connection, SQL, (3,), ANY.compiled)] == [
        (3, "c", 7)
    ]
    assert [tuple(record) for record in await driver.fetch(driver_connection, SQL, (3,), ANY.compiled)] == [
        (3, "c", 7)
    ]
    assert len(looked_up) == 2


async def test_in_a_transaction_changed_columns_are_an_error_and_once_only(driver_connection: Any) -> None:
    await driver.fetch(driver_connection, SQL, (3,), ANY.compiled)
    await driver_connection.execute("alter table parcel add column weight int default 7")
    with pytest.raises(exceptions.InvalidCachedStatementError):
        async with driver_connection.transaction():
            await driver.fetch(driver_connection, SQL, (3,), ANY.compiled)
    async with driver_connection.transaction():
        assert [
            tuple(record) for record in await driver.fetch(driver_connection, SQL, (3,), ANY.compiled)
        ] == [(3, "c", 7)]


async def test_a_read_of_a_type_that_has_changed_is_run_again(driver_connection: Any) -> None:
    await driver_connection.execute(
        "create type box_size as (w int, h int); create table boxes (size box_size);"
        "insert into boxes values (row(1, 2))"
    )
    sql = "select size from boxes where (size).w > $1"
    assert tuple((await driver.fetch(driver_connection, sql, (0,), ANY.compiled))[0][0]) == (1, 2)
    await driver_connection.execute("alter type box_size add attribute d int")
    assert tuple((await driver.fetch(driver_connection, sql, (0,), ANY.compiled))[0][0]) == (1, 2, None)


async def test_errors_are_the_drivers(driver_connection: Any) -> None:
    sql = "select 6 / $1::int"
    assert (await driver.fetch(driver_connection, sql, (3,), ANY.compiled))[0][0] == 2
    with pytest.raises(exceptions.DivisionByZeroError):
        await driver.fetch(driver_connection, sql, (0,), ANY.compiled)
    with pytest.raises(exceptions.DataError, match="query argument"):
        await driver.fetch(driver_connection, sql, ("three",), ANY.compiled)
    with pytest.raises(exceptions.InterfaceError, match="expects 1 argument"):
        await driver.fetch(driver_connection, sql, (1, 2), ANY.compiled)
    assert (await driver.fetch(driver_connection, sql, (2,), ANY.compiled))[0][0] == 3
    await driver_connection.close()
    with pytest.raises(exceptions.InterfaceError):
        await driver.fetch(driver_connection, sql, (2,), ANY.compiled)


async def test_two_at_once_are_refused_and_the_first_is_answered(driver_connection: Any) -> None:
    sql = "select $1::int from pg_sleep(0.1)"
    await driver.fetch(driver_connection, sql, (0,), ANY.compiled)
    first = asyncio.create_task(driver.fetch(driver_connection, sql, (1,), ANY.compiled))
    await asyncio.sleep(0)
    for refused in (
        driver.fetch(driver_connection, sql, (2,), ANY.compiled),
        driver_connection.fetch(sql, 2),
        driver_connection.fetch("select"),
    ):
        with pytest.raises(exceptions.InterfaceError, match="another operation is in progress"):
            await refused
    assert (await first)[0][0] == 1


async def test_the_connections_time_limit_holds(database_url: str) -> None:
    limited: Any = await asyncpg.connect(
        database_url, command_timeout=0.2, connection_class=ResettableConnection
    )
    sql = "select $1::float8 from pg_sleep($1)"
    await driver.fetch(limited, sql, (0.0,), ANY.compiled)
    with pytest.raises(TimeoutError):
        await driver.fetch(limited, sql, (60.0,), ANY.compiled)
    assert (await driver.fetch(limited, sql, (0.0,), ANY.compiled))[0][0] == 0.0
    await limited.close()


async def test_a_call_that_is_cancelled_is_cancelled_on_the_server(
    driver_connection: Any, database_url: str
) -> None:
    sql = "select $1::float8 from pg_sleep($1)"
    await driver.fetch(driver_connection, sql, (0.0,), ANY.compiled)
    call = asyncio.create_task(driver.fetch(driver_connection, sql, (60.0,), ANY.compiled))
    outside: Any = await asyncpg.connect(database_url)
    async with asyncio.timeout(10):
        # A request to cancel that comes before the statement begins is without effect.
        while not await outside.fetchval(
            "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and pid = $1",
            driver_connection.get_server_pid(),
        ):
            await asyncio.sleep(0)
    await outside.close()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    async with asyncio.timeout(10):
        assert (await driver.fetch(driver_connection, sql, (0.0,), ANY.compiled))[0][0] == 0.0


class Parcel(Row, frozen=True):
    id: int
    name: str | None


def _parcels(sql: str) -> ManyQuery[..., Parcel]:
    return ManyQuery("t.parcels", "t.sql", 1, sql, Binder(("id",), {}, {}, None), Parcel, READS)


async def test_a_result_unlike_the_row_type_is_refused_each_time_before_it_runs(
    driver_connection: Any,
) -> None:
    await driver_connection.execute("create sequence if not exists runs")
    before = await driver_connection.fetchval("select last_value from runs")
    sql = "select id, 'x' || nextval('runs') as title from parcel where id = $1"
    for _ in range(2):
        with pytest.raises(ContractError, match="column 2 is expected to be 'name', got 'title'"):
            await driver.fetch(driver_connection, sql, (1,), _parcels(sql).compiled)
        with pytest.raises(ContractError, match="column 2 is expected to be 'name', got 'title'"):
            await driver.fetch_many(driver_connection, sql, [(1,), (2,)], _parcels(sql).compiled, 0)
    assert await driver_connection.fetchval("select last_value from runs") == before


async def test_many_sets_are_one_round_trip_and_changed_columns_are_met(
    driver_connection: Any, looked_up: list[str]
) -> None:
    sets = [(n, n) for n in range(1, 4)]
    sql = "select q.*, $2::int4 from (select * from parcel where id = $1) as q"
    for _ in range(3):
        found = await driver.fetch_many(driver_connection, sql, sets, ANY.compiled, 1)
        assert [tuple(record) for record in found] == [(1, "a", 1), (2, None, 2), (3, "c", 3)]
    assert looked_up == [sql]
    await driver_connection.execute("alter table parcel add column weight int default 7")
    found = await driver.fetch_many(driver_connection, sql, sets, ANY.compiled, 1)
    assert [tuple(record) for record in found] == [(1, "a", 7, 1), (2, None, 7, 2), (3, "c", 7, 3)]
    assert looked_up == [sql, sql]


@pytest.mark.parametrize(
    ("version", "known"),
    [
        *(("0.29.0", True), ("0.30.0", True), ("0.32", True), ("0.32.1", True)),
        *(("0.28.0", False), ("0.33.0", False), ("0.330.0", False), ("1.0.0", False), ("0.3.2", False)),
    ],
)
def test_versions_that_the_fast_path_knows(version: str, known: bool) -> None:
    assert is_known(version) is known
