"""Many sets of parameters on the synchronous side: all done or none, and pipelined."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import psycopg
import pytest

import plainsql
from plainsql.embedded import EmbeddedServer
from plainsql.errors import BindError, NoRowError, TooManyRowsError
from plainsql.query import Args, count, many, one, optional
from plainsql.rows import Row
from plainsql.sync import Database
from tests.database import ask
from tests.proxy import open_proxy


class Item(Row, frozen=True, gc=False):
    id: int
    name: str | None


@optional[Item]("t.get", "t.sql", 1, "select id, name from item where id = :id")
def get(*, id: int) -> Args:
    return (id,)


@many[int](
    "t.named", "t.sql", 1, "select id from item\nwhere id <= :most\n  and name = :name --?\norder by id"
)
def named(*, most: int, name: Any = plainsql.UNSET) -> Args:
    return (most, name)


@one[Item]("t.add", "t.sql", 1, "insert into item (id, name) values (:id, :name) returning id, name")
def add(*, id: int, name: str | None = None) -> Args:
    return (id, name)


@one[int]("t.rename", "t.sql", 1, "update item set name = 'x' where id <= :most returning id")
def rename(*, most: int) -> Args:
    return (most,)


@count("t.delete", "t.sql", 1, "delete from item where id >= :low and id <= :high")
def delete(*, low: int, high: int) -> Args:
    return (low, high)


On = Callable[[Database], AbstractContextManager[Any]]


# The annotations of queries promise an awaitable.
def batch(query: Any, db: Any, sets: list[Any]) -> Any:
    return query.batch(db, sets)


def execute_many(query: Any, db: Any, sets: list[Any]) -> Any:
    return query.execute_many(db, sets)


places = pytest.mark.parametrize(
    "on",
    [
        contextlib.nullcontext,
        lambda db: db.transaction(),
        lambda db: contextlib.nullcontext(db.tenant("a")),
        lambda db: db.tenant("a").transaction(),
    ],
    ids=["alone", "in a transaction", "of a tenant", "in a tenant's transaction"],
)


@pytest.fixture
def admin(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(
            "drop table if exists item; create table item (id int primary key, name text);"
            " insert into item select n, 'n' || n from generate_series(1, 10) as n"
        )
        yield admin


@pytest.fixture
def sync_items_db(admin: object, database_url: str) -> Iterator[Database]:
    with plainsql.sync.connect(database_url) as db:
        yield db


def total(admin: psycopg.Connection[Any]) -> object:
    return admin.execute("select count(*), count(*) filter (where name = 'x') from item").fetchone()


@places
def test_results_come_in_the_order_of_the_sets(sync_items_db: Database, admin: Any, on: On) -> None:
    with on(sync_items_db) as executor:
        assert batch(get, executor, [{"id": 7}, {"id": 99}, {"id": 7}]) == [
            Item(7, "n7"),
            None,
            Item(7, "n7"),
        ]
        assert batch(named, executor, [{"most": 2}, {"most": 3, "name": "n3"}, {"most": 1}]) == [
            [1, 2],
            [3],
            [1],
        ]
        assert batch(add, executor, [{"id": 12, "name": "a"}, {"id": 11}]) == [Item(12, "a"), Item(11, None)]
        assert batch(delete, executor, [{"low": 1, "high": 3}, {"low": 1, "high": 3}]) == [3, 0]
        assert execute_many(add, executor, [{"id": n} for n in range(20, 25)]) is None
    assert total(admin) == (14, 0)


def test_no_sets_send_nothing(sync_items_db: Database, admin: psycopg.Connection[Any]) -> None:
    admin.execute("select pg_terminate_backend(%s, 10000)", [sync_items_db.connection.info.backend_pid])
    lost = sync_items_db._shared.psycopg
    assert batch(add, sync_items_db, []) == []
    assert execute_many(add, sync_items_db, []) is None
    assert sync_items_db._shared.psycopg is lost


def test_a_loaded_query_has_its_row_type_from_a_batch(sync_items_db: Database) -> None:
    assert batch(ask.one("select :n::int + 1", "n"), sync_items_db, [{"n": 1}, {"n": 2}]) == [2, 3]


@places
@pytest.mark.parametrize(
    ("query", "sets", "expected", "message"),
    [
        (add, [{"id": 30}, {"id": 1}, {"id": 31}], psycopg.errors.UniqueViolation, "item_pkey"),
        (add, [{"id": 30}, {"id": "one"}], BindError, r"t\.add: set 2: id: expected int4, got str"),
        (add, [{"id": 30, "name": "a\0"}], BindError, r"t\.add: set 1: name: expected text, got str"),
        (rename, [{"most": 1}, {"most": 0}], NoRowError, "expected exactly one row, got none"),
        (rename, [{"most": 1}, {"most": 2}], TooManyRowsError, "expected exactly one row, got 2"),
    ],
    ids=["of the server", "of a value", "of a NUL", "of no row", "of a second row"],
)
def test_an_error_undoes_all_sets_and_a_transaction_goes_on(
    sync_items_db: Database,
    admin: psycopg.Connection[Any],
    on: On,
    query: Any,
    sets: list[Any],
    expected: type[Exception],
    message: str,
) -> None:
    with on(sync_items_db) as executor:
        with pytest.raises(expected, match=message) as raised:
            batch(query, executor, sets)
        assert total(admin) == (10, 0)
        if expected is psycopg.errors.UniqueViolation:
            assert "t.sql" in raised.value.__notes__[0]
            with pytest.raises(expected):
                execute_many(query, executor, sets)
        assert batch(add, executor, [{"id": 40}]) == [Item(40, None)]
    assert total(admin) == (11, 0)


def test_thousands_of_sets_with_large_values_are_done(
    sync_items_db: Database, admin: psycopg.Connection[Any]
) -> None:
    """More than fits into the buffers of both ends, in both directions, in more than one pipeline."""
    sets = [{"id": n, "name": str(n) * 2000} for n in range(1000, 3500)]
    results = batch(add, sync_items_db, sets)
    assert [(item.id, item.name) for item in results] == [(one["id"], one["name"]) for one in sets]
    execute_many(delete, sync_items_db, [{"low": n, "high": n} for n in range(1000, 3500)])
    assert total(admin) == (10, 0)


def test_a_changed_table_is_described_again(sync_items_db: Database, admin: psycopg.Connection[Any]) -> None:
    assert batch(get, sync_items_db, [{"id": 1}, {"id": 2}]) == [Item(1, "n1"), Item(2, "n2")]
    admin.execute("alter table item alter column name type varchar(9)")
    assert batch(get, sync_items_db, [{"id": 1}, {"id": 2}]) == [Item(1, "n1"), Item(2, "n2")]
    sync_items_db.connection.execute("deallocate all")
    execute_many(get, sync_items_db, [{"id": 1}, {"id": 2}])


def test_a_lost_connection_means_that_nothing_was_done(
    sync_items_db: Database, admin: psycopg.Connection[Any]
) -> None:
    dies = ask.one(
        "insert into item select :n where (select pg_terminate_backend(pg_backend_pid())) returning 1", "n"
    )
    with pytest.raises(psycopg.OperationalError) as raised:
        batch(dies, sync_items_db, [{"n": 50}, {"n": 51}])
    assert "nothing of it was done" in " ".join(raised.value.__notes__)
    assert isinstance(raised.value, psycopg.errors.AdminShutdown)
    assert total(admin) == (10, 0)
    assert batch(add, sync_items_db, [{"id": 50}]) == [Item(50, None)]


@pytest.mark.parametrize("sets", [2, 50, 1000])
def test_the_servers_reason_is_kept_when_a_later_set_is_refused(sync_items_db: Database, sets: int) -> None:
    dies = ask.many("select :n::int where (select pg_terminate_backend(pg_backend_pid()))", "n")
    for _ in range(10):  # whether the reason or the refusal comes first is chance
        with pytest.raises(psycopg.errors.AdminShutdown):
            batch(dies, sync_items_db, [{"n": n} for n in range(sets)])


def test_copy_ends_the_connection_and_the_next_call_opens_one(sync_items_db: Database) -> None:
    copies: Any = ask.count("copy item to stdout")
    with pytest.raises(plainsql.PlainsqlError, match="COPY from or to the client is not a query"):
        execute_many(copies, sync_items_db, [{}, {}])
    assert batch(add, sync_items_db, [{"id": 60}]) == [Item(60, None)]


def test_the_statement_timeout_is_for_each_set(database_url: str) -> None:
    sleeps: Any = ask.one("select pg_sleep(:s)::text", "s")
    with plainsql.sync.connect(database_url, statement_timeout=2) as db:
        assert batch(sleeps, db, [{"s": 0.7}] * 5) == [""] * 5  # longer together than one may take
        with pytest.raises(psycopg.errors.QueryCanceled):
            batch(sleeps, db, [{"s": 0}, {"s": 60}, {"s": 60}])
        assert batch(sleeps, db, [{"s": 0}]) == [""]


async def test_sets_are_sent_without_waiting_and_silence_ends_them(server: EmbeddedServer) -> None:
    numbers: Any = ask.one("select :n::int", "n")
    sets = [{"n": n} for n in range(100)]
    async with open_proxy(server.socket) as proxy:
        db = await asyncio.to_thread(
            lambda: plainsql.sync.connect(proxy.url(), connect_timeout=2, statement_timeout=0.2)
        )
        await asyncio.to_thread(numbers, db, n=1)
        before = Counter(proxy.to_server.messages)
        assert await asyncio.to_thread(numbers.batch, db, sets) == [*range(100)]
        sent = Counter(proxy.to_server.messages)
        sent.subtract(before)
        assert (sent["B"], sent["E"], sent["S"]) == (101, 101, 2)  # the sets, and the commit
        proxy.pause()
        with pytest.raises((TimeoutError, plainsql.ConnectError)):
            await asyncio.to_thread(numbers.batch, db, sets)
        proxy.resume()
        assert await asyncio.to_thread(numbers.batch, db, sets) == [*range(100)]
        await asyncio.to_thread(db.close)


def test_the_sets_of_threads_take_turns(sync_items_db: Database, admin: psycopg.Connection[Any]) -> None:
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for n in range(10):
                ids = [number * 1000 + n * 10 + m for m in range(10)]
                added = batch(add, sync_items_db, [{"id": id} for id in ids])
                assert [item.id for item in added] == ids
                assert get(sync_items_db, id=ids[0]) == Item(ids[0], None)
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert total(admin) == (410, 0)
