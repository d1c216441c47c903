"""``plainsql db cleanup``: what the layer's SQL says is disposable goes, in batches."""

from __future__ import annotations

import json

import psycopg
import pytest

from tests.cli.conftest import Command, Write
from tests.cli.test_db_drop import MORE
from tests.cli.test_db_transfer import SHOP

STEPS = {
    **SHOP,
    **MORE,
    "migrations/shop/0002_times.sql": (
        "alter table shop.notes add at timestamptz not null default now();\n"
        "alter table shop.notes add is_old boolean not null default false;\n"
    ),
    "migrations/shop/0002_times.rollback.sql": "alter table shop.notes drop at, drop is_old;\n",
    "sql/shop/cleanup/archive_notes.sql": (
        "-- Mark the notes that are old.\n"
        "-- returns: count\n"
        "-- param days: 1..3650 = 30\n"
        "-- param limit: 1..10000 = 10\n"
        "update shop.notes as n\nset is_old = true\nwhere n.id in (\n  select o.id\n  from shop.notes as o\n"
        "  where not o.is_old and o.at < now() - make_interval(days => :days)\n"
        "  order by o.id\n  limit :limit\n)\n"
    ),
    "sql/shop/cleanup/notes.sql": (
        "-- Delete the notes that are very old.\n"
        "-- returns: count\n"
        "delete from shop.notes as n\nwhere n.id in (\n  select o.id\n  from shop.notes as o\n"
        "  where o.at < :before and o.text like 'x%'\n  order by o.id\n  limit :limit\n)\n"
    ),
}
LEFT = "select count(*), count(*) filter (where is_old) from shop.notes"


@pytest.fixture
def notes(write: Write, command: Command, configured: str) -> str:
    """35 notes of 40 days ago, 15 of them to delete, and 5 of today."""
    write(STEPS)
    assert command("migrate").code == 0
    with psycopg.connect(configured, autocommit=True) as connection:
        connection.execute(
            "insert into shop.notes (id, text, at)"
            " select n, case when n <= 15 then 'x' else 'y' end, now() - interval '40 days'"
            " from generate_series(1, 35) as n"
        )
        connection.execute(
            "insert into shop.notes (id, text) select n, 'x' from generate_series(36, 40) as n"
        )
    return configured


def left(url: str) -> object:
    with psycopg.connect(url) as connection:
        return connection.execute(LEFT.encode()).fetchone()


def test_each_step_runs_in_batches_until_nothing_is_left(notes: str, command: Command) -> None:
    done = command("db", "cleanup", "--json")
    assert done.code == 0
    told = json.loads(done.out)
    assert (told["dry_run"], told["layers"]) == (False, ["audit", "shop"])
    assert [
        (step["layer"], step["step"], step["days"], step["rows"], step["batches"]) for step in told["steps"]
    ] == [
        ("shop", "archive_notes", 30, 35, 4),
        ("shop", "notes", 7, 15, 1),
    ]
    assert left(notes) == (25, 20)
    assert command("db", "cleanup").out.endswith("0 rows cleaned up\n")


def test_days_that_are_given_are_those_of_every_step(notes: str, command: Command) -> None:
    told = json.loads(command("db", "cleanup", "shop", "--days", "41", "--batch", "2", "--json").out)
    assert [(step["days"], step["rows"]) for step in told["steps"]] == [(41, 0), (41, 0)]
    told = json.loads(command("db", "cleanup", "shop", "--days", "39", "--batch", "7", "--json").out)
    assert [(step["rows"], step["batches"]) for step in told["steps"]] == [(35, 5), (15, 3)]


def test_a_dry_run_counts_and_changes_nothing(notes: str, command: Command) -> None:
    before = left(notes)
    done = command("db", "cleanup", "--dry-run")
    assert done.code == 0
    assert done.out == (
        "layer  step           older than  rows\n"
        "shop   archive_notes     30 days    35\n"
        "shop   notes              7 days    15\n"
        "audit: nothing to clean up (it has no sql/audit/cleanup)\n"
        "50 rows would be cleaned up; nothing was changed\n"
    )
    assert left(notes) == before


def test_bounds_of_a_step_hold(notes: str, command: Command) -> None:
    done = command("db", "cleanup", "--days", "0")
    assert done.code == 2
    assert "days" in done.err
    assert left(notes) == (40, 0)


def test_a_file_that_is_no_step_is_refused_before_anything_runs(
    notes: str, command: Command, write: Write
) -> None:
    wrong = "-- Wrong.\n-- returns: count\ndelete from shop.notes where at < :before\n"
    write({"sql/shop/cleanup/wrong.sql": wrong})
    done = command("db", "cleanup")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "sql/shop/cleanup/wrong.sql: this is not a step of a cleanup\n"
        "HINT: declare 'returns: count', with :limit and either :days or :before\n"
    )
    assert left(notes) == (40, 0)


def test_a_tenants_file_that_lists_no_tenants_is_refused_before_the_run(
    notes: str, command: Command, write: Write
) -> None:
    wrong = "-- Wrong.\n-- returns: many Tenant\nselect n.id, n.text from shop.notes as n\n"
    write({"sql/shop/cleanup/tenants.sql": wrong})
    done = command("db", "cleanup")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "sql/shop/cleanup/tenants.sql: this does not list the tenants of a cleanup\n"
        "HINT: declare 'returns: many value', without parameters\n"
    )
    assert left(notes) == (40, 0)


def test_a_role_that_does_not_see_all_tenants_cleans_only_the_one_it_names(
    notes: str, command: Command
) -> None:
    role = "keeper_" + notes.partition("?")[0].rpartition("_")[2]
    with psycopg.connect(notes, autocommit=True) as connection:
        connection.execute(
            f"create role {role} login; grant usage on schema shop to {role};"
            f"grant all on shop.notes to {role};"
            "alter table shop.notes enable row level security;"
            "create policy one on shop.notes using"
            " (id % 2 = nullif(current_setting('app.jwt_tenant', true), '')::integer)".encode()
        )
        url = notes.replace("postgres@", f"{role}@")
        try:
            refused = command("db", "cleanup", "shop", "--database", url)
            assert refused.code == 2
            assert "row-level security" in refused.err
            assert "HINT: connect as a role that may change every tenant's rows" in refused.err
            assert left(notes) == (40, 0)
            assert command("db", "cleanup", "shop", "--database", url, "--tenant", "0").code == 0
        finally:
            connection.execute(f"drop owned by {role}; drop role {role}".encode())
    assert left(notes) == (40 - 7, 17 - 7)
