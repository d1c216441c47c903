"""The assistant at size: so many messages and as many entries of the audit log, a tenth as many
conversations, events and notes, and some thousand users, over two years. One tenant has three fifths of all,
twenty others have the rest; one user of it has a fiftieth; a tenth is deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.layers.volume import Allowance, Layer

__all__ = ["ASSISTANT"]

# The busy user and the busy conversation are those with the id 5: the fill's ids are its numbers.
FILL = """
create function pg_temp.tenant_of(n bigint) returns text language sql immutable
return case when n % 10 < 6 then 'acme' else 'tenant ' || n % 20 end;
create function pg_temp.at(n bigint) returns timestamptz language sql stable
return now() - n % 730 * interval '1 day' - n * 29 % 86400 * interval '1 second';
create function pg_temp.deleted(n bigint) returns timestamptz language sql stable
return case when n % 10 = 4 then pg_temp.at(n) + interval '1 hour' end;
create function pg_temp.user_of(n bigint, users bigint) returns bigint language sql immutable
return case when n % 50 = 5 then 5 else n % users + 1 end;
insert into assistant.users (
  tenant_id, id, telegram_id, username, language_code, is_active, created_at, deleted_at
) overriding system value
select pg_temp.tenant_of(n), n, n, 'user' || n, 'es', n % 20 > 0, pg_temp.at(n), pg_temp.deleted(n)
from generate_series(1, {messages} / 100 + 9000) as n;
insert into assistant.events (
  tenant_id, id, user_id, title, start_datetime, end_datetime, event_type, status, reminder_minutes,
  recurrence_rule, external_id, reminded_at, created_at, deleted_at
) overriding system value
select
  pg_temp.tenant_of(n), n, pg_temp.user_of(n, {messages} / 100 + 9000), 'Event ' || n, s.at,
  s.at + case when n % 500 = 5 then interval '3 days' else interval '1 hour' end,
  case when n % 1000 = 15 then 'holiday' else 'work' end,
  case when n % 100 = 5 then 'cancelled' when s.at < now() then 'completed' else 'pending' end, 10,
  case when n % 1000 = 5 then 'FREQ=WEEKLY' end, 'e' || n,
  case when s.at < now() and n % 100 > 0 then s.at end, pg_temp.at(n), pg_temp.deleted(n)
from generate_series(1, {messages} / 10) as n
cross join lateral (select pg_temp.at(n) + interval '30 days' as at) as s;
insert into assistant.notes (
  tenant_id, id, user_id, title, content, category, tags, is_pinned, reminder_datetime, reminded_at,
  language_code, created_at, deleted_at
) overriding system value
select
  pg_temp.tenant_of(n), n, pg_temp.user_of(n, {messages} / 100 + 9000), 'Nota ' || n,
  'comprar ' || case when n % 5000 = 55 then 'manzanas ' else 'peras ' end || 'y palabra' || n % 977,
  'category ' || n % 40, array['tag' || n % 991], n % 100 = 5,
  case when n % 10 < 3 then pg_temp.at(n) end, case when n % 200 > 5 then pg_temp.at(n) end,
  'es', pg_temp.at(n), pg_temp.deleted(n)
from generate_series(1, {messages} / 10) as n;
insert into assistant.conversations (
  tenant_id, id, user_id, session_id, current_state, is_active, started_at, last_activity, created_at,
  deleted_at
) overriding system value
select
  pg_temp.tenant_of(n), n, pg_temp.user_of(n, {messages} / 100 + 9000), 's' || n,
  case when n % 500 in (11, 25) then 'asked' else 'idle' end, n % 20 in (1, 5),
  pg_temp.at(n), pg_temp.at(n) + interval '1 hour', pg_temp.at(n), pg_temp.deleted(n)
from generate_series(1, {messages} / 10) as n;
insert into assistant.message_history (
  tenant_id, id, conversation_id, message_id, user_message, bot_response, intent_detected, confidence_score,
  processing_time_ms, created_at, deleted_at
) overriding system value
select
  pg_temp.tenant_of(n), n, case when n % 500 = 5 then 5 else n % ({messages} / 10) + 1 end, 'm' || n, 'Hola',
  'Buenas', case when n % 10 > 0 then 'intent ' || n % 199 end, n % 100 / 100.0, n % 1000, pg_temp.at(n),
  pg_temp.deleted(n)
from generate_series(1, {messages}) as n;
insert into assistant.audit_log (
  tenant_id, id, actor, db_role, action, table_name, row_id, new, created_at
) overriding system value
select
  pg_temp.tenant_of(n), n, 'user' || n % 500, 'app',
  case when n % 5000 = 5 then 'restore' when n % 4 = 0 then 'update' else 'insert' end,
  case when n % 2000 = 5 then 'users' else 'message_history' end, n / 4, '{{}}', pg_temp.at(n)
from generate_series(1, {messages}) as n;
alter table assistant.users alter id restart with 1000000000;
alter table assistant.events alter id restart with 1000000000;
alter table assistant.notes alter id restart with 1000000000;
alter table assistant.conversations alter id restart with 1000000000;
alter table assistant.message_history alter id restart with 1000000000;
alter table assistant.audit_log alter id restart with 1000000000
"""


async def values(connection: Any) -> Mapping[str, Any]:
    """Return arguments from the middle of the data: existing ids, a time with as many rows on each side."""
    now = datetime.now(UTC)
    middle, recent = now - timedelta(days=365), now - timedelta(hours=6)
    number = int(await connection.fetchval("select count(*) / 40 * 20 + 5 from assistant.conversations"))
    return {
        "id": 25,
        "user_id": 5,
        "conversation_id": 5,
        "row_id": number,
        "table_name": "users",
        "actor": "user5",
        "action": "restore",
        "telegram_id": 25,
        "session_id": "s25",
        "external_id": "new",
        "limit": 200,
        "since": recent,
        "until": now,
        "before": middle,
        "days": 365,
        "after_begins_at": recent,
        "after_created_at": middle,
        "after_id": number,
        "after_is_pinned": False,
        "after_last_activity": middle,
        "after_rank": 0.5,
        "after_start_datetime": middle,
        "bot_response": "Buenas",
        "category": "category 15",
        "confidence_score": 0.5,
        "content": "comprar pan",
        "context_data": {"step": 1},
        "current_state": "idle",
        "description": "Blue",
        "end_datetime": now + timedelta(days=60),
        "entities_extracted": {"day": "hoy"},
        "event_type": "holiday",
        "expected_state": "idle",
        "extra_data": {"a": 1},
        "first_name": "Ana",
        "idle_minutes": 30,
        "intent": "intent 5",
        "intent_detected": "intent 5",
        "is_active": True,
        "is_pinned": True,
        "language_code": "es",
        "last_activity": now,
        "last_message_id": "m1",
        "last_name": "Paz",
        "late_minutes": 60,
        "location": "Sala 2",
        "match_all": True,
        "message_id": "m1005",
        "min_confidence": 0.5,
        "new_state": "asked",
        "preferences": {"theme": "dark"},
        "priority": 1,
        "processing_time_ms": 10,
        "query": "manzanas",
        "recurrence_rule": "FREQ=DAILY",
        "reminder_datetime": now,
        "reminder_minutes": 10,
        "start_datetime": now,
        "start_mark": "<b>",
        "state": "asked",
        "status": "cancelled",
        "stop_mark": "</b>",
        "tags": ["tag5"],
        "timezone": "America/Lima",
        "title": "Cita",
        "user_message": "Hola",
        "username": "ana",
        "within_hours": 24,
    }


OF_USER = Allowance("of one user, all that the user has may be put in order", reads=5_000, sorts=5_000)
TO_COME = Allowance(
    "by when they begin or by when they are due: what is to come, or what was not reminded of, is few",
    reads=5_000,
)
TABLES = ("users", "events", "notes", "conversations", "message_history")
COUNTED = Allowance("an exact count reads every row that it counts", reads=float("inf"), scans=True)

ASSISTANT = Layer(
    name="assistant",
    fill=FILL,
    values=values,
    prepare="set role assistant_app; set app.jwt_tenant = 'acme'; set app.jwt_user = 'ana'",
    only={
        # A deleted row.
        **{f"{table}.restore": {"id": 14} for table in TABLES},
        "users.create": {"telegram_id": None},
        "users.update": {"telegram_id": None},
        "conversations.create": {"session_id": "new"},
        "conversations.update": {"session_id": "new"},
        # A calendar is read by the month.
        "events.by_date_range": {
            "since": datetime.now(UTC) - timedelta(days=395),
            "until": datetime.now(UTC) - timedelta(days=365),
        },
        "events.occurrences": {
            "since": datetime.now(UTC) - timedelta(days=395),
            "until": datetime.now(UTC) - timedelta(days=365),
        },
    },
    also={
        "audit_log.list": (
            frozenset({"table_name", "actor"}),
            frozenset({"table_name", "after_created_at", "after_id"}),
            frozenset({"actor", "after_created_at", "after_id"}),
        ),
        "conversations.list": (
            frozenset({"state", "is_active"}),
            frozenset({"state", "after_created_at", "after_id"}),
        ),
        "conversations.list_active": (frozenset({"user_id", "after_last_activity", "after_id"}),),
        "events.list": (
            frozenset({"status", "after_created_at", "after_id"}),
            frozenset({"event_type", "after_created_at", "after_id"}),
        ),
        "events.by_user": (frozenset({"status", "after_start_datetime", "after_id"}),),
        "notes.list": (frozenset({"category", "after_created_at", "after_id"}),),
        "message_history.list": (
            frozenset({"intent", "min_confidence"}),
            frozenset({"intent", "after_created_at", "after_id"}),
        ),
        "message_history.by_intent": (
            frozenset({"since", "min_confidence"}),
            frozenset({"min_confidence", "after_created_at", "after_id"}),
        ),
    },
    allowed={
        **{f"{table}.count": COUNTED for table in (*TABLES, "audit_log")},
        "cleanup.tenants": Allowance("the application has one tenant, and any row of it will do", scans=True),
        **{f"{table}.list": OF_USER for table in ("events", "notes", "conversations")},
        "events.by_user": OF_USER,
        "events.occurrences": OF_USER,
        "events.due_reminders": TO_COME,
        "events.claim_due_reminders": TO_COME,
        "message_history.intent_statistics": Allowance(
            "a percentile of a period is of all that was said in it",
            reads=float("inf"),
            sorts=float("inf"),
            scans=True,
        ),
    },
)
