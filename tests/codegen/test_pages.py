"""``page: key``: pages by the query's own total order, on both drivers."""

from __future__ import annotations

import asyncio
import random
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Generator
from types import ModuleType
from typing import Any

import msgspec
import psycopg
import pytest

import plainsql
import plainsql.sync
from plainsql import PageRequest
from plainsql.errors import OptionError, PageTokenError, SqlFileError
from plainsql.statements import parse
from plainsql.statements.page_text import PageKey, page_sql
from tests.codegen.conftest import Load, Made

TABLES = """
create type tier as enum ('low', 'high');
create table people (
  id bigint primary key,
  name text not null,
  nick text unique,
  born date,
  score numeric,
  tier tier not null,
  seen timestamptz not null
);
create index on people (seen, id);
"""
COLUMNS = "  p.id,\n  p.name,\n  p.nick,\n  p.born,\n  p.score,\n  p.tier,\n  p.seen"
RECENT = f"""
-- People by the time they were seen.
-- returns: many Person
-- page: key
select
{COLUMNS}
from people as p
where
  p.id > 0
  and p.tier = :tier  --?
order by p.seen, p.id
"""
ORDERED = f"""
-- People in the order that a request names.
-- returns: many Person
-- page: key
select
{COLUMNS}
from people as p
order by
  p.born desc, p.id,                   --? order=youngest
  p.score desc nulls last, p.id desc,  --? order=best
  p.born nulls first, p.tier, p.id,    --? order=oldest
  p.id
"""
NAMES = """
-- The names.
-- returns: many value
-- page: key
select distinct p.name
from people as p
order by p.name desc
"""
FIRST = """
-- The one with the best score of each tier.
-- returns: many First
-- page: key
select distinct on (p.tier)
  p.tier,
  p.id,
  p.score
from people as p
order by p.tier desc, p.score desc nulls last, p.id desc
"""
FILES = {"migrations/0001_all.sql": TABLES} | {
    f"sql/people/{name}.sql": text.lstrip()
    for name, text in {"recent": RECENT, "ordered": ORDERED, "names": NAMES, "first": FIRST}.items()
}
KEY = b"sixteen bytes at least"
PEOPLE = 57


@pytest.fixture(scope="module")
def people_url(plainsql_databases: Any) -> Generator[str]:
    """A database with people, many of them equal in all columns but the key."""
    chance = random.Random(7)
    with plainsql_databases.clone() as url:
        with psycopg.connect(url) as connection:
            connection.execute(TABLES.encode())
            for id_ in range(1, PEOPLE + 1):
                connection.execute(
                    "insert into people values (%s, %s, null, date '2000-01-01' + %s::int, %s, %s,"
                    " timestamptz '2026-01-01 00:00Z' + %s * interval '1 microsecond')",
                    (
                        id_,
                        chance.choice("abc"),
                        chance.choice([None, 0, 1]),
                        chance.choice([None, 1, 2.5]),
                        chance.choice(["low", "high"]),
                        chance.randrange(3),
                    ),
                )
        yield url


@pytest.fixture
def people(load: Load) -> ModuleType:
    """The generated module."""
    return load("people", FILES)


def test_all_pages_together_are_the_query_in_its_order(people: Any, people_url: str) -> None:
    calls: list[tuple[Any, dict[str, Any]]] = [
        (people.recent, {}),
        (people.recent, {"tier": "low"}),
        *((people.ordered, {"order": order}) for order in ("youngest", "best", "oldest")),
        (people.names, {}),
        (people.first, {}),  # the order chooses the rows of a distinct on
    ]
    with plainsql.sync.connect(people_url) as db:
        for query, parameters in calls:
            expected = query(db, **parameters)
            for size in (1, 7, len(expected), 100):
                found: list[Any] = []
                token, pages = None, 0
                while pages == 0 or token is not None:
                    request = PageRequest(size, token, key=KEY if size == 7 else None, total=pages == 0)
                    page = query.page(db, request, **parameters)
                    assert page.total == (len(expected) if pages == 0 else None)
                    assert len(page.rows) <= size
                    found, token, pages = found + page.rows, page.next, pages + 1
                assert found == expected
                assert pages == -(-len(expected) // size)

    async def over_asyncpg() -> None:
        async with plainsql.connect(people_url) as db:
            for query, parameters in calls:
                expected = await query(db, **parameters)
                first = await query.page(db, PageRequest(min(2, len(expected) - 1), total=True), **parameters)
                async with db.transaction() as tx:
                    rest = await query.page(tx, PageRequest(100, first.next), **parameters)
                assert first.rows + rest.rows == expected
                assert (first.total, rest.next) == (len(expected), None)

    asyncio.run(over_asyncpg())


def test_a_token_of_other_pages_is_refused(people: Any, people_url: str) -> None:
    with plainsql.sync.connect(people_url) as db:
        recent = people.recent.page(db, PageRequest(2)).next
        low = people.recent.page(db, PageRequest(2), tier="low").next
        best = people.ordered.page(db, PageRequest(2), order="best").next
        signed = people.recent.page(db, PageRequest(2, key=KEY)).next
        last = "A" if signed[-2] != "A" else "B"
        refused: list[tuple[Any, str, bytes | None, dict[str, Any], str]] = [
            (people.recent, low, None, {}, "another query, another order or another version"),
            (people.recent, recent, None, {"tier": "low"}, "another order"),
            (people.ordered, recent, None, {"order": "best"}, "another query"),
            (people.ordered, best, None, {"order": "oldest"}, "another order"),
            (people.recent, "", None, {}, "another query"),
            (people.recent, "ä", None, {}, "another query"),
            (people.recent, recent[:-6], None, {}, "it cannot be read"),
            (people.recent, recent, KEY, {}, "its signature is wrong"),
            (people.recent, signed, KEY + b"2", {}, "its signature is wrong"),
            (people.recent, signed[:-2] + last + signed[-1], KEY, {}, "its signature is wrong"),
        ]
        for query, token, key, parameters, message in refused:
            with pytest.raises(PageTokenError, match=message) as raised:
                query.page(db, PageRequest(2, token, key), **parameters)
            assert token not in str(raised.value) or not token
        assert people.recent.page(db, PageRequest(2, signed, KEY)).rows
        with pytest.raises(plainsql.BindError, match="expected a PageRequest, got int"):
            people.recent.page(db, 20)
    with pytest.raises(OptionError, match="size: expected a number from 1"):
        PageRequest(0)
    with pytest.raises(OptionError, match="key: expected at least 16 bytes"):
        PageRequest(key=b"short")
    assert "sixteen" not in repr(PageRequest(key=KEY))


def test_a_token_that_is_made_with_values_out_of_bounds_is_refused(people: Any, people_url: str) -> None:
    def made(token: str, *values: object) -> str:
        fingerprint = urlsafe_b64decode(token + "=" * (-len(token) % 4))[:8]
        return urlsafe_b64encode(fingerprint + msgspec.msgpack.encode(values)).decode().rstrip("=")

    async def run() -> None:
        async with plainsql.connect(people_url) as db:
            names = (await people.names.page(db, PageRequest(1))).next
            recent = (await people.recent.page(db, PageRequest(2))).next
            best = (await people.ordered.page(db, PageRequest(2), order="best")).next
            day = "2026-01-01T00:00:00Z"
            cases: list[tuple[Any, str, dict[str, Any]]] = [
                (people.recent, made(recent, day, 2**63), {}),
                (people.recent, made(recent, "0001-01-01T00:00:00+01:00", 1), {}),
                (people.names, made(names, "a\0b"), {}),
                (people.ordered, made(best, "1e999999999", 1), {"order": "best"}),
                (people.ordered, made(best, "sNaN", "1"), {"order": "best"}),
            ]
            with plainsql.sync.connect(people_url) as sync_db:
                for query, token, parameters in cases:
                    with pytest.raises(PageTokenError, match="it cannot be read"):
                        await query.page(db, PageRequest(2, token), **parameters)
                    with pytest.raises(PageTokenError, match="it cannot be read"):
                        query.page(sync_db, PageRequest(2, token), **parameters)
            with pytest.raises(plainsql.BindError, match="limit: expected int8"):
                await people.recent.page(db, PageRequest(2**63, recent))

    asyncio.run(run())


def test_an_index_finds_a_page(people: Any, people_url: str) -> None:
    with psycopg.connect(people_url) as connection:
        connection.execute("set enable_sort = off")
        text, _ = people.recent.compiled.texts.select((plainsql.UNSET,))
        sql = page_sql(text.sql, [PageKey("seen"), PageKey("id")], 0, "people.recent", after=True)
        plan = "\n".join(
            row[0]
            for row in psycopg.RawCursor(connection).execute(
                f"explain (generic_plan, costs off) {sql}".encode()
            )
        )
    assert "Index Cond: ((ROW(seen, id) > ROW($1, $2))" in plan.replace("p.", "")
    assert "Sort" not in plan


REFUSED = {
    "order by p.seen": "rows may be equal in its order",
    "order by p.nick": "rows may be equal in its order",
    "": "it has no order by",
    "order by p.id limit 5": "it has a limit or an offset of its own",
    "order by lower(p.name), p.id": "its order has an expression that is not selected (lower(p.name), p.id",
    "order by p.id for update": "it locks rows",
}


def test_an_order_that_is_no_key_is_refused(make: Made) -> None:
    files = {"migrations/0001_all.sql": TABLES} | {
        f"sql/people/q{number}.sql": "-- It.\n-- returns: many Person\n-- page: key\n"
        f"select\n{COLUMNS}\nfrom people as p\n{tail}\n"
        for number, tail in enumerate(REFUSED)
    }
    files["sql/children/q.sql"] = (
        '-- It.\n-- returns: many Person\n-- page: key\nselect p.id, p.name as "names[].name"\n'
        "from people as p\norder by p.id\n"
    )
    found = make(files)
    children, *errors = found.errors
    assert "a page of it would count children, not parents" in children.message
    shown = [error.message.partition("for pages: ")[2] for error in errors]
    assert len(shown) == len(REFUSED), shown
    for text, wanted in zip(shown, REFUSED.values(), strict=True):
        assert text.startswith(wanted)
    assert {(error.line, error.column) for error in errors} == {(3, 4)}
    assert "unbounded" not in {problem.name for problem in found.findings}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("-- returns: many A\n-- page: offset", "page cannot be 'offset', expected key"),
        ("-- returns: optional A\n-- page: key", "'returns: optional A' has no pages"),
    ],
)
def test_a_wrong_line_is_refused(header: str, message: str) -> None:
    with pytest.raises(SqlFileError, match=message):
        parse(f"-- It.\n{header}\nselect 1 as id\n", name="a.q", path="sql/a/q.sql")
