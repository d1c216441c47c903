"""The trace of migrations: locks, rewrites, hazards, the author's comment, the queries of a revision."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from plainsql.check.migration_traces import trace_migrations
from plainsql.cli.app import main
from plainsql.errors import MigrationError
from plainsql.migrate import read_folder
from plainsql.migrate.script import Script
from plainsql.migrate.trace import (
    BuiltIndex,
    MigrationTrace,
    OldQueries,
    OldQuery,
    RelationLock,
    TableSize,
    trace_run,
)
from plainsql.migrate.trace.durations import estimate_seconds
from plainsql.migrate.trace.lock_comment import compare_comment
from plainsql.plans.statistics.production_statistics import (
    FORMAT,
    Production,
    ProductionStatistics,
    TableStatistics,
)
from plainsql.plans.statistics.statistics_files import write_statistics
from plainsql.settings import Project
from tests.migrate.conftest import Write

TABLES = """
create table customers (id bigint primary key, name text);
create table orders (id bigint primary key, customer_id bigint, amount int, code varchar(10), state text);
create index orders_amount_idx on orders (amount);
create index orders_code_idx on orders (code);
create sequence numbers;
create view order_states as select o.state from orders as o;
"""
OUTSIDE = "-- transactional: false\n"


def run(
    connection: psycopg.Connection[Any], folder: Path, *, one_batch: bool = False, **options: Any
) -> tuple[MigrationTrace, ...]:
    """Trace all migrations of a folder but the first."""
    connection.execute("drop schema public cascade")
    connection.execute("create schema public")
    found = read_folder(folder).migrations
    chosen = {each.name for each in found[1:]}
    return trace_run(connection, found, chosen, one_batch=one_batch, **options)


def names(trace: MigrationTrace) -> list[str]:
    return [hazard.name for hazard in trace.hazards]


def locks(trace: MigrationTrace) -> dict[str, str]:
    return {lock.relation: lock.mode for lock in trace.locks}


def test_the_trace_has_locks_rewrites_scans_and_index_builds(
    write: Write, connection: psycopg.Connection[Any]
) -> None:
    folder = write(
        {
            "0001_it.sql": TABLES,
            "0002_it.sql": "alter table orders alter amount type bigint;",
            "0003_it.sql": "alter table orders alter code type varchar(20);"
            "alter table orders alter code type text;",
            "0004_it.sql": "alter table orders add foreign key (customer_id) references customers;",
            "0005_it.sql": OUTSIDE + "create index concurrently states on orders (state);\n"
            "reindex index concurrently states;\nvacuum full orders;\ndrop index concurrently states;",
            "0006_it.sql": "create table new (id int, order_id bigint references orders);"
            "create index on new (id); alter table new add check (id > 0); update new set id = 1;",
            "0007_it.sql": "insert into orders (id) values (1); drop index orders_amount_idx;",
            "0009_it.sql": "create table days (at date) partition by range (at);"
            "create index on days (at); create table part (like days);"
            "create materialized view ids as select o.id from orders as o;",
            "0010_it.sql": "alter table part add check "
            "(at >= '2026-01-01' and at < '2027-01-01' and at is not null);"
            "alter table days attach partition part for values from ('2026-01-01') to ('2027-01-01');",
            "0011_it.sql": "create index on ids (id); alter domain amount add check (value > 0);",
            "0008_it.sql": "create domain amount as int; create table sales (amount amount);"
            "select from orders; create role trace_made; alter sequence numbers cache 5;",
        }
    )
    retype, grow, key, concurrent, new, insert, rest, _, attach, more = run(connection, folder)
    (statement,) = retype.statements
    assert locks(retype) == {"public.orders": "access exclusive"}
    assert (retype.blocks, retype.time) == ("reads and writes", "grows with the table")
    assert [(each.relation, each.kind) for each in statement.rewrites] == [
        ("public.orders", "table"),
        ("public.orders_code_idx", "index"),
        ("public.orders_pkey", "index"),
    ]
    assert [each.index for each in statement.built_indexes] == ["public.orders_amount_idx"]
    assert [each.table for each in statement.scans] == ["public.orders"]
    # A longer varchar and text rewrite nothing and read nothing; the index is taken over.
    assert (names(grow), grow.time) == ([], "instant")
    assert grow.blocks == "reads and writes"
    assert locks(key) == dict.fromkeys(["public.customers", "public.orders"], "share row exclusive")
    assert names(key) == ["validate-at-once"]
    # The locks of statements outside a transaction are seen while they wait for a writer.
    build, again, full, drop = concurrent.statements
    assert [each.index for each in build.built_indexes] == ["public.states"]
    for each in (build, again, drop):
        assert ("public.orders", "share update exclusive") in {(x.relation, x.mode) for x in each.locks}
        assert each.blocks == "nothing"
    assert [(lock.relation, lock.mode) for lock in full.locks] == [("public.orders", "access exclusive")]
    assert names(concurrent) == ["vacuum-full"]
    # What a migration does to its own tables is no hazard; the table that they refer to is locked.
    assert locks(new) == {"public.orders": "share row exclusive"}
    assert (new.hazards, new.time) == ((), "instant")
    assert locks(insert)["public.orders"] == "access exclusive"
    assert [each.name for each in insert.hazards] == ["drop-index"]
    assert locks(rest) == {"public.orders": "access share", "public.numbers": "share row exclusive"}
    assert rest.hazards == ()
    # The index of the partitioned table is built on the new partition; a check proves its rows.
    assert names(attach) == ["validate-at-once", "attach-partition"]
    assert "builds public.part_at_idx to attach public.part" in attach.hazards[1].message
    # Only a refresh writes a materialized view. A domain's check reads the tables that have it.
    assert names(more) == ["validate-at-once"]
    assert more.hazards[0].tables == ("public.sales",)
    connection.execute("drop role trace_made")


def test_tables_of_the_same_deployment_are_not_those_of_production(
    write: Write, connection: psycopg.Connection[Any]
) -> None:
    folder = write(
        {
            "0001_it.sql": TABLES,
            "0002_it.sql": "create table parts (id int);",
            "0003_it.sql": "alter table parts add column key uuid default gen_random_uuid();"
            "alter table parts alter id set not null; create index on parts (id); truncate parts;",
        }
    )
    together = run(connection, folder, one_batch=True)
    assert [names(trace) for trace in together] == [[], []]
    (lock,) = together[1].locks
    assert (lock.relation, lock.mode, lock.is_new) == ("public.parts", "access exclusive", True)
    assert together[1].blocks == "nothing"
    # Those that are deployed already run first, also one with a higher number.
    write({"0002_it.sql": "create index on parts (id);", "0003_it.sql": "create table parts (id int);"})
    found = read_folder(folder).migrations
    connection.execute("drop schema public cascade; create schema public")
    (late,) = trace_run(connection, found, {"0002_it"}, one_batch=True)
    assert names(late) == ["create-index"]


def test_a_migration_of_its_own_deployment_finds_the_tables_before_it(
    write: Write, connection: psycopg.Connection[Any]
) -> None:
    folder = write(
        {
            "0001_it.sql": TABLES,
            "0002_it.sql": "create table parts (id int);",
            "0003_it.sql": "alter table parts add column key uuid default gen_random_uuid();"
            "alter table parts alter id set not null; create index on parts (id); truncate parts;",
        }
    )
    apart = run(connection, folder)
    assert names(apart[1]) == ["add-column-volatile-default", "set-not-null", "create-index", "truncate"]


def test_names_that_exist_again_at_the_end_are_not_gone(
    write: Write, connection: psycopg.Connection[Any]
) -> None:
    folder = write(
        {
            "0001_it.sql": TABLES,
            "0002_it.sql": "drop view order_states; create view order_states as select 1 as id;",
            "0003_it.sql": "alter table customers rename to people;"
            "create view customers as select p.id, p.name from people as p;",
            "0004_it.sql": "alter table orders rename customer_id to buyer_id; drop view order_states;"
            "alter table orders drop code; alter table people set schema information_schema;",
        }
    )
    view, table, gone = run(connection, folder)
    assert names(view) == ["drop-column"]  # the column `state` of the view
    assert names(table) == []
    assert [name for name in names(gone) if name != "lock-order"] == [
        *("rename-column", "drop-table", "drop-column", "drop-table"),
    ]


def test_a_query_of_production_that_fails_or_changes_is_named(
    write: Write, connection: psycopg.Connection[Any]
) -> None:
    folder = write(
        {
            "0001_it.sql": TABLES + "create function one() returns int language sql return 1;"
            "alter table orders alter state set not null;",
            "0002_it.sql": "alter table orders alter amount type numeric;",
            "0003_it.sql": "drop function one(); alter table orders add column more int;",
            "0004_it.sql": "alter table orders alter customer_id type int; alter table orders drop more;",
            "0005_it.sql": "alter table orders alter state drop not null;",
            "0006_it.sql": "alter table customers drop constraint customers_pkey;"
            "alter table customers alter id drop not null;",
        }
    )
    queries = [
        OldQuery("amounts", "select o.amount from orders as o"),
        OldQuery("ones", "select one()"),
        OldQuery("all", "select o.* from orders as o where o.id = $1"),
        OldQuery("buyers", "select o.customer_id, o.state from orders as o"),
        OldQuery("saved", "insert into customers (id) values ($1) on conflict (id) do nothing"),
        OldQuery("wrong", "select nothing"),
    ]
    retyped, dropped, kept, null, unread = run(connection, folder, old_queries=OldQueries(queries))
    assert names(retyped) == ["alter-type-rewrite", "query-fails", "query-fails"]
    assert [hazard.message.rpartition(": ")[2] for hazard in retyped.hazards[1:]] == [
        *("it returns another type for amount", "it returns another type for amount"),
    ]
    assert [hazard.message for hazard in dropped.hazards] == [
        "the query ones of the code in production fails afterwards: function one() does not exist",
        (
            "the query all of the code in production fails afterwards: "
            "it returns other columns: id, customer_id, amount, code, state, more"
        ),
    ]
    # Integers are one type in Python. The query with a star has the column that is dropped.
    assert names(kept) == ["alter-type-rewrite", "query-fails"]
    assert names(null) == ["drop-not-null"]
    # The index of a conflict is looked up when a query is planned. `id` is in the text of queries.
    assert names(unread) == ["query-fails", "drop-not-null"]
    assert "no unique or exclusion constraint matching" in unread.hazards[0].message


def test_a_refused_statement_has_its_place_and_a_hint(
    write: Write, connection: psycopg.Connection[Any]
) -> None:
    folder = write(
        {
            "0001_it.sql": TABLES + "create type state as enum ('new');",
            "0002_it.sql": "alter type state add value 'old';\nselect 'old'::state;",
        }
    )
    with pytest.raises(MigrationError, match="unsafe use of new value") as caught:
        run(connection, folder)
    assert caught.value.place is not None
    assert (caught.value.place.line, caught.value.place.column) == (2, 8)
    assert caught.value.hint == "add the value in a migration of its own, before the one that uses it"
    write({"0002_it.sql": "create index concurrently on orders (id);"})
    with pytest.raises(MigrationError, match="transactional: false"):
        run(connection, folder)
    assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_sizes_make_a_hazard_an_error_a_warning_or_nothing(
    write: Write, connection: psycopg.Connection[Any]
) -> None:
    folder = write({"0001_it.sql": TABLES, "0002_it.sql": "create index on orders (state);"})

    def severity(megabytes: int, **options: Any) -> tuple[str | None, str]:
        sizes = {"public.orders": TableSize(rows=1.0, bytes=megabytes * 1_000_000)}
        (trace,) = run(connection, folder, sizes=sizes, **options)
        return (trace.hazards[0].severity if trace.hazards else None), trace.time

    assert severity(1) == (None, "instant")
    assert severity(20) == ("warning", "instant")
    assert severity(500) == ("error", "seconds")
    assert severity(500, max_blocked_s=20) == ("warning", "seconds")
    assert severity(50_000) == ("error", "minutes")
    # An index of another method takes longer, and one of vectors by the number of rows.
    built = [BuiltIndex(index="i", table="t", method=method) for method in ("btree", "gin", "hnsw")]
    sizes = {"t": TableSize(rows=30_000, bytes=50_000_000)}
    assert [estimate_seconds((), (), (each,), sizes) for each in built] == [1.0, 5.0, 30.0]


PARTS = """
create domain plain as int;
create domain positive as int check (value > 0);
create table sales (amount plain);
create table days (id bigint not null, at date not null, n bigint) partition by range (at);
create table "2025" partition of days for values from ('2025-01-01') to ('2026-01-01');
create index days_n on days (n);
create function mark() returns void language sql begin atomic update orders set state = 'new'; end;
"""
# The hazards of a migration, with a part of the message and of the hint of the last one.
FOUND: dict[str, tuple[list[str], str, str]] = {
    'alter table orders alter code type varchar(10) collate "POSIX"': (
        ["alter-type-rewrite"],
        "builds public.orders_code_idx again for the collation of code",
        'character varying(10) collate "POSIX"',
    ),
    "alter domain plain set not null": (
        ["validate-at-once"],
        "reads all rows of public.sales for the not null of the domain public.plain",
        "alter domain public.plain add check (value is not null) not valid",
    ),
    "alter domain plain add constraint even check (value % 2 = 0)": (
        ["validate-at-once"],
        "for even of the domain public.plain",
        "alter domain public.plain validate constraint even",
    ),
    "alter table orders add column taxed positive": (
        ["add-column-domain"],
        "check the domain public.positive of the new column taxed",
        "add taxed as integer",
    ),
    "do $$ begin alter table orders add column more int; update orders set amount = 1; end $$": (
        ["work-under-lock"],
        "reads all rows of public.orders while reads and writes of public.orders wait",
        "split it",
    ),
    "do $$ begin update orders set amount = 1; end $$": (["whole-table-write"], "public.orders", "batches"),
    "select mark()": (["whole-table-write"], "public.orders", ""),
    "insert into orders (id) values (1); do $$ begin update orders set amount = 1; end $$": (
        ["whole-table-write"],
        "public.orders",
        "",
    ),
    "do $$ begin update orders set amount = 1 where id = 1; end $$": ([], "", ""),
    "insert into orders (id) values (1); select from orders for update": ([], "", ""),
    "insert into orders (id) select o.id + 1 from orders as o": ([], "", ""),
    "create index on days (id)": (
        ["create-index"],
        "builds public.days_id_idx while writes of public.days wait",
        "create index on only public.days",
    ),
    "drop index days_n": (["drop-index"], "public.days_n", "no other way for a partitioned table"),
    "alter table days add primary key (id, at)": (
        ["add-unique-constraint"],
        "reads and writes of public.days",
        "alter table only public.days add constraint days_pkey primary key",
    ),
    "alter table days add foreign key (n) references customers": (
        ["validate-at-once"],
        "reads all rows of public.days",
        "alter table public.days validate constraint days_n_fkey",
    ),
    "alter table days alter n set not null": (["set-not-null"], "public.days", ""),
    "alter table days drop n": (["drop-column"], "drops n of public.days", ""),
    "-- allow: create-index\ncreate index on orders (state)": (
        ["allow", "create-index"],
        "public.orders",
        "",
    ),
    "-- Allow: drop-column: x\nselect 1": (["allow"], "got '-- Allow: drop-column: x'", ""),
    "-- allow: create-indx: x\nselect 1": (["allow"], "'create-indx'", "did you mean create-index?"),
    "-- allow create-index: x\nselect 1": (["allow"], "got '-- allow create-index: x'", ""),
    "select 1; -- allow: create-index: x": (["allow"], "after a statement", "above the statement"),
    "select 1;\n-- allow: create-index: x": (["allow"], "no statement is below it", ""),
    "-- Allow nulls: they are right.\n-- allow: the owner may\nselect 1": ([], "", ""),
}


def test_hazards_name_the_table_that_was_changed_and_a_way_that_works(
    write: Write, connection: psycopg.Connection[Any]
) -> None:
    folder = write({"0001_it.sql": TABLES + PARTS})
    for sql, (hazards, message, hint) in FOUND.items():
        (folder / "0002_it.sql").write_text(sql)
        (trace,) = run(connection, folder)
        assert names(trace) == hazards, sql
        if hazards:
            assert message in trace.hazards[-1].message, sql
            assert hint in (trace.hazards[-1].hint or ""), sql


def test_truncate_works_in_an_instant(write: Write, connection: psycopg.Connection[Any]) -> None:
    (trace,) = run(connection, write({"0001_it.sql": TABLES, "0002_it.sql": "truncate orders;"}))
    assert (names(trace), trace.time, trace.statements[0].scans) == (["truncate"], "instant", ())


COMMENTS = {
    "none on existing tables.": ["it says none, and the trace has share on shop.a, share on shop.b"],
    "share on shop.a and shop.b: writers\n-- wait. Time: minutes.": [],
    "share on the two tables.\n-- Time: minutes for shop.c": [],
    "share on the three tables.": [
        "it says share on three tables, and the trace has it on 2: shop.a, shop.b",
    ],
    "share on shop.a.": ["it does not name share on shop.b"],
    "access exclusive on shop.a, share on shop.b": [
        "it says access exclusive on shop.a, and the trace has share",
    ],
    "share on shop.a, shop.b and shop.c\n--\n-- share on shop.d": [
        "it says share on shop.c, and the trace has no such lock there",
    ],
    "some": [],
}


@pytest.mark.parametrize("comment", COMMENTS)
def test_the_lock_comment_is_compared_with_the_trace(comment: str) -> None:
    script = Script.read(f"-- A title.\n-- Lock: {comment}\nselect 1;")
    taken = [
        RelationLock(relation=f"shop.{name}", kind="table", mode="share", blocks="writes") for name in "ab"
    ]
    weak = RelationLock(relation="shop.c", kind="table", mode="row exclusive", blocks="nothing")
    found = compare_comment(script, [*taken, weak], [f"shop.{name}" for name in "abcd"])
    assert found is not None
    assert (list(found.contradictions), found.line) == (COMMENTS[comment], 2)
    assert compare_comment(Script.read("select 1; -- Lock: none"), [], []) is None


def git(*arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


def test_the_command_knows_what_is_new_since_a_revision(
    write: Write, fresh_database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PLAINSQL_SCRATCH_URL", fresh_database_url)
    monkeypatch.setenv("DATABASE_URL", fresh_database_url)

    def trace(*arguments: str) -> tuple[int, str]:
        code = main(["migrate", "trace", *arguments])
        out, error = capsys.readouterr()
        return code, out + error

    write({"0001_it.sql": TABLES})
    Path("sql/orders").mkdir(parents=True)
    query = "-- The codes.\n-- returns: many Code\n-- allow: unbounded: few\nselect o.code from orders as o\n"
    Path("sql/orders/codes.sql").write_text(query)
    Path("pyproject.toml").write_text("")
    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-qm", "first")
    write(
        {
            "0002_it.sql": "alter table orders drop code;\n",
            "0003_it.sql": "alter table customers drop name;\n",
            "0004_it.sql": "-- allow: create-index: it is small\ncreate index on orders (state);\n",
        }
    )
    Path("sql/orders/codes.sql").unlink()
    # The query of the revision breaks by the first drop. No query of it uses the column of the second.
    code, printed = trace("--since", "main", "--json")
    first, second, third = json.loads(printed)
    assert code == 1
    assert [hazard["name"] for hazard in first["hazards"]] == ["drop-column"]
    assert first["hazards"][0]["detail"] == "queries that fail afterwards: orders.codes"
    assert second["hazards"] == []
    assert third["hazards"][0]["allowed"] == "it is small"
    assert third["locks"][0]["mode"] == "share"
    # Without a revision, any column may be in use.
    code, printed = trace("0003", "--format", "github")
    assert code == 1
    assert "::error file=migrations/0003_it.sql,line=1,col=1,title=plainsql drop-column::" in printed
    code, printed = trace("0004")
    assert (code, "allowed: create-index: it is small" in printed) == (0, True)
    assert "no hazard: 1 migration" in printed
    Path("pyproject.toml").write_text(
        '[tool.plainsql.allow]\n"migrations/0003*" = "drop-column: no code reads it"\n'
    )
    code, printed = trace("0003", "--format", "sarif")
    assert code == 0
    assert '"results": []' in printed
    # With the sizes of production, work on a small table is no hazard.
    write({"0005_it.sql": "create index on orders (amount);\n"})
    orders = TableStatistics(rows=5, file_pages=100)
    taken = datetime(2026, 11, 29, tzinfo=UTC)
    production = Production(format=FORMAT, taken=taken, server="17.2", collation="C", values="few")
    write_statistics(
        Path("sizes"), ProductionStatistics(production=production, schemas={"public": {"orders": orders}})
    )
    assert trace("0005", "--stats", "sizes")[0] == 0
    code, printed = trace("0005", "--stats", "sizes", "--may-block", "0.1", "--format", "github")
    assert (code, printed.partition(" ")[0]) == (0, "::warning")
    code, printed = trace("0005", "--stats", "sizes", "--may-block", "0.0001")
    assert (code, "[create-index]" in printed) == (1, True)
    # The pending ones are one deployment, and in an empty database that is all of them.
    code, printed = trace()
    assert code == 0
    assert "5 migrations" in printed
    Path("pyproject.toml").write_text('[tool.plainsql]\nschema = "schema.sql"\n')
    assert "the schema is not plainsql's" in trace()[1]
    Path("pyproject.toml").write_text("")
    for wrong, message in {
        ("--since", "gone"): "gone: there is no such commit",
        ("0009",): "no migration '0009'",
        ("0003", "--all"): "expected one of them, got more",
        ("--database", "postgresql:///x?host=/nowhere"): "HINT: name migrations, --since REF or --all",
        ("--since", "main", "--folder", "/"): "expected a folder of migrations in the project",
    }.items():
        code, printed = trace(*wrong)
        assert (code, message in printed) == (2, True), printed


def test_the_lock_comments_of_the_layers_agree_with_the_trace(database_url: str) -> None:
    project = Project.load(Path(__file__).parents[2])
    traces = trace_migrations(project, scratch=database_url)
    comments = [trace.lock_comment for trace in traces]
    assert None not in comments
    assert [comment.contradictions for comment in comments if comment and comment.contradictions] == []
    assert [hazard for trace in traces for hazard in trace.open_hazards] == []
    by_name = {trace.name: trace for trace in traces}
    search = by_name["assistant/0008_search"]
    assert names(search) == ["add-column-generated", "create-index"]
    assert locks(search) == {"assistant.notes": "access exclusive"}
    assert set(locks(by_name["assistant/0011_deletion_times"]).values()) == {"share row exclusive"}
