"""``plainsql db drop``: a layer and its records go together, or nothing goes."""

from __future__ import annotations

import functools
import json
from importlib import import_module

import psycopg
import pytest

from plainsql import migrate
from plainsql.layers.files import migrations_folder
from plainsql.migrate.schema import dump
from plainsql.testing import Databases
from tests.cli.conftest import NOTES, Command, Write
from tests.cli.test_db_transfer import SHOP

MORE = {
    "migrations/audit/0001_log.sql": (
        "create schema audit;\ncreate table audit.log (id integer primary key);\n"
    ),
    "migrations/audit/0001_log.rollback.sql": "drop table audit.log;\ndrop schema audit;\n",
}


@pytest.fixture
def two(write: Write, command: Command, configured: str) -> str:
    """A database with two layers; the project's folder."""
    write(SHOP | MORE)
    assert command("migrate").code == 0
    return configured


def run(url: str, sql: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.encode())


def schemas(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        found = connection.execute("select nspname from pg_namespace where nspname in ('shop', 'audit')")
        return {name for (name,) in found}


def test_without_force_it_shows_the_data_that_would_be_lost(two: str, command: Command) -> None:
    run(two, "insert into shop.notes select n, 'x' from generate_series(1, 1200) as n")
    done = command("db", "drop", "shop")
    assert done.code == 1
    assert done.out.splitlines()[1:] == ["  schema shop: 1 tables, 1 migrations", "    notes: 1,200 rows"]
    assert done.err == "nothing was removed\nHINT: add --force to remove it\n"
    assert schemas(two) == {"shop", "audit"}


def test_a_dropped_layer_loses_its_records_and_can_be_migrated_again(two: str, command: Command) -> None:
    before = dump(two)
    done = command("db", "drop", "shop", "--force", "--json")
    assert done.code == 0
    told = json.loads(done.out)
    assert (told["dropped"], told["layers"], told["migrations"]) == (True, ["shop"], {"shop": 1})
    assert schemas(two) == {"audit"}
    assert command("migrate", "status", "--layer", "shop").out.endswith("\n1 pending\n")
    assert command("migrate", "status", "--layer", "audit").out.endswith("\n1 applied\n")
    assert command("migrate").code == 0
    assert dump(two) == before


def test_all_drops_all_layers(two: str, command: Command) -> None:
    assert command("db", "drop", "--force").code == 2
    assert command("db", "drop", "shop", "--all", "--force").code == 2
    assert schemas(two) == {"shop", "audit"}
    assert command("db", "drop", "--all", "--force").code == 0
    assert schemas(two) == set()


NEEDED = {
    "table orders": "create table public.orders (note integer constraint to_note references shop.notes (id))",
    "view seen": "create view public.seen as select id from shop.notes",
    "function f(shop.notes)": "create function public.f(shop.notes) returns integer language sql return 1",
    "column": "create table public.kept (n shop.notes)",
    "trigger": (
        "create function shop.t() returns trigger language plpgsql as 'begin return new; end';"
        "create table public.told (); create trigger t after insert on public.told execute function shop.t()"
    ),
    "default": "create sequence shop.s; create table public.counted (n bigint default nextval('shop.s'))",
    "extension": "create extension pg_trgm schema shop",
}


@pytest.mark.parametrize("case", NEEDED)
def test_nothing_is_dropped_while_other_objects_depend_on_it(case: str, two: str, command: Command) -> None:
    run(two, NEEDED[case])
    before = dump(two)
    done = command("db", "drop", "shop", "--force")
    assert done.code == 1
    assert "nothing was removed: objects outside of shop need it\n  " in done.err
    assert dump(two) == before
    assert command("db", "doctor", "shop").out.count("1 applied") == 1


def test_layers_that_depend_on_each_other_are_dropped_together(two: str, command: Command) -> None:
    run(two, "alter table audit.log add constraint note foreign key (id) references shop.notes (id)")
    alone = command("db", "drop", "shop", "--force")
    assert (alone.code, "constraint note on table audit.log" in alone.err) == (1, True)
    assert command("db", "drop", "shop", "audit", "--force").code == 0
    assert schemas(two) == set()


def test_a_table_in_use_by_another_session_is_not_dropped(
    two: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    # import_module, because the package has the function of this name.
    monkeypatch.setattr(import_module("plainsql.cli.db.drop"), "_LOCK_TIMEOUT", "50ms")
    with psycopg.connect(two) as reader:
        reader.execute("select * from shop.notes")
        done = command("db", "drop", "shop", "--force")
    assert (done.code, done.err) == (
        2,
        "other sessions use the tables\nHINT: try again when they have ended\n",
    )
    assert schemas(two) == {"shop", "audit"}
    assert command("migrate", "status", "--check").code == 0


def test_a_project_without_layers_gets_a_hint(write: Write, command: Command, configured: str) -> None:
    write(NOTES)
    command("migrate")
    done = command("db", "drop", "public", "--force")
    assert done.code == 2
    assert done.err.endswith("HINT: plainsql migrate rollback --all\n")


def test_no_password_is_shown(two: str, command: Command) -> None:
    done = command("db", "drop", "shop", "--database", two.replace("postgres@", "postgres:hunter2@"))
    assert "would be lost in postgresql://postgres:***@/" in done.out
    assert "hunter2" not in done.out + done.err


def test_realty_goes_and_comes_back(plainsql_databases: Databases, command: Command) -> None:
    made = functools.partial(migrate.apply, folder=migrations_folder("realty").parent, layers=["realty"])
    with plainsql_databases.clone(plainsql_databases.template(made)) as url:
        before = dump(url)
        assert command("db", "drop", "realty", "--force", "--database", url).code == 0
        made(url)
        assert dump(url) == before
