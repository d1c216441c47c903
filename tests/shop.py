"""The shop: the one schema that tests share, with its queries as generated modules have them.

A test that needs a table of its own creates it, with a fixture whose name says which: ``notes_db``.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import msgspec
import psycopg

from plainsql.query import bounded, count, many, one, optional
from plainsql.rows import Row
from plainsql.types import JSON, UNSET, UnsetType

SCHEMA = """
create schema shop;
create domain shop.payload as jsonb;
create table shop.leads (
  id integer generated always as identity primary key,
  name text not null unique,
  email text,
  score integer not null default 0 check (score >= 0)
);
create table shop.messages (
  id integer generated always as identity primary key,
  lead_id integer references shop.leads (id) deferrable initially immediate,
  payload jsonb not null
);
create table shop.letters (tenant_id text not null, n integer not null);
alter table shop.letters enable row level security;
alter table shop.letters force row level security;
create policy own on shop.letters using (
  tenant_id = (select nullif(current_setting('app.jwt_tenant', true), ''))
);
insert into shop.letters values ('a', 1), ('b', 2), ('it''s', 3);
"""
"""Leads and messages are empty; three tenants have one letter each."""

TENANT_ROLE: Final = "plainsql_test_tenant"
"""A role that row-level security restricts to the letters of the tenant that is set."""

_GRANTS = f"""
do $$ begin create role {TENANT_ROLE} login nosuperuser nobypassrls;
exception when duplicate_object or unique_violation then null; end $$;
grant usage on schema shop to {TENANT_ROLE};
grant select, insert on shop.letters to {TENANT_ROLE};
"""


def create(url: str) -> None:
    """Create the shop in a database."""
    with psycopg.connect(url) as connection:
        connection.execute(SCHEMA.encode())


def admit_tenants(url: str) -> str:
    """Grant the letters of a shop to the tenants' role, and return the URL of the shop for that role."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_GRANTS.encode())
    return url.replace(f"//{urlsplit(url).username}@", f"//{TENANT_ROLE}@", 1)


class Lead(Row, frozen=True, gc=False):
    id: int
    name: str
    email: str | None


class Payload(msgspec.Struct, frozen=True):
    text: str
    stars: int = 0


class Message(Row, frozen=True, gc=False):
    id: int
    payload: Annotated[Payload, JSON]


class MessageWithLead(Row, frozen=True, gc=False):
    id: int
    lead: Lead | None
    payload: Annotated[Payload, JSON]


@one[Lead](
    "shop.leads.add",
    "sql/shop/leads/add.sql",
    3,
    "insert into shop.leads (name, email, score)\nvalues (:name, :email, :score)\nreturning id, name, email",
)
def add(*, name: str, email: str | None = None, score: int = 0) -> tuple[object, ...]:
    """Add a lead."""
    return (name, email, score)


@optional[Lead](
    "shop.leads.find",
    "sql/shop/leads/find.sql",
    3,
    "select l.id, l.name, l.email\nfrom shop.leads as l\nwhere l.name = :name",
)
def find(*, name: str) -> tuple[object, ...]:
    return (name,)


@one[Lead](
    "shop.leads.get",
    "sql/shop/leads/get.sql",
    3,
    "select l.id, l.name, l.email\nfrom shop.leads as l\nwhere l.name like :pattern\norder by l.name",
)
def get(*, pattern: str) -> tuple[object, ...]:
    return (pattern,)


@optional[Lead](
    "shop.leads.find_like",
    "sql/shop/leads/find_like.sql",
    3,
    "select l.id, l.name, l.email\nfrom shop.leads as l\nwhere l.name like :pattern",
)
def find_like(*, pattern: str) -> tuple[object, ...]:
    return (pattern,)


@many[Lead](
    "shop.leads.search",
    "sql/shop/leads/search.sql",
    4,
    "select l.id, l.name, l.email\n"
    "from shop.leads as l\n"
    "where true\n"
    "  and l.score >= :score --?\n"
    "  and l.email is not distinct from :email --?\n"
    "order by l.score, l.id --? order=score\n"
    "order by l.name desc --? order=name\n"
    "limit :limit",
)
def search(
    *,
    score: int | UnsetType = UNSET,
    email: str | UnsetType | None = UNSET,
    limit: int = 10,
    order: Literal["score", "name"] = "score",
) -> tuple[object, ...]:
    return (score, email, bounded("limit", limit, 1, 20), order)


@one[int]("shop.leads.count_all", "sql/shop/leads/count_all.sql", 3, "select count(*)::int from shop.leads")
def count_all() -> tuple[object, ...]:
    return ()


@optional[str](
    "shop.leads.email",
    "sql/shop/leads/email.sql",
    3,
    "select l.email from shop.leads as l where l.name = :name",
)
def email(*, name: str) -> tuple[object, ...]:
    return (name,)


@many[str](
    "shop.leads.names", "sql/shop/leads/names.sql", 3, "select l.name from shop.leads as l order by l.id"
)
def names() -> tuple[object, ...]:
    return ()


@count(
    "shop.leads.raise_scores",
    "sql/shop/leads/raise_scores.sql",
    3,
    "update shop.leads as l\nset score = l.score + :by\nwhere l.score < :below",
)
def raise_scores(*, by: int, below: int) -> tuple[object, ...]:
    return (by, below)


@one[Message](
    "shop.messages.add",
    "sql/shop/messages/add.sql",
    3,
    "insert into shop.messages (lead_id, payload) values (:lead_id, :payload)\nreturning id, payload",
)
def add_message(*, lead_id: int | None, payload: Any) -> tuple[object, ...]:
    return (lead_id, payload)


@many[MessageWithLead](
    "shop.messages.list",
    "sql/shop/messages/list.sql",
    3,
    'select m.id, l.id as "lead.id", l.name as "lead.name", l.email as "lead.email", m.payload\n'
    "from shop.messages as m\n"
    "left join shop.leads as l on l.id = m.lead_id\n"
    "order by m.id",
)
def list_messages() -> tuple[object, ...]:
    return ()


@many[int](
    "shop.numbers", "sql/shop/numbers.sql", 3, "select n from generate_series(1, :count::int) as n order by n"
)
def numbers(*, count: int) -> tuple[object, ...]:
    return (count,)


@many[int](
    "shop.add_many",
    "sql/shop/add_many.sql",
    3,
    "insert into shop.leads (name)\n"
    "select 'lead ' || n from generate_series(1, :count::int) as n\n"
    "returning id",
)
def add_many(*, count: int) -> tuple[object, ...]:
    return (count,)


@one[int](
    "shop.broken",
    "sql/shop/broken.sql",
    5,
    "select l.id\nfrom shop.leads as l\nwhere\tl.nmae = :name",
)
def broken(*, name: str) -> tuple[object, ...]:
    return (name,)


@one[int]("shop.divide", "sql/shop/divide.sql", 3, "select :a::int / :b::int")
def divide(*, a: int, b: int) -> tuple[object, ...]:
    return (a, b)


@one[str]("shop.setting", "sql/shop/setting.sql", 3, "select current_setting(:name)")
def setting(*, name: str) -> tuple[object, ...]:
    return (name,)
