"""Tenants on the synchronous side: each call is a transaction with the tenant's settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

import plainsql
from plainsql.errors import TenantError
from plainsql.query import Binder, CountQuery, ManyQuery
from plainsql.sync import Database
from tests.database.ask import READS, WRITES, many, one

SECURED = {"public.paper": ("app.jwt_tenant",)}
ROLE = "plainsql_test_sync_tenants"
WHO = one("select coalesce(current_setting('app.jwt_tenant', true), '')")
LEAVES_IT = one("select set_config('app.jwt_tenant', :tenant, false)", "tenant")


def read(name: str, sql: str) -> ManyQuery[..., Any]:
    return ManyQuery(
        name, "t.sql", 1, sql, Binder((), {}, {}, None), object, replace(READS, row_security=SECURED)
    )


PAPERS = read("t.papers", "select n from paper order by n")
PUT: CountQuery[...] = CountQuery(
    "t.put",
    "t.sql",
    1,
    "insert into paper (tenant, n) values (:tenant, :n)",
    Binder(("tenant", "n"), {}, {}, None),
    int,
    WRITES,
)


@pytest.fixture(scope="module")
def url(database_url: str) -> str:
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(
            f"""
            do $$ begin create role {ROLE} login;
            exception when duplicate_object or unique_violation then null; end $$;
            create table paper (tenant text not null, n int not null);
            alter table paper enable row level security;
            alter table paper force row level security;
            create policy own on paper
              using (tenant = (select nullif(current_setting('app.jwt_tenant', true), '')));
            grant select, insert on paper to {ROLE};
            insert into paper values ('a', 1), ('b', 2), ('it''s', 3);
            """
        )
    return database_url.replace("//postgres@", f"//{ROLE}@")


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    with plainsql.sync.connect(url) as db:
        yield db


def test_each_tenant_sees_its_own_rows(db: Database) -> None:
    a, b = db.tenant("a"), db.tenant("b", user_id=7)
    for _ in range(2):
        assert PAPERS(a) == [1]
        assert PAPERS(b) == [2]
        assert PAPERS(db.tenant("it's")) == [3]
        assert WHO(db) == ""
    assert list(PAPERS.stream(a)) == [1]
    with b.transaction() as tx:
        assert PAPERS(tx) == [2]
        assert list(PAPERS.stream(tx)) == [2]
        assert one("select current_setting('app.jwt_user')")(tx) == "7"
        with tx.transaction() as savepoint:
            assert PAPERS(savepoint) == [2]
    assert WHO(db) == ""


def test_a_call_without_a_tenant_is_refused(db: Database) -> None:
    with pytest.raises(TenantError, match=r"no tenant is set.*public\.paper"):
        PAPERS(db)
    with pytest.raises(TenantError):
        list(PAPERS.stream(db))
    with pytest.raises(TenantError), db.transaction() as tx:
        PAPERS(tx)
    with pytest.raises(TenantError), db.transaction() as tx:
        list(PAPERS.stream(tx))
    assert PAPERS(db.tenant("a")) == [1]


def test_a_call_that_sees_rows_without_a_tenant_is_not_refused(database_url: str, url: str) -> None:
    del url
    with plainsql.sync.connect(database_url) as db:  # a superuser
        assert PAPERS(db) == [1, 2, 3]


def test_a_tenants_write_is_its_own_or_refused(db: Database) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        PUT(db.tenant("a"), tenant="b", n=9)
    assert WHO(db) == ""
    assert PUT(db.tenant("c"), tenant="c", n=4) == 1
    assert PAPERS(db.tenant("c")) == [4]


def test_nothing_of_a_tenant_stays(db: Database) -> None:
    broken = many("select 1 / 0")
    with pytest.raises(psycopg.errors.DivisionByZero):
        broken(db.tenant("a"))
    assert WHO(db) == ""
    assert db.connection.execute("select current_setting('app.jwt_tenant', true)").fetchone() in [
        ("",),
        (None,),
    ]


def test_an_id_that_is_no_text_of_postgresql_is_refused(db: Database) -> None:
    for wrong in ("", None, "a\0b", "\ud800"):
        with pytest.raises(plainsql.PlainsqlError):
            db.tenant(wrong)


def test_the_settings_have_other_names(url: str) -> None:
    with plainsql.sync.connect(url, tenant_setting="my.tenant", user_setting="my.user") as db:
        assert one("select current_setting('my.tenant')")(db.tenant("x")) == "x"
