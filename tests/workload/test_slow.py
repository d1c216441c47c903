"""``plainsql slow``: the slow query is found under load, and no value is ever shown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

import plainsql
import plainsql.sync
from plainsql.cli.app import main
from plainsql.embedded import EmbeddedServer
from plainsql.layers.realty import leads
from plainsql.statements.safe_text import safe_text
from plainsql.workload.counters import Counters, read_counters
from plainsql.workload.snapshots import read_snapshot, since_snapshot, write_snapshot
from plainsql.workload.statement_names import name_of
from tests import shop

ROOT = Path(__file__).parents[2]
SECRET = "hunter2"


@pytest.fixture
def admin(counted_url: str) -> Generator[psycopg.Connection[Any]]:
    with psycopg.connect(counted_url, autocommit=True) as connection:
        connection.execute("select counters.pg_stat_statements_reset()")
        yield connection


@pytest.fixture
def slow(
    counted_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run ``plainsql slow`` in the repository, and return what it prints."""
    monkeypatch.chdir(ROOT)

    def run(*options: str, url: str = counted_url, code: int = 0) -> str:
        assert main(["slow", "--database", url, *options]) == code
        printed = capsys.readouterr()
        return printed.err if code else printed.out

    return run


@pytest.mark.parametrize("form", ["joined"], indirect=True)
async def test_a_slow_joined_read_is_first_with_its_file(
    form: str, counted_url: str, admin: psycopg.Connection[Any], slow: Callable[..., str], tmp_path: Path
) -> None:
    # Without the index and without hashes, each of the joined calls reads the whole table.
    admin.execute("alter database counted set enable_hashjoin = off")
    admin.execute("alter database counted set enable_mergejoin = off")
    admin.execute("alter table realty.leads drop constraint leads_pkey cascade")
    ids = [row[0] for row in admin.execute("select id from realty.leads limit 300").fetchall()]
    async with plainsql.connect(counted_url, max_size=2) as db:
        await asyncio.gather(*(leads.get_by_id(db, id=id) for id in ids))
        await asyncio.gather(*(leads.count(db) for _ in range(20)))
        await shop.add.batch(db, [{"name": f"a{n}"} for n in range(5)])
        await shop.search(db, limit=3, order="name")
        await shop.search(db, score=0, limit=3)
        await db.copy_out(shop.search, tmp_path / "leads.csv", {"score": 0})
    with plainsql.sync.connect(counted_url) as sync:
        assert list(shop.numbers.stream(sync, count=3)) == [1, 2, 3]
        assert shop.find(sync, name="n1") is not None

    found = json.loads(slow("--json"))
    first = found["queries"][0]
    assert (first["name"], first["file"], first["line"]) == (
        "realty.leads.get_by_id",
        "sql/realty/leads/get_by_id.sql",
        3,
    )
    assert first["share"] > 0.5
    assert first["forms"]["joined"]["total_ms"] > first["counters"]["total_ms"] / 2
    assert first["counters"]["rows"] == 300
    queries = {each["name"]: each for each in found["queries"]}
    forms = {
        name: {form: sums["calls"] for form, sums in each["forms"].items()} for name, each in queries.items()
    }
    assert forms["shop.leads.add"] == {"batched": 5}
    assert forms["shop.leads.search"] == {"single": 2, "copied": 1}
    assert forms["shop.numbers"] == {"streamed": 1}
    assert len(queries["shop.leads.search"]["query_ids"]) == 3
    assert queries["shop.leads.find"]["is_known"] is False

    lines = slow("--limit", "2").splitlines()
    assert lines[0].startswith("counted: ")
    assert lines[2].split() == [
        "query",
        "calls",
        "total",
        "mean",
        "share",
        "rows",
        "hit",
        "read",
        "temp",
        "file",
    ]
    assert lines[3].startswith("realty.leads.get_by_id ")
    assert lines[3].endswith(" sql/realty/leads/get_by_id.sql:3")
    assert f"{len(queries) - 2} more queries (--limit shows them)" in lines
    by_calls = json.loads(slow("--json", "--sort", "calls"))["queries"]
    assert by_calls[0]["counters"]["calls"] == max(each["counters"]["calls"] for each in by_calls)


def test_a_snapshot_is_subtracted_and_a_reset_is_noticed(
    counted_url: str, admin: psycopg.Connection[Any], slow: Callable[..., str], tmp_path: Path
) -> None:
    with plainsql.sync.connect(counted_url) as db:
        for _ in range(3):
            shop.find(db, name=SECRET)
        shop.count_all(db)
        file = tmp_path / "before.json"
        assert f"plainsql slow --since {file}" in slow("--save", str(file))
        assert SECRET not in file.read_text()
        for _ in range(2):
            shop.find(db, name=SECRET)
        later = json.loads(slow("--since", str(file), "--json"))
        assert {each["name"]: each["counters"]["calls"] for each in later["queries"]} == {
            "shop.leads.find": 2
        }
        assert later["notes"] == []
        admin.execute("select counters.pg_stat_statements_reset()")
        shop.find(db, name=SECRET)
    after_reset = json.loads(slow("--since", str(file), "--json"))
    assert {each["name"]: each["counters"]["calls"] for each in after_reset["queries"]} == {
        "shop.leads.find": 1
    }
    assert [note.partition(" at ")[0] for note in after_reset["notes"]] == ["all counters were reset"]

    other = json.loads(file.read_bytes()) | {"database": "accounts"}
    for text, said in {
        json.dumps(other): "the snapshot is of another database: expected counted, got accounts",
        json.dumps(other | {"plainsql_snapshot": 2}): f"{file}: expected a snapshot of format 1, got 2",
        "[]": f"{file}: expected a snapshot of 'plainsql slow', got another file",
    }.items():
        file.write_text(text)
        assert slow("--since", str(file), code=2).startswith(said)


def test_a_statement_that_the_server_forgot_in_between_counts_again(
    counted_url: str, admin: psycopg.Connection[Any], tmp_path: Path
) -> None:
    # Before PostgreSQL 17, the beginning of a statement's counters is not known.
    admin.execute("select 1 /* a.b */")
    admin.execute("select 1 /* a.b */")
    before = read_counters(admin)
    write_snapshot(tmp_path / "before.json", before)
    old = [msgspec.structs.replace(entry, since=None) for entry in before.entries]
    fewer = [msgspec.structs.replace(entry, counters=Counters(calls=1, total_ms=9e9)) for entry in old]
    for entries, calls in ((old, []), (fewer, [1] * len(old))):
        later = msgspec.structs.replace(before, entries=tuple(entries), evicted=1, taken_at=datetime.now(UTC))
        found = since_snapshot(later, read_snapshot(tmp_path / "before.json"))
        assert [
            entry.counters.calls for entry in found.entries if entry.text == "select $1 /* a.b */"
        ] == calls[:1]
        assert "the server has forgotten statements since the snapshot: their time is missing" in found.notes


def test_only_the_texts_of_the_role_itself_are_shown_without_rights(
    counting_server: EmbeddedServer,
    counted_url: str,
    admin: psycopg.Connection[Any],
    slow: Callable[..., str],
) -> None:
    with plainsql.sync.connect(counted_url) as db:
        shop.count_all(db)
    monitor, plain = (counted_url.replace("postgres@", f"{role}@") for role in ("watcher", "Plain%20one"))
    admin.execute('create role watcher login; grant pg_monitor to watcher; create role "Plain one" login')
    try:
        assert "HINT: grant usage on schema counters to watcher" in slow(url=monitor, code=2).replace('"', "")
        admin.execute('grant usage on schema counters to watcher, "Plain one"')
        with psycopg.connect(counting_server.url()) as elsewhere:
            elsewhere.execute("select 1 /* of.another_database */")
        seen = json.loads(slow("--json", url=monitor))
        assert ([each["name"] for each in seen["queries"]], seen["notes"]) == (["shop.leads.count_all"], [])
        hidden = slow(url=plain)
        assert "shop.leads.count_all" not in hidden
        assert hidden.splitlines()[1].startswith("hidden: ")
        assert hidden.splitlines()[2] == (
            'note: the statements of other roles are hidden from Plain one: grant pg_monitor to "Plain one"'
        )
        assert "no statement is of a query" not in hidden
    finally:
        admin.execute('drop owned by watcher, "Plain one"; drop role watcher, "Plain one"')

    without = counting_server.create_database("without")
    try:
        assert slow(url=without, code=2) == (
            "the database without has no extension pg_stat_statements\n"
            "HINT: run in it, as its owner or a superuser: create extension pg_stat_statements\n"
        )
    finally:
        counting_server.drop_database("without")


def test_a_server_without_the_library_is_refused_with_the_setting(
    shop_url: str, slow: Callable[..., str]
) -> None:
    assert slow(url=shop_url, code=2) == (
        "the server counts no statements: it has not loaded pg_stat_statements at its start\n"
        "HINT: alter system set shared_preload_libraries = pg_stat_statements; then restart the server\n"
    )


def test_statements_that_are_no_queries_show_no_value(
    admin: psycopg.Connection[Any], slow: Callable[..., str]
) -> None:
    admin.execute(f"create role careless password '{SECRET}'")
    admin.execute(f"alter role careless password '{SECRET}'; drop role careless")
    admin.execute(f"set app.jwt_user to {SECRET}")
    admin.execute("set pg_stat_statements.track = 'all'")
    admin.execute(f"do $$ begin perform '{SECRET}'; end $$")
    admin.execute(f"select '{SECRET}', set_config('app.jwt_user', '{SECRET}', false) -- {SECRET}")
    printed = slow() + slow("--json")
    assert "alter role …" in printed
    assert "inside of functions: 1 statement, counted with their caller" in printed
    assert SECRET not in printed


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "select a, 'x''y', $1::text from t where n in (1, 2.5)",
            "select a, ?, $1::text from t where n in (?, ?)",
        ),
        (
            "select 'a''b', E'c\\'d', $$e$$, $x$f$x$, 1.5e3, x'1f' -- hush\n/* a /* b */ hush */ from t",
            "select ?, …",
        ),
        (
            "select $$e$$, $x$f$x$, 1.5e3, x'1f' -- hush\n/* a /* b */ hush */ from t",
            "select ?, ?, ?, ? from t",
        ),
        (f"select {'a, ' * 60}b", f"select {'a, ' * 60}"[:78].rstrip() + " …"),
        ("select 1; alter role r password secret", "select ? …"),
        ("select x from t where z = 'the server cut thi", "select x from t where z = …"),
        ("select 'it\\'s secret'", "select …"),
        ("select $q$ secret", "select …"),
        (
            "create unique index concurrently if not exists i on t (a)",
            "create unique index concurrently if not exists i …",
        ),
        ("alter table only a.\"b c\" alter x set default 'secret'", 'alter table only a."b c" …'),
        ("create user bob password 'secret'", "create user …"),
        ("set application_name to secret", "set …"),
        ("copy a.b from stdin", "copy a.b …"),
        ("notify jobs, 'secret'", "notify …"),
        ("explain select 'secret'", "explain …"),
        ("commit", "commit"),
        ("/* secret */", "…"),
    ],
)
def test_a_shortened_statement_has_no_constant(text: str, shown: str) -> None:
    assert safe_text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "select 1",
        "select 1 /*action='show'*/",
        "select 1 /* Two words */",
        "select '/* a.b */'",
        "explain (analyze) select 1 /* a.b */",
        "/* a.b */ select 1",
    ],
)
def test_a_comment_of_another_kind_is_no_query(text: str) -> None:
    assert name_of(text) is None
