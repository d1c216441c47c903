"""Copies through the encoder end as those through asyncpg's: equal tables, equal errors, prompt ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import asyncpg
import msgspec
import pytest
from asyncpg import exceptions

import plainsql
from plainsql.database.execution import copy_in as module
from plainsql.errors import BindError
from plainsql.rows import Composite
from plainsql.speed.loaded import SEND_BLOCKS
from tests.database.stepping import settled
from tests.speed.odd_values import ODD_VALUES, type_of

pytestmark = pytest.mark.skipif(SEND_BLOCKS is None, reason="needs the compiled part")

SCHEMA = """
create extension if not exists vector;
create extension if not exists citext;
create extension if not exists ltree;
create extension if not exists hstore;
create type mood as enum ('sad', 'ok', 'so "happy", really', 'glücklich');
create type text_span as range (subtype = text);
create domain positive as integer check (value > 0);
create domain tags as text[];
create type place as (x int, label text);
create table parcel (id int primary key, name text, place place, places place[], docs jsonb[], tags text[]);
"""


class Place(Composite, frozen=True):
    x: int
    label: str | None


class Parcel(msgspec.Struct):
    id: int
    name: str | None = None
    place: Place | None = None
    places: list[Place] | None = None
    docs: list[Any] | None = None
    tags: list[str] | None = None


@pytest.fixture(scope="module")
def made_url(database_url: str) -> str:
    async def make() -> None:
        connection = await asyncpg.connect(database_url)
        await connection.execute(SCHEMA)
        await connection.close()

    asyncio.run(make())
    return database_url


@pytest.fixture
async def single_db(made_url: str) -> AsyncIterator[plainsql.Database]:
    async with plainsql.connect(made_url, max_size=1) as single_db:
        yield single_db


async def outcomes(
    single_db: plainsql.Database, table: str, rows: Iterable[Any], columns: list[str] | None
) -> tuple[Any, Any]:
    """Copy the rows both ways; return for each the rows of the table as text, or the error."""
    found: list[Any] = []
    for send in (SEND_BLOCKS, None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "SEND_BLOCKS", send)
            try:
                copied = await single_db.copy_in(table, rows, columns=columns)
            except Exception as error:  # noqa: BLE001 (whichever it is, they are compared)
                found.append((type(error), str(error), getattr(error, "__notes__", [])))
                copied = 0
        async with single_db.acquire() as connection:
            stored = await connection.fetch(f"select t::text from {table} as t")
            await connection.execute(f"truncate {table}")
        assert len(stored) == copied
        if copied:
            found.append([row[0] for row in stored])
    return found[0], found[1]


@pytest.mark.parametrize("kind", ["tuples", "structs"])
async def test_values_of_every_type_are_stored_as_through_asyncpg(
    single_db: plainsql.Database, kind: str
) -> None:
    names = {f"c{number}": name for number, name in enumerate(ODD_VALUES)}
    columns = ", ".join(f"{column} {type_of(name)}" for column, name in names.items())
    values: list[Any] = []
    binary: list[str] = []
    async with single_db.acquire() as connection:
        await connection.execute(f"drop table if exists odd; create table odd ({columns})")
        for column, name in names.items():
            sql = f"select text::{type_of(name)} from unnest($1::text[]) as text"
            odd = [row[0] for row in await connection.fetch(sql, ODD_VALUES[name])]
            if name in ("json", "jsonb"):
                odd = [msgspec.json.decode(value) for value in odd]
            try:
                await connection.copy_records_to_table("odd", records=[(odd[0],)], columns=[column])
            except (exceptions.InternalClientError, exceptions.InvalidBinaryRepresentationError):
                continue  # types that asyncpg has as text alone, or encodes in another form
            binary.append(column)
            values.append(odd)
        await connection.execute("truncate odd")
    most = max(map(len, values))
    rows: list[Any] = [tuple(odd[number % (len(odd) + 1) - 1] for odd in values) for number in range(most)]
    rows.append((None,) * len(binary))
    if kind == "structs":
        struct = msgspec.defstruct("Odd", binary)
        rows = [struct(*row) for row in rows]
    mine, theirs = await outcomes(single_db, "odd", rows, binary)
    assert len(mine) == len(rows)
    assert mine == theirs


async def test_rows_that_need_a_conversion_are_stored_as_through_asyncpg(
    single_db: plainsql.Database,
) -> None:
    rows: list[Any] = [
        Parcel(1),
        Parcel(2, "b", Place(1, None), [Place(2, "x")], [[1, 2], {"a": None}, None], ["a", "b"]),
        (3, "c", (1, "y"), [], [], []),
        [4, None, None, None, None, ["ü"]],
    ]
    mine, theirs = await outcomes(single_db, "parcel", rows, list(Parcel.__struct_fields__))
    assert len(mine) == 4
    assert mine == theirs


@pytest.mark.parametrize(
    ("column", "bad"),
    [
        ("id", "1"),
        ("id", 2**31),
        ("id", None),
        ("id", 1),
        ("name", 1),
        ("name", "a\0"),
        ("name", "\ud800"),
        ("place", Place("x", None)),  # type: ignore[arg-type]
        ("place", 5),
        ("docs", [float("nan")]),
        ("docs", ["\0"]),
        ("tags", "ab"),
        ("tags", [1]),
    ],
)
async def test_a_value_that_does_not_fit_has_the_error_of_asyncpgs_way(
    single_db: plainsql.Database, column: str, bad: Any
) -> None:
    rows = [Parcel(number) for number in range(1, 1200)]
    setattr(rows[1101], column, bad)
    mine, theirs = await outcomes(single_db, "parcel", rows, None)
    assert issubclass(mine[0], BindError | exceptions.PostgresError)
    assert mine == theirs


async def test_a_type_without_a_binary_format_has_the_error_of_asyncpgs_way(
    single_db: plainsql.Database,
) -> None:
    async with single_db.acquire() as connection:
        await connection.execute("drop table if exists price; create table price (id int, price money)")
    mine, theirs = await outcomes(single_db, "price", [(1, "1.50")], ["id", "price"])
    assert "COPY cannot send a column's type: no binary format encoder for type money" in mine[1]
    assert mine == theirs


async def test_an_error_of_the_server_ends_the_copy_before_the_rows_do(single_db: plainsql.Database) -> None:
    taken = 0

    def rows() -> Iterator[tuple[int, str]]:
        nonlocal taken
        for taken in range(1, 10_000_000):  # noqa: B007 (it is read outside)
            yield 1, "x" * 1000

    with pytest.raises(plainsql.UniqueViolation):
        await single_db.copy_in("parcel", rows(), columns=["id", "name"])
    assert 1 < taken < 9_000_000
    assert await single_db.copy_in("parcel", [(1,)], columns=["id"]) == 1
    async with single_db.acquire() as connection:
        await connection.execute("truncate parcel")


async def test_the_time_limit_ends_a_copy_that_the_server_does_not_take(made_url: str) -> None:
    outside = await asyncpg.connect(made_url)
    rows = [(number, "x" * 1000) for number in range(20_000)]
    async with plainsql.connect(made_url, max_size=1, statement_timeout=0.3) as single_db:
        async with outside.transaction():
            await outside.execute("lock table parcel in share mode")
            with pytest.raises(TimeoutError):
                await single_db.copy_in("parcel", rows, columns=["id", "name"])
        await settled(lambda: single_db.stats().in_use == 0)
        assert await single_db.copy_in("parcel", rows[:10], columns=["id", "name"]) == 10
    await outside.execute("truncate parcel")
    await outside.close()


@pytest.mark.parametrize("kind", ["list", "asynchronous"])
async def test_a_copy_is_cancelled_while_the_server_takes_no_more(made_url: str, kind: str) -> None:
    outside = await asyncpg.connect(made_url)
    rows: Any = [(number, "x" * 1000) for number in range(20_000)]

    async def later() -> AsyncIterator[Any]:
        for row in rows:
            yield row

    async with plainsql.connect(made_url, max_size=1) as single_db:
        async with single_db.acquire() as connection:
            writing_allowed = connection._protocol.writing_allowed
        async with outside.transaction():
            await outside.execute("lock table parcel in exclusive mode")
            source = rows if kind == "list" else later()
            task = asyncio.create_task(single_db.copy_in("parcel", source, columns=["id", "name"]))
            await settled(lambda: not writing_allowed.is_set())
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await settled(lambda: single_db.stats().in_use == 0)
        assert await single_db.copy_in("parcel", rows[:10], columns=["id", "name"]) == 10
    await outside.execute("truncate parcel")
    await outside.close()
