"""The audit log, written by the database alone: the changes of each row, with user and time."""

from __future__ import annotations

from typing import Any

import pytest
from asyncpg import InsufficientPrivilegeError

import plainsql
from plainsql.layers.assistant import audit_log, notes, users
from tests.layers.assistant.desk import TABLES, Desk, execute, pages, undone


async def trail(desk: Desk, table: str, id: int) -> list[audit_log.AuditEntry]:
    return await audit_log.trail(desk.db, table_name=table, row_id=id)


@pytest.mark.parametrize("table", TABLES)
async def test_all_that_is_done_to_a_row_is_logged_with_who_did_it(
    app_db: plainsql.Database, desk: Desk, table: str
) -> None:
    row, module = desk.live(table), TABLES[table]
    boss = app_db.tenant(row.tenant_id, user_id="boss")
    since = len(await trail(desk, table, row.id))
    for verb in ("soft_delete", "restore", "purge"):
        assert await getattr(module, verb)(boss, id=row.id) == 1
    log = await trail(desk, table, row.id)
    assert log[0].action == "insert"
    assert {entry.actor for entry in log[:since]} == {"ana"}
    assert [(entry.action, entry.actor) for entry in log[since:]] == [
        (verb, "boss") for verb in ("soft_delete", "restore", "purge")
    ]
    assert all(entry.db_role.startswith("assistant_app_") for entry in log)
    assert [entry.created_at for entry in log] == sorted(entry.created_at for entry in log)


async def test_an_entry_has_what_was_there_and_what_is_there_now(desk: Desk) -> None:
    await notes.update(desk.db, id=desk.note.id, title="Otra", tags=["x"])
    await notes.soft_delete(desk.db, id=desk.note.id)
    await notes.purge(desk.db, id=desk.note.id)
    entered, changed, hidden, removed = await trail(desk, "notes", desk.note.id)
    row: Any = entered.new
    assert (entered.old, row["title"], row["created_by"]) == (None, "Lista de compras", "ana")
    assert changed.old == {"title": "Lista de compras", "tags": ["compras", "casa"]}
    assert changed.new == {"title": "Otra", "tags": ["x"]}
    old, new = hidden.old, hidden.new
    assert isinstance(old, dict)
    assert isinstance(new, dict)
    assert (list(new), old["deleted_at"]) == (["deleted_at"], None)
    last: Any = removed.old
    assert (removed.new, last["title"], last["content"]) == (None, "Otra", desk.note.content)
    assert "words" not in last


async def test_a_change_of_nothing_is_not_logged(desk: Desk) -> None:
    before = await trail(desk, "notes", desk.note.id)
    changed = await notes.update(desk.db, id=desk.note.id, title=desk.note.title)
    assert changed is not None
    assert changed.updated_at > desk.note.updated_at
    assert await trail(desk, "notes", desk.note.id) == before


async def test_a_rolled_back_change_is_not_logged(desk: Desk) -> None:
    before = await audit_log.count(desk.db)
    async with undone(desk.db) as tx:
        await notes.purge(tx, id=desk.note.id)
        assert await audit_log.count(tx) == before + 1
    assert await audit_log.count(desk.db) == before


async def test_rows_deleted_with_a_user_are_logged_one_by_one(desk: Desk) -> None:
    await users.purge(desk.db, id=desk.user.id)
    gone = await audit_log.list(desk.db, action="purge")
    assert {(entry.table_name, entry.row_id) for entry in gone} >= {
        (table, desk.live(table).id) for table in TABLES
    }
    assert {entry.actor for entry in gone} == {"ana"}


async def test_a_change_by_hand_is_logged_with_the_role_that_made_it(
    desk: Desk, owner_db: plainsql.Database
) -> None:
    await execute(
        owner_db,
        "update assistant.notes set title = 'x' where tenant_id = $1 and id = $2",
        desk.note.tenant_id,
        desk.note.id,
    )
    entry = (await trail(desk, "notes", desk.note.id))[-1]
    assert (entry.actor, entry.db_role, entry.action) == (None, "postgres", "update")


@pytest.mark.parametrize(
    "statement",
    [
        """insert into assistant.audit_log (tenant_id, db_role, action, table_name, row_id, created_at)
           values ('x', 'x', 'insert', 'notes', 1, now())""",
        "update assistant.audit_log set actor = 'somebody else'",
        "update assistant.audit_log set created_at = now() where false",
        "delete from assistant.audit_log",
        "truncate assistant.audit_log",
        "alter table assistant.audit_log disable trigger all",
        "drop table assistant.audit_log",
        "alter table assistant.notes disable trigger notes_record_change",
        "set role assistant_keeper",
        "set session_replication_role = replica",
        "create function assistant.f() returns int language sql return 1",
    ],
)
async def test_the_application_can_neither_change_the_log_nor_get_round_it(
    desk: Desk, statement: str
) -> None:
    before = await audit_log.count(desk.db)
    with pytest.raises(InsufficientPrivilegeError):
        async with desk.db.transaction() as tx:
            await tx.connection.execute(statement)
    assert await audit_log.count(desk.db) == before


@pytest.mark.parametrize(
    "statement",
    [
        "update assistant.audit_log set actor = 'somebody else'",
        "delete from assistant.audit_log",
        "truncate assistant.audit_log",
    ],
)
async def test_not_even_its_owner_changes_the_log(owner_db: plainsql.Database, statement: str) -> None:
    with pytest.raises(InsufficientPrivilegeError, match="append-only"):
        await execute(owner_db, statement)


async def test_the_log_is_filtered_and_listed_newest_first(app_db: plainsql.Database, desk: Desk) -> None:
    boss = app_db.tenant(desk.user.tenant_id, user_id="boss")
    await notes.update(boss, id=desk.note.id, title="Otra")
    (only,) = await audit_log.list(desk.db, actor="boss")
    assert (only.table_name, only.action) == ("notes", "update")
    assert await audit_log.get_by_id(desk.db, id=only.id) == only
    assert await audit_log.list(desk.db, since=only.created_at) == [only]
    assert await audit_log.count(desk.db, since=only.created_at) == 1
    inserted = await audit_log.list(desk.db, table_name="notes", action="insert")
    assert {entry.row_id for entry in inserted} >= {desk.note.id, desk.deleted["notes"]}
    everything = [entry async for entry in pages(audit_log.list, desk.db, "created_at", "id")]
    assert len(everything) == await audit_log.count(desk.db)
    assert everything == sorted(everything, key=lambda entry: (entry.created_at, entry.id), reverse=True)
    oldest = [
        entry
        async for entry in pages(audit_log.trail, desk.db, "id", table_name="notes", row_id=desk.note.id)
    ]
    assert [entry.action for entry in oldest] == ["insert", "update"]


async def test_a_row_has_the_users_who_created_and_last_changed_it(
    app_db: plainsql.Database, desk: Desk
) -> None:
    assert (desk.note.created_by, desk.note.updated_by) == ("ana", "ana")
    boss = app_db.tenant(desk.user.tenant_id, user_id="boss")
    changed = await notes.update(boss, id=desk.note.id, title="Otra")
    assert changed is not None
    assert (changed.created_by, changed.updated_by) == ("ana", "boss")
    nobody = app_db.tenant(desk.user.tenant_id)
    changed = await notes.toggle_pin(nobody, id=desk.note.id)
    assert changed is not None
    assert changed.updated_by is None
