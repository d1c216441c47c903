"""COPY in both directions: structs, vectors, arrays of JSON values; all or nothing; progress."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Annotated, Any

import asyncpg
import msgspec
import pytest

import plainsql
from plainsql import ServerError
from plainsql.errors import BindError
from plainsql.query import Args, many
from plainsql.rows import Composite, Row
from plainsql.types import JSON
from tests.database.stepping import at_every_wait, settled


class Document(Row, frozen=True):
    id: int
    title: str | None
    at: datetime
    embedding: Any
    meta: Annotated[Any, JSON]


class Place(Composite, frozen=True):
    x: int
    label: str | None


class Rich(msgspec.Struct):
    id: int
    metas: list[Any] | None
    place: Place | None
    places: list[Place] | None
    vectors: list[Any] | None


def names(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@many[Document](
    "d.all",
    "d.sql",
    1,
    "select id, title, at, embedding, meta from document order by id",
    read_only=True,
    session_clean=True,
)
def everything() -> Args:
    return ()


@many[Document](
    "d.some",
    "d.sql",
    1,
    "select id, title from document\nwhere id >= :low and title is not distinct from :title"
    " and at <= :at and id = any(:ids)\norder by id",
    read_only=True,
    session_clean=True,
)
def some(*, low: int, title: str | None, at: datetime, ids: list[int]) -> Args:
    return (low, title, at, ids)


@many[Document](
    "d.fail",
    "d.sql",
    1,
    "select 1 / (id - 900) from document order by id",
    read_only=True,
    session_clean=True,
)
def fails_late() -> Args:
    return ()


@pytest.fixture
async def documents_db(database_url: str) -> AsyncIterator[plainsql.Database]:
    connection: Any = await asyncpg.connect(database_url)
    await connection.execute(
        """
        create extension if not exists vector;
        drop table if exists document, rich;
        drop type if exists place;
        create type place as (x int, label text);
        create table document (id int primary key, title text, at timestamptz not null, embedding vector(3),
        meta jsonb); create table rich (id int primary key, metas jsonb[], place place, places place[],
        vectors vector(2)[]);
        """
    )
    await connection.close()
    async with plainsql.connect(database_url, max_size=2) as db:
        yield db


def _documents(number: int) -> list[Document]:
    return [
        Document(n, None if n % 5 == 0 else f"t{n}", NOW, [1.0, float(n), 0.5], {"n": [n]})
        for n in range(number)
    ]


async def test_structs_with_vectors_go_in_and_come_back(documents_db: plainsql.Database) -> None:
    told: list[int] = []
    assert await documents_db.copy_in("document", _documents(2500), progress=told.append) == 2500
    assert told == [1000, 2000, 2500]
    back = await everything(documents_db)
    assert len(back) == 2500
    assert back[7] == Document(7, "t7", NOW, back[7].embedding, {"n": [7]})
    assert list(back[7].embedding.to_list()) == [1.0, 7.0, 0.5]


async def test_arrays_of_json_vectors_and_composites_go_in(documents_db: plainsql.Database) -> None:
    rows = [
        Rich(1, None, None, None, None),  # the first row does not show what the others hold
        Rich(
            2,
            [[1, 2], [3], {"a": 1}, None],
            Place(1, "a"),
            [Place(2, None), Place(3, "c")],
            [[1.0, 2.0], [3.0, 4.0]],
        ),
    ]
    assert await documents_db.copy_in("rich", rows) == 2
    async with documents_db.acquire() as connection:
        found = await connection.fetchrow(
            "select metas::text, place::text, places::text, vectors::text from rich where id = 2"
        )
    assert tuple(found) == (
        '{"[1, 2]",[3],"{\\"a\\": 1}",NULL}',
        "(1,a)",
        '{"(2,)","(3,c)"}',
        '{"[1,2]","[3,4]"}',
    )


async def test_tuples_and_asynchronous_rows_go_in(documents_db: plainsql.Database) -> None:
    async def rows() -> AsyncIterator[tuple[Any, ...]]:
        for n in range(1500):
            yield (n, f"t{n}", NOW)

    told: list[int] = []
    copied = await documents_db.copy_in(
        "public.document", rows(), columns=["id", "title", "at"], progress=told.append
    )
    assert (copied, told) == (1500, [1000, 1500])
    assert await documents_db.copy_in("document", []) == 0
    with pytest.raises(BindError, match="expected columns=, got rows that are tuples"):
        await documents_db.copy_in("document", [(1, "x", NOW)])


async def test_a_copy_that_fails_leaves_nothing(documents_db: plainsql.Database) -> None:
    documents = _documents(3000)
    with pytest.raises(asyncpg.UniqueViolationError):
        await documents_db.copy_in("document", [*documents, documents[5]])

    def breaks() -> Any:
        yield from documents
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        await documents_db.copy_in("document", breaks())
    assert await everything(documents_db) == []
    await settled(lambda: documents_db.stats().in_use == 0)


@pytest.mark.parametrize(
    ("row", "note"),
    [
        ((3, NOW, [1.0, 17.5]), "row: 2001, column embedding"),
        ((3, NOW, [1.0, 17.5, float("nan")]), "row: 2001, column embedding"),
        ((1, NOW, None), "row: 2001"),
    ],
)
async def test_an_error_of_the_server_names_the_row_and_no_value(
    documents_db: plainsql.Database, row: tuple[Any, ...], note: str
) -> None:
    rows = [*((n, NOW, None) for n in range(10, 2010)), row]
    if row[0] == 1:
        rows[0] = row
    for given in (rows, iter(rows)):
        with pytest.raises(ServerError) as raised:
            await documents_db.copy_in("document", given, columns=["id", "at", "embedding"])
        assert raised.value.__notes__ == [note]
    assert await everything(documents_db) == []


async def test_a_copy_analyzes_the_table(documents_db: plainsql.Database, database_url: str) -> None:
    name = f"copier_{token_hex(6)}"
    columns = "select count(*) from pg_stats where tablename = 'document'"
    rows = [(n, NOW) for n in range(50)]
    async with documents_db.acquire() as connection:
        await connection.execute(f"create role {name} login nosuperuser; grant all on document to {name}")
        await connection.execute(f"revoke maintain on document from {name}")
        try:
            url = database_url.replace("//postgres@", f"//{name}@")
            async with plainsql.connect(url, max_size=1) as copier:
                with pytest.raises(BindError, match="analyze: expected a role that may") as raised:
                    await copier.copy_in("document", rows, columns=["id", "at"], analyze=True)
                assert raised.value.hint is not None
                assert await connection.fetchval("select count(*) from document") == 0
                await connection.execute(f"grant maintain on document to {name}")
                assert await copier.copy_in("document", rows[:2], columns=["id", "at"]) == 2
                assert await connection.fetchval(columns) == 0
                copied = await copier.copy_in("document", rows[2:], columns=["id", "at"], analyze=True)
                assert copied == 48
            assert await connection.fetchval(columns) > 0
        finally:
            await connection.execute(f"drop owned by {name}; drop role {name}")


@pytest.mark.parametrize("with_policies", [False, True])
async def test_a_value_that_does_not_fit_is_told_by_its_row_and_not_shown(
    documents_db: plainsql.Database, database_url: str, with_policies: bool
) -> None:
    documents: list[Any] = [(n, f"t{n}", NOW) for n in range(2500)]
    documents[1700] = (1700, 4711.25, NOW)
    async with documents_db.acquire() as connection:
        await connection.execute(
            """
            do $$ begin create role plainsql_copier login nosuperuser nobypassrls;
            exception when duplicate_object then null; end $$;
            grant all on document to plainsql_copier;
            create policy all_of_it on document using (true)
            """
        )
        if with_policies:
            await connection.execute("alter table document enable row level security")
    url = database_url.replace("//postgres@", "//plainsql_copier@")
    async with plainsql.connect(url, max_size=1) as copier:
        with pytest.raises(BindError, match="copy into document: row 1701: title: expected text") as raised:
            await copier.copy_in("document", documents, columns=["id", "title", "at"])
        assert "4711" not in str(raised.value)
        del documents[1700]
        assert await copier.copy_in("document", documents, columns=["id", "title", "at"]) == 2499
    assert len(await everything(documents_db)) == 2499


async def test_a_copy_that_is_cancelled_anywhere_leaves_all_or_nothing(
    documents_db: plainsql.Database,
) -> None:
    documents = _documents(50)

    async def check() -> None:
        await settled(lambda: documents_db.stats().in_use == 0)
        async with documents_db.acquire() as connection:
            assert await connection.fetchval("select count(*) from document") in (0, 50)
            await connection.execute("truncate document")

    assert await at_every_wait(lambda: documents_db.copy_in("document", documents), check) >= 4


async def test_a_query_goes_out_to_a_file_a_buffer_and_a_function(
    documents_db: plainsql.Database, tmp_path: Path
) -> None:
    await documents_db.copy_in("document", _documents(2000))
    told: list[int] = []
    path = tmp_path / "out.csv"
    assert await documents_db.copy_out(everything, path, progress=told.append) == 2000
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["id", "title", "at", "embedding", "meta"]
    assert rows[8] == ["7", "t7", "2026-01-02 03:04:05+00", "[1,7,0.5]", '{"n": [7]}']
    assert len(rows) == 2001
    assert told[-1] == path.stat().st_size
    assert names(tmp_path) == [path.name]

    buffer = io.BytesIO()
    assert await documents_db.copy_out(everything, buffer, format="text", header=False) == 2000
    assert buffer.getvalue().startswith(b"0\t\\N\t")
    parts: list[bytes] = []

    async def take(data: bytes) -> None:
        parts.append(data)

    async with documents_db.transaction() as tx:
        assert tx is not None
    assert await documents_db.copy_out(everything, take, format="binary") == 2000
    assert b"".join(parts).startswith(b"PGCOPY\n\xff\r\n\0")


async def test_parameters_reach_a_copy_as_values(documents_db: plainsql.Database) -> None:
    odd = 'it\'s; \\ $1 "x"\nvü'
    documents = [
        Document(1, odd, NOW, None, None),
        Document(2, None, NOW, None, None),
        Document(3, "", NOW, None, None),
    ]
    await documents_db.copy_in("document", documents)
    for title, wanted in ((odd, b"1,"), (None, b"2,"), ("", b"3,")):
        buffer = io.BytesIO()
        parameters = {"low": 0, "title": title, "at": NOW, "ids": [1, 2, 3]}
        assert await documents_db.copy_out(some, buffer, parameters, header=False) == 1
        assert buffer.getvalue().startswith(wanted)
    with pytest.raises(BindError, match="low: expected int4, got str"):
        await documents_db.copy_out(some, io.BytesIO(), {"low": "x", "title": None, "at": NOW, "ids": []})
    with pytest.raises(BindError, match="missing ids"):
        await documents_db.copy_out(some, io.BytesIO(), {"low": 1, "title": None, "at": NOW})


async def test_a_copy_out_that_fails_leaves_no_file(documents_db: plainsql.Database, tmp_path: Path) -> None:
    await documents_db.copy_in("document", _documents(1000))
    path = tmp_path / "out.csv"
    path.write_text("as it was")
    with pytest.raises(asyncpg.DivisionByZeroError) as raised:
        await documents_db.copy_out(fails_late, path)
    assert raised.value.__notes__[0] == "query: d.fail (d.sql)"

    async def full(_: bytes) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        await documents_db.copy_out(everything, full)
    assert names(tmp_path) == [path.name]
    assert path.read_text() == "as it was"
    await settled(lambda: documents_db.stats().in_use == 0)
    assert len(await everything(documents_db)) == 1000
