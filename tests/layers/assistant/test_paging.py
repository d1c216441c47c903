"""Lists are paged by key: no row is skipped or returned twice, even if times are equal; and their plans."""

from __future__ import annotations

from typing import Any

import pytest

import plainsql
from plainsql.database import TenantDatabase
from plainsql.errors import BindError
from plainsql.layers.assistant import conversations, events, message_history, notes, users
from tests.layers.assistant.desk import (
    ARGUMENTS,
    TABLES,
    Desk,
    add_message,
    execute,
    open_desk,
    pages,
    soon,
)
from tests.layers.isolation import queries_of

ROWS = 10


@pytest.fixture
async def crowded(app_db: plainsql.Database, owner_db: plainsql.Database) -> TenantDatabase:
    """Ten rows in every table, created at three times."""
    tenant = app_db.tenant("crowded")
    if await users.count(tenant) == 0:
        desk = await open_desk(tenant)
        for number in range(ROWS - 1):
            user = await users.create(tenant, telegram_id=number)
            await events.create(tenant, user_id=user.id, title="x", start_datetime=soon(hours=1))
            await notes.create(tenant, user_id=user.id, content="x")
            await conversations.create(tenant, user_id=user.id, session_id=f"{number}")
            await add_message(tenant, desk.conversation.id)
        for name in TABLES:
            await execute(
                owner_db,
                f"""update assistant.{name} as r
                    set created_at = timestamptz '2026-01-01 00:00Z' + n.number % 3 * interval '1 day'
                    from (
                      select id, row_number() over () as number from assistant.{name}
                      where tenant_id = 'crowded' and deleted_at is null
                    ) as n
                    where r.id = n.id and r.tenant_id = 'crowded'""",
            )
    return tenant


@pytest.mark.parametrize("table", TABLES)
async def test_a_list_shows_every_row_once_newest_first(crowded: TenantDatabase, table: str) -> None:
    rows = [row async for row in pages(TABLES[table].list, crowded, "created_at", "id")]
    assert len({row.id for row in rows}) == len(rows) == ROWS
    assert rows == sorted(rows, key=lambda row: (row.created_at, row.id), reverse=True)
    assert len({row.created_at for row in rows}) == 3


@pytest.mark.parametrize("table", TABLES)
async def test_a_page_has_two_hundred_rows_at_most(crowded: TenantDatabase, table: str) -> None:
    for limit in (0, 201):
        with pytest.raises(BindError):
            await TABLES[table].list(crowded, limit=limit)
    with pytest.raises(BindError):
        await TABLES[table].list(crowded, after_id=1)


@pytest.mark.parametrize("table", ["events", "notes", "conversations"])
async def test_a_list_may_be_of_one_user(crowded: TenantDatabase, table: str) -> None:
    (newest, *_) = await TABLES[table].list(crowded)
    rows = await TABLES[table].list(crowded, user_id=newest.user_id)
    assert {row.user_id for row in rows} == {newest.user_id}


async def test_the_messages_listed_may_be_of_one_conversation(desk: Desk) -> None:
    assert await message_history.list(desk.db, conversation_id=desk.conversation.id) == [desk.message]


LARGE = {
    "users.list": "users_created_at_idx",
    "users.get_by_telegram_id": "users_telegram_id_key",
    "users.list_active": "users_created_at_idx",
    "events.list": "events_created_at_idx",
    "events.by_user": "events_user_id_idx",
    "events.upcoming": "events_",
    "events.by_date_range": "events_user_id_idx",
    "events.due_reminders": "events_remind_at_idx",
    "events.claim_due_reminders": "events_remind_at_idx",
    "notes.list": "notes_created_at_idx",
    "notes.by_user": "notes_user_id_idx",
    "notes.due_reminders": "notes_reminder_datetime_idx",
    "notes.claim_due_reminders": "notes_reminder_datetime_idx",
    "conversations.list": "conversations_created_at_idx",
    "conversations.get_by_session_id": "conversations_session_id_key",
    "conversations.list_active": "conversations_active_idx",
    "conversations.by_state": "conversations_active_",
    "conversations.expire_idle": "conversations_active_idx",
    "message_history.list": "message_history_created_at_idx",
    "message_history.recent": "message_history_conversation_id_idx",
    "message_history.conversation_history": "message_history_conversation_id_idx",
    "message_history.by_intent": "message_history_intent_detected_idx",
    "message_history.get_by_message_id": "message_history_message_id_idx",
    "audit_log.list": "audit_log_created_at_idx",
    "audit_log.trail": "audit_log_row_idx",
    **{f"{table}.purge_deleted": f"{table}_deleted_at_idx" for table in TABLES},
    **{f"{table}.get_by_id": f"{table}_pkey" for table in TABLES},
    **{f"{table}.soft_delete": f"{table}_pkey" for table in TABLES},
}
"""The queries that read a large table, each with the index that it uses."""


@pytest.fixture
async def large(app_db: plainsql.Database, owner_db: plainsql.Database) -> Desk:
    """A tenant with 20,000 rows in each table, most of them of one user, among rows of other tenants."""
    tenant = app_db.tenant("large")
    known = await users.get_by_telegram_id(tenant, telegram_id=42)
    if known is None:
        desk = await open_desk(tenant)
        async with owner_db.transaction() as tx:
            run = tx.connection.execute
            await run("set local session_replication_role = replica")
            for statement in FILL:
                await run(statement, desk.user.id, desk.conversation.id)
        for table in (*TABLES, "audit_log"):
            await execute(owner_db, f"vacuum analyze assistant.{table}")
        _DESKS["large"] = desk
    return _DESKS["large"]


_DESKS: dict[str, Desk] = {}
# With few tenants in the statistics, the planner takes each for a large one, and reads the whole table.
_TENANT = "case when n % 4 = 0 then 'other ' || n % 100 else 'large' end"
_TIMES = "now() - n * interval '1 minute'"
_DELETED = "case when n % 10 = 0 then now() - n * interval '1 minute' end"
FILL = [
    f"""insert into assistant.users (tenant_id, telegram_id, created_at, deleted_at)
    select {_TENANT}, 1000 + n, {_TIMES}, {_DELETED} from generate_series(1, 20000) as n
    where $1::bigint + $2::bigint > 0""",
    f"""insert into assistant.events
      (tenant_id, user_id, title, start_datetime, end_datetime, reminder_minutes, reminded_at, created_at,
       deleted_at)
    select {_TENANT}, $1 + n % 3, 'x', now() + (n - 10000) * interval '1 hour',
      now() + (n - 10000) * interval '1 hour' + n % 100 * interval '20 minutes', 10, now(), {_TIMES},
      {_DELETED}
    from generate_series(1, 20000) as n where $2::bigint > 0""",
    f"""insert into assistant.notes (tenant_id, user_id, content, reminder_datetime, reminded_at, created_at,
      deleted_at)
    select {_TENANT}, $1 + n % 3, 'nota ' || n, {_TIMES}, now(), {_TIMES}, {_DELETED}
    from generate_series(1, 20000) as n where $2::bigint > 0""",
    f"""insert into assistant.conversations (tenant_id, user_id, session_id, is_active, last_activity,
      created_at, deleted_at)
    select {_TENANT}, $1 + n % 3, 's' || n, n % 3 = 0, {_TIMES}, {_TIMES}, {_DELETED}
    from generate_series(1, 20000) as n where $2::bigint > 0""",
    f"""insert into assistant.message_history (tenant_id, conversation_id, user_message, intent_detected,
      created_at, deleted_at)
    select {_TENANT}, $2 + n % 3, 'x', 'intent ' || n % 50, {_TIMES}, {_DELETED}
    from generate_series(1, 20000) as n where $1::bigint > 0""",
    f"""insert into assistant.audit_log (tenant_id, actor, db_role, action, table_name, row_id, created_at)
    select {_TENANT}, 'x', 'x', 'insert', 'notes', n, {_TIMES}
    from generate_series(1, 20000) as n where $1::bigint + $2::bigint > 0""",
]


async def test_no_query_reads_a_large_table_through_or_sorts_more_than_a_page(large: Desk) -> None:
    trail: dict[str, Any] = {"table_name": "notes", "row_id": large.note.id}
    given = {name: arguments(large) for name, arguments in ARGUMENTS.items()}
    given |= {"audit_log.list": {}, "audit_log.trail": trail}
    wrong = {}
    for name, index in LARGE.items():
        query = queries_of("assistant")[name]
        values = dict(given[name])
        if name.endswith(("list", "by_user", "upcoming", "due_reminders", "by_date_range", "purge_deleted")):
            values["limit"] = 50
        plan, args = query.compiled.text(query.compiled.bind((), values))
        async with large.db.transaction() as tx:
            rows = await tx.connection.fetch(f"explain (costs off) {plan.sql}", *args)
        shown = "\n".join(row[0] for row in rows)
        if index not in shown or "Seq Scan on" in shown:
            wrong[name] = shown
    assert wrong == {}
