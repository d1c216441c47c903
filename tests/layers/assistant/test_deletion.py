"""Deletion: rows are soft-deleted, restored and purged, with the rows that depend on them."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from asyncpg import ForeignKeyViolationError

import plainsql
from plainsql.errors import TenantError
from plainsql.layers.assistant import cleanup, conversations, events, message_history, notes, users
from tests.layers.assistant.desk import TABLES, Desk, add_message, blocked, soon

HANGS_ON_USER: dict[str, Any] = {table: TABLES[table] for table in TABLES if table != "users"}


async def seen(desk: Desk) -> dict[str, int]:
    """Count the live rows."""
    return {table: await module.count(desk.db) for table, module in TABLES.items()}


@pytest.mark.parametrize("table", TABLES)
async def test_a_row_is_hidden_brought_back_and_removed(desk: Desk, table: str) -> None:
    module, id = TABLES[table], desk.live(table).id
    assert await module.restore(desk.db, id=id) == 0
    assert await module.soft_delete(desk.db, id=id) == 1
    assert await module.get_by_id(desk.db, id=id) is None
    assert await module.soft_delete(desk.db, id=id) == 0
    assert await module.restore(desk.db, id=id) == 1
    row = await module.get_by_id(desk.db, id=id)
    assert row is not None
    assert row.created_at == desk.live(table).created_at
    assert await module.purge(desk.db, id=id) == 1
    assert await module.purge(desk.db, id=id) == 0
    assert await module.restore(desk.db, id=id) == 0


@pytest.mark.parametrize("table", TABLES)
async def test_another_tenants_row_cannot_be_hidden_brought_back_or_removed(
    app_db: plainsql.Database, desk: Desk, table: str
) -> None:
    module, other = TABLES[table], app_db.tenant(uuid.uuid4().hex)
    assert await module.soft_delete(other, id=desk.live(table).id) == 0
    assert await module.restore(other, id=desk.deleted[table]) == 0
    assert await module.purge(other, id=desk.live(table).id) == 0
    assert await module.purge_deleted(other, before=soon(hours=1)) == 0
    with pytest.raises(TenantError):
        await module.purge(app_db, id=desk.live(table).id)


async def test_a_users_rows_are_deleted_and_restored_with_it(desk: Desk) -> None:
    before = await seen(desk)
    assert await users.soft_delete(desk.db, id=desk.user.id) == 1
    assert await seen(desk) == dict.fromkeys(TABLES, 0)
    assert await users.restore(desk.db, id=desk.user.id) == 1
    # No more than that: a row that was deleted on its own before stays deleted.
    assert await seen(desk) == before
    assert await notes.get_by_id(desk.db, id=desk.deleted["notes"]) is None


async def test_a_conversations_messages_are_deleted_and_restored_with_it(desk: Desk) -> None:
    before = await seen(desk)
    await conversations.soft_delete(desk.db, id=desk.conversation.id)
    assert await seen(desk) == {**before, "conversations": 0, "message_history": 0}
    await conversations.restore(desk.db, id=desk.conversation.id)
    assert await seen(desk) == before


async def test_a_row_deleted_before_its_user_in_one_transaction_stays_deleted(desk: Desk) -> None:
    async with desk.db.transaction() as tx:
        await notes.soft_delete(tx, id=desk.note.id)
        await users.soft_delete(tx, id=desk.user.id)
    await users.restore(desk.db, id=desk.user.id)
    assert await notes.get_by_id(desk.db, id=desk.note.id) is None
    assert await events.get_by_id(desk.db, id=desk.event.id) is not None


@pytest.mark.parametrize("table", HANGS_ON_USER)
async def test_a_row_cannot_be_restored_without_its_deleted_parent(desk: Desk, table: str) -> None:
    await users.soft_delete(desk.db, id=desk.user.id)
    with pytest.raises(ForeignKeyViolationError, match="restored first"):
        await HANGS_ON_USER[table].restore(desk.db, id=desk.live(table).id)


async def test_nothing_is_entered_for_a_deleted_user_or_conversation(desk: Desk) -> None:
    await conversations.soft_delete(desk.db, id=desk.conversation.id)
    with pytest.raises(ForeignKeyViolationError):
        await add_message(desk.db, desk.conversation.id)
    await users.soft_delete(desk.db, id=desk.user.id)
    with pytest.raises(ForeignKeyViolationError):
        await desk.write()


async def test_a_concurrent_insert_is_deleted_with_its_user(desk: Desk, owner_db: plainsql.Database) -> None:
    async with desk.db.transaction() as tx:
        note = await notes.create(tx, user_id=desk.user.id, content="En el último momento")
        deletion = asyncio.create_task(users.soft_delete(desk.db, id=desk.user.id))
        await blocked(owner_db)
    assert await deletion == 1
    assert await notes.get_by_id(desk.db, id=note.id) is None
    assert await notes.count(desk.db) == 0


async def test_a_row_that_waits_for_its_users_deletion_is_refused(
    desk: Desk, owner_db: plainsql.Database
) -> None:
    async with desk.db.transaction() as tx:
        await users.soft_delete(tx, id=desk.user.id)
        late = asyncio.create_task(desk.write())
        await blocked(owner_db)
    with pytest.raises(ForeignKeyViolationError):
        await late


async def test_a_row_that_waits_for_a_restored_user_is_inserted(
    desk: Desk, owner_db: plainsql.Database
) -> None:
    async with desk.db.transaction() as tx:
        await users.soft_delete(tx, id=desk.user.id)
        late = asyncio.create_task(desk.write())
        await blocked(owner_db)
        await users.restore(tx, id=desk.user.id)
    assert await notes.get_by_id(desk.db, id=(await late).id) is not None


async def test_deletions_and_concurrent_messages_do_not_deadlock(
    desk: Desk,
) -> None:
    async def chat(number: int) -> str:
        try:
            await add_message(desk.db, desk.conversation.id)
        except ForeignKeyViolationError:
            return "refused"
        return "entered"

    async def delete() -> None:
        await conversations.soft_delete(desk.db, id=desk.conversation.id)
        await users.soft_delete(desk.db, id=desk.user.id)

    await asyncio.gather(*(chat(number) for number in range(15)), delete(), *(chat(n) for n in range(15)))
    assert await message_history.count(desk.db) == 0, (
        "what came in before is deleted, what came later refused"
    )


async def test_purging_a_user_removes_all_its_rows_deleted_or_not(
    desk: Desk, owner_db: plainsql.Database
) -> None:
    assert await users.purge(desk.db, id=desk.user.id) == 1
    assert await users.purge(desk.db, id=desk.deleted["users"]) == 1
    async with owner_db.transaction(read_only=True) as tx:
        for table in TABLES:
            left = await tx.connection.fetchval(
                f"select count(*) from assistant.{table} where tenant_id = $1", desk.user.tenant_id
            )
            assert (table, left) == (table, 0)


async def test_rows_deleted_long_ago_are_removed_in_batches(desk: Desk) -> None:
    written = [await desk.write() for _ in range(7)]
    for note in written:
        await notes.soft_delete(desk.db, id=note.id)
    assert await notes.purge_deleted(desk.db, before=soon(hours=-1)) == 0
    removed = []
    while count := await notes.purge_deleted(desk.db, before=soon(hours=1), limit=4):
        removed.append(count)
    # Seven, and two that existed: the user's own, and that of the deleted user.
    assert removed == [4, 4, 1]
    assert await notes.restore(desk.db, id=written[0].id) == 0
    assert await notes.count(desk.db) == 1


async def test_workers_share_the_removal(desk: Desk) -> None:
    for _ in range(30):
        await notes.soft_delete(desk.db, id=(await desk.write()).id)
    removed = await asyncio.gather(
        *(notes.purge_deleted(desk.db, before=soon(hours=1), limit=10) for _ in range(8))
    )
    rest = await notes.purge_deleted(desk.db, before=soon(hours=1))
    assert sum(removed) + rest == 32


async def test_a_batch_locks_no_more_than_it_removes(desk: Desk) -> None:
    for _ in range(30):
        await notes.soft_delete(desk.db, id=(await desk.write()).id)
    async with desk.db.transaction() as tx:
        assert await notes.purge_deleted(tx, before=soon(hours=1), limit=10) == 10
        # Another worker runs while the first one's rows are still locked.
        assert await notes.purge_deleted(desk.db, before=soon(hours=1), limit=10) == 10
        assert await cleanup.notes(desk.db, days=0, limit=10) == 10
        assert await cleanup.notes(desk.db, days=0) == 2


async def test_a_manual_update_without_a_tenant_deletes_the_same_rows(
    desk: Desk, owner_db: plainsql.Database
) -> None:
    async with owner_db.acquire() as connection:
        await connection.execute(
            "update assistant.users set deleted_at = now() where tenant_id = $1 and id = $2",
            desk.user.tenant_id,
            desk.user.id,
        )
    assert await seen(desk) == dict.fromkeys(TABLES, 0)
