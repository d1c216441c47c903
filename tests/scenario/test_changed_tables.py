"""Tables that change under running programs: a row never holds another column's value, on both drivers."""

from __future__ import annotations

import asyncio
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest

import plainsql
import plainsql.sync
from plainsql.query import Args, many, one, optional
from plainsql.query.description import Described, expectations, mismatch
from plainsql.rows import Composite, Row
from plainsql.types import Json, Range
from tests.database.stepping import at_every_wait, settled


class Person(Row, frozen=True):
    id: int
    email: str
    nick: str | None
    seen: datetime | None


NAMED = "select p.id, p.email, p.nick, p.seen from person as p where p.id = :id"
STAR = "select * from person where id = :id"


@optional[Person]("t.named", "t.sql", 1, NAMED, read_only=True, session_clean=True, by_key=True)
def named(*, id: int) -> Args:
    return (id,)


@optional[Person]("t.star", "t.sql", 1, STAR, read_only=True, session_clean=True, by_key=True)
def star(*, id: int) -> Args:
    return (id,)


class Swapped(Row, frozen=True):
    id: int
    nick: str | None
    email: str
    seen: datetime | None


@optional[Swapped]("t.star", "t.sql", 1, STAR, read_only=True, session_clean=True, by_key=True)
def swapped(*, id: int) -> Args:
    return (id,)


@optional[Person](
    "t.allowed", "t.sql", 1, STAR, read_only=True, session_clean=True, by_key=True, more_columns=True
)
def allowed(*, id: int) -> Args:
    return (id,)


@many[Person](
    "t.all",
    "t.sql",
    1,
    "select * from person order by id",
    read_only=True,
    session_clean=True,
    more_columns=True,
)
def all_of() -> Args:
    return ()


@one[Person](
    "t.touch", "t.sql", 1, "update person set nick = nick where id = :id returning *", session_clean=True
)
def touch(*, id: int) -> Args:
    return (id,)


@one[str]("t.nick", "t.sql", 1, "select nick from person where id = :id", read_only=True, session_clean=True)
def nick(*, id: int) -> Args:
    return (id,)


RIGHT = Person(3, "e3", "n3", None)
QUERIES: list[Any] = [named, star, touch]

CHANGES = {
    "a column is added": ("alter table person add column phone text default '555'", {"star", "touch"}),
    "an integer grows": ("alter table person alter column id type bigint", set()),
    "a text becomes shorter": ("alter table person alter column nick type varchar(9)", set()),
    "a text becomes a time": (
        "alter table person alter column nick type timestamptz using now()",
        {"named", "star", "touch"},
    ),
    "a column is renamed": (
        "alter table person rename column nick to alias",
        {"named", "star", "touch"},
    ),
    "two columns are renamed": (
        """
        alter table person rename column nick to x;
        alter table person rename column email to nick;
        alter table person rename column x to email
        """,
        {"star", "touch"},
    ),
    "a column is replaced by another of its type": (
        """
        alter table person
        drop column nick, drop column seen, add column pin text default '1234', add column seen timestamptz
        """,
        {"named", "star", "touch"},
    ),
    "a column is dropped": ("alter table person drop column seen", {"named", "star", "touch"}),
    "a column moves to the end": (
        "alter table person drop column nick, add column nick text; update person set nick = 'n' || id",
        {"star", "touch"},
    ),
}


@pytest.fixture
def table(database_url: str) -> str:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            """
            drop table if exists person;
            create table person (id int primary key, email text not null, nick text, seen timestamptz);
            insert into person select n, 'e' || n, 'n' || n, null from generate_series(1, 50) as n;
            """
        )
    return database_url


def _alter(url: str, change: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(change.encode())


def _are_at_least(seen: list[Any], calls: int) -> bool:
    return len(seen) >= calls


def _is_refusal(error: BaseException) -> bool:
    return isinstance(
        error, plainsql.ContractError | asyncpg.UndefinedColumnError | psycopg.errors.UndefinedColumn
    )


def _expected(change: str) -> Person:
    return Person(3, "n3", "e3", None) if change == "two columns are renamed" else RIGHT


@pytest.mark.parametrize("change", CHANGES)
async def test_a_running_program_gets_the_right_row_or_an_error(table: str, change: str) -> None:
    statement, refused = CHANGES[change]
    async with plainsql.connect(table, max_size=3) as db:
        for query in QUERIES:
            assert await asyncio.gather(*(query(db, id=3) for _ in range(20))) == [RIGHT] * 20
        await asyncio.to_thread(_alter, table, statement)
        for query in QUERIES:
            for _ in range(2):
                found = await asyncio.gather(*(query(db, id=3) for _ in range(20)), return_exceptions=True)
                if query.name.removeprefix("t.") in refused:
                    assert all(isinstance(one, BaseException) and _is_refusal(one) for one in found), found
                else:
                    assert found == [_expected(change)] * 20
            batch = query.batch(db, [{"id": 3}] * 3)
            if query.name.removeprefix("t.") in refused:
                with pytest.raises((plainsql.ContractError, asyncpg.UndefinedColumnError)):
                    await batch
            else:
                assert await batch == [_expected(change)] * 3


@pytest.mark.parametrize("change", CHANGES)
def test_a_script_gets_the_right_row_or_an_error(table: str, change: str) -> None:
    statement, refused = CHANGES[change]
    with plainsql.sync.connect(table) as db:
        for query in QUERIES:
            assert query(db, id=3) == RIGHT
        _alter(table, statement)
        for query in QUERIES:
            for _ in range(2):
                if query.name.removeprefix("t.") in refused:
                    with pytest.raises((plainsql.ContractError, psycopg.errors.UndefinedColumn)):
                        query(db, id=3)
                    with pytest.raises((plainsql.ContractError, psycopg.errors.UndefinedColumn)):
                        list(query.stream(db, id=3))
                else:
                    assert query(db, id=3) == _expected(change)


async def test_programs_go_on_while_columns_come_and_go(table: str) -> None:
    """Concurrent callers on several connections, while the table changes again and again."""
    seen: list[Any] = []
    done = asyncio.Event()

    async def call(db: plainsql.Database, query: Any) -> None:
        while not done.is_set():
            try:
                row = await query(db, id=3)
            except (plainsql.ContractError, asyncpg.UndefinedColumnError) as error:
                seen.append(error)
            else:
                seen.append(row)
                assert row == RIGHT
            await asyncio.sleep(0)

    async with plainsql.connect(table, max_size=4) as db:
        callers = [asyncio.create_task(call(db, query)) for query in (named, star, allowed) for _ in range(8)]
        for number in range(6):
            for change in (
                f"add column c{number} text default 'wrong'",
                "add column phone text default 'wrong'",
                f"drop column c{number}",
                "drop column nick, add column nick text",
                """
                drop column email, drop column nick, drop column seen, drop column phone,
                add column email text, add column nick text, add column seen timestamptz
                """,
            ):
                # Both at the same time: no read comes between the two.
                fill = "update person set nick = 'n' || id, email = 'e' || id"
                statements = f"begin; alter table person {change}; {fill}; commit"
                calls = len(seen) + 30
                await asyncio.to_thread(_alter, table, statements)
                await settled(partial(_are_at_least, seen, calls))
        done.set()
        await asyncio.gather(*callers)
    assert sum(row == RIGHT for row in seen) > 500


@pytest.mark.parametrize("query", [star, touch, allowed, all_of], ids=lambda query: query.name)
async def test_a_cancelled_call_leaves_no_statement_that_was_not_compared(table: str, query: Any) -> None:
    """A caller is cancelled at each wait: also after the statement was prepared, before it was compared."""
    arguments = {} if query is all_of else {"id": 3}

    async def call() -> None:
        with pytest.raises(plainsql.ContractError):
            await query(db, **arguments)

    async with plainsql.connect(table, max_size=1) as db:
        await query(db, **arguments)
        _alter(table, "alter table person drop column nick, add column nick text")
        await at_every_wait(call, call)
        async with db.acquire() as connection:
            left = await connection.fetchval("select count(*) from pg_prepared_statements")
    assert left <= 3, "statements were not closed"


async def test_calls_that_wait_for_a_changing_table_are_compared(table: str) -> None:
    """The table is locked while their statement is prepared again, so that they run alone, each by itself."""
    async with plainsql.connect(table, max_size=2) as db:
        assert await asyncio.gather(*(allowed(db, id=3) for _ in range(20))) == [RIGHT] * 20
        for _ in range(5):
            async with await psycopg.AsyncConnection.connect(table) as change:
                await change.execute("alter table person drop column nick, add column nick text")
                calls = [asyncio.create_task(allowed(db, id=3)) for _ in range(20)]
                await _is_waited_for(change, table)
            found = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(one, plainsql.ContractError) for one in found), found


async def _is_waited_for(connection: psycopg.AsyncConnection[Any], url: str) -> None:
    """Wait until both connections of a pool wait for the lock of a transaction."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as other:
        async with asyncio.timeout(10):
            blocked = 0
            while blocked < 2:
                found = await other.execute(
                    "select count(*) from pg_stat_activity where %s = any(pg_blocking_pids(pid))",
                    [connection.info.backend_pid],
                )
                [blocked] = await found.fetchone() or (0,)


async def test_queries_of_one_text_are_compared_each_with_its_own_row(table: str) -> None:
    """Two modules have a query of one name and text, and their rows differ."""
    async with plainsql.connect(table, max_size=1) as db:
        move = "update person set nick = 'n' || id, email = 'e' || id"
        _alter(
            table, f"alter table person drop email, drop seen, add email text, add seen timestamptz; {move}"
        )
        assert await swapped(db, id=3) == Swapped(3, "n3", "e3", None)
        _alter(table, f"alter table person drop nick, drop seen, add nick text, add seen timestamptz; {move}")
        assert await star(db, id=3) == RIGHT
        for _ in range(2):
            with pytest.raises(plainsql.ContractError, match="column 2 is expected to be 'nick'"):
                await swapped(db, id=3)


async def test_columns_that_follow_are_left_out_if_the_header_allows_it(table: str) -> None:
    async with plainsql.connect(table) as db:
        with plainsql.sync.connect(table) as sync:
            for _ in range(2):
                assert await allowed(db, id=3) == allowed(sync, id=3) == RIGHT
                assert len(await all_of(db)) == len(all_of(sync)) == 50
                await asyncio.to_thread(
                    _alter, table, "alter table person add column if not exists phone int"
                )
            _alter(table, "alter table person drop column email, add column email text")
            for call in (lambda: allowed(sync, id=3), lambda: all_of(sync)):
                with pytest.raises(
                    plainsql.ContractError, match="column 2 is expected to be 'email', got 'nick'"
                ):
                    call()
        with pytest.raises(plainsql.ContractError, match="column 2 is expected to be 'email', got 'nick'"):
            await allowed(db, id=3)


async def test_a_single_value_of_another_type_is_refused(table: str) -> None:
    async with plainsql.connect(table) as db:
        assert await nick(db, id=3) == "n3"
        _alter(table, "alter table person alter column nick type int using 5")
        with pytest.raises(plainsql.ContractError, match="the value has another type, got int4"):
            await nick(db, id=3)


async def test_loaded_queries_keep_the_row_that_they_began_with(table: str, tmp_path: Path) -> None:
    (tmp_path / "get.sql").write_text(f"-- One.\n-- returns: optional Person\n{STAR}\n")
    loaded = plainsql.load(tmp_path)
    async with plainsql.connect(table) as db:
        first = await loaded.get(db, id=3)
        assert (first.email, first.nick) == ("e3", "n3")
        _alter(table, CHANGES["two columns are renamed"][0])
        with pytest.raises(plainsql.ContractError, match="column 2 is expected to be 'email', got 'nick'"):
            await loaded.get(db, id=3)


class Point2(Composite, frozen=True):
    x: int


@pytest.mark.parametrize(
    ("annotation", "oids", "others"),
    [
        (int, [20, 21, 23, 26], [25, 1700, 16, 1082, 1007, 16999]),
        (str, [25, 1043, 19, 16999], [23, 17, 1184, 3802, 1009]),
        (bool, [16], [23, 25]),
        (float, [700, 701], [1700, 23]),
        (Decimal, [1700], [701, 23]),
        (bytes, [17], [25]),
        (datetime, [1114, 1184], [1082, 25]),
        (list[int], [1007, 1016, 16999], [23, 1009, 1185]),
        (list[str], [1009, 1015, 16999], [25, 1007]),
        (Range[int], [3904, 3926, 16999], [3908, 23, 25]),
        (list[Range[int]], [4451, 4536], [4533, 3904]),
        (Json, [114, 3802], [25, 23, 199]),
        (list[Json], [199, 3807], [3802, 1009]),
        (Point2, [16999, 2249], [23, 25]),
        (object, [23, 25, 1007, 16999], [114, 3802]),
    ],
)
def test_types_fit_as_far_as_python_tells_them_apart(
    annotation: Any, oids: list[int], others: list[int]
) -> None:
    def differs(oid: int) -> bool:
        return mismatch(expectations(annotation), (Described("x", oid, "other"),)) is not None

    assert [oid for oid in oids if differs(oid)] == []
    assert [oid for oid in others if not differs(oid)] == []
    assert (
        not any(mismatch(expectations(annotation | None), (Described("x", oid, "t"),)) for oid in oids)
        or annotation is Json
    )
