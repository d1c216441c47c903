"""The least grants: with them every query runs, and without any one of them a query fails."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from plainsql import migrate
from plainsql.errors import PlainsqlError
from plainsql.grants.held_privileges import compare_grants, correction
from plainsql.grants.least_grants import Grant, LeastGrants, grant_statements, least_grants
from plainsql.grants.needed_privileges import needed_privileges
from plainsql.grants.project_grants import query_texts

ROOT = Path(__file__).parents[2]
ROLE = "plainsql_test_least"
Texts = dict[str, list[str]]
Connection = psycopg.Connection[Any]


@pytest.fixture(scope="module")
def texts() -> Texts:
    return query_texts(ROOT / "sql")


@pytest.fixture(scope="module")
def layers(database_url: str, texts: Texts) -> Generator[tuple[Connection, LeastGrants]]:
    """A connection to a database with the four layers, and the least grants of their queries."""
    migrate.apply(database_url, ROOT / "migrations")
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection, least_grants(needed_privileges(connection, texts), ROLE)


def granted(connection: Connection, least: LeastGrants) -> None:
    """Create the role of a transaction, with exactly the grants that are printed."""
    connection.execute(f"create role {ROLE}".encode())
    for statement in grant_statements(least):
        connection.execute(statement.encode())


def refused(connection: Connection, texts: Iterable[str], how: str = "explain (generic_plan)") -> list[str]:
    """Return the refusals of texts for the role; the server checks privileges when a plan starts."""
    found: list[str] = []
    for text in texts:
        try:
            with connection.transaction(force_rollback=True):
                connection.execute(f"set local role {ROLE}".encode())
                connection.execute(f"{how} {text}".encode(), prepare=False)
        except psycopg.errors.InsufficientPrivilege as error:
            found.append(str(error))
    return found


def without(least: LeastGrants) -> Iterable[tuple[Grant, str]]:
    """Yield each grant, column by column, with the statement that takes it away."""
    for grant in least.grants:
        on = grant.name if grant.kind == "table" else f"{grant.kind} {grant.name}"
        for column in grant.columns or ("",):
            what = f"{grant.privilege} ({column})" if column else grant.privilege
            yield grant, f"revoke {what} on {on} from {ROLE}"


def test_every_query_of_the_layers_runs_with_the_printed_grants(
    layers: tuple[Connection, LeastGrants], texts: Texts
) -> None:
    connection, least = layers
    assert len(texts) == 296
    with connection.transaction(force_rollback=True):
        granted(connection, least)
        every = [text for variants in texts.values() for text in variants]
        assert refused(connection, every) == []
        assert compare_grants(connection, least, ROLE).missing == ()
        assert compare_grants(connection, least, ROLE).wider == ()
        # Each one is needed: a query fails without it.
        needless: list[str] = []
        for grant, revoke in without(least):
            with connection.transaction(force_rollback=True):
                connection.execute(revoke.encode())
                needing = (text for query in grant.queries for text in texts[query])
                if not any(refused(connection, [text]) for text in needing):
                    needless.append(revoke)
        # It is called by a generated column, when a row is written.
        assert needless == [f"revoke execute on function whatsapp.payload_digest(jsonb) from {ROLE}"]


def test_a_role_with_other_grants_gets_the_sql_that_corrects_them(
    layers: tuple[Connection, LeastGrants], texts: Texts
) -> None:
    connection, least = layers
    with connection.transaction(force_rollback=True):
        granted(connection, least)
        for statement in (
            f"revoke select on realty.leads from {ROLE}",
            f"revoke usage on schema whatsapp from {ROLE}",
            f"grant select (id, name) on realty.leads to {ROLE}",
            f"grant insert, update, truncate, trigger on realty.messages to {ROLE}",
            f"grant insert (id) on realty.leads to {ROLE}",
            f"grant create on schema realty to {ROLE}",
            f"grant usage on sequence marketplace.buyers_id_seq to {ROLE}",
            "create role plainsql_test_readers",
            f"grant plainsql_test_readers to {ROLE}",
            "grant select on assistant.notes to plainsql_test_readers",
            "grant delete on assistant.audit_log to public",
            f"grant select on _yoyo_migration_realty to {ROLE}",
        ):
            connection.execute(statement.encode())
        found = compare_grants(connection, least, ROLE)
        assert [(each.name, each.privilege, each.columns) for each in found.missing] == [
            ("whatsapp", "usage", ()),
            ("realty.leads", "select", ()),
        ]
        assert "realty.leads.get_by_id" in found.missing[1].queries
        wider = {(each.name, each.privilege, each.columns, each.grantee) for each in found.wider}
        assert wider == {
            ("realty", "create", (), ROLE),
            ("marketplace.buyers_id_seq", "usage", (), ROLE),
            ("assistant.audit_log", "delete", (), "public"),
            ("assistant.notes", "select", (), "plainsql_test_readers"),
            ("realty.leads", "insert", ("id",), ROLE),
            *(("realty.messages", name, (), ROLE) for name in ("insert", "update", "truncate", "trigger")),
        }
        for text in correction(found, least):
            connection.execute(text.encode())
        corrected = compare_grants(connection, least, ROLE)
        assert replace(corrected, unknown=()) == type(found)(ROLE, False)
        # The columns that a body in PL/pgSQL uses are not known, and the role has a part of the table's.
        assert {(each.what, each.tables, each.privileges) for each in corrected.unknown} == {
            ("trigger function assistant.require_live_user()", ("assistant.users",), ("update",)),
            (
                "trigger function assistant.require_live_conversation()",
                ("assistant.conversations",),
                ("update",),
            ),
        }
        assert refused(connection, [text for variants in texts.values() for text in variants]) == []
        assert compare_grants(connection, least, "postgres").is_superuser
        with pytest.raises(PlainsqlError, match="the database has no role 'nobody_here'"):
            compare_grants(connection, least, "nobody_here")
