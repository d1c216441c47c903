"""A NUL in a text is the caller's error wherever a query is called, and a transaction goes on."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

import plainsql
from plainsql.errors import BindError
from plainsql.query import Args, count, many, one

BAD = "secret\0"


@many[str](
    "n.find", "n.sql", 1, "select text from mark where text = :text", read_only=True, session_clean=True
)
def find(*, text: str) -> Args:
    return (text,)


@one[str]("n.add", "n.sql", 1, "insert into mark (text) values (:text) returning text", session_clean=True)
def add(*, text: str) -> Args:
    return (text,)


@count("n.put", "n.sql", 1, "insert into mark (text) values (:text)")
def put(*, text: str) -> Args:
    return (text,)


@one[str]("n.json", "n.sql", 1, "select :text::json::text", read_only=True, session_clean=True)
def as_json(*, text: str) -> Args:
    return (text,)


@one[str](
    "n.convert", "n.sql", 1, "select convert_from(:data, 'UTF8') || :text", read_only=True, session_clean=True
)
def convert(*, data: bytes, text: str) -> Args:
    return (data, text)


@pytest.fixture
async def outside(outside: Any) -> Any:
    """The connection outside of the pool, after it has created the table ``mark`` afresh."""
    await outside.execute("drop table if exists mark; create table mark (text text)")
    return outside


@pytest.fixture
async def marks_db(database_url: str, outside: Any) -> AsyncIterator[plainsql.Database]:
    async with plainsql.connect(database_url, max_size=2) as db:
        yield db


async def streamed(on: Any) -> list[str]:
    return [text async for text in find.stream(on, text=BAD)]


CALLS: dict[str, Any] = {
    "read": lambda on: find(on, text=BAD),
    "write": lambda on: add(on, text=BAD),
    "count": lambda on: put(on, text=BAD),
    "stream": streamed,
    "copy_out": lambda on: on.copy_out(find, io.BytesIO(), {"text": BAD}),
    "reads, set 3": lambda on: find.batch(on, [{"text": "a"}, {"text": "b"}, {"text": BAD}]),
    "batch, set 3": lambda on: add.batch(on, [{"text": "a"}, {"text": "b"}, {"text": BAD}]),
    "execute_many, set 3": lambda on: put.execute_many(on, [{"text": "a"}, {"text": "b"}, {"text": BAD}]),
    "batch of an unknown effect, set 2": lambda on: put.batch(on, [{"text": "a"}, {"text": BAD}]),
}


@pytest.mark.parametrize("kind", CALLS)
async def test_it_is_told_and_a_transaction_goes_on(
    marks_db: plainsql.Database, outside: Any, kind: str
) -> None:
    set_ = kind.partition(", ")[2]
    for _ in range(2):  # not prepared yet, and prepared
        with pytest.raises(BindError) as raised:
            await CALLS[kind](marks_db)
        assert raised.value.detail == "it holds a NUL character"
        assert f"{set_ + ': ' if set_ else ''}text: expected text, got str" in raised.value.message
        assert "secret" not in str(raised.value)
        async with marks_db.transaction() as tx:
            await put(tx, text="before")
            with pytest.raises(BindError):
                await CALLS[kind](tx)
            await put(tx, text="after")
    found = await outside.fetch("select text from mark")
    assert [row["text"] for row in found] == ["before", "after"] * 2


async def test_of_calls_that_go_together_only_the_one_is_told(marks_db: plainsql.Database) -> None:
    await asyncio.gather(*(add(marks_db, text=f"t{n}") for n in range(5)))
    texts = [BAD if n == 17 else f"t{n % 5}" for n in range(40)]
    for _ in range(3):
        found = await asyncio.gather(*(find(marks_db, text=text) for text in texts), return_exceptions=True)
        assert isinstance(found.pop(17), BindError)
        assert found == [[text] for text in texts if text != BAD]


async def test_json_that_is_text_may_hold_one(marks_db: plainsql.Database) -> None:
    async with marks_db.transaction() as tx:
        for on in (marks_db, tx):
            assert await as_json(on, text="\0") == '"\\u0000"'


async def test_the_servers_own_error_of_an_encoding_stays_its_own(marks_db: plainsql.Database) -> None:
    with pytest.raises(asyncpg.CharacterNotInRepertoireError):
        await convert(marks_db, data=b"\xff", text="a")
