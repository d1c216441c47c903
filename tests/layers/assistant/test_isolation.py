"""No query of a tenant reads, changes, counts or blocks the rows of another."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from plainsql.database import TenantDatabase
from plainsql.layers.assistant import conversations, users
from tests.layers.assistant.desk import ARGUMENTS, TABLES, Desk, open_desk
from tests.layers.isolation import Isolation, TenantLayer, open_isolation

AUDIT_LOG: dict[str, Any] = {
    "audit_log.get_by_id": lambda _: {"id": 1},
    "audit_log.list": lambda _: {},
    "audit_log.count": lambda _: {},
    "audit_log.trail": lambda desk: {"table_name": "notes", "row_id": desk.note.id},
}


async def fill(url: str, db: TenantDatabase) -> Desk:
    # Both tenants' rows have the same ids.
    restart_ids(url, 1)
    desk = await open_desk(db)
    # Deleted rows whose account, calendar entry and session are free: they can be restored.
    other = await users.create(db, telegram_id=7)
    event = await desk.plan()
    talk = await conversations.create(db, user_id=desk.user.id, session_id="session-7")
    deleted = {**desk.deleted, "users": other.id, "events": event.id, "conversations": talk.id}
    for table in ("users", "events", "conversations"):
        await TABLES[table].soft_delete(db, id=deleted[table])
    # Ids that the checks make are no ids of existing rows.
    restart_ids(url, 1_000_000)
    return replace(desk, deleted=deleted)


def restart_ids(url: str, first: int) -> None:
    with psycopg.connect(url, autocommit=True) as admin:
        for table in (*TABLES, "audit_log"):
            admin.execute(f"alter table assistant.{table} alter column id restart with {first}".encode())


@pytest.fixture
async def isolation(plainsql_fresh_database_url: str) -> AsyncGenerator[Isolation]:
    async def filled(db: TenantDatabase, _: Any) -> Desk:
        return await fill(plainsql_fresh_database_url, db)

    layer = TenantLayer(
        name="assistant",
        role="assistant_app",
        tenants=("acme", "globex"),
        fill=filled,
        arguments={**ARGUMENTS, **AUDIT_LOG},
    )
    async with open_isolation(plainsql_fresh_database_url, layer) as isolation:
        yield isolation


async def test_tenants_are_apart(isolation: Isolation) -> None:
    await isolation.check_all()


async def test_without_the_policies_of_a_table_a_check_fails(isolation: Isolation) -> None:
    for table in (*TABLES, "audit_log"):
        isolation.admin.execute(f"alter table assistant.{table} disable row level security".encode())
        with pytest.raises(AssertionError, match=table):
            isolation.check_policies()
        with pytest.raises(AssertionError, match=table):
            await isolation.check_tables()
        isolation.admin.execute(f"alter table assistant.{table} enable row level security".encode())


async def test_views_and_functions_of_the_keeper_keep_to_the_tenant(isolation: Isolation) -> None:
    """The views of deletion and the functions of search, queried by the application without a condition."""
    for table in TABLES:
        view = f"assistant.deletable_{table}"
        async with isolation.db.tenant("acme").transaction() as tx:
            seen = await tx.connection.fetch(f"select distinct tenant_id from {view}")
            assert [row[0] for row in seen] == ["acme"], view
        async with isolation.db.acquire() as connection:
            assert await connection.fetch(f"select from {view}") == []
        isolation.restore("acme", "globex")
        async with isolation.db.tenant("acme").transaction() as tx:
            await tx.connection.execute(f"update {view} set deleted_at = now()")
            await tx.connection.execute(f"delete from {view}")
        left = isolation.admin.execute(
            f"select distinct tenant_id from assistant.{table} where deleted_at is null".encode()
        ).fetchall()
        assert left == [("globex",)], view
        isolation.restore("acme", "globex")
    for call in (
        "assistant.notes_with_words(null, 'manzan')",
        "assistant.notes_with_words(null, '!nada')",
        "assistant.notes_with_words(null, 'manzan | !nada')",
        "assistant.notes_with_tags(null, null, array['casa'])",
        "assistant.notes_with_tags(null, array['casa'], null)",
        "assistant.notes_with_tags(null, null, null)",
    ):
        # Each tenant has one live note; their ids are the same, so the rows are counted.
        async with isolation.db.tenant("acme").transaction() as tx:
            assert len(await tx.connection.fetch(f"select from {call}")) == 1, call
        async with isolation.db.acquire() as connection:
            assert await connection.fetch(f"select from {call}") == [], call
