"""The WhatsApp store at size: so many messages, a tenth as many contacts, a fifth as many webhook events,
over two years, and a thousand templates. One tenant has three fifths of all, twenty others have the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from tests.layers.volume import Allowance, Layer

__all__ = ["WHATSAPP"]

# An id that can be computed: from_number(7) is UUID(int=7).
FILL = """
create function pg_temp.from_number(n bigint) returns uuid language sql immutable
return lpad(to_hex(n), 32, '0')::uuid;
create function pg_temp.tenant_of(n bigint) returns bigint language sql immutable
return case when n % 10 < 6 then 1 else 2 + n % 20 end;
create function pg_temp.at(n bigint) returns timestamptz language sql stable
return now() - n % 730 * interval '1 day' - n * 29 % 86400 * interval '1 second';
insert into whatsapp.channels (
  tenant_id, id, organization_id, phone_number_id, business_account_id, status, is_verified, access_token,
  created_at
)
select
  pg_temp.from_number(t), pg_temp.from_number(n), pg_temp.from_number(n % 4), 'p' || n, '1',
  case when n % 3 = 0 then 'pending' else 'active' end, n % 3 <> 0, 'x', pg_temp.at(n)
from generate_series(1, 21) as t
cross join generate_series(0, 49) as n;
insert into whatsapp.contacts (tenant_id, id, phone_number, display_name, is_blocked, created_at)
select
  pg_temp.from_number(pg_temp.tenant_of(n)), pg_temp.from_number(n), '51' || n, 'Contact ' || n, n % 50 = 0,
  pg_temp.at(n)
from generate_series(1, {messages} / 10) as n;
insert into whatsapp.media_files (tenant_id, id, whatsapp_media_id, file_type, created_at)
select
  pg_temp.from_number(pg_temp.tenant_of(n)), pg_temp.from_number(n), 'm' || n, 'image/jpeg', pg_temp.at(n)
from generate_series(1, {messages} / 20) as n;
insert into whatsapp.message_templates (tenant_id, id, name, language, category, body, created_at)
select
  pg_temp.from_number(pg_temp.tenant_of(n)), pg_temp.from_number(n), 't' || n, 'es', 'utility', 'Hola',
  pg_temp.at(n)
from generate_series(1, 1000) as n;
insert into whatsapp.messages (
  tenant_id, id, channel_id, contact_id, whatsapp_msg_id, phone_number, content, status, direction, media_id,
  idempotency_key, next_attempt_at, created_at
)
select
  pg_temp.from_number(pg_temp.tenant_of(n)), pg_temp.from_number(n), pg_temp.from_number(n % 50),
  pg_temp.from_number(n % ({messages} / 10)),
  case when s.status not in ('queued', 'failed') then 'w' || n end,
  -- A few talk a lot.
  case when n % 1000 = 0 then '999' else '51' || n % ({messages} / 10) end,
  'Message ' || n, s.status, case when n % 2 = 0 then 'outbound' else 'inbound' end,
  case when n % 20 = 0 then pg_temp.from_number(n / 20) end,
  case when n % 2 = 0 then int8send(n) end,
  case when s.status in ('queued', 'failed') then now() + (n % 3 - 1) * interval '1 hour' end,
  pg_temp.at(n)
from generate_series(1, {messages}) as n
cross join lateral (
  select
    case
      when n % 2 = 1 then 'received' when n % 400 = 0 then 'queued' when n % 400 = 2 then 'failed'
      when n % 10 = 4 then 'sent' when n % 10 = 8 then 'delivered' else 'read'
    end as status
) as s;
insert into whatsapp.webhook_events (
  tenant_id, id, event_type, payload, processed, processed_at, next_attempt_at, created_at
)
select
  pg_temp.from_number(pg_temp.tenant_of(n)), pg_temp.from_number(n),
  case when n % 500 = 2 then 'account_update' when n % 3 = 0 then 'messages' else 'statuses' end,
  jsonb_build_array(n), n % 400 > 0,
  case when n % 400 > 0 then pg_temp.at(n) end,
  case when n % 400 = 0 then now() + (n % 3 - 1) * interval '1 hour' end,
  pg_temp.at(n)
from generate_series(1, {messages} / 5) as n
"""


async def values(connection: Any) -> Mapping[str, Any]:
    """Return arguments from the middle of the data: existing ids, a time with as many rows on each side."""
    now = datetime.now(UTC)
    middle, recent = now - timedelta(days=365), now - timedelta(hours=6)
    number = int(await connection.fetchval("select count(*) / 40 * 20 + 4 from whatsapp.contacts"))
    return {
        "tenant_id": UUID(int=1),
        "id": UUID(int=number),
        "channel_id": UUID(int=4),
        "contact_id": UUID(int=number),
        "media_id": UUID(int=number // 2),
        "organization_id": UUID(int=1),
        "phone_number_id": "p4",
        "phone_number": "999",
        "whatsapp_msg_id": f"w{number}",
        "whatsapp_media_id": "m4",
        "idempotency_key": number.to_bytes(8),
        "name": "t4",
        "language": "es",
        "limit": 200,
        "since": recent,
        "until": now,
        "before": middle,
        "days": 365,
        "after_created_at": middle,
        "after_id": UUID(int=number),
        "access_token": "a token",
        "body": "Hola",
        "business_account_id": "1",
        "category": "utility",
        "content": "Hola",
        "created_at": now,
        "delivered_at": now,
        "direction": "outbound",
        "display_name": "Ana",
        "display_phone_number": "+51",
        "error_message": "down",
        "event_type": "account_update",
        "file_name": "a.jpg",
        "file_size": 1,
        "file_type": "image/jpeg",
        "is_blocked": False,
        "is_verified": True,
        "last_seen": now,
        "message_type": "text",
        "messages_per_second": 80,
        "next_attempt_at": now,
        "occurred_at": now,
        "payload": {"entry": []},
        "processed": False,
        "processed_at": None,
        "profile_pic_url": "https://example.com/a.jpg",
        "read_at": now,
        "retry_count": 0,
        "seen_at": now,
        "sent_at": now,
        "status": "read",
        "storage_url": "s3://a",
    }


COUNTED = Allowance("an exact count reads every row that it counts", reads=float("inf"), scans=True)

WHATSAPP = Layer(
    name="whatsapp",
    fill=FILL,
    values=values,
    prepare=f"set role whatsapp_app; set app.jwt_tenant = '{UUID(int=1)}'",
    only={
        "channels.create": {"id": UUID(int=10**9), "phone_number_id": "new"},
        "channels.update": {"status": "active"},
        "contacts.create": {"phone_number": "new"},
        "contacts.update": {"phone_number": "new"},
        "contacts.get_by_phone": {"phone_number": "514"},
        "media_files.create": {"whatsapp_media_id": "new"},
        "media_files.update": {"whatsapp_media_id": "new"},
        "message_templates.create": {"name": "new", "status": "approved"},
        "message_templates.save": {"status": "approved"},
        "message_templates.update": {"name": "new", "status": "approved"},
        "messages.create": {"idempotency_key": b"new", "whatsapp_msg_id": "new", "next_attempt_at": None},
        "messages.save_inbound": {"whatsapp_msg_id": "new"},
        "messages.save_outbound": {"id": UUID(int=10**9), "idempotency_key": b"new"},
        "messages.update": {"next_attempt_at": None},
        "messages.update_status": {"whatsapp_msg_id": "new"},
        "webhook_events.create": {"processed_at": None},
        # An unprocessed event.
        "webhook_events.update": {"id": UUID(int=400)},
    },
    also={
        "messages.history": (frozenset({"channel_id", "after_created_at", "after_id"}),),
        "messages.list": (frozenset({"channel_id", "after_created_at", "after_id"}),),
        "messages.stats": (frozenset({"channel_id", "until"}),),
        "webhook_events.list": (frozenset({"event_type", "after_created_at", "after_id"}),),
    },
    allowed={
        "cleanup.tenants": Allowance("the application has one tenant, and any row of it will do", scans=True),
        "channels.count": COUNTED,
        "contacts.count": COUNTED,
        "media_files.count": COUNTED,
        "message_templates.count": COUNTED,
        "messages.count": COUNTED,
        "webhook_events.count": COUNTED,
    },
)
