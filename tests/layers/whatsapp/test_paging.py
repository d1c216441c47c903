"""Lists are paged by key, and read by their index as the application's role, under the policies."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

import plainsql
from plainsql.database import TenantDatabase
from plainsql.errors import BindError
from plainsql.layers.whatsapp import (
    channels,
    contacts,
    media_files,
    message_templates,
    messages,
    webhook_events,
)
from tests.layers.whatsapp.business import PHONE

TABLES: dict[str, Any] = {
    "channels": channels,
    "contacts": contacts,
    "media_files": media_files,
    "message_templates": message_templates,
    "messages": messages,
    "webhook_events": webhook_events,
}
BUSY, QUIET = uuid.UUID(int=1), uuid.UUID(int=2)
CHANNEL = uuid.UUID(int=3)
ROWS = 10_000
THEN = datetime(2026, 1, 1, tzinfo=UTC)

# Two tenants; one has nearly all rows, as in practice.
FILL = f"""
insert into whatsapp.channels (
  tenant_id, id, organization_id, phone_number_id, business_account_id, access_token
)
select t.id, case n when 0 then '{CHANNEL}' else gen_random_uuid() end, '{CHANNEL}', n::text, '1', 'x'
from unnest(array['{BUSY}', '{QUIET}']::uuid[]) as t (id) cross join generate_series(0, 300) as n;

insert into whatsapp.contacts (tenant_id, phone_number, created_at)
select '{BUSY}', n::text, timestamptz '2026-01-01Z' + n % 1000 * interval '1 minute'
from generate_series(1, {ROWS}) as n;

insert into whatsapp.media_files (tenant_id, whatsapp_media_id, file_type)
select '{BUSY}', n::text, 'image/png' from generate_series(1, {ROWS}) as n;

insert into whatsapp.message_templates (tenant_id, name, language, category, body)
select '{BUSY}', n::text, 'es', 'utility', 'Hola' from generate_series(1, {ROWS}) as n;

insert into whatsapp.messages (
  tenant_id, channel_id, phone_number, whatsapp_msg_id, idempotency_key, status, direction, next_attempt_at,
  created_at
)
select
  t.id, '{CHANNEL}', case n % 100 when 0 then '{PHONE}' else n::text end, 'wamid.' || n,
  sha256(n::text::bytea), case n % 500 when 0 then 'failed' else 'read' end, 'outbound',
  case n % 500 when 0 then timestamptz '2026-01-01Z' end,
  timestamptz '2026-01-01Z' + n % 1000 * interval '1 minute'
from unnest(array['{BUSY}', '{QUIET}']::uuid[]) as t (id) cross join generate_series(1, {ROWS}) as n;

insert into whatsapp.webhook_events (tenant_id, event_type, payload, processed, processed_at, next_attempt_at)
select
  '{BUSY}', 'messages', to_jsonb(n), n % 500 <> 0,
  case when n % 500 <> 0 then timestamptz '2026-01-01Z' + n * interval '1 minute' end,
  case when n % 500 = 0 then timestamptz '2026-01-01Z' end
from generate_series(1, {ROWS}) as n;
"""


@pytest.fixture(scope="module")
def crowded(plainsql_database_url: str) -> None:
    with psycopg.connect(plainsql_database_url, autocommit=True) as admin:
        admin.execute(FILL.encode())
        admin.execute("vacuum analyze")


@pytest.fixture
async def busy_tenant_db(crowded: None, app_db: plainsql.Database) -> TenantDatabase:
    return app_db.tenant(BUSY)


async def pages(query: Any, db: Any, **given: Any) -> AsyncIterator[Any]:
    """Every row of a list, read 200 at a time."""
    after: dict[str, Any] = {}
    while page := await query(db, limit=200, **given, **after):
        for row in page:
            yield row
        after = {"after_created_at": page[-1].created_at, "after_id": page[-1].id}


@pytest.mark.parametrize("table", TABLES)
async def test_a_list_shows_every_row_once_newest_first(busy_tenant_db: TenantDatabase, table: str) -> None:
    query = TABLES[table].list
    if table in ("contacts", "messages", "channels"):
        rows = [row async for row in pages(query, busy_tenant_db)]
        assert len({row.id for row in rows}) == len(rows) == await TABLES[table].count(busy_tenant_db)
    else:
        rows = await query(busy_tenant_db)
        assert len(rows) == 50
    assert rows == sorted(rows, key=lambda row: (row.created_at, row.id), reverse=True)


async def test_the_history_of_a_number_is_paged_by_fifty_by_default(busy_tenant_db: TenantDatabase) -> None:
    rows = [row async for row in pages(messages.history, busy_tenant_db, phone_number=PHONE)]
    assert len({row.id for row in rows}) == ROWS // 100
    assert len(await messages.history(busy_tenant_db, phone_number=PHONE)) == 50
    for limit in (0, 201):
        with pytest.raises(BindError):
            await messages.history(busy_tenant_db, phone_number=PHONE, limit=limit)


KEY = {"after_created_at": datetime(2026, 1, 1, 10, tzinfo=UTC), "after_id": CHANNEL}
PLANS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "a contact by its number": (contacts.get_by_phone, {"phone_number": "77"}, "contacts_phone_number_key"),
    "a page of contacts": (contacts.list, KEY, "contacts_created_at_idx"),
    "a contact saved": (contacts.touch_last_seen, {"id": CHANNEL}, "contacts_pkey"),
    "a page of files": (media_files.list, KEY, "media_files_created_at_idx"),
    "a file by its id at WhatsApp": (
        media_files.get_by_whatsapp_media_id,
        {"whatsapp_media_id": "77"},
        "media_files_whatsapp_media_id_key",
    ),
    "a template": (
        message_templates.get,
        {"name": "77", "language": "es"},
        "message_templates_name_language_key",
    ),
    "a message": (messages.get_by_id, {"id": CHANNEL}, "messages_pkey"),
    "a message by its id at WhatsApp": (
        messages.get_by_whatsapp_msg_id,
        {"whatsapp_msg_id": "wamid.7"},
        "messages_whatsapp_msg_id_key",
    ),
    "a message by its key": (
        messages.get_outbound_by_idempotency_key,
        {"idempotency_key": b"7"},
        "messages_idempotency_key_key",
    ),
    "a page of messages": (messages.list, KEY, "messages_created_at_idx"),
    "a page of a channel's messages": (
        messages.list,
        {"channel_id": CHANNEL, **KEY},
        "messages_c(hannel_id|reated_at)_idx",
    ),
    "a page of a history": (messages.history, {"phone_number": PHONE, **KEY}, "messages_phone_number_idx"),
    "a status": (messages.update_status, {"id": CHANNEL, "status": "sent"}, "messages_pkey"),
    "a status by webhook": (
        messages.update_status_by_whatsapp_msg_id,
        {"whatsapp_msg_id": "wamid.7", "status": "read"},
        "messages_whatsapp_msg_id_key",
    ),
    "retries": (messages.claim_failed_for_retry, {"limit": 5}, "messages_next_attempt_at_idx"),
    "stats of an hour": (
        messages.stats,
        {"since": datetime(2026, 1, 1, 16, tzinfo=UTC)},
        "messages_created_at_idx",
    ),
    "a page of events": (webhook_events.list, KEY, "webhook_events_created_at_idx"),
    "work": (webhook_events.claim_unprocessed, {"limit": 5}, "webhook_events_next_attempt_at_idx"),
    "a purge": (webhook_events.purge, {"before": THEN, "limit": 5}, "webhook_events_processed_at_idx"),
}


@pytest.mark.parametrize("what", PLANS)
async def test_a_large_table_is_read_by_its_index(busy_tenant_db: TenantDatabase, what: str) -> None:
    query, given, index = PLANS[what]
    plan, args = query.compiled.text(query.compiled.bind((), given))
    async with busy_tenant_db.transaction() as tx:
        # For these arguments, and for any: a frequent statement has one generic plan.
        given_plan = await tx.connection.fetch(f"explain (costs off) {plan.sql}", *args)
        await tx.connection.execute("set local plan_cache_mode = force_generic_plan")
        await tx.connection.execute(f"prepare q as {plan.sql}")
        nulls = ", ".join(["null"] * len(args))
        generic_plan = await tx.connection.fetch(f"explain (costs off) execute q ({nulls})")
        await tx.connection.execute("deallocate q")
    for rows in (given_plan, generic_plan):
        shown = "\n".join(row[0] for row in rows)
        assert re.search(rf"(using|on) {index}\b", shown), shown
        assert "Seq Scan" not in shown, shown
        if what.startswith("a page"):
            assert "Sort" not in shown, shown
