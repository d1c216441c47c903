"""The real-estate assistant at size: so many messages, a tenth as many conversations, a twentieth as many
leads and appointments, over two years; and a large agency's homes: 6,000 in 300 projects.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from tests.layers.volume import Allowance, Layer

__all__ = ["REALTY"]

# An id that can be computed: from_number(7) is UUID(int=7).
#
# An embedding is made from its home: one of several directions for each kind, and a little of another.
FILL = """
create function pg_temp.from_number(n bigint) returns uuid language sql immutable
return lpad(to_hex(n), 32, '0')::uuid;
create function pg_temp.at(n bigint) returns timestamptz language sql stable
return now() - n % 730 * interval '1 day' - n * 29 % 86400 * interval '1 second';
create function pg_temp.meaning(n bigint) returns vector language sql immutable
return (
  select array_agg(case d when n % 97 then 1 when n % 1536 then 0.5 else 0 end order by d)::vector
  from generate_series(0, 1535) as d
);
drop index realty.projects_embedding_idx, realty.properties_embedding_idx;
insert into realty.leads (id, name, phone, telegram_chat_id, created_at)
select pg_temp.from_number(n), 'Lead ' || n, '51' || n / 2, 't' || n, pg_temp.at(n)
from generate_series(1, {messages} / 20) as n;
insert into realty.projects (id, name, description, district, includes_parking, embedding, created_at)
select
  pg_temp.from_number(n), 'Edificio ' || n, 'Cerca del parque ' || n % 50, 'Distrito ' || n % 20, n % 2 = 0,
  case when n % 20 > 0 then pg_temp.meaning(n) end, pg_temp.at(n)
from generate_series(1, 301) as n;
insert into realty.typologies (id, name, type, num_bedrooms, num_bathrooms, created_at)
select pg_temp.from_number(n), 'Tipo ' || n, 'departamento', n % 5, 1, pg_temp.at(n)
from generate_series(1, 301) as n;
insert into realty.properties (
  id, project_id, typology_id, title, type, description, pricing, embedding, created_at
)
select
  pg_temp.from_number(n), pg_temp.from_number(n % 300 + 1), pg_temp.from_number(n % 300 + 1), 'Casa ' || n,
  case when n % 50 = 0 then 'oficina' else 'departamento' end,
  'Con balcón y palabra' || n % 97, n * 7919 % 1000000, case when n % 20 > 0 then pg_temp.meaning(n) end,
  pg_temp.at(n)
from generate_series(1, 6001) as n;
set maintenance_work_mem = '256MB';
create index projects_embedding_idx on realty.projects
using hnsw (embedding vector_cosine_ops) with (m = 16, ef_construction = 64);
create index properties_embedding_idx on realty.properties
using hnsw (embedding vector_cosine_ops) with (m = 16, ef_construction = 64);
insert into realty.conversations (
  id, lead_id, most_recent_project_id, last_message_at, is_answered_by_lead, created_at
)
select
  pg_temp.from_number(n), pg_temp.from_number(n / 2 + 1), pg_temp.from_number(n % 300 + 1),
  pg_temp.at(n) + interval '1 hour', n % 2 = 0, pg_temp.at(n)
from generate_series(1, {messages} / 10 - 2) as n;
insert into realty.messages (id, conversation_id, type, content, created_at)
select
  pg_temp.from_number(n),
  pg_temp.from_number(case when n % 1000 = 0 then 4 else n % ({messages} / 10 - 2) + 1 end),
  (case when n % 2 = 0 then 'human' else 'ai-assistant' end)::realty.message_type, 'Hola', pg_temp.at(n)
from generate_series(1, {messages}) as n;
insert into realty.appointments (
  id, lead_id, conversation_id, project_id, property_id, scheduled_for, cancelled_at, created_at
)
select
  pg_temp.from_number(n), pg_temp.from_number(n), pg_temp.from_number(n * 2 - 1),
  pg_temp.from_number((n % 6000 + 1) % 300 + 1), pg_temp.from_number(n % 6000 + 1),
  pg_temp.at(n) + interval '30 days',
  case when n % 5 = 0 then now() end, pg_temp.at(n)
from generate_series(1, {messages} / 20 - 2) as n
"""


async def values(connection: Any) -> Mapping[str, Any]:
    """Return arguments from the middle of the data: existing ids, a time with as many rows on each side."""
    now = datetime.now(UTC)
    middle, recent = now - timedelta(days=365), now - timedelta(hours=6)
    embedding = [0.0] * 1536
    embedding[5], embedding[700] = 1.0, 0.5
    return {
        "id": UUID(int=4),
        "lead_id": UUID(int=4),
        "conversation_id": UUID(int=4),
        "project_id": UUID(int=5),
        "most_recent_project_id": UUID(int=5),
        "property_id": UUID(int=4),
        "typology_id": UUID(int=5),
        "telegram_chat_id": "t4",
        "phone": "514",
        "embedding": embedding,
        "words": "palabra41",
        "limit": 200,
        "candidates": 200,
        "since": recent,
        "day": middle.date(),
        "time_zone": "America/Lima",
        "after_created_at": middle,
        "after_id": UUID(int=4),
        "after_last_message_at": middle - timedelta(days=180),
        "after_pricing": 500_000,
        "after_scheduled_for": middle,
        "address": "Av. Larco 1",
        "area_m2": "62",
        "brochure_url": "https://example.com/a.pdf",
        "cancelled_at": now,
        "content": "Hola",
        "description": "Con balcón",
        "details": "Piscina",
        "district": "distrito 4",
        "email": "ana@example.com",
        "floor_no": "3",
        "has_showroom": True,
        "includes_parking": True,
        "is_answered_by_lead": True,
        "last_message_at": now,
        "max_pricing": 600_000,
        "min_bedrooms": 2,
        "min_pricing": 400_000,
        "name": "Ana",
        "notes": "Trae a su hija",
        "num_bathrooms": 1,
        "num_bedrooms": 2,
        "pricing": 500_000,
        "reference": "Junto al parque",
        "scheduled_for": now + timedelta(days=90),
        "title": "Departamento",
        "type": "oficina",
        "video_url": "https://example.com/a.mp4",
        "view_type": "calle",
    }


COUNTED = Allowance("an exact count reads every row that it counts", reads=float("inf"), scans=True)
OF_PROJECTS = Allowance(
    "an agency has some hundred projects: of each it is asked whether one of its homes fits",
    reads=12_000,
    sorts=400,
)
ALL_PAGES = Allowance(
    "its text is the whole list, of which a page reads as many rows as it has", reads=float("inf")
)
OF_FEW = Allowance("the few that a filter leaves are compared one by one, which is exact", sorts=1_000)
OF_ALL = ("leads", "conversations", "messages", "projects", "properties", "typologies", "appointments")

REALTY = Layer(
    name="realty",
    fill=FILL,
    values=values,
    prepare="set role realty_app",
    only={
        **{
            f"{table}.{search}": {"limit": 20, "candidates": 50}
            for table in ("projects", "properties")
            for search in ("search", "search_hybrid")
        },
        # Rows without references to them.
        "projects.delete": {"id": UUID(int=301)},
        "properties.delete": {"id": UUID(int=6001)},
        "typologies.delete": {"id": UUID(int=301)},
        "leads.create": {"telegram_chat_id": "new"},
        "leads.update": {"telegram_chat_id": "new"},
        "leads.get_or_create_from_telegram": {"telegram_chat_id": "new"},
        "messages.create": {"type": "human"},
        "messages.append": {"type": "human"},
        "messages.update": {"type": "human"},
        "conversations.list_stale": {"since": datetime.now(UTC) - timedelta(days=365)},
        "appointments.create": {"conversation_id": UUID(int=7)},
        "appointments.book": {"conversation_id": UUID(int=7)},
        "appointments.update": {
            "conversation_id": UUID(int=7),
            "project_id": UUID(int=6),
            "property_id": UUID(int=5),
        },
    },
    also={
        "properties.list_by_project": (frozenset({"type", "after_created_at", "after_id"}),),
        "properties.search": (frozenset({"district", "type", "max_pricing"}),),
    },
    allowed={
        **{f"{table}.count": COUNTED for table in OF_ALL},
        "leads.browse": ALL_PAGES,
        **{f"projects.{search}": OF_PROJECTS for search in ("search", "search_hybrid")},
        **{f"properties.{search}": OF_FEW for search in ("search", "search_hybrid")},
    },
)
