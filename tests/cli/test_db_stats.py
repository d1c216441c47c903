"""``plainsql db stats``: what it says is what the server has."""

from __future__ import annotations

import json
from importlib import import_module

import psycopg
import pytest

from tests.cli.conftest import NOTES, Command, Write
from tests.cli.test_db_drop import MORE
from tests.cli.test_db_transfer import SHOP


@pytest.fixture
def two(write: Write, command: Command, configured: str) -> str:
    write(SHOP | MORE)
    assert command("migrate").code == 0
    with psycopg.connect(configured, autocommit=True) as connection:
        connection.execute("insert into shop.notes select n, 'note' from generate_series(1, 1234) as n")
        connection.execute("insert into audit.log values (1)")
        connection.execute("create index on shop.notes (text)")
        connection.execute("vacuum (analyze) shop.notes")
    return configured


def test_rows_sizes_and_indexes_are_those_of_the_server(two: str, command: Command) -> None:
    told = json.loads(command("db", "stats", "--json").out)
    tables = {f"{table['layer']}.{table['table']}": table for table in told["tables"]}
    assert {name: (t["rows"], t["rows_are_exact"]) for name, t in tables.items()} == {
        "audit.log": (1, True),
        "shop.notes": (1234, True),
    }
    notes = tables["shop.notes"]
    with psycopg.connect(two) as connection:
        size, indexes, total = connection.execute(
            "select pg_relation_size(o), pg_indexes_size(o), pg_total_relation_size(o)"
            " from to_regclass('shop.notes') as o"
        ).fetchall()[0]
    assert (notes["table_bytes"], notes["index_bytes"], notes["total_bytes"]) == (size, indexes, total)
    assert notes["last_analyze"]
    assert [(index["name"], index["is_unique"]) for index in notes["indexes"]] == [
        ("notes_pkey", True),
        ("notes_text_idx", False),
    ]
    assert told["layers"]["shop"]["rows"] == 1234
    assert told["total"] == {**told["total"], "tables": 2, "rows": 1235, "rows_are_exact": True}


def test_large_tables_are_estimated_and_marked(
    two: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    # import_module, because the package has the function of this name.
    monkeypatch.setattr(import_module("plainsql.cli.db.stats"), "_MAX_COUNTED_BYTES", 8192)
    told = json.loads(command("db", "stats", "shop", "--json").out)
    assert (told["tables"][0]["rows"], told["tables"][0]["rows_are_exact"]) == (1234, False)
    assert "shop   notes  ~1,234" in command("db", "stats", "shop").out


def test_rows_that_a_policy_hides_are_estimated(two: str, command: Command) -> None:
    role = "reader_" + two.partition("?")[0].rpartition("_")[2]
    with psycopg.connect(two, autocommit=True) as connection:
        connection.execute(
            f"create role {role} login; grant usage on schema shop to {role};"
            f"grant select on shop.notes to {role}; alter table shop.notes enable row level security;"
            # The end of its role and an autovacuum of it can be in each other's way.
            "alter table shop.notes set (autovacuum_enabled = off)".encode()
        )
        try:
            told = json.loads(
                command(
                    "db", "stats", "shop", "--json", "--database", two.replace("postgres@", f"{role}@")
                ).out
            )
        finally:
            connection.execute(f"drop owned by {role}; drop role {role}".encode())
    assert (told["tables"][0]["rows"], told["tables"][0]["rows_are_exact"]) == (1234, False)


def test_layers_and_all_of_them_are_summed(two: str, command: Command) -> None:
    lines = command("db", "stats").out.splitlines()
    assert [line.split()[:3] for line in lines[:4]] == [
        ["layer", "table", "rows"],
        ["audit", "log", "1"],
        ["shop", "notes", "1,234"],
        ["all", "2", "tables"],
    ]
    assert lines[4].startswith("1 index that no query has used yet, ")
    assert lines[5:] == ["the queries that take the time: plainsql slow"]


def test_a_project_without_layers_has_its_tables_in_public(
    write: Write, command: Command, configured: str
) -> None:
    write(NOTES)
    command("migrate")
    told = json.loads(command("db", "stats", "--json").out)
    assert [(table["layer"], table["table"]) for table in told["tables"]] == [("public", "notes")]
