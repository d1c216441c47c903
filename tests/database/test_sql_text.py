"""``db.sql``: a statement that is in no file, on both drivers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypedDict
from uuid import UUID

import asyncpg
import msgspec
import psycopg
import pytest

import plainsql
import plainsql.sync
from plainsql import BindError, ContractError, DecodeError, NoRowError, OptionError, TooManyRowsError

Lead = msgspec.defstruct("Lead", [("id", UUID), ("name", str), ("created_at", datetime)], frozen=True)


class Doc(msgspec.Struct):
    kind: str
    tags: list[int]


def _any(executor: Any) -> Any:
    """Return the executor without its types: a type checker refuses texts that are no literals."""
    return executor


class Found(msgspec.Struct):
    n: int
    doc: Doc
    text: str | None = None


@dataclass
class Pair:
    n: int
    text: str


class Keyed(TypedDict):
    n: int


class Turned(NamedTuple):
    text: str
    n: int


class Listed(msgspec.Struct, array_like=True):
    text: str
    n: int


FOUND = "select n, :doc::jsonb as doc, :text::text as text from generate_series(1, :last::int) as n"


async def test_rows_of_every_type_on_both_drivers(
    db: plainsql.Database, sync_db: plainsql.sync.Database
) -> None:
    parameters: dict[str, Any] = {"doc": {"kind": "a", "tags": [1]}, "text": None, "last": 2}
    found = [Found(1, Doc("a", [1])), Found(2, Doc("a", [1]))]
    pair = "select 1 as n, 'x' as text"
    count = "insert into shop.leads (name) values (:name)"
    assert await db.sql(FOUND, type=Found, **parameters) == found
    assert sync_db.sql(FOUND, type=Found, **parameters) == found
    for text, type_, expected in (
        (pair, Pair, Pair(1, "x")),
        (pair, Turned, Turned("x", 1)),
        (pair, Listed, Listed("x", 1)),
        ("""select array['{"a": 1}', null]::jsonb[]""", list[dict[str, int] | None], [{"a": 1}, None]),
        ("select 1 as n", Keyed, {"n": 1}),
        (pair, tuple[int, str], (1, "x")),
        (pair, dict[str, Any], {"n": 1, "text": "x"}),
        ("select 1::bigint", int, 1),
        ("select 1.5::numeric", float, 1.5),
        ("select '{1,2}'::int[]", list[int], [1, 2]),
        ("select null::int", int | None, None),
    ):
        assert await _any(db).sql(text, type=type_, returns="one") == expected
        assert _any(sync_db).sql(text, type=type_, returns="one") == expected
    assert await db.sql("select 1 where false", type=int, returns="optional") is None
    assert sync_db.sql("select 1 where false", type=int, returns="optional") is None
    async with db.transaction() as tx:
        assert await tx.sql(count, name="Ana") == 1
    with sync_db.transaction() as own:
        assert own.sql(count, name="Bob") == 1
    by_name = "select name from shop.leads where true\n  and name = :name --?\norder by name"
    assert await db.sql(by_name, type=str, name="Bob") == ["Bob"]
    assert {"Ana", "Bob"} <= {*sync_db.sql(by_name, type=str)}


async def test_a_statement_that_does_not_fit_is_refused(
    db: plainsql.Database, sync_db: plainsql.sync.Database
) -> None:
    cases: list[tuple[str, dict[str, Any], type[Exception], str]] = [
        ("select 'x' as n, '{}'::jsonb as doc", {"type": Found}, DecodeError, "a row is no Found"),
        ("select null::int", {"type": int}, DecodeError, "Expected `int`, got `null`"),
        ("select 1 as n, 2 as m", {"type": Found}, ContractError, "expected n, doc, text, got n, m"),
        ("select 1 as n, 2 as m", {"type": int}, ContractError, "expected one column for int, got n, m"),
        ("select 1 as n, 2 as n", {"type": dict}, ContractError, "two columns are called 'n'"),
        ("select 1 where false", {"type": int, "returns": "one"}, NoRowError, "expected exactly one row"),
        ("values (1), (2)", {"type": int, "returns": "optional"}, TooManyRowsError, "at most one row"),
        ("select :a::int", {"type": int}, BindError, "missing a"),
        ("select 1", {"type": int, "b": 1}, BindError, "unknown b"),
        ("select 1", {"type": int, "returns": "all"}, OptionError, "'many', 'one' or 'optional', got 'all'"),
        ("select 1", {"type": int, "query_name": "x */ y"}, OptionError, "expected a name such as"),
        ("select 1", {"type": int, "returns": []}, OptionError, "returns: expected"),
        ("select 1", {"type": int, "query_name": 5}, OptionError, "query_name: expected a name such as"),
        ("select '\ud800'", {"type": str}, BindError, "half of a surrogate pair, at character 9"),
        ("select 1 as n", {"type": Turned}, ContractError, "expected text, n, got n"),
        ("select 1", {"type": "int"}, BindError, "type: expected a type, got str"),
        ("copy shop.leads (name) from stdin", {}, BindError, "a copy takes rows"),
        ("begin", {}, plainsql.SqlFileError, "cannot begin, end or divide a transaction"),
        ("select 1; select 2", {"type": int}, plainsql.SqlFileError, "a second statement begins here"),
        ("select $1", {"type": int}, plainsql.SqlFileError, "numbered parameter"),
    ]
    for text, options, error, message in cases:
        with pytest.raises(error) as raised:
            await _any(db).sql(text, **options)
        assert message in str(raised.value), text
        with pytest.raises(error) as again:
            _any(sync_db).sql(text, **options)
        assert message in str(again.value), text
    with pytest.raises(asyncpg.UndefinedTableError) as refused:
        await db.sql("select 1 from nowhere", type=int, query_name="reports.daily")
    assert "query: reports.daily" in refused.value.__notes__[0]


async def test_it_is_a_call_as_others_are(shop_url: str, tenant_url: str) -> None:
    calls: list[plainsql.Call] = []
    async with plainsql.connect(tenant_url, on_call=calls.append) as db:
        assert await db.tenant("a").sql("select n from shop.letters", type=int) == [1]
        assert await db.sql("select count(*) from shop.letters", type=int, query_name="letters.count") == [0]
    assert [call.rows for call in calls] == [1, 1]
    assert calls[1].query.name == "letters.count"
    assert calls[0].query.name.startswith("sql_")
    connection = await asyncpg.connect(shop_url)
    try:
        assert await plainsql.over(connection).sql("select 2", type=int, returns="one") == 2
    finally:
        await connection.close()
    with psycopg.connect(shop_url) as own:
        assert plainsql.sync.over(own).sql("select 3", type=int, returns="one") == 3


async def test_one_text_has_the_columns_of_each_database(shop_url: str) -> None:
    def path(name: str) -> dict[str, Any]:
        return {"search_path": f"{name}, pg_catalog"}

    async with (
        plainsql.connect(shop_url, **path("turned_one")) as one,
        plainsql.connect(shop_url, **path("turned_two")) as two,
    ):
        with (
            plainsql.sync.connect(shop_url, **path("turned_one")) as sync_one,
            plainsql.sync.connect(shop_url, **path("turned_two")) as sync_two,
        ):
            for schema, columns in (("turned_one", "1 as a, 2 as b"), ("turned_two", "2 as b, 1 as a")):
                await _any(one).sql(f"create schema {schema}")
                await _any(one).sql(f"create table {schema}.pairs as select {columns}")
            for _ in range(3):
                for asynchronous in (one, two):
                    assert await asynchronous.sql("table pairs", type=dict) == [{"a": 1, "b": 2}]
                for synchronous in (sync_one, sync_two):
                    assert synchronous.sql("table pairs", type=dict) == [{"a": 1, "b": 2}]

            async def calls(db: plainsql.Database) -> list[Any]:
                return [await db.sql("table pairs", type=dict) for _ in range(20)]

            found: Any = await asyncio.gather(calls(one), calls(two), calls(one), calls(two))
            assert found == [[[{"a": 1, "b": 2}]] * 20] * 4


def test_a_connection_keeps_a_bounded_number_of_texts(
    sync_db: plainsql.sync.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plainsql.sync.connection.MAX_STATEMENTS", 5)
    count = "select count(*) from pg_prepared_statements"
    with sync_db.transaction() as tx:
        for number in range(20):
            text: Any = f"select {number} + :n::int"
            assert tx.sql(text, type=int, n=1) == [number + 1]
    assert sync_db.sql(count, type=int, returns="one") <= 5
