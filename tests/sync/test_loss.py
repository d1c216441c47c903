"""A lost connection is replaced; what is not known to be harmless is not run again, and says so."""

# ruff: noqa: PT012 (it is the block of a transaction or stream that raises)

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

import plainsql
from plainsql.query import Binder, CountQuery, OneQuery, QueryFacts
from plainsql.sync import Database
from tests.database.ask import READS, SELECT_1, WRITES, many, one

SERIES = many("select n from generate_series(1, 100) as n")


def proved(sql: str, facts: QueryFacts, *names: str) -> OneQuery[..., Any]:
    return OneQuery("t.q", "t.sql", 1, sql, Binder(names, {}, {}, None), object, facts)


READ = proved("select pg_backend_pid()", READS)
DIES = "select pg_terminate_backend(pg_backend_pid()) is null"
PUT: CountQuery[...] = CountQuery(
    "t.put", "t.sql", 1, "insert into item (n) values (:n)", Binder(("n",), {}, {}, None), int, WRITES
)


@pytest.fixture
def admin(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(
            "drop table if exists item; create table item (n int);"
            " drop sequence if exists tries; create sequence tries"
        )
        yield admin


@pytest.fixture
def tries_db(admin: object, database_url: str) -> Iterator[Database]:
    with plainsql.sync.connect(database_url, prefetch=10) as db:
        yield db


def kill(admin: psycopg.Connection[Any], db: Database) -> None:
    admin.execute("select pg_terminate_backend(%s, 10000)", [db.connection.info.backend_pid])


def test_the_next_call_opens_a_connection(tries_db: Database, admin: psycopg.Connection[Any]) -> None:
    for _ in range(3):
        before = READ(tries_db)
        kill(admin, tries_db)
        assert PUT(tries_db, n=1) == 1  # a write as well: it was not sent to the one that is gone
        assert READ(tries_db) != before
    assert admin.execute("select count(*) from item").fetchone() == (3,)


def test_transactions_and_streams_begin_on_a_living_one(
    tries_db: Database, admin: psycopg.Connection[Any]
) -> None:
    kill(admin, tries_db)
    with tries_db.transaction() as tx:
        assert PUT(tx, n=1) == 1
    kill(admin, tries_db)
    assert list(SERIES.stream(tries_db)) == list(range(1, 101))
    kill(admin, tries_db)
    assert tries_db.connection.execute("select 1").fetchone() == (1,)


def test_a_read_whose_connection_is_lost_is_run_again(tries_db: Database) -> None:
    dies = proved(DIES, READS)
    with pytest.raises(psycopg.OperationalError) as raised:
        dies(tries_db)  # the second one dies as well
    assert "it changes nothing, it may be run again" in " ".join(raised.value.__notes__)
    assert SELECT_1(tries_db) == 1


@pytest.mark.parametrize("facts", [WRITES, QueryFacts()])
def test_a_write_whose_connection_is_lost_is_not_run_again(
    tries_db: Database, admin: psycopg.Connection[Any], facts: QueryFacts
) -> None:
    dies = proved(f"with i as (insert into item select nextval('tries') returning n) {DIES} from i", facts)
    with pytest.raises(psycopg.OperationalError) as raised:
        dies(tries_db)
    assert "it may have been executed, or not" in " ".join(raised.value.__notes__)
    assert raised.value.sqlstate == "57P01"
    assert admin.execute("select last_value, is_called from tries").fetchone() == (1, True)
    assert admin.execute("select count(*) from item").fetchone() == (0,)
    assert SELECT_1(tries_db) == 1


def test_a_lost_transaction_has_a_note_that_nothing_was_done(
    tries_db: Database, admin: psycopg.Connection[Any]
) -> None:
    with pytest.raises(psycopg.OperationalError) as raised, tries_db.transaction() as tx:
        PUT(tx, n=1)
        kill(admin, tries_db)
        PUT(tx, n=2)
    assert "nothing of it was done" in " ".join(raised.value.__notes__)
    with pytest.raises(psycopg.OperationalError) as raised, tries_db.transaction() as tx:
        PUT(tx, n=1)
        kill(admin, tries_db)
    assert "it may be committed, or not" in " ".join(raised.value.__notes__)
    assert PUT(tries_db, n=3) == 1
    assert admin.execute("select n from item").fetchall() == [(3,)]


def test_a_lost_savepoint_or_stream_has_the_note_too(
    tries_db: Database, admin: psycopg.Connection[Any]
) -> None:
    with (
        pytest.raises(psycopg.OperationalError) as raised,
        tries_db.transaction() as tx,
        tx.transaction() as inner,
    ):
        kill(admin, tries_db)
        PUT(inner, n=2)
    assert "nothing of it was done" in " ".join(raised.value.__notes__)
    with pytest.raises(psycopg.OperationalError) as raised:
        for _ in SERIES.stream(tries_db):
            with contextlib.suppress(plainsql.TransactionError):
                kill(admin, tries_db)
    assert SELECT_1(tries_db) == 1


def test_a_closed_database_stays_closed(database_url: str) -> None:
    db = plainsql.sync.connect(database_url)
    db.close()
    for use in (lambda: SELECT_1(db), lambda: db.connection, lambda: next(SERIES.stream(db))):
        with pytest.raises(plainsql.PlainsqlError, match="the database is closed"):
            use()
    db.close()


def test_a_server_that_is_gone_is_a_connect_error(tries_db: Database, admin: psycopg.Connection[Any]) -> None:
    shared: Any = tries_db._shared

    def refused() -> Any:
        raise plainsql.ConnectError("no server answers there")

    opens = shared._open_connection
    shared._open_connection = refused
    kill(admin, tries_db)
    for _ in range(2):
        with pytest.raises(plainsql.ConnectError):
            SELECT_1(tries_db)
    shared._open_connection = opens
    assert SELECT_1(tries_db) == 1


def test_threads_survive_lost_connections(tries_db: Database, admin: psycopg.Connection[Any]) -> None:
    wrong: list[object] = []
    echo = proved("select :n::int", READS, "n")

    def work(number: int) -> None:
        for n in range(number * 1000, number * 1000 + 100):
            # Lost twice, or as often as a connection was opened.
            with contextlib.suppress(psycopg.OperationalError, plainsql.ConnectError):
                if (found := echo(tries_db, n=n)) != n:
                    wrong.append(found)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'plainsql' and datname = current_database() and random() < 0.2"
        )
        threads[0].join(0.01)
    for thread in threads:
        thread.join()
    assert wrong == []
    assert echo(tries_db, n=1) == 1  # the last of those terminations may hit this call


def test_a_read_only_server_is_left_once(tries_db: Database, admin: psycopg.Connection[Any]) -> None:
    """The state after a failover: the connection is to the old primary, a new one finds the new primary."""
    tries_db.connection.execute("set default_transaction_read_only = on")
    assert PUT(tries_db, n=1) == 1  # refused there, run on the next connection
    tries_db.connection.execute("set default_transaction_read_only = on")
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        PUT(tries_db, n=2)  # not so soon again: the server may stay read-only
    assert admin.execute("select n from item").fetchall() == [(1,)]


def test_a_transaction_on_a_read_only_server_fails_and_the_next_does_not(tries_db: Database) -> None:
    tries_db.connection.execute("set default_transaction_read_only = on")
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), tries_db.transaction() as tx:
        PUT(tx, n=1)
    with tries_db.transaction() as tx:
        assert PUT(tx, n=1) == 1


def test_a_read_only_transaction_keeps_its_connection(tries_db: Database) -> None:
    before = READ(tries_db)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), tries_db.transaction(read_only=True) as tx:
        PUT(tx, n=1)
    assert READ(tries_db) == before


def test_the_outer_transaction_waits_for_its_savepoint(
    tries_db: Database, admin: psycopg.Connection[Any]
) -> None:
    with tries_db.transaction() as tx:
        with tx.transaction() as inner:
            for use in (lambda: PUT(tx, n=1), lambda: tx.connection, lambda: next(SERIES.stream(tx))):
                with pytest.raises(plainsql.TransactionError, match="has an open savepoint"):
                    use()
            PUT(inner, n=2)
        PUT(tx, n=3)
    assert admin.execute("select n from item order by n").fetchall() == [(2,), (3,)]


def test_no_statement_has_a_name_that_another_client_uses(tries_db: Database, database_url: str) -> None:
    named = many("select name from pg_prepared_statements")
    with plainsql.sync.connect(database_url) as other:
        assert not {*named(tries_db)} & {*named(other)}
        assert one("select 1")(tries_db) == 1


def test_a_call_that_another_thread_closes_under_opens_nothing(database_url: str) -> None:
    db = plainsql.sync.connect(database_url)
    sleeps = proved("select pg_sleep(600)::text", READS)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            sleeps(db)
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    thread = threading.Thread(target=work)
    with psycopg.connect(database_url, autocommit=True) as admin:
        backend = db.connection.info.backend_pid
        thread.start()
        while admin.execute(
            "select count(*) from pg_stat_activity where pid = %s and wait_event = 'PgSleep'", [backend]
        ).fetchone() != (1,):
            pass
        db.close()
        admin.execute("select pg_terminate_backend(%s, 10000)", [backend])
    thread.join(60)
    assert not thread.is_alive()
    assert len(errors) == 1
    assert db._shared.psycopg.closed


def test_a_procedure_that_sets_a_read_only_transaction_runs_once(
    tries_db: Database, admin: psycopg.Connection[Any]
) -> None:
    admin.execute(
        "create or replace procedure twice() language plpgsql as $$ begin"
        " insert into item values (1); commit; set transaction read only; insert into item values (2);"
        " end $$"
    )
    calls: CountQuery[...] = CountQuery("t.call", "t.sql", 1, "call twice()", Binder((), {}, {}, None), int)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        calls(tries_db)
    assert admin.execute("select n from item").fetchall() == [(1,)]
