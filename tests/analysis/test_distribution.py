"""The tenants of statements, compared with the partitions that PostgreSQL scans."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import psycopg
import pytest

from plainsql.analysis import Analyser, RefusedError
from tests.analysis.distribution_attacks import ATTACK_SCHEMA, ATTACKS, CITUS_NOTES
from tests.analysis.distribution_statements import SCHEMA, STATEMENTS, TENANT, rows_of, scanned_partitions
from tests.analysis.generate_tenants import StatementGenerator


@pytest.fixture(scope="module")
def partitioned(database_url: str) -> Generator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
        connection.execute(ATTACK_SCHEMA.encode())
        connection.execute("analyze")
        yield connection


@pytest.fixture(scope="module")
def found(partitioned: psycopg.Connection[Any]) -> dict[str, Any]:
    with Analyser(partitioned) as analyser:
        return {
            sql: analyser.distribution(sql, ("tenant",), column="tenant_id", reference=["public.countries"])
            for _, sql in (*STATEMENTS, *ATTACKS, *CITUS_NOTES)
        }


@pytest.mark.parametrize(("kind", "sql"), [*STATEMENTS, *ATTACKS])
def test_the_tenants_of_a_statement_are_those(kind: str, sql: str, found: dict[str, Any]) -> None:
    assert (found[sql].kind, found[sql].because) == (kind, found[sql].because)
    assert found[sql].fits or found[sql].hint


def test_statements_of_one_tenant_scan_one_partition(
    partitioned: psycopg.Connection[Any], found: dict[str, Any]
) -> None:
    (expected,) = partitioned.execute(
        "select right(o.tableoid::regclass::text, 1) from orders as o where o.tenant_id = %s limit 1",
        [TENANT],
    ).fetchall()
    counted = 0
    for sql, distribution in found.items():
        if distribution.kind == "tenant":
            partitions = scanned_partitions(partitioned, sql)
            assert partitions <= {*expected}, sql
            counted += bool(partitions)
    assert counted > 20


def test_rows_of_other_tenants_change_nothing(
    partitioned: psycopg.Connection[Any], found: dict[str, Any]
) -> None:
    of_one = [
        sql
        for sql, distribution in found.items()
        if distribution.kind in ("tenant", "unseen") and "random()" not in sql
    ]
    assert len(of_one) > 60
    with partitioned.transaction(force_rollback=True):
        before = {sql: rows_of(partitioned, sql) for sql in of_one}
        partitioned.execute("set local session_replication_role = replica")
        for table in ("customers", "orders", "letters", "big"):
            partitioned.execute(f"delete from {table} where tenant_id <> {TENANT}".encode())
        partitioned.execute("set local session_replication_role = origin")
        for sql in of_one:
            assert rows_of(partitioned, sql) == before[sql], sql
    assert sum(bool(rows) for rows in before.values()) > 40


@pytest.mark.parametrize(("note", "sql"), CITUS_NOTES)
def test_what_citus_does_otherwise_is_noted(note: str, sql: str, found: dict[str, Any]) -> None:
    assert found[sql].kind == "tenant"
    notes = found[sql].citus
    assert notes == () if not note else any(note in each for each in notes)


def test_statements_of_all_tenants_scan_all_partitions(
    partitioned: psycopg.Connection[Any], found: dict[str, Any]
) -> None:
    counted = 0
    for sql, distribution in found.items():
        if distribution.kind == "joined":
            assert len(scanned_partitions(partitioned, sql)) > 1, sql
            counted += 1
    assert counted > 8


def test_the_verdict_names_the_value_and_the_remedy(found: dict[str, Any]) -> None:
    by_text = dict(found.items())
    assert by_text["select o.id from orders as o where o.tenant_id = $1"].by == ":tenant"
    assert by_text["insert into orders (id) values ($1)"].by == "the setting app.jwt_tenant"
    across = by_text[
        "select o.id from orders as o where o.tenant_id = $1 and exists"
        " (select from customers as c where c.id = o.customer_id)"
    ]
    assert across.because == "public.customers as c is not bound to the tenant of public.orders as o"
    assert across.hint.startswith("add c.tenant_id = the same value as in the other query")


def test_random_statements_of_one_tenant_scan_one_partition(partitioned: psycopg.Connection[Any]) -> None:
    generator, counted = StatementGenerator(seed=20261130), 0
    with psycopg.connect(partitioned.info.dsn, autocommit=True) as other, Analyser(other) as analyser:
        for sql in (generator.statement() for _ in range(100)):
            try:
                found = analyser.distribution(sql, ("tenant",), column="tenant_id")
            except RefusedError:
                continue
            if found.kind == "tenant":
                assert len(scanned_partitions(partitioned, sql)) <= 1, sql
                counted += 1
    assert counted > 10
