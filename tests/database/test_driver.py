"""A prepared statement sent at once: the same answers and errors as from the driver's own method."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from asyncpg import exceptions

from plainsql.database import driver

SQL = "select * from parcel where id >= $1 order by id"


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Any]:
    made: Any = await asyncpg.connect(database_url)
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
def long_way(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that went the driver's own way."""
    gone: list[str] = []
    fetch = asyncpg.Connection.fetch

    async def spy(self: Any, query: str, *args: Any, **options: Any) -> Any:
        gone.append(query)
        return await fetch(self, query, *args, **options)

    monkeypatch.setattr(asyncpg.Connection, "fetch", spy)
    return gone


async def test_only_the_first_time_goes_the_long_way(connection: Any, long_way: list[str]) -> None:
    for _ in range(3):
        found = await driver.fetch(connection, SQL, (2,))
        assert [tuple(record) for record in found] == [(2, None), (3, "c")]
        assert isinstance(found[0], asyncpg.Record)
        assert found[1]["name"] == "c"
    assert long_way == [SQL]


async def test_a_logger_of_the_connection_is_told(connection: Any, long_way: list[str]) -> None:
    await driver.fetch(connection, SQL, (1,))
    with connection.query_logger(lambda _: None):
        await driver.fetch(connection, SQL, (1,))
    assert len(long_way) == 2


async def test_without_a_statement_cache_all_go_the_long_way(
    database_url: str, connection: Any, long_way: list[str]
) -> None:
    bare: Any = await asyncpg.connect(database_url, statement_cache_size=0)
    for _ in range(2):
        assert len(await driver.fetch(bare, SQL, (1,))) == 3
    await bare.close()
    assert len(long_way) == 2


async def test_columns_that_have_changed_are_met_by_preparing_anew(
    connection: Any, long_way: list[str]
) -> None:
    await driver.fetch(connection, SQL, (3,))
    await connection.execute("alter table parcel add column weight int default 7")
    assert [tuple(record) for record in await driver.fetch(connection, SQL, (3,))] == [(3, "c", 7)]
    assert [tuple(record) for record in await driver.fetch(connection, SQL, (3,))] == [(3, "c", 7)]
    assert len(long_way) == 2


async def test_in_a_transaction_changed_columns_are_an_error_and_once_only(connection: Any) -> None:
    await driver.fetch(connection, SQL, (3,))
    await connection.execute("alter table parcel add column weight int default 7")
    with pytest.raises(exceptions.InvalidCachedStatementError):
        async with connection.transaction():
            await driver.fetch(connection, SQL, (3,))
    async with connection.transaction():
        assert [tuple(record) for record in await driver.fetch(connection, SQL, (3,))] == [(3, "c", 7)]


async def test_a_type_that_has_changed_is_an_error_once(connection: Any) -> None:
    await connection.execute(
        "create type box_size as (w int, h int); create table boxes (size box_size);"
        "insert into boxes values (row(1, 2))"
    )
    sql = "select size from boxes where (size).w > $1"
    assert tuple((await driver.fetch(connection, sql, (0,)))[0][0]) == (1, 2)
    await connection.execute("alter type box_size add attribute d int")
    with pytest.raises(exceptions.OutdatedSchemaCacheError):
        await driver.fetch(connection, sql, (0,))
    assert tuple((await driver.fetch(connection, sql, (0,)))[0][0]) == (1, 2, None)


async def test_errors_are_the_drivers(connection: Any) -> None:
    sql = "select 6 / $1::int"
    assert (await driver.fetch(connection, sql, (3,)))[0][0] == 2
    with pytest.raises(exceptions.DivisionByZeroError):
        await driver.fetch(connection, sql, (0,))
    with pytest.raises(exceptions.DataError, match="query argument"):
        await driver.fetch(connection, sql, ("three",))
    with pytest.raises(exceptions.InterfaceError, match="expects 1 argument"):
        await driver.fetch(connection, sql, (1, 2))
    assert (await driver.fetch(connection, sql, (2,)))[0][0] == 3
    await connection.close()
    with pytest.raises(exceptions.InterfaceError):
        await driver.fetch(connection, sql, (2,))


async def test_two_at_once_are_refused_and_the_first_is_answered(connection: Any) -> None:
    sql = "select $1::int from pg_sleep(0.1)"
    await driver.fetch(connection, sql, (0,))
    first = asyncio.create_task(driver.fetch(connection, sql, (1,)))
    await asyncio.sleep(0)
    for refused in (
        driver.fetch(connection, sql, (2,)),
        connection.fetch(sql, 2),
        connection.fetch("select"),
    ):
        with pytest.raises(exceptions.InterfaceError, match="another operation is in progress"):
            await refused
    assert (await first)[0][0] == 1


async def test_the_connections_time_limit_holds(database_url: str) -> None:
    limited: Any = await asyncpg.connect(database_url, command_timeout=0.2)
    sql = "select $1::float8 from pg_sleep($1)"
    await driver.fetch(limited, sql, (0.0,))
    with pytest.raises(TimeoutError):
        await driver.fetch(limited, sql, (60.0,))
    assert (await driver.fetch(limited, sql, (0.0,)))[0][0] == 0.0
    await limited.close()


async def test_a_call_that_is_cancelled_is_cancelled_on_the_server(connection: Any) -> None:
    sql = "select $1::float8 from pg_sleep($1)"
    await driver.fetch(connection, sql, (0.0,))
    call = asyncio.create_task(driver.fetch(connection, sql, (60.0,)))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    async with asyncio.timeout(10):
        assert (await driver.fetch(connection, sql, (0.0,)))[0][0] == 0.0
