"""COPY on the synchronous side: the same rows go in and come out, all or none."""

from __future__ import annotations

import csv
import io
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import psycopg
import pytest

import plainsql
from plainsql.errors import BindError, TenantError
from plainsql.query import Args, Binder, ManyQuery, QueryFacts, many
from plainsql.rows import Composite, Row
from plainsql.sync import Database, Pool, over
from plainsql.types import JSON

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Place(Composite, frozen=True):
    x: int
    label: str | None


class Note(Row, frozen=True):
    id: int
    title: str | None
    at: datetime
    meta: Annotated[Any, JSON]


class Rich(msgspec.Struct):
    id: int
    metas: list[Any] | None
    place: Place | None
    places: list[Place] | None


@many[Note](
    "n.all",
    "n.sql",
    1,
    "select id, title, at, meta from note order by id",
    read_only=True,
    session_clean=True,
)
def everything() -> Args:
    return ()


@many[Note](
    "n.some",
    "n.sql",
    1,
    "select id, title from note\nwhere id >= :low and title is not distinct from :title"
    " and at <= :at and id = any(:ids)\norder by id",
    read_only=True,
    session_clean=True,
)
def some(*, low: int, title: str | None, at: datetime, ids: list[int]) -> Args:
    return (low, title, at, ids)


@pytest.fixture
def notes_db(database_url: str) -> Generator[Database]:
    """An empty table of notes, and one of composite values."""
    with plainsql.sync.connect(database_url) as db:
        db.connection.execute(
            "drop table if exists note, rich; drop type if exists place; "
            "create type place as (x int, label text); create table note "
            "(id int primary key, title text, at timestamptz not null, meta jsonb); "
            "create table rich (id int primary key, metas jsonb[], place place, places place[])"
        )
        yield db


def notes(number: int) -> list[Note]:
    titles = ["a\tb\nc\\N\r", None, "\\.", "", "ünï"]
    return [Note(n, titles[n % 5], NOW, {"n": [n, "\\"]}) for n in range(number)]


def test_rows_go_in_and_come_back(notes_db: Database) -> None:
    seen: list[int] = []
    assert notes_db.copy_in("note", notes(2500), progress=seen.append) == 2500
    assert seen == [1000, 2000, 2500]
    assert everything(notes_db) == notes(2500)
    assert notes_db.copy_in("note", iter([]), progress=seen.append) == 0
    statistics = "select count(*) from pg_stats where tablename = 'note'"
    assert notes_db.connection.execute(statistics).fetchone() == (0,)
    assert notes_db.copy_in("public.note", [(-1, NOW)], columns=["id", "at"], analyze=True) == 1
    assert notes_db.connection.execute(statistics).fetchone() == (4,)


def test_arrays_of_json_and_composites_go_in_as_a_query_takes_them(notes_db: Database) -> None:
    rich = Rich(1, [[1], {"a": None}, None], Place(1, 'a"b'), [Place(2, None), Place(3, ",")])
    assert notes_db.copy_in("rich", [rich, Rich(2, None, None, None)]) == 2
    found = (
        "select metas[1] = '[1]' and metas[3] is null and places[2] = (3, ',')::place from rich where id = 1"
    )
    assert notes_db.connection.execute(found).fetchone() == (True,)
    row = notes_db.connection.execute("select (place).label, (places[1]).label from rich where id = 1")
    assert row.fetchone() == ('a"b', None)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((2, "x"), "copy into note: row 2: at: expected timestamptz, got str"),
        ((1, 2, 3), "copy into note: row 2: expected 2 values, got 3"),
        ("ab", "copy into note: row 2: expected a struct or a sequence of values, got str"),
    ],
)
def test_a_row_that_does_not_fit_undoes_all(notes_db: Database, row: Any, message: str) -> None:
    with pytest.raises(BindError) as raised:
        notes_db.copy_in("note", [(1, NOW), row], columns=["id", "at"])
    assert raised.value.message == message
    assert everything(notes_db) == []
    assert notes_db.copy_in("note", notes(1)) == 1


def test_an_error_of_the_rows_or_of_the_server_undoes_all(notes_db: Database) -> None:
    def rows() -> Generator[Note]:
        yield from notes(1500)
        raise LookupError("the source is empty")

    with pytest.raises(LookupError, match="the source is empty"):
        notes_db.copy_in("note", rows())
    with pytest.raises(psycopg.errors.UniqueViolation) as raised:
        notes_db.copy_in("note", [*notes(10), *notes(1)])
    assert raised.value.__notes__ == ["row: 11"]
    with pytest.raises(BindError, match="row 1: title: it holds a NUL character"):
        notes_db.copy_in("note", [Note(1, "\0", NOW, None)])
    assert everything(notes_db) == []


def test_a_query_comes_out_with_its_parameters(notes_db: Database, tmp_path: Path) -> None:
    notes_db.copy_in("note", notes(100))
    place = tmp_path / "notes.csv"
    given = {"low": 3, "title": None, "at": NOW, "ids": [1, 6, 11]}
    assert notes_db.copy_out(some, place, given) == 2
    assert list(csv.reader(place.read_text().splitlines())) == [["id", "title"], ["6", ""], ["11", ""]]
    buffer = io.BytesIO()
    assert notes_db.copy_out(everything, buffer, format="text") == 100
    parts: list[bytes] = []
    sizes: list[int] = []
    notes_db.copy_out(everything, parts.append, format="text", progress=sizes.append)
    assert b"".join(parts) == buffer.getvalue()
    assert sizes[-1] == len(buffer.getvalue())
    assert notes_db.copy_out(everything, tmp_path / "binary", format="binary") == 100


def test_a_failed_copy_leaves_no_file_and_a_usable_connection(notes_db: Database, tmp_path: Path) -> None:
    notes_db.copy_in("note", notes(5))
    broken: ManyQuery[..., Any] = ManyQuery(
        "t.b", "t.sql", 1, "select 1 / (id - 3) from note order by id", Binder((), {}, {}, None), object
    )
    with pytest.raises(psycopg.errors.DivisionByZero) as raised:
        notes_db.copy_out(broken, tmp_path / "out.csv")
    assert "t.sql" in raised.value.__notes__[0]
    assert list(tmp_path.iterdir()) == []

    def fails(_: bytes) -> None:
        raise LookupError("the disk is full")

    with pytest.raises(LookupError, match="the disk is full"):
        notes_db.copy_out(everything, fails)
    assert len(everything(notes_db)) == 5


def test_every_executor_copies(notes_db: Database, database_url: str) -> None:
    with notes_db.transaction() as tx:
        assert tx.copy_in("note", notes(2)) == 2
        assert tx.copy_out(everything, io.BytesIO()) == 2
    assert notes_db.tenant("a").copy_in("note", [(7, NOW)], columns=["id", "at"]) == 1
    with Pool(database_url) as pool:
        assert pool.copy_in("note", [(8, NOW)], columns=["id", "at"]) == 1
        assert pool.copy_out(everything, io.BytesIO()) == 4
    with psycopg.connect(database_url) as connection:
        connection.execute("set DateStyle to German")
        db = over(connection)
        assert db.copy_in("note", [(9, NOW)], columns=["id", "at"]) == 1
        out = io.BytesIO()
        assert db.copy_out(everything, out, header=False) == 5
        assert b"2026-01-02 " in out.getvalue()
        assert connection.execute("show DateStyle").fetchone() == ("German, DMY",)
        connection.rollback()
    assert len(everything(notes_db)) == 4


def test_a_table_under_row_level_security_takes_rows_of_the_tenant(sync_tenant_db: Database) -> None:
    letters: ManyQuery[..., Any] = ManyQuery(
        "t.letters",
        "t.sql",
        1,
        "select n from shop.letters order by n",
        Binder((), {}, {}, None),
        object,
        QueryFacts(read_only=True, session_clean=True, row_security={"shop.letters": ("app.jwt_tenant",)}),
    )
    copied = sync_tenant_db.tenant("copied")
    columns = ["tenant_id", "n"]
    assert copied.copy_in("shop.letters", [("copied", 7), ("copied", 8)], columns=columns) == 2
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as raised:
        copied.copy_in("shop.letters", [("copied", 9), ("a", 9)], columns=columns)
    assert raised.value.__notes__ == ["row: 2"]
    out = io.BytesIO()
    assert copied.copy_out(letters, out, header=False) == 2
    assert out.getvalue() == b"7\n8\n"
    with pytest.raises(TenantError):
        sync_tenant_db.copy_out(letters, out)
