"""The marketplace at size: so many messages, a tenth as many conversations, a twentieth as many products and
buyers and bot sessions, over two years.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.layers.volume import Allowance, Layer

__all__ = ["MARKETPLACE"]

FILL = """
insert into marketplace.buyers (
  wallapop_user_id, username, is_verified, is_blocked, total_conversations, completed_purchases, created_at
)
select
  'u' || n, 'buyer' || n, n % 3 = 0, n % 200 = 0, 2, n % 4,
  now() - n % 730 * interval '1 day' - n % 86400 * interval '1 second'
from generate_series(1, {messages} / 20) as n;
insert into marketplace.products (
  wallapop_id, title, price, status, category, condition, listed_at, reserved_at, reserved_for_id,
  sold_at, sold_price, sold_to_id, created_at
)
select
  'p' || n, 'Product ' || n, n * 7919 % 100000 / 100.0, s.status, 'category ' || n * 31 % 20,
  (array['new', 'as_good_as_new', 'good', 'fair'])[n % 4 + 1],
  s.at,
  case when s.status = 'RESERVED' then s.at + interval '1 day' end,
  case when s.status = 'RESERVED' then n end,
  case when s.status = 'SOLD' then s.at + n % 500 * interval '1 hour' end,
  case when s.status = 'SOLD' then n * 7919 % 100000 / 110.0 end,
  case when s.status = 'SOLD' then n end,
  s.at
from generate_series(1, {messages} / 20) as n
cross join lateral (
  select
    now() - n % 730 * interval '1 day' - n * 17 % 86400 * interval '1 second' as at,
    (case
      when n % 100 < 50 then 'SOLD' when n % 100 < 53 then 'RESERVED' when n % 100 < 60 then 'INACTIVE'
      else 'AVAILABLE'
    end)::marketplace.product_status as status
) as s;
insert into marketplace.conversations (
  wallapop_chat_id, product_id, buyer_id, status, message_count, last_message_at, completed_at, created_at,
  updated_at
)
select
  'c' || n, n % ({messages} / 20) + 1, n * 13 % ({messages} / 20) + 1, s.status, 10, s.at,
  case when s.status in ('COMPLETED', 'ARCHIVED') then s.at end, s.at, s.at + n % 48 * interval '1 hour'
from generate_series(1, {messages} / 10) as n
cross join lateral (
  select
    now() - n % 730 * interval '1 day' - n * 29 % 86400 * interval '1 second' as at,
    (case
      when n % 100 < 70 then 'ARCHIVED' when n % 100 < 80 then 'COMPLETED' when n % 100 < 92 then 'CANCELLED'
      when n % 100 < 93 then 'BLOCKED' else 'ACTIVE'
    end)::marketplace.conversation_status as status
) as s;
insert into marketplace.messages (
  wallapop_message_id, conversation_id, buyer_id, content, message_type, is_read, is_processed, created_at
)
select
  case when n % 2 = 0 then 'm' || n end,
  c.id,
  case when n % 2 = 0 then c.id * 13 % ({messages} / 20) + 1 end,
  'Message ' || n,
  (case when n % 2 = 0 then 'USER_MESSAGE' else 'BOT_MESSAGE' end)::marketplace.message_type,
  n % 50 <> 0,
  n % 400 <> 0,
  now() - c.id % 730 * interval '1 day' - c.id * 29 % 86400 * interval '1 second'
    + n % 97 * interval '1 minute'
from generate_series(1, {messages}) as n
cross join lateral (select n % ({messages} / 10) + 1 as id) as c;
insert into marketplace.bot_sessions (session_key, started_at, last_activity_at, ended_at, created_at)
select
  's' || n, s.at, s.at + interval '1 hour', case when n % 50 > 0 then s.at + interval '1 hour' end, s.at
from generate_series(1, {messages} / 20) as n
cross join lateral (
  select now() - n % 730 * interval '1 day' - n * 41 % 80000 * interval '1 second' as at
) as s
"""


async def values(connection: Any) -> Mapping[str, Any]:
    """Return arguments from the middle of the data: existing ids, a time with as many rows on each side."""
    now = datetime.now(UTC)
    middle, recent = now - timedelta(days=365), now - timedelta(hours=6)
    number = int(await connection.fetchval("select count(*) / 2 from marketplace.buyers"))
    return {
        "id": number,
        "product_id": number,
        "buyer_id": number,
        "conversation_id": number,
        "wallapop_id": f"p{number}",
        "wallapop_user_id": f"u{number}",
        "wallapop_chat_id": f"c{number}",
        "session_key": f"s{number}",
        "limit": 200,
        "since": recent,
        "until": recent,
        "before": middle,
        "silent_since": middle,
        "after_id": number,
        "after_created_at": middle,
        "after_updated_at": middle,
        "after_last_activity_at": middle,
        "after_price": Decimal(500),
        "below_price": Decimal(500),
        "min_price": Decimal(400),
        "max_price": Decimal(600),
        "price": Decimal(500),
        "category": "category 7",
        "condition": "good",
        "status": "CANCELLED",
        "day": middle.date(),
        "time_zone": "Europe/Madrid",
        "title": "Bicycle",
        "description": "Blue",
        "currency": "EUR",
        "location": "Madrid",
        "listed_at": middle,
        "views_count": 1,
        "favorites_count": 1,
        "username": "ana",
        "display_name": "Ana",
        "is_verified": True,
        "trust_score": 0.5,
        "phone": "600",
        "email": "ana@example.com",
        "profile_data": {"city": "Madrid"},
        "negotiated_price": Decimal(400),
        "meeting_location": "Atocha",
        "meeting_time": now,
        "intent_detected": "offer",
        "sentiment_score": 0.5,
        "completed_at": middle,
        "content": "hola",
        "message_type": "USER_MESSAGE",
        "intent": "offer",
        "entities": {"price": 80},
        "sentiment": "neutral",
        "is_read": False,
        "is_processed": False,
        "started_at": middle,
        "last_activity_at": middle,
        "ended_at": now,
        "actions_count": 1,
        "errors_count": 0,
        "actions": 1,
        "errors": 0,
        "details": {"host": "a"},
    }


NEW = {"wallapop_id": "new", "wallapop_user_id": "new", "wallapop_chat_id": "new", "session_key": "new"}
COUNTED = Allowance("an exact count reads every row that it counts", reads=float("inf"), scans=True)
OF_A_DAY = Allowance("a day's rows are few of all, and all of them are counted", reads=20_000, sorts=20_000)

MARKETPLACE = Layer(
    name="marketplace",
    fill=FILL,
    values=values,
    messages=200_000,
    prepare="set role marketplace_app",
    only={
        "products.create": {**NEW, "status": "AVAILABLE", "sold_at": None, "sold_price": None},
        "products.list": {"status": "AVAILABLE"},
        # None: a product with a conversation is refused.
        "products.delete": {"id": 0},
        "products.count": {"status": "RESERVED"},
        "buyers.create": NEW,
        "conversations.create": {**NEW, "status": "ACTIVE"},
        "bot_sessions.create": NEW,
        "messages.create": {"created_at": datetime.now(UTC), "wallapop_message_id": "new"},
        "messages.append": {"wallapop_message_id": "new"},
    },
    also={
        "products.list_available": (
            frozenset({"category", "min_price", "max_price"}),
            frozenset({"category", "condition"}),
            frozenset({"category", "after_created_at", "after_id"}),
            frozenset({"category", "after_price", "after_id"}),
            frozenset({"category", "condition", "min_price", "max_price", "below_price", "after_id"}),
        ),
        "conversations.for_buyer": (frozenset({"status", "after_created_at", "after_id"}),),
    },
    allowed={
        "products.count": COUNTED,
        "buyers.count": COUNTED,
        "conversations.count": COUNTED,
        "messages.count": COUNTED,
        "bot_sessions.count": COUNTED,
        "reports.daily": OF_A_DAY,
        "reports.hourly": OF_A_DAY,
    },
)
