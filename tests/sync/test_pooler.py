"""Behind PgBouncer: right results while other clients use the same server connections."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

import plainsql
from plainsql.embedded import EmbeddedServer
from plainsql.errors import TenantError
from plainsql.query import Binder, CountQuery, ManyQuery, OptionalQuery
from plainsql.sync import Database
from tests.database.ask import READS, WRITES, many, one
from tests.pgbouncer import PoolMode, keeps_statements, pgbouncer, url_through

ROLE = "plainsql_test_sync_pooled"
READ: OptionalQuery[..., Any] = OptionalQuery(
    "t.read", "t.sql", 1, "select n from kv where k = :k", Binder(("k",), {}, {}, None), int, READS
)
BUMP: CountQuery[...] = CountQuery(
    "t.bump", "t.sql", 1, "update kv set n = n + 1 where k = :k", Binder(("k",), {}, {}, None), int, WRITES
)
PAPERS: ManyQuery[..., Any] = ManyQuery(
    "t.papers",
    "t.sql",
    1,
    "select n from paper order by n",
    Binder((), {}, {}, None),
    object,
    replace(READS, row_security={"public.paper": ("app.jwt_tenant",)}),
)
SERIES = many("select n from generate_series(1, 100) as n")


@pytest.fixture(scope="module", params=["transaction", "session"])
def folder(server: EmbeddedServer, request: pytest.FixtureRequest) -> Generator[Path]:
    mode: PoolMode = request.param
    # In session mode each client has a server's session for itself.
    with pgbouncer(server, mode, users=[ROLE], size=2 if mode == "transaction" else 12) as folder:
        yield folder


@pytest.fixture
def pgbouncer_url(folder: Path, fresh_database_url: str) -> str:
    with psycopg.connect(fresh_database_url, autocommit=True) as admin:
        admin.execute(
            f"""
            do $$ begin create role {ROLE} login;
            exception when duplicate_object or unique_violation then null; end $$;
            create table kv (k text primary key, n int not null);
            insert into kv select 'k' || n, 0 from generate_series(1, 8) as n;
            create table paper (tenant text not null, n int not null);
            alter table paper enable row level security;
            create policy own on paper
              using (tenant = (select nullif(current_setting('app.jwt_tenant', true), '')));
            insert into paper values ('a', 1), ('b', 2);
            grant select, insert, update on kv, paper to {ROLE};
            """
        )
    database = fresh_database_url.rpartition("/")[2].partition("?")[0]
    return url_through(folder, database).replace("//postgres@", f"//{ROLE}@")


@pytest.fixture
def pgbouncer_db(pgbouncer_url: str) -> Iterator[Database]:
    with plainsql.sync.connect(pgbouncer_url) as db:
        yield db


def test_the_pooler_is_detected(pgbouncer_db: Database) -> None:
    assert pgbouncer_db._shared.local_settings is not None


def test_statements_are_prepared_if_the_pooler_keeps_them(pgbouncer_url: str, folder: Path) -> None:
    with plainsql.sync.connect(pgbouncer_url) as db, plainsql.sync.Pool(pgbouncer_url) as pool:
        assert READ(db, k="k1") == READ(pool, k="k1") == 0
        (prepared,) = db._shared._prepared.values()
        # In session mode a pooler passes names on, and looks like one that keeps nothing.
        by_transaction = "pool_mode = transaction" in (folder / "pgbouncer.ini").read_text()
        assert bool(prepared.name) is (keeps_statements() and by_transaction)


def test_a_setting_that_the_pooler_does_not_take_is_named(pgbouncer_url: str) -> None:
    # PgBouncer 1.18 does not read the options, and names none of them.
    which, name = ("the startup setting work_mem", "work_mem") if keeps_statements() else ("the options", "…")
    with pytest.raises(plainsql.ConnectError, match=f"the pooler refuses {which}") as raised:
        plainsql.sync.connect(f"{pgbouncer_url}&options=-c%20work_mem%3D8MB")
    assert raised.value.hint == (
        f"leave it out and set it on the server (alter role … set {name} = …), "
        "or name it in PgBouncer's ignore_startup_parameters, which drops it"
    )


def test_a_changed_column_is_read(pgbouncer_url: str, fresh_database_url: str) -> None:
    read = one("select min(n) from kv")
    with (
        plainsql.sync.connect(pgbouncer_url) as db,
        plainsql.sync.Pool(pgbouncer_url) as pool,
        psycopg.connect(fresh_database_url, autocommit=True) as admin,
    ):
        assert read(db) == read(pool) == 0
        for kind in (b"bigint", b"numeric", b"integer"):
            admin.execute(b"alter table kv alter n type " + kind)
            assert {read(db), read(pool), read(db), read(pool)} == {0}


def test_no_client_runs_the_statements_of_another(pgbouncer_url: str) -> None:
    """One client writes, one reads, and a third has PgBouncer change their server connections."""
    wrong: list[object] = []
    ends = threading.Event()

    def read() -> None:
        with plainsql.sync.connect(pgbouncer_url) as db:
            wrong.extend(found for _ in range(100) if (found := READ(db, k="k1")) != 0)

    def write() -> None:
        with plainsql.sync.connect(pgbouncer_url) as db:
            wrong.extend(found for _ in range(100) if (found := BUMP(db, k="k2")) != 1)

    def change() -> None:
        with plainsql.sync.connect(pgbouncer_url) as db:
            while not ends.is_set():
                with db.transaction() as tx:
                    BUMP(tx, k="k3")
                    READ(tx, k="k3")

    workers = [threading.Thread(target=work) for work in (read, write)]
    changing = threading.Thread(target=change)
    for thread in (*workers, changing):
        thread.start()
    for thread in workers:
        thread.join()
    ends.set()
    changing.join()
    assert wrong == []
    with plainsql.sync.connect(pgbouncer_url) as db:
        assert (READ(db, k="k1"), READ(db, k="k2")) == (0, 100)


def test_all_kinds_of_calls(pgbouncer_db: Database) -> None:
    bump: Any = BUMP
    for _ in range(3):
        assert READ(pgbouncer_db, k="k4") == 0
        assert list(SERIES.stream(pgbouncer_db)) == list(range(1, 101))
        with pgbouncer_db.transaction() as tx:
            assert BUMP(tx, k="k5") == 1
            with tx.transaction() as savepoint:
                assert BUMP(savepoint, k="k5") == 1
            assert list(SERIES.stream(tx)) == list(range(1, 101))
        assert bump.batch(pgbouncer_db, [{"k": "k7"}, {"k": "none"}]) == [1, 0]
        bump.execute_many(pgbouncer_db, [{"k": "k7"}] * 50)
    assert READ(pgbouncer_db, k="k5") == 6
    assert READ(pgbouncer_db, k="k7") == 153
    with pytest.raises(psycopg.errors.UndefinedTable):
        many("select 1 from nothing")(pgbouncer_db)
    assert READ(pgbouncer_db, k="k4") == 0


def test_settings_of_other_clients_do_not_change_values(pgbouncer_url: str, pgbouncer_db: Database) -> None:
    """Another client's settings stay in the server's session, which we get next."""
    dates = one("select date '2026-03-04'")
    with psycopg.connect(pgbouncer_url, autocommit=True, prepare_threshold=None) as other:
        for _ in range(4):
            other.execute("set datestyle = 'SQL, DMY'")
            other.execute("set app.jwt_tenant = 'a'")
            assert str(dates(pgbouncer_db)) == "2026-03-04"
            with pytest.raises(TenantError):
                PAPERS(pgbouncer_db)
            assert PAPERS(pgbouncer_db.tenant("b")) == [2]
        other.execute("reset all")


def test_no_setting_of_ours_stays(pgbouncer_url: str, pgbouncer_db: Database) -> None:
    with psycopg.connect(pgbouncer_url, autocommit=True, prepare_threshold=None) as other:
        for _ in range(4):
            assert PAPERS(pgbouncer_db.tenant("a")) == [1]
            found = other.execute("select current_setting('app.jwt_tenant', true)").fetchone()
            assert found in [("",), (None,)]


def test_changed_columns_are_detected_before_the_commit(
    pgbouncer_db: Database, fresh_database_url: str, pgbouncer_url: str
) -> None:
    query: ManyQuery[..., Any] = ManyQuery(
        "t.rename",
        "t.sql",
        1,
        "update kv set k = k || 'x' where k like 'k6%' returning n",
        Binder((), {}, {}, None),
        int,
        WRITES,
    )
    assert query(pgbouncer_db) == [0]
    with psycopg.connect(fresh_database_url, autocommit=True) as admin:
        admin.execute("alter table kv alter column n type text")
        with pytest.raises(plainsql.ContractError):
            query(pgbouncer_db)
        assert admin.execute("select k from kv where k like 'k6%'").fetchall() == [("k6x",)]


def test_statement_timeouts_are_each_transactions(pgbouncer_url: str) -> None:
    with plainsql.sync.connect(pgbouncer_url, statement_timeout=0.1) as db:
        for _ in range(2):
            with pytest.raises(psycopg.errors.QueryCanceled):
                one("select pg_sleep(60)")(db)
        assert one("select current_setting('statement_timeout')")(db) == "100ms"
    with psycopg.connect(pgbouncer_url, autocommit=True, prepare_threshold=None) as other:
        assert other.execute("show statement_timeout").fetchone() == ("0",)
