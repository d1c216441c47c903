"""The one connection of a synchronous database: prepared statements, transactions, streams and threads."""

from __future__ import annotations

import _thread
import subprocess
import sys
import threading
from typing import Any

import psycopg
import pytest

import plainsql
from plainsql.query import Binder, ManyQuery, QueryFacts
from plainsql.rows import Row
from plainsql.sync import Database
from tests.database.ask import SELECT_1, count, many, one

SERIES = many("select n from generate_series(1, 100) as n")
ADD = one("select :a::int + :b::int", "a", "b")


def test_a_query_is_prepared_once_and_described_once(sync_db: Database) -> None:
    prepared = one("select count(*)::int from pg_prepared_statements")
    ADD(sync_db, a=1, b=2)
    prepared(sync_db)
    before = prepared(sync_db)
    for n in range(5):
        assert ADD(sync_db, a=n, b=1) == n + 1
    assert prepared(sync_db) == before


def test_a_failed_statement_leaves_nothing_prepared(sync_db: Database) -> None:
    broken = one("select nothing")
    for _ in range(3):
        with pytest.raises(psycopg.errors.UndefinedColumn) as raised:
            broken(sync_db)
        assert "sql/test/one.sql:1:8" in raised.value.__notes__[0]
    assert SELECT_1(sync_db) == 1


def test_statements_that_were_deallocated_are_prepared_again(sync_db: Database) -> None:
    ADD(sync_db, a=1, b=2)
    sync_db.connection.execute("deallocate all")
    assert ADD(sync_db, a=1, b=2) == 3


def test_a_composite_type_that_was_altered_is_looked_up_again(sync_db: Database) -> None:
    sync_db.connection.execute("drop type if exists part; create type part as (a int)")
    value = one("select row(:a::int)::part", "a")
    assert value(sync_db, a=1) == (1,)
    sync_db.connection.execute("alter type part add attribute b text")
    longer = one("select row(:a::int, 'x')::part", "a")
    with pytest.raises(plainsql.DecodeError):
        longer(sync_db, a=1)
    assert longer(sync_db, a=1) == (1, "x")


class Changing(Row, frozen=True, gc=False):
    a: int


@pytest.mark.parametrize("more_columns", [False, True])
def test_a_stream_sees_that_the_tables_have_changed(
    sync_db: Database, connection: psycopg.Connection[Any], more_columns: bool
) -> None:
    connection.execute("drop table if exists changing; create table changing as select 1 as a")
    rows: ManyQuery[..., Changing] = ManyQuery(
        "t.rows",
        "t.sql",
        1,
        "select * from changing",
        Binder((), {}, {}, None),
        Changing,
        QueryFacts(more_columns=more_columns),
    )
    assert list(rows.stream(sync_db)) == [Changing(1)]
    connection.execute("alter table changing add column b text default 'x'")
    if more_columns:
        assert list(rows.stream(sync_db)) == [Changing(1)]
    else:
        with pytest.raises(plainsql.ContractError):
            list(rows.stream(sync_db))
    connection.execute("alter table changing drop column b")
    assert list(rows.stream(sync_db)) == [Changing(1)]


def test_calls_on_the_database_inside_a_transaction_are_refused(sync_db: Database) -> None:
    with sync_db.transaction() as tx:
        for use in (lambda: SELECT_1(sync_db), lambda: list(SERIES.stream(sync_db)), lambda: _enter(sync_db)):
            with pytest.raises(plainsql.TransactionError) as raised:
                use()
            assert str(raised.value) == (
                "the database's one connection is held by a transaction\n"
                "HINT: inside 'with db.transaction() as tx', give tx to every query, not db"
            )
        assert SELECT_1(tx) == 1
    assert SELECT_1(sync_db) == 1


def _enter(db: Database) -> None:
    with db.transaction():
        pass


def test_calls_on_the_database_while_it_streams_are_refused(sync_db: Database) -> None:
    rows = SERIES.stream(sync_db)
    assert next(rows) == 1
    with pytest.raises(plainsql.TransactionError, match=r"held by the rows of test\.many"):
        SELECT_1(sync_db)
    rows.close()  # type: ignore[attr-defined]
    assert SELECT_1(sync_db) == 1


def test_an_abandoned_stream_releases_the_connection_when_collected(sync_db: Database) -> None:
    for row in SERIES.stream(sync_db):
        assert row == 1
        break
    assert SELECT_1(sync_db) == 1


def test_a_stream_reads_no_further_ahead_than_its_prefetch(sync_db: Database) -> None:
    sync_db.connection.execute("drop sequence if exists produced; create sequence produced")
    counting = many("select nextval('produced') from generate_series(1, 100000)")
    with sync_db.transaction() as tx:
        rows = counting.stream(tx)
        for _ in range(15):
            next(rows)
        assert one("select last_value from produced")(tx) == 20


def test_a_stream_of_a_transaction_ends_with_it(sync_db: Database) -> None:
    with sync_db.transaction() as tx:
        rows = SERIES.stream(tx)
        next(rows)
    with pytest.raises(plainsql.TransactionError, match="has ended"):
        next(rows)
    assert SELECT_1(sync_db) == 1


def test_a_stream_of_a_transaction_leaves_no_cursor_behind(sync_db: Database) -> None:
    cursors = one("select count(*)::int from pg_cursors where name like 'plainsql%'")
    with sync_db.transaction() as tx:
        rows = SERIES.stream(tx)
        next(rows)
        assert cursors(tx) == 1
        rows.close()  # type: ignore[attr-defined]
        assert cursors(tx) == 0
        assert len(list(SERIES.stream(tx))) == 100
        assert cursors(tx) == 0


def test_a_call_locks_other_threads_out_from_its_check_to_its_result(
    sync_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = sync_db._shared
    prepare = shared.prepare
    free: list[bool] = []

    def look(sql: str) -> Any:
        thread = threading.Thread(target=lambda: free.append(shared.lock.acquire(blocking=False)))
        thread.start()
        thread.join()
        return prepare(sql)

    monkeypatch.setattr(shared, "prepare", look)
    assert SELECT_1(sync_db) == 1
    assert free == [False]


def test_threads_take_turns(database_url: str) -> None:
    with plainsql.sync.connect(database_url) as db:
        found: list[int] = []

        def work(n: int) -> None:
            found.extend(ADD(db, a=n, b=m) for m in range(20))

        threads = [threading.Thread(target=work, args=(n * 100,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(found) == sorted(n * 100 + m for n in range(8) for m in range(20))


def test_a_thread_is_refused_while_another_has_a_transaction_open(sync_db: Database) -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            SELECT_1(sync_db)
        except plainsql.TransactionError as error:
            errors.append(error)

    with sync_db.transaction():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert len(errors) == 1


def test_an_interrupted_query_is_cancelled_and_the_database_works_on(sync_db: Database) -> None:
    with psycopg.connect(sync_db.connection.info.dsn, autocommit=True) as outside:
        backend = sync_db.connection.info.backend_pid

        def interrupt() -> None:
            sleeping = "select 1 from pg_stat_activity where pid = %s and wait_event = 'PgSleep'"
            while not outside.execute(sleeping, [backend]).fetchone():
                pass
            _thread.interrupt_main()

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            one("select pg_sleep(60)")(sync_db)
        thread.join()
    assert SELECT_1(sync_db) == 1


def test_the_statement_timeout_is_the_servers(database_url: str) -> None:
    with plainsql.sync.connect(database_url, statement_timeout=0.05) as db:
        with pytest.raises(psycopg.errors.QueryCanceled) as raised:
            one("select pg_sleep(60)")(db)
        assert raised.value.__notes__ == ["query: test.one (sql/test/one.sql)"]
        assert SELECT_1(db) == 1


def test_copy_as_a_query_is_refused(database_url: str) -> None:
    with plainsql.sync.connect(database_url) as db, pytest.raises(plainsql.PlainsqlError, match="COPY"):
        count("copy (select 1) to stdout")(db)


def test_settings_of_the_role_do_not_change_what_values_are(database_url: str) -> None:
    options = (
        "-c datestyle=German -c intervalstyle=sql_standard -c bytea_output=escape -c extra_float_digits=-10"
    )
    url = f"{database_url}&options={options.replace(' ', '%20').replace('=', '%3D')}"
    with plainsql.sync.connect(url) as db:
        assert one("select '2026-02-03'::date::text")(db) == "2026-02-03"
        assert one("select 0.1::float8 + 0.2::float8")(db) == 0.1 + 0.2
        assert one(r"select '\x00ff'::bytea")(db) == b"\x00\xff"
        assert one("select '1 year 2 days'::interval")(db).days == 367


def test_each_call_commits(sync_db: Database, connection: psycopg.Connection[Any]) -> None:
    connection.execute("drop table if exists committed; create table committed (n int)")
    assert count("insert into committed values (1), (2)")(sync_db) == 2
    found = connection.execute("select count(*) from committed").fetchone()
    assert found == (2,)


def test_nothing_is_imported_that_is_not_needed() -> None:
    code = "import sys, plainsql.sync; print({'asyncpg', 'pgvector', 'redis'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "set()"
