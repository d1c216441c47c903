"""Tenants on the synchronous side: each call is a transaction with the tenant's settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import psycopg
import pytest

import plainsql
from plainsql.errors import TenantError
from plainsql.query import Binder, CountQuery, ManyQuery
from plainsql.sync import Database
from tests.database.ask import READS, WRITES, many, one

SECURED = {"shop.letters": ("app.jwt_tenant",)}
WHO = one("select coalesce(current_setting('app.jwt_tenant', true), '')")
LEAVES_IT = one("select set_config('app.jwt_tenant', :tenant, false)", "tenant")


def read(name: str, sql: str) -> ManyQuery[..., Any]:
    return ManyQuery(
        name, "t.sql", 1, sql, Binder((), {}, {}, None), object, replace(READS, row_security=SECURED)
    )


LETTERS = read("t.letters", "select n from shop.letters order by n")
PUT: CountQuery[...] = CountQuery(
    "t.put",
    "t.sql",
    1,
    "insert into shop.letters (tenant_id, n) values (:tenant, :n)",
    Binder(("tenant", "n"), {}, {}, None),
    int,
    WRITES,
)


def test_each_tenant_sees_its_own_rows(sync_tenant_db: Database) -> None:
    a, b = sync_tenant_db.tenant("a"), sync_tenant_db.tenant("b", user_id=7)
    for _ in range(2):
        assert LETTERS(a) == [1]
        assert LETTERS(b) == [2]
        assert LETTERS(sync_tenant_db.tenant("it's")) == [3]
        assert WHO(sync_tenant_db) == ""
    assert list(LETTERS.stream(a)) == [1]
    with b.transaction() as tx:
        assert LETTERS(tx) == [2]
        assert list(LETTERS.stream(tx)) == [2]
        assert one("select current_setting('app.jwt_user')")(tx) == "7"
        with tx.transaction() as savepoint:
            assert LETTERS(savepoint) == [2]
    assert WHO(sync_tenant_db) == ""


def test_a_call_without_a_tenant_is_refused(sync_tenant_db: Database) -> None:
    with pytest.raises(TenantError, match=r"no tenant is set.*shop\.letters"):
        LETTERS(sync_tenant_db)
    with pytest.raises(TenantError):
        list(LETTERS.stream(sync_tenant_db))
    with pytest.raises(TenantError), sync_tenant_db.transaction() as tx:
        LETTERS(tx)
    with pytest.raises(TenantError), sync_tenant_db.transaction() as tx:
        list(LETTERS.stream(tx))
    assert LETTERS(sync_tenant_db.tenant("a")) == [1]


def test_a_call_that_sees_rows_without_a_tenant_is_not_refused(shop_url: str) -> None:
    with plainsql.sync.connect(shop_url) as db:  # a superuser
        assert LETTERS(db) == [1, 2, 3]


def test_a_tenants_write_is_its_own_or_refused(sync_tenant_db: Database) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        PUT(sync_tenant_db.tenant("a"), tenant="b", n=9)
    assert WHO(sync_tenant_db) == ""
    assert PUT(sync_tenant_db.tenant("c"), tenant="c", n=4) == 1
    assert LETTERS(sync_tenant_db.tenant("c")) == [4]


def test_nothing_of_a_tenant_stays(sync_tenant_db: Database) -> None:
    broken = many("select 1 / 0")
    with pytest.raises(psycopg.errors.DivisionByZero):
        broken(sync_tenant_db.tenant("a"))
    assert WHO(sync_tenant_db) == ""
    assert sync_tenant_db.connection.execute("select current_setting('app.jwt_tenant', true)").fetchone() in [
        ("",),
        (None,),
    ]


def test_an_id_that_is_no_text_of_postgresql_is_refused(sync_tenant_db: Database) -> None:
    for wrong in ("", None, "a\0b", "\ud800"):
        with pytest.raises(plainsql.PlainsqlError):
            sync_tenant_db.tenant(wrong)


def test_the_settings_have_other_names(tenant_url: str) -> None:
    with plainsql.sync.connect(tenant_url, tenant_setting="my.tenant", user_setting="my.user") as db:
        assert one("select current_setting('my.tenant')")(db.tenant("x")) == "x"
