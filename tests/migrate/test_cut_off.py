"""A run that is cut off: what is recorded of it, what the next one says, and what to type."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from plainsql import migrate
from tests.migrate.conftest import Query, Write

TABLE = "create table a (y int);"
INDEX = "-- transactional: false\ncreate index concurrently a_y on a (y);"
MANY = (
    "-- transactional: false\ncreate table b ();\ncreate table c ();\n"
    "create index concurrently a_y on a (y);\ncreate table d ();"
)


@contextmanager
def migrating(url: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """``plainsql migrate`` as a process of its own."""
    command = [sys.executable, "-m", "plainsql", "migrate", *arguments, "--database", url]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def building(fresh_database_url: str, query: Query) -> Callable[[], int]:
    """Wait until a concurrent index waits for the transaction of `reader`; return the backend's id."""

    def wait() -> int:
        while True:
            rows = query(
                "select a.pid from pg_stat_activity as a"
                " where a.query like 'create index concurrently%' and a.wait_event_type = 'Lock'"
                " and a.datname = current_database()"
            )
            if rows:
                return int(rows[0][0])

    return wait


@contextmanager
def reader(url: str) -> Iterator[None]:
    """A transaction that has read: a concurrent index waits for its end."""
    with psycopg.connect(url) as connection:
        connection.execute("set transaction isolation level repeatable read")
        connection.execute("insert into a values (1)")
        connection.execute("select from a")
        yield


def gone(query: Query, backend: int) -> None:
    while query(f"select 1 from pg_stat_activity where pid = {backend}"):
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cancels_the_statement_and_reports_what_is_kept(
    write: Write,
    fresh_database_url: str,
    query: Query,
    building: Callable[[], int],
    number: signal.Signals,
) -> None:
    folder = write({"0001_a.sql": TABLE})
    migrate.apply(fresh_database_url, folder)
    write({"0002_i.sql": MANY})
    with reader(fresh_database_url), migrating(fresh_database_url) as process:
        backend = building()
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        gone(query, backend)
    assert (process.returncode, out) == (128 + number, "0002_i … failed\n")
    assert err == (
        "migrations/0002_i.sql:4:1: interrupted\n"
        "    create index concurrently a_y on a (y);\n"
        "    ^\n"
        "DETAIL: cancelled: statement 3 of 4: create index concurrently a_y on a (y)\n"
        "        ran before it, and stays: statement 1 (create table b ()), statement 2 (create table c ())\n"
        "        it left invalid indexes: public.a_y\n"
        "HINT: run it again: it drops that index and builds it again\n"
    )
    assert query("select indisvalid from pg_index where indexrelid = 'a_y'::regclass") == [(False,)]
    (item,) = migrate.status(fresh_database_url, folder).having("interrupted")
    assert (item.name, item.statements_done, item.applied_at) == ("0002_i", 2, None)


def test_a_signal_in_a_transaction_says_that_nothing_is_kept(
    write: Write, fresh_database_url: str, query: Query
) -> None:
    write({"0001_a.sql": TABLE, "0002_b.sql": "create table b ();\nlock table a;"})
    migrate.apply(fresh_database_url, "migrations", to="0001")
    with reader(fresh_database_url), migrating(fresh_database_url, "--lock-timeout", "0") as process:
        while not query(
            "select 1 from pg_locks as l inner join pg_database as d on d.oid = l.database"
            " where not l.granted and d.datname = current_database()"
        ):
            pass
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (
        143,
        ("migrations/0002_b.sql: interrupted\nDETAIL: nothing of this file was kept\nHINT: run it again\n"),
    )
    assert query("select to_regclass('b')") == [(None,)]


def killed(url: str, query: Query, building: Callable[[], int]) -> None:
    """Kill a run while it builds the index; the server notices, and cancels it."""
    with reader(url), migrating(url) as process:
        backend = building()
        process.kill()
        process.wait()
        gone(query, backend)


def test_after_a_kill_a_valid_index_is_kept_and_named(
    write: Write, fresh_database_url: str, query: Query, building: Callable[[], int]
) -> None:
    folder = write({"0001_a.sql": TABLE})
    migrate.apply(fresh_database_url, folder)
    write({"0002_i.sql": INDEX})
    killed(fresh_database_url, query, building)
    query("drop index a_y")
    # As the server leaves it if it finishes before it looks for its client.
    query("create index concurrently a_y on a (y)")
    (before,) = migrate.status(fresh_database_url, folder).having("interrupted")
    with pytest.raises(migrate.MigrationFailedError) as caught:
        migrate.apply(fresh_database_url, folder)
    assert before.interrupted_at is not None
    assert str(caught.value) == (
        'migrations/0002_i.sql:2:1: relation "a_y" already exists (SQLSTATE 42P07)\n'
        "    create index concurrently a_y on a (y);\n"
        "    ^\n"
        "DETAIL: statement 1 of 1: create index concurrently a_y on a (y)\n"
        "        no statement before it ran\n"
        "        an earlier run of this file was cut off; the last that is recorded of it is from "
        f"{before.interrupted_at:%Y-%m-%d %H:%M:%S} UTC: statement 1 "
        "(create index concurrently a_y on a (y)) may be done\n"
        "HINT: public.a_y is there and valid: plainsql migrate mark 0002_i; "
        "or drop index concurrently public.a_y, then run it again"
    )
    # A failure changes nothing of what is known, however often it is tried.
    (after,) = migrate.status(fresh_database_url, folder).having("interrupted")
    assert after == before
    (done,) = migrate.mark(fresh_database_url, folder, "0002")
    assert (done.name, done.applied, done.before.state) == ("0002_i", True, "interrupted")
    assert migrate.status(fresh_database_url, folder).is_current
    assert migrate.apply(fresh_database_url, folder).done == ()


def test_the_statements_that_were_done_are_said_by_the_next_run(
    write: Write, fresh_database_url: str, query: Query, building: Callable[[], int]
) -> None:
    folder = write({"0001_a.sql": TABLE})
    migrate.apply(fresh_database_url, folder)
    write({"0002_i.sql": MANY})
    killed(fresh_database_url, query, building)
    query("drop index a_y")
    with pytest.raises(migrate.MigrationFailedError, match='relation "b" already exists') as caught:
        migrate.apply(fresh_database_url, folder)
    detail = str(caught.value.detail).splitlines()[-1]
    assert detail.endswith(
        ": its first 2 statements were done "
        "and statement 3 (create index concurrently a_y on a (y)) may be done"
    )
    assert str(caught.value.hint) == (
        "undo what was done by hand, then run it again; "
        "or run the statements that are left by hand, then plainsql migrate mark 0002_i"
    )
    # Of another text nothing is counted, and the earlier run is named all the same.
    write({"0002_i.sql": MANY.replace("table d", "table e")})
    with pytest.raises(migrate.MigrationFailedError, match='relation "b" already exists') as caught:
        migrate.apply(fresh_database_url, folder)
    assert re.search(
        r"cut off; the last that is recorded of it is from [-0-9 :]* UTC$", str(caught.value.detail)
    )


@pytest.mark.parametrize(
    ("first", "again", "sqlstate"),
    [
        ("create table t ()", "create table t ()", "42P07"),
        ("create type t as enum ()", "create type t as enum ()", "42710"),
        ("alter table a add z int", "alter table a add z int", "42701"),
        ("create schema t", "create schema t", "42P06"),
        ("create function t() returns int return 1", "create function t() returns int return 1", "42723"),
        ("alter table a add primary key (y)", "alter table a add primary key (y)", "42P16"),
        ("insert into k values (1)", "insert into k values (1)", "23505"),
        ("alter table a rename y to z", "alter table a rename y to z", "42703"),
        ("drop table k", "drop table k", "42P01"),
        ("drop function f()", "drop function f()", "42883"),
        ("create role t_role", "create role t_role", "42710"),
    ],
)
def test_the_statements_of_an_earlier_run_are_named(
    write: Write, fresh_database_url: str, query: Query, first: str, again: str, sqlstate: str
) -> None:
    query("create table a (y int)")
    query("create table k (id int primary key)")
    query("create function f() returns int return 1")
    # The second statement of the first run is cut off: the connection is gone.
    cut = "select pg_terminate_backend(pg_backend_pid())"
    folder = write({"0001_x.sql": f"-- transactional: false\n{first};\n{cut};"})
    try:
        with pytest.raises(migrate.MigrationFailedError, match=r"connection to the server was lost|57P01"):
            migrate.apply(fresh_database_url, folder)
        with pytest.raises(migrate.MigrationFailedError) as caught:
            migrate.apply(fresh_database_url, folder)
    finally:
        query("drop role if exists t_role")
    assert caught.value.sqlstate == sqlstate
    assert "an earlier run of this file was cut off" in str(caught.value.detail)
    assert "plainsql migrate mark 0001_x" in str(caught.value.hint)


def test_a_refusal_that_no_earlier_run_explains_names_none(
    write: Write, fresh_database_url: str, query: Query
) -> None:
    query("create table b ()")
    folder = write({"0001_x.sql": "-- transactional: false\ncreate table c ();\ncreate table b ();"})
    for _ in range(2):
        with pytest.raises(migrate.MigrationFailedError, match='"b" already exists') as caught:
            migrate.apply(fresh_database_url, folder)
        assert "earlier run" not in str(caught.value)
        query("drop table c")


def test_an_older_database_gets_the_new_column_if_the_role_may_add_it(
    write: Write, fresh_database_url: str, query: Query
) -> None:
    folder = write({"0001_a.sql": "-- transactional: false\ncreate table t ();\nselect 1/0;"})
    write({"0002_b.sql": "select 1;"})
    with pytest.raises(migrate.MigrationFailedError, match="division"):
        migrate.apply(fresh_database_url, folder)
    query("alter table plainsql_migration drop column statements_done, drop column statements_begun")
    assert migrate.status(fresh_database_url, folder).having("interrupted")[0].statements_done is None
    with pytest.raises(migrate.MigrationFailedError, match="an earlier run of this file was cut off"):
        migrate.apply(fresh_database_url, folder)
    assert query("select statements_done from plainsql_migration") == [(None,)]
