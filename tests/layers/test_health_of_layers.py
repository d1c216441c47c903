"""``db.check(layer=…)``: migrations, extensions, indexes, and whether the role can run each query."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import plainsql
from plainsql import migrate
from plainsql.errors import SettingsError
from plainsql.layers.files import sql_folder

MIGRATIONS = Path(__file__).parents[2] / "migrations"


@pytest.fixture
def stranger(fresh_database_url: str) -> Iterator[str]:
    """A role without rights, and a database with the migrations of realty."""
    role = f"stranger_{secrets.token_hex(6)}"
    migrate.apply(fresh_database_url, MIGRATIONS, layers=["realty"])
    with psycopg.connect(fresh_database_url, autocommit=True) as admin:
        admin.execute(f"create role {role}".encode())
        try:
            yield role
        finally:
            admin.execute(f"drop owned by {role}; drop role {role}".encode())


async def test_a_layer_is_checked_as_the_connected_role(fresh_database_url: str, stranger: str) -> None:
    with psycopg.connect(fresh_database_url, autocommit=True) as admin:
        async with plainsql.connect(fresh_database_url, server_settings={"role": stranger}) as db:
            health = await db.check(layer="realty", timeout=60)
            rights = health["rights of realty"]
            assert rights.state == "failed"
            total = rights.found["queries"]
            assert total == len(list(sql_folder("realty").glob("*/*.sql")))
            denied = "permission denied for schema realty"
            assert rights.text == f"{stranger} cannot run {total} of {total} queries: {denied}"
            assert rights.hint == f"grant realty_app to {stranger}"
            assert rights.found["refused"]["realty.leads.create"] == denied

            admin.execute(f"grant realty_app to {stranger}".encode())
            admin.execute("revoke delete on realty.leads from realty_app")
            rights = (await db.check(layer="realty", timeout=60))["rights of realty"]
            assert rights.text.endswith(f"cannot run 1 of {total} queries: permission denied for table leads")
            assert (rights.hint or "").startswith(f"plainsql grants --role {stranger} --database URL prints")

            admin.execute("grant delete on realty.leads to realty_app")
            health = await db.check(layer="realty", timeout=60)
            assert health["rights of realty"].text == f"{stranger} can run all {total} queries"
            assert {check.name for check in health.checks if check.name.endswith("realty")} == {
                f"{what} of realty" for what in ("migrations", "extensions", "indexes", "rights")
            }
            assert [health[f"{what} of realty"].state for what in ("extensions", "indexes")] == ["ok", "ok"]
            assert set(health["extensions of realty"].found["extensions"]) == {"unaccent", "vector"}

            await _break(db, admin)


async def _break(db: plainsql.Database, admin: psycopg.Connection[Any]) -> None:
    admin.execute("insert into realty.leads (name) values ('x'), ('x')")
    with pytest.raises(psycopg.errors.UniqueViolation):
        admin.execute("create unique index concurrently twice on realty.leads (name)")
    admin.execute("update pg_extension set extversion = '1.0' where extname = 'unaccent'")
    admin.execute("alter table realty.leads rename column phone to telephone")
    health = await db.check(layer="realty", timeout=60)
    assert not health.ok
    assert health["indexes of realty"].hint == "reindex index concurrently realty.twice"
    extensions = health["extensions of realty"]
    assert (extensions.state, extensions.hint) == ("warning", "alter extension unaccent update to '1.1'")
    rights = health["rights of realty"]
    assert "queries cannot be planned: realty." in rights.text
    assert rights.found["broken"]["realty.leads.get_by_id"] == "column l.phone does not exist"


async def test_a_layer_that_is_not_there_is_one_failed_check(fresh_database_url: str) -> None:
    async with plainsql.connect(fresh_database_url) as db:
        health = await db.check(layer="realty")
        assert health["schema of realty"].hint == "plainsql migrate --layer realty"
        with pytest.raises(SettingsError, match="there is no layer 'realti'") as error:
            await db.check(layer="realti")
    assert error.value.hint == "did you mean realty?"
