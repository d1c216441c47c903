"""The facts of a review: what the sheets of queries, tables and migrations say of a small shop."""

from __future__ import annotations

import shutil
from pathlib import Path

import psycopg
import pytest
from msgspec.structs import replace

from plainsql.migrate.discovery import read_folder
from plainsql.review.model.file_history import read_history
from plainsql.review.model.project_review import read_review
from plainsql.review.model.rollback_proofs import rollback_proofs, unknown_proofs
from plainsql.review.model.sheets import Access, QuerySheet, Review
from plainsql.review.model.table_definitions import table_definitions
from plainsql.review.model.table_usage import with_users
from plainsql.review.site.page_renderer import site_files
from plainsql.settings import Project
from tests.review.conftest import SHOP, TABLE, git, query_named, since, table_named

PARTITIONED = """
create schema log;
create table log.events (day date not null, kind text) partition by range (day);
create table log.events_1 partition of log.events for values from ('2026-01-01') to ('2026-02-01');
create table log.events_2 partition of log.events for values from ('2026-02-01') to ('2026-03-01')
  partition by list (kind);
create table log.events_2a partition of log.events_2 default;
create index events_day_idx on log.events (day);
create index events_kind_idx on log.events (kind);
create index local_idx on log.events_1 (kind, day);
create index unused_idx on log.events_1 (day, kind);
create materialized view log.sums as select day from log.events group by day;
create unique index sums_day_idx on log.sums (day);
create table log.marks (code text not null, token text, place int);
create unique index marks_code_idx on log.marks (code);
create unique index marks_token_idx on log.marks (token);
create index marks_order_idx on log.marks (place);
alter table log.marks replica identity using index marks_code_idx;
alter table log.marks cluster on marks_order_idx;
"""
NEEDS_GIT = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def locks(review: Review, name: str) -> list[tuple[str, str]]:
    return [(lock.mode, lock.table) for lock in query_named(review, name).locks if lock.on_rows]


def test_a_sheet_has_the_rows_their_reason_and_the_proving_index(shop_review: Review) -> None:
    get = query_named(shop_review, "leads.get")
    assert (get.returns, get.rows, get.effect) == ("optional Lead", "optional", "reads")
    assert (get.proof_table, get.proof) == ("shop.leads", "leads_email_key")
    assert get.rows_because == "equality on the unique key leads_email_key (email)"
    assert [(c.name, c.type, c.nullable, c.because, c.table) for c in get.columns] == [
        ("id", "bigint", False, "not-null column", "shop.leads"),
        ("email", "text", False, "not-null column", "shop.leads"),
        ("name", "text", True, "nullable column", "shop.leads"),
    ]
    assert get.is_by_key
    assert get.cached is not None
    assert (get.cached.ttl, get.cached.header_ttl) == (1800, 300)
    assert get.cached.set_by == '[tool.plainsql.cache] "leads.*"'
    rename = query_named(shop_review, "leads.rename")
    assert (rename.optional_lines, rename.variants) == ((5,), 2)
    email = rename.parameters[0]
    assert (email.name, email.is_optional, email.written_to) == ("email", True, ("shop.leads.email",))
    assert [each.query for each in rename.ends] == ["leads.get"]


def test_a_sheet_has_the_settings_of_its_query(shop_review: Review) -> None:
    ids = query_named(shop_review, "odd.ids")
    assert [(each.name, each.value, each.type) for each in ids.own_settings] == [
        ("work_mem", ":mem", "integer, kB"),
        ("jit", "off", "bool"),
    ]
    [mem] = ids.parameters
    assert (mem.name, mem.type, mem.default, mem.bounds) == ("mem", "integer", "512", "64..8192")
    pages = {str(path): str(text) for path, text in site_files(shop_review)}
    page = next(text for path, text in pages.items() if path.endswith("odd.ids.html"))
    assert '<td class="id">work_mem</td><td class="id">:mem</td><td>integer, kB</td>' in page
    kept = "30 min, by <code>[tool.plainsql.cache] &#34;leads.*&#34;</code>; its header has 5 min"
    assert kept in next(text for path, text in pages.items() if path.endswith("leads.get.html"))
    assert kept in pages["cache.html"]


def test_a_sheet_has_the_keys_of_parents_and_lists(shop_review: Review) -> None:
    found = query_named(shop_review, "odd.with_twins")
    assert [(each.name, each.key) for each in found.lists] == [("", ("id",)), ("twins[]", ("twins[].id",))]
    assert (found.rows, found.streams) == ("optional", True)
    pages = {str(path): str(text) for path, text in site_files(shop_review)}
    page = next(text for path, text in pages.items() if path.endswith("odd.with_twins.html"))
    assert '<span class="id">twins[]</span> by <span class="id">twins[].id</span>' in page


def test_row_locks_follow_from_writes_keys_and_clauses(shop_review: Review) -> None:
    assert locks(shop_review, "leads.get") == []
    assert locks(shop_review, "leads.rename") == [
        ("for update", "shop.leads"),  # if the address changes, which is a key
        ("for no key update", "shop.leads"),
    ]
    assert locks(shop_review, "leads.delete") == [
        ("for update", "shop.leads"),
        ("for update", "shop.messages"),
    ]
    assert locks(shop_review, "messages.add") == [("for key share", "shop.leads")]
    (claim,) = (lock for lock in query_named(shop_review, "messages.claim").locks if lock.on_rows)
    assert (claim.mode, claim.table) == ("for update", "shop.messages")
    assert "skips them" in claim.because


def test_columns_and_indexes_that_no_query_uses_are_known(shop_review: Review) -> None:
    leads = table_named(shop_review, "shop.leads")
    assert [column.name for column in leads.unread] == ["seen_at", "never_read", "created_at"]
    assert [column.name for column in leads.unwritten] == ["id", "seen_at", "never_read", "created_at"]
    assert [index.name for index in leads.unused_indexes] == ["leads_seen_at_idx"]
    assert leads.queries == (("leads.delete", "RD"), ("leads.get", "R"), ("leads.rename", "RU"))
    by_name = {index.name: index for index in table_named(shop_review, "shop.messages").indexes}
    # No query compares the column: the index serves the check of the foreign key.
    assert by_name["messages_lead_id_idx"].supports == ("messages_lead_id_fkey",)
    assert by_name["messages_pkey"].supports == ("messages_pkey",)
    odd = table_named(shop_review, f"shop.{TABLE}")
    assert [column.users.reads for column in odd.columns] == [("odd.all", "odd.with_twins"), ("odd.all",)]
    # The same names of the ledger's tables are the project's own.
    assert [table.name for table in shop_review.tables] == [f"shop.{TABLE}", "shop.leads", "shop.messages"]


def test_the_plans_of_a_query_say_which_index_serves_it(shop_review: Review) -> None:
    plans = query_named(shop_review, "leads.get").plans
    assert plans is not None
    plan, joined = plans.plans  # alone, and with concurrent calls
    (scan,) = plan.lines
    assert [use.cached for use in joined.uses] == ["joined"]
    assert (scan.label, scan.table, scan.index) == ("Index Scan", "shop.leads", "leads_email_key")
    assert scan.conditions == (("index", "(l.email = $1)"),)
    assert [use.call for use in plan.uses]
    messages = {index.name: index for index in table_named(shop_review, "shop.messages").indexes}
    assert messages["messages_pkey"].plans == ("messages.claim",)
    assert messages["messages_lead_id_idx"].users == ()
    odd = query_named(shop_review, "odd.ids").plans
    assert odd is not None
    assert [each.name for each in odd.observations] == ["large-scan"]
    assert shop_review.plan_notes[0].startswith("no statistics of production")


def test_callers_are_found_by_imports_of_modules_and_functions(shop_review: Review) -> None:
    get = query_named(shop_review, "leads.get").callers
    assert [(caller.path, caller.line, caller.is_test) for caller in get] == [
        ('app/"quoted" <b>.py', 3, False),
        ("app/serve.py", 6, False),
    ]
    assert [caller.line for caller in query_named(shop_review, "messages.add").callers] == [7]
    assert [caller.is_test for caller in query_named(shop_review, "leads.delete").callers] == [True]
    assert query_named(shop_review, "leads.rename").callers == ()


@NEEDS_GIT
def test_each_file_has_its_last_commit_and_its_diff(shop_review: Review) -> None:
    change = query_named(shop_review, "leads.rename").change
    assert (change.author, change.subject) == ("Eve & 'E' Adams", "Names </script><b>change</b>")
    assert "-".join(change.diff[1:3]) == "--- Rename a lead.-+-- Give a lead another name."
    first = query_named(shop_review, "leads.get").change
    assert first.subject == "The shop"
    assert first.diff[1] == f"+{SHOP['sql/leads/get.sql'].splitlines()[0]}"
    assert shop_review.migrations[0].change.subject == "The shop"


@NEEDS_GIT
def test_a_shallow_clone_says_that_older_commits_are_unknown(shop: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--depth", "1", shop.as_uri(), "clone")
    history = read_history(tmp_path / "clone", ["sql/leads/get.sql"])
    assert history.remark == "the clone is shallow"
    assert history.change("sql/leads/get.sql").commit == ""
    assert read_history(tmp_path, ["sql/leads/get.sql"]).remark == "the project is in no git repository"


def test_findings_and_allowances_are_at_their_queries(shop_review: Review) -> None:
    (allowed,) = query_named(shop_review, "odd.all").allowances
    assert (allowed.finding, allowed.reason, allowed.path) == (
        *("unbounded", "<i>few rows</i>"),
        "pyproject.toml",
    )
    assert [note.name for note in query_named(shop_review, "messages.claim").notes] == []
    assert [note.path for note in shop_review.notes] == []


def test_a_migration_has_its_statements_tables_and_queries(shop_review: Review) -> None:
    shop, seen_at, *_ = shop_review.migrations
    assert shop.statements[1].line == 5
    assert shop.statements[1].tables == ("shop.leads",)
    assert "leads.get" in shop.queries
    assert shop.rollback == "drop schema shop cascade;\n"
    assert shop.trace is not None
    assert (shop.trace.blocks, shop.trace.hazards) == ("nothing", ())
    assert seen_at.rollback == ""
    assert seen_at.trace is not None
    assert [(lock.relation, lock.mode) for lock in seen_at.trace.locks] == [("shop.leads", "share")]
    assert [(each.name, each.path) for each in seen_at.trace.hazards] == [("create-index", seen_at.path)]


@NEEDS_GIT
def test_the_changes_since_a_ref_are_part_of_the_review(shop_review: Review) -> None:
    changes = shop_review.changes
    assert changes is not None
    assert changes.subject == "The shop"
    assert [(change.name, change.kind) for change in changes.queries] == [("leads.rename", "changed")]
    assert [(file.path, file.kind) for file in changes.migrations] == [("migrations/0002_seen_at.sql", "new")]


def test_a_review_is_the_same_from_any_folder(
    shop: Path, shop_review: Review, shop_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shop / "sql")
    # Plans and proofs are those that the first one has kept: no copy is made, and no file written.
    kept = [shop / ".plainsql" / f"{name}.msgpack" for name in ("plans", "rollbacks")]
    before = [file.stat().st_mtime_ns for file in kept]
    again = read_review(Project.load(shop), since=since(shop), version="1.0")
    assert again == shop_review
    assert [file.stat().st_mtime_ns for file in kept] == before
    # A rollback that has changed is verified again.
    wrong = shop / "migrations/side/0002_mood.rollback.sql"
    text = wrong.read_text("utf-8")
    wrong.write_text(f"{text}drop type side.mood;\n", "utf-8")
    project = Project.load(shop)
    folder = read_folder(project.migrations_folder)
    proofs = rollback_proofs(project, folder)
    wrong.write_text(text, "utf-8")
    assert [proof.kind for proof in proofs.values()] == ["proved", "none", "keeps", "proved", "proved"]
    unknown = unknown_proofs(folder, "no server")
    assert [proof.kind for proof in unknown.values()] == ["unknown", "none", *["unknown"] * 3]


def test_indexes_of_partitions_and_unique_rows_are_not_called_useless(fresh_database_url: str) -> None:
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        connection.execute(PARTITIONED)
        tables = table_definitions(connection)
    read = Access("log.events", "read", ("day", "kind"), False, compared=("day",))
    queries = [
        QuerySheet("log.list", "list.sql", "", "", "", "", accesses=(read,)),
        QuerySheet("log.day", "day.sql", "", "", "", "", accesses=(replace(read, table="log.events_1"),)),
    ]
    planned = {"log.list": {"events_1_day_idx"}, "log.day": {"local_idx"}}
    found = with_users(tables, queries, (), planned)
    by_name = {table.name: table for table in found}
    events = by_name["log.events"]
    assert {index.name: index.users for index in events.indexes} == {
        "events_day_idx": ("log.list",),
        "events_kind_idx": (),
    }
    unused = {table.name: [index.name for index in table.unused_indexes] for table in found}
    assert unused == {
        "log.events": ["events_kind_idx"],
        "log.events_1": ["unused_idx"],  # it is part of no index of the table
        "log.events_2": [],
        "log.events_2a": [],
        "log.sums": ["sums_day_idx"],
        "log.marks": ["marks_code_idx", "marks_order_idx", "marks_token_idx"],
    }
    reasons = {index.name: index.reasons for table in found for index in table.unused_indexes}
    assert reasons == {
        "events_kind_idx": (),
        "unused_idx": (),
        "sums_day_idx": ("unique rows",),
        "marks_code_idx": ("unique rows", "replica identity"),
        "marks_token_idx": ("unique rows",),
        "marks_order_idx": ("cluster",),
    }
    assert [table.name for table in found if table.unread] == ["log.marks"]
    assert events.queries == (("log.day", "R"), ("log.list", "R"))
    pages = {
        path: data.decode() for path, data in site_files(Review("log", "1", tuple(queries), found, (), ()))
    }
    assert 'href="../tables/log.events_1.html"' in pages["tables/log.events.html"]
    assert "events_1" not in pages["tables/index.html"] + pages["matrix.html"]
    assert "2 that nothing else needs" in pages["index.html"]
    assert "<b>2</b> tables" in pages["index.html"]
    assert "2 readers</li><li>0 writers" in pages["tables/log.events.html"]
    # A column that is not null has values, but no query writes it.
    assert "(other programs only)" in pages["tables/log.marks.html"]
    assert "always null" not in pages["tables/log.marks.html"]
