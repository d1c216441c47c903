"""``plainsql.sync.over``: queries on a connection of the program, in the transaction that is open there."""

from __future__ import annotations

import datetime as dt
import gc
import sqlite3
import weakref
from collections.abc import Generator
from contextlib import suppress
from decimal import Decimal
from typing import Any

import psycopg
import psycopg_pool
import pytest
from psycopg.rows import dict_row
from psycopg.types.string import TextLoader

import plainsql
from plainsql.errors import BindError, TenantError, TransactionError
from plainsql.query import Binder, ManyQuery, QueryFacts
from plainsql.rows import Row
from plainsql.sync import over
from tests.database.ask import READS, SELECT_1, count, many, one

ADD = count("insert into shop.leads (name) values (:name)", "name")
NAMES = many("select name from shop.leads order by name")
STATE = one("select pg_current_xact_id_if_assigned() is null")
SERIES = many("select n from generate_series(1, 25) as n")


class Values(Row, frozen=True, gc=False):
    day: dt.date
    span: dt.timedelta
    double: float
    raw: bytes
    number: Decimal
    many: list[int]
    word: str


VALUES: ManyQuery[..., Values] = ManyQuery(
    "test.values",
    "sql/test/values.sql",
    1,
    "select date '2024-02-01' as day, interval '1 day 02:03:04' as span, 0.1::float8 + 0.2 as double, "
    "'\\x00ff'::bytea as raw, 1.50 as number, array[1, 2] as many, :word::text as word",
    Binder(("word",), {}, {}, None),
    Values,
    READS,
)
EXPECTED = Values(
    dt.date(2024, 2, 1),
    dt.timedelta(days=1, hours=2, minutes=3, seconds=4),
    0.1 + 0.2,
    b"\0\xff",
    Decimal("1.50"),
    [1, 2],
    "ünï",
)


@pytest.fixture
def foreign(shop_url: str) -> Generator[psycopg.Connection[Any]]:
    """A connection of the program, with psycopg's defaults: without autocommit."""
    connection = psycopg.connect(shop_url)
    yield connection
    connection.close()


def names(connection: psycopg.Connection[Any]) -> list[str]:
    """The names that another connection sees."""
    return [name for (name,) in connection.execute("select name from shop.leads order by name")]


@pytest.fixture(autouse=True)
def no_leads(connection: psycopg.Connection[Any]) -> Generator[None]:
    yield
    connection.execute("delete from shop.leads")


def test_a_query_runs_in_the_open_transaction_and_commits_nothing(
    foreign: psycopg.Connection[Any], connection: psycopg.Connection[Any]
) -> None:
    db = over(foreign)
    foreign.execute("insert into shop.leads (name) values ('ana')")
    assert ADD(db, name="bob") == 1
    assert NAMES(db) == ["ana", "bob"]
    assert names(connection) == []
    foreign.rollback()
    assert NAMES(db) == []
    ADD(db, name="cid")
    foreign.commit()
    assert names(connection) == ["cid"]


def test_the_first_query_begins_the_transaction_that_psycopg_would(
    foreign: psycopg.Connection[Any], connection: psycopg.Connection[Any]
) -> None:
    foreign.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    foreign.read_only = True
    foreign.deferrable = True
    db = over(foreign)
    level = one("select current_setting('transaction_isolation') || current_setting('transaction_read_only')")
    assert level(db) == "repeatable readon"
    assert NAMES(db) == []
    connection.execute("insert into shop.leads (name) values ('later')")
    assert NAMES(db) == []
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        ADD(db, name="bob")
    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        NAMES(db)
    foreign.rollback()
    assert NAMES(db) == ["later"]


def test_a_connection_in_autocommit_mode_commits_each_call(
    shop_url: str, connection: psycopg.Connection[Any]
) -> None:
    with psycopg.connect(shop_url, autocommit=True) as foreign:
        db = over(foreign)
        ADD(db, name="ana")
        assert names(connection) == ["ana"]
        with foreign.transaction(force_rollback=True):
            ADD(db, name="bob")
        with db.transaction() as tx:
            ADD(tx, name="cid")
            assert names(connection) == ["ana"]
        assert names(connection) == ["ana", "cid"]
        with pytest.raises(psycopg.errors.UniqueViolation), db.transaction() as tx:
            ADD.execute_many(tx, [{"name": "dan"}, {"name": "ana"}])
        assert names(connection) == ["ana", "cid"]


def test_a_transaction_is_a_savepoint_if_one_is_open(
    foreign: psycopg.Connection[Any], connection: psycopg.Connection[Any]
) -> None:
    db = over(foreign)
    ADD(db, name="ana")
    with pytest.raises(psycopg.errors.UniqueViolation), db.transaction() as tx:
        ADD.execute_many(tx, [{"name": "bob"}, {"name": "ana"}])
    with db.transaction() as tx:
        ADD(tx, name="cid")
        with tx.transaction() as inner:
            ADD(inner, name="dan")
    with pytest.raises(TransactionError, match="the transaction has ended"):
        NAMES(tx)
    assert NAMES(db) == ["ana", "cid", "dan"]
    with pytest.raises(TransactionError, match="isolation, read_only and deferrable"):
        db.transaction(isolation="serializable").__enter__()
    assert names(connection) == []
    foreign.commit()
    assert names(connection) == ["ana", "cid", "dan"]


def test_a_transaction_of_its_own_has_its_options(foreign: psycopg.Connection[Any]) -> None:
    level = one("select current_setting('transaction_isolation') || current_setting('transaction_read_only')")
    with over(foreign).transaction(isolation="serializable", read_only=True) as tx:
        assert level(tx) == "serializableon"
    assert foreign.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_a_block_with_a_failed_statement_does_not_end_in_silence(foreign: psycopg.Connection[Any]) -> None:
    db = over(foreign)
    ADD(db, name="ana")
    with (
        pytest.raises(TransactionError, match="one of its statements failed"),
        db.transaction() as tx,
        suppress(psycopg.errors.UniqueViolation),
    ):
        ADD(tx, name="ana")
    assert NAMES(db) == ["ana"]
    with pytest.raises(psycopg.errors.UniqueViolation):
        ADD(db, name="ana")
    for attempt in (lambda: db.transaction().__enter__(), lambda: ADD.execute_many(db, [{"name": "x"}])):
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            attempt()
    foreign.rollback()
    foreign.commit()  # no block of psycopg's is counted as open


def test_sets_are_done_all_or_none_and_not_committed(
    foreign: psycopg.Connection[Any], connection: psycopg.Connection[Any]
) -> None:
    db = over(foreign)
    assert ADD.batch(db, [{"name": "ana"}, {"name": "bob"}]) == [1, 1]
    with pytest.raises(psycopg.errors.UniqueViolation):
        ADD.execute_many(db, [{"name": "cid"}, {"name": "ana"}])
    assert NAMES(db) == ["ana", "bob"]
    assert names(connection) == []
    foreign.commit()
    assert names(connection) == ["ana", "bob"]


def test_a_stream_reads_through_a_cursor_of_the_open_transaction(foreign: psycopg.Connection[Any]) -> None:
    db = over(foreign, prefetch=10)
    cursors = one("select count(*)::int from pg_cursors where name <> ''")
    rows = SERIES.stream(db)
    assert next(rows) == 1
    assert cursors(db) == 1
    assert [next(rows) for _ in range(9)] == [*range(2, 11)]
    assert list(rows) == [*range(11, 26)]
    assert cursors(db) == 0
    unread: Any = SERIES.stream(db)
    next(unread)
    foreign.commit()
    foreign.execute("select 1")
    unread.close()  # the cursor is gone with its transaction, and this one is not harmed
    assert SELECT_1(db) == 1
    foreign.rollback()
    foreign.autocommit = True
    with pytest.raises(TransactionError, match="no transaction is open on the connection"):
        next(SERIES.stream(db))


def test_the_programs_adapters_change_nothing_and_are_not_changed(shop_url: str) -> None:
    class Shouting(TextLoader):
        def load(self, data: Any) -> Any:
            return f"{super().load(data)!s}!"

    options: dict[str, Any] = {
        "row_factory": dict_row,
        "prepare_threshold": 0,
        "cursor_factory": psycopg.ClientCursor,
    }
    with psycopg.connect(shop_url, **options) as foreign:
        for name in ("text", "int4", "date", "float8", "bool", "jsonb", "oid"):
            foreign.adapters.register_loader(name, Shouting)
        db = over(foreign)
        assert VALUES(db, word="ünï") == [EXPECTED]
        # A type that the server's catalog explains.
        foreign.execute("create type shop.mood as enum ('good', 'bad')")
        assert one("select array['good', null]::shop.mood[]")(db) == ["good", None]
        assert foreign.execute("select 'x' as a").fetchone() == {"a": "x!"}
        assert foreign.prepare_threshold == 0
        assert foreign.row_factory is dict_row
        assert foreign.autocommit is False
        foreign.rollback()


ODD = {
    "DateStyle": "German",
    "IntervalStyle": "sql_standard",
    "client_encoding": "LATIN1",
    "bytea_output": "escape",
    "extra_float_digits": "-5",
}


@pytest.mark.parametrize("autocommit", [True, False])
def test_the_sessions_settings_change_nothing_and_are_kept(shop_url: str, autocommit: bool) -> None:
    with psycopg.connect(shop_url, autocommit=autocommit) as foreign:
        for name, value in ODD.items():
            foreign.execute("select set_config(%s, %s, false)", [name, value])
        foreign.commit()
        before = foreign.execute("select current_setting('DateStyle')").fetchone()
        db = over(foreign, prefetch=10)
        for _ in range(2):
            assert VALUES(db, word="ünï") == [EXPECTED]
            assert VALUES.batch(db, [{"word": "ünï"}] * 2) == [[EXPECTED]] * 2
            with db.transaction() as tx:
                assert list(VALUES.stream(tx, word="ünï")) == [EXPECTED]
            with pytest.raises(psycopg.errors.DivisionByZero), db.transaction() as tx:
                many("select 1 / 0")(tx)
        for name, value in ODD.items():
            if name != "DateStyle":
                assert foreign.execute("select current_setting(%s)", [name]).fetchone() == (value,)
        assert foreign.execute("select current_setting('DateStyle')").fetchone() == before
        assert foreign.execute("select 'ü'").fetchone() == ("ü",)
        foreign.rollback()
        assert foreign.execute("select current_setting('DateStyle')").fetchone() == before


def test_a_write_in_a_session_with_other_settings_is_committed(
    shop_url: str, connection: psycopg.Connection[Any]
) -> None:
    with psycopg.connect(shop_url, autocommit=True) as foreign:
        foreign.execute("set DateStyle to German")
        ADD(over(foreign), name="ünï")
        assert names(connection) == ["ünï"]


def test_no_statement_stays_prepared(foreign: psycopg.Connection[Any]) -> None:
    for number in range(3):
        db = over(foreign)
        VALUES(db, word="a")
        ADD.batch(db, [{"name": str(number)}])
        list(SERIES.stream(db))
    assert foreign.execute("select count(*) from pg_prepared_statements").fetchone() == (0,)
    foreign.rollback()
    foreign.autocommit = True
    foreign.execute("discard all")
    assert SELECT_1(over(foreign)) == 1


def test_executors_of_one_connection_share_its_descriptions(foreign: psycopg.Connection[Any]) -> None:
    VALUES(over(foreign), word="a")
    prepared = over(foreign)._claim()._prepared
    before = dict(prepared)
    VALUES(over(foreign), word="b")
    assert prepared == before
    assert len(prepared) == 1


def test_a_connection_that_is_dropped_is_not_kept(shop_url: str) -> None:
    foreign = psycopg.connect(shop_url)
    SELECT_1(over(foreign))
    foreign.close()
    gone = weakref.ref(foreign)
    del foreign
    gc.collect()
    assert gone() is None


def test_each_schema_of_the_search_path_has_its_own_types(foreign: psycopg.Connection[Any]) -> None:
    for schema in ("one", "two"):
        foreign.execute(f"create schema {schema}")
        foreign.execute(f"create type {schema}.mood as enum ('good')")
        foreign.execute(f"create table {schema}.people (mood {schema}.mood)")
    put = count("insert into people (mood) values (:mood)", "mood")
    get = many("select mood from people where mood = :mood", "mood")
    for schema in ("one", "two", "one"):
        foreign.execute(f"set local search_path to {schema}")
        put(over(foreign), mood="good")
        assert "good" in get(over(foreign), mood="good")


def test_a_lost_connection_stays_lost_and_says_what_became_of_the_work(
    foreign: psycopg.Connection[Any], connection: psycopg.Connection[Any]
) -> None:
    db = over(foreign)
    ADD(db, name="ana")
    connection.execute("select pg_terminate_backend(%s, 5000)", [foreign.info.backend_pid])
    with pytest.raises(psycopg.OperationalError) as raised:
        NAMES(db)
    assert "the transaction was not committed: nothing of it was done" in raised.value.__notes__
    assert foreign.closed
    with pytest.raises(psycopg.OperationalError):
        NAMES(db)
    assert names(connection) == []


def test_a_connection_in_pipeline_mode_is_refused(foreign: psycopg.Connection[Any]) -> None:
    db = over(foreign)
    with foreign.pipeline(), pytest.raises(TransactionError, match="pipeline mode"):
        SELECT_1(db)
    assert SELECT_1(db) == 1


def test_rows_that_need_a_tenant_are_refused_without_one(tenant_url: str) -> None:
    letters: ManyQuery[..., Any] = ManyQuery(
        "t.letters",
        "t.sql",
        1,
        "select n from shop.letters order by n",
        Binder((), {}, {}, None),
        object,
        QueryFacts(read_only=True, session_clean=True, row_security={"shop.letters": ("app.jwt_tenant",)}),
    )
    with psycopg.connect(tenant_url) as foreign:
        with pytest.raises(TenantError, match="no tenant is set"):
            letters(over(foreign))
        foreign.execute("select set_config('app.jwt_tenant', 'b', true)")
        assert letters(over(foreign)) == [2]
        foreign.rollback()
        with pytest.raises(TenantError):
            letters(over(foreign))


def test_each_call_over_a_pool_holds_a_connection_and_commits(
    shop_url: str, connection: psycopg.Connection[Any]
) -> None:
    with psycopg_pool.ConnectionPool(shop_url, min_size=1, max_size=2, open=True) as pool:
        db = over(pool)
        ADD(db, name="ana")
        ADD.execute_many(db, [{"name": "bob"}])
        assert ADD.batch(db, [{"name": "cid"}]) == [1]
        assert names(connection) == ["ana", "bob", "cid"]
        with pytest.raises(psycopg.errors.UniqueViolation), db.transaction() as tx:
            ADD.execute_many(tx, [{"name": "dan"}, {"name": "ana"}])
        rows = NAMES.stream(db)
        assert [next(rows), NAMES(db)[1], *rows] == ["ana", "bob", "bob", "cid"]
        assert pool.get_stats()["pool_available"] == pool.get_stats()["pool_size"]


@pytest.mark.parametrize(
    ("source", "got"),
    [
        (None, "got NoneType"),
        (sqlite3.connect, "got builtin_function_or_method"),
        (
            psycopg.AsyncConnection.__new__(psycopg.AsyncConnection),
            "got AsyncConnection.*\n.*'plainsql.over'",
        ),
    ],
)
def test_another_kind_of_source_is_refused(source: object, got: str) -> None:
    untyped: Any = source
    with pytest.raises(BindError, match=rf"sync.over\(\): expected a connection or a pool(?s:.*){got}"):
        over(untyped)


def test_an_executor_is_refused_with_the_way_out(sync_db: plainsql.sync.Database) -> None:
    untyped: Any = sync_db
    with pytest.raises(BindError, match="it runs queries already: call the query with it"):
        over(untyped)
