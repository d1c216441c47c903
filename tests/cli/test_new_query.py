"""``plainsql new query``: the first files of a table, which pass the check and work."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import psycopg
import pytest

import plainsql.sync
from tests.cli.conftest import Command, Write, tree

SCHEMA = """
create schema shop;
create type shop.state as enum ('open', 'closed');
create table shop.customers (
  id bigint generated always as identity primary key,
  email text not null unique,
  nick text,
  state shop.state not null default 'open',
  tags text[] not null default '{}',
  born date,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  tenant_id text not null default coalesce(current_setting('app.jwt_tenant', true), 'nobody')
);
create table shop.order_lines (
  order_id bigint not null,
  line smallint not null,
  amount numeric(10, 2) not null check (amount > 0),
  doubled numeric generated always as (amount * 2) stored,
  primary key (order_id, line)
);
create table shop.places (id bigint generated always as identity primary key, name text not null, x text);
create table shop.marks (id bigint generated always as identity primary key, name text, x text);
create table "Addresses of people" (
  "Id" uuid primary key default gen_random_uuid(),
  "class" text not null,
  "user" text,
  "two words" integer default 3
);
create table settings (name text primary key default 'all');
create table log (text text not null);
create table boxes (id integer primary key);
create view shop.open_customers as select c.id, c.email from shop.customers as c where c.state = 'open';
"""


@pytest.fixture
def shop(write: Write) -> Path:
    return write(
        {
            "migrations/0001_shop.sql": SCHEMA,
            "sql/boxes/get_by_id.sql": "-- Mine.\n-- returns: value\nselect 1 as one\n",
            "pyproject.toml": '[tool.plainsql]\noutput = "shop_queries"\n',
        }
    )


def _new(command: Command, table: str) -> list[str]:
    done = command("new", "query", table)
    assert (done.code, done.err) == (0, "")
    return done.out.splitlines()


def test_the_files_of_tables_pass_the_check_and_work(
    shop: Path, command: Command, fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _new(command, "shop.customers")
    names = ["create", "get_by_id", "list", "update", "delete"]
    assert made == [f"wrote: sql/shop/customers/{name}.sql" for name in names]
    assert _new(command, "customers") == [line.replace("wrote", "exists") for line in made]
    assert "wrote: sql/shop/order_lines/get_by_order_id_and_line.sql" in _new(command, "shop.order_lines")
    assert "wrote: sql/addresses_of_people/get_by_id.sql" in _new(command, "Addresses of people")
    _new(command, "settings")
    _new(command, "places")
    _new(command, "marks")
    assert _new(command, "log") == [
        "wrote: sql/log/create.sql",
        "log has no key: get, list, update and delete are not written",
    ]
    # A file of yours stays.
    assert "exists: sql/boxes/get_by_id.sql" in _new(command, "boxes")
    assert (shop / "sql/boxes/get_by_id.sql").read_text().startswith("-- Mine.")

    done = command("generate")
    assert (done.code, done.err) == (0, ""), done.out
    done = command("check")
    assert (done.code, done.err) == (0, ""), done.out

    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
    monkeypatch.syspath_prepend(shop)
    module: Any = importlib.import_module("shop_queries.shop.customers")
    with plainsql.sync.connect(fresh_database_url) as db:
        ana = module.create(db, email="ana@example.com")
        bob = module.create(db, email="bob@example.com", nick="Bob", state="closed", tags=["new"])
        assert (ana.nick, ana.state, bob.state, bob.tags) == (None, "open", "closed", ["new"])
        assert module.get_by_id(db, id=bob.id) == bob
        assert module.list(db, limit=1) == [ana]
        assert module.list(db, after_id=ana.id) == [bob]
        changed = module.update(db, id=bob.id, nick=None)
        assert (changed.nick, changed.email) == (None, "bob@example.com")
        assert changed.updated_at > bob.updated_at
        assert (module.delete(db, id=bob.id), module.get_by_id(db, id=bob.id)) == (1, None)

        lines: Any = importlib.import_module("shop_queries.shop.order_lines")
        lines.create(db, order_id=1, line=1, amount=5)
        second = lines.create(db, order_id=1, line=2, amount=7)
        assert lines.list(db, after_order_id=1, after_line=1) == [second]
        assert lines.update(db, order_id=1, line=2) == second
        assert lines.update(db, order_id=1, line=2, amount=8).doubled == 16

        # The server refuses an update of the key.
        places: Any = importlib.import_module("shop_queries.shop.places")
        sea = places.create(db, name="sea")
        assert places.update(db, id=sea.id) == sea
        assert places.update(db, id=sea.id, x="1").name == "sea"
        assert places.update(db, id=sea.id, name="lake").x == "1"
        marks: Any = importlib.import_module("shop_queries.shop.marks")
        mark = marks.create(db)
        assert marks.update(db, id=mark.id, x="1") == marks.update(db, id=mark.id, x="1", name=None)

        addresses: Any = importlib.import_module("shop_queries.addresses_of_people")
        home = addresses.create(db, class_="home", two_words=4)
        assert addresses.update(db, id=home.id, user="eve").user == "eve"
        named: Any = importlib.import_module("shop_queries.settings")
        assert named.create(db, name="one").name == "one"


def test_a_table_that_cannot_be_found_is_one_error(shop: Path, command: Command) -> None:
    before = tree(shop)
    for table, message in (
        (
            "shop.custmers",
            "there is no table 'shop.custmers' in the migrations\nHINT: did you mean shop.customers?",
        ),
        ("open_customers", "open_customers has no key, and nothing can be written into it"),
        ("../../etc", "there is no table '../../etc' in the migrations"),
    ):
        done = command("new", "query", table)
        assert done.code == 2
        assert done.err.startswith(message)
    assert tree(shop) == before
