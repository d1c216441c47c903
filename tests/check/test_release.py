"""The queries of a running release on the schema of new migrations: its breaks, and what breaks nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from plainsql.check.problems import Problem
from plainsql.check.release.release_check import ReleaseCheck, check_release
from plainsql.check.release.release_findings import RELEASE_FINDINGS
from plainsql.cli.app import main
from plainsql.errors import SettingsError
from plainsql.review.model.project_review import read_review
from plainsql.review.site.page_renderer import site_files
from plainsql.settings import Project

SHOP = """
create schema shop;
create type shop.state as enum ('open', 'paid');
create table shop.customers (
  id integer generated always as identity primary key,
  email varchar(80) not null unique,
  name text not null,
  phone text,
  score integer not null default 0,
  state shop.state not null default 'open'
);
create table shop.orders (
  id bigint primary key,
  customer_id integer not null references shop.customers (id),
  total numeric not null
);
create table shop.notes (id integer primary key, content text, seen text not null);
create table shop.tags (id integer primary key, label text, at integer not null unique default 0);
create table shop.log (id bigint generated always as identity primary key);
create view shop.totals as select o.customer_id, o.total from shop.orders as o;
create function shop.twice(value integer) returns integer language sql immutable as 'select value * 2';
"""
QUERIES: Mapping[str, str] = {
    "customers/get": "-- One.\n-- returns: optional Customer\n"
    "select c.id, c.email, c.name, c.state\nfrom shop.customers as c\nwhere c.email = :email\n",
    "customers/add": "-- Add.\n-- returns: value\n"
    "insert into shop.customers as c (email, name, phone, score, state)\n"
    "values (:email, :name, :phone, :score, :state)\nreturning c.id\n",
    "customers/upsert": "-- Upsert.\n-- returns: count\n"
    "insert into shop.customers (email, name)\nvalues (:email, :name)\n"
    "on conflict (email) do update set name = excluded.name\n",
    "tags/add": "-- Add.\n-- returns: count\n-- error tags_pkey: TagExists\n"
    "insert into shop.tags (id)\nvalues (:id)\n",
    "tags/page": "-- Pages of tags.\n-- returns: many Tag\n-- page: key\nselect t.id, t.at\n"
    "from shop.tags as t\norder by t.at\nlimit :size\n",
    "customers/score": "-- The score.\n-- returns: optional value\n"
    "select shop.twice(c.score) from shop.customers as c where c.id = :id\n",
    "orders/add": "-- Add.\n-- returns: count\n"
    "insert into shop.orders (id, customer_id, total)\nvalues (:id, :customer_id, :total)\n",
    "orders/all": "-- A row as it is.\n-- returns: optional Order\n-- allow: star: a test\n"
    "select o.*, 1 as one\nfrom shop.orders as o\nwhere o.id = :id\n",
    "orders/totals": "-- Totals.\n-- returns: many value\n-- cache: 5m\n"
    "select t.total\nfrom shop.totals as t\nwhere t.customer_id = :id\norder by t.total\nlimit 10\n",
    "tags/set": "-- Set.\n-- returns: count\nupdate shop.tags as t\nset label = :label\nwhere t.id = :id\n",
    "notes/get": "-- One.\n-- returns: optional Note\n-- allow: star: its last columns are left out\n"
    "select n.* from shop.notes as n where n.id = :id\n",
    "notes/seen": "-- Seen.\n-- returns: optional Seen\n"
    "select n.seen, n.content from shop.notes as n where n.id = :id\n",
    "broken": "-- Refused on its own schema.\n-- returns: value\nselect count(*) from shop.nothing\n",
    "unread": "-- A header of another version.\n-- returns: whatever\nselect 1\n",
}
MIGRATIONS: Mapping[str, str] = {
    "0002_harmless": """
alter table shop.customers alter column email type text, alter column id type bigint;
alter table shop.notes add column more text;
alter table shop.notes alter column content set default '';
drop index if exists shop.nothing;
""",
    "0003_keys": """
alter table shop.customers drop constraint customers_email_key;
alter table shop.customers alter column phone set not null, alter column score type smallint;
""",
    "0004_states": """
alter type shop.state add value 'late';
alter type shop.state rename value 'paid' to 'settled';
""",
    "0005_orders": """
alter table shop.orders add column placed_at timestamptz not null, add constraint positive check (total > 0);
alter table shop.orders rename constraint orders_pkey to orders_key;
create table shop.lines (order_id bigint references shop.orders (id));
create table shop.old_orders (customer_id integer not null, total numeric not null);
create or replace view shop.totals as
select o.customer_id, o.total from shop.orders as o
union all
select o.customer_id, o.total from shop.old_orders as o;
""",
    "0006_notes": """
-- allow: release-columns: the running release writes null as ''
alter table shop.notes alter column seen drop not null;
alter table shop.notes enable row level security;
create or replace function shop.twice(value integer) returns integer language sql volatile as '
  insert into shop.log default values;
  select value * 2;
';
""",
    "0007_gone": "alter table shop.tags rename column label to name;\n"
    "alter table shop.tags rename constraint tags_pkey to tags_key;\n"
    "alter table shop.tags drop constraint tags_at_key;\n",
}
BREAKS = {
    ("release-cache", "orders/totals.sql:4:1", "0005_orders"),
    ("release-columns", "customers/get.sql:3:31", "0004_states"),
    ("release-columns", "orders/all.sql:4:1", "0005_orders"),
    ("release-constraint", "orders/add.sql:3:1", "0005_orders"),
    ("release-constraint", "tags/add.sql:3:10", "0007_gone"),
    ("release-effects", "tags/page.sql:4:1", "0007_gone"),
    ("release-effects", "customers/score.sql:3:1", "0006_notes"),
    ("release-effects", "notes/get.sql:4:1", "0006_notes"),
    ("release-effects", "notes/seen.sql:3:1", "0006_notes"),
    ("release-insert", "orders/add.sql:4:9", "0005_orders"),
    ("release-parameters", "customers/add.sql:4:24", "0003_keys"),
    ("release-parameters", "customers/add.sql:4:32", "0003_keys"),
    ("release-parameters", "customers/add.sql:4:40", "0004_states"),
    ("release-refused", "customers/upsert.sql:5:1", "0003_keys"),
    ("release-refused", "tags/set.sql:4:5", "0007_gone"),
    ("release-rows", "customers/get.sql:3:1", "0003_keys"),
    ("release-unchecked", "unread.sql:2:13", ""),
}


def git(folder: Path, *words: str) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", *who, *words], cwd=folder, env=environment, check=True, capture_output=True)


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in a folder of a repository, whose SQL folder had another name in its release v1.4."""
    top = tmp_path_factory.mktemp("release")
    git(top, "init", "-q", "-b", "main")
    write(top, {"readme.txt": "No project.\n"})
    git(top, "add", "-A")
    git(top, "commit", "-qm", "Nothing")
    git(top, "tag", "v0")
    write(top / "backend", {f"queries/{name}.sql": text for name, text in QUERIES.items()})
    settings = '[tool.plainsql]\nsql = "queries"\n'
    write(top / "backend", {"pyproject.toml": settings, "migrations/0001_shop.sql": SHOP})
    git(top, "add", "-A")
    git(top, "commit", "-qm", "The release")
    git(top, "tag", "v1.4")
    git(top, "rm", "-rq", "backend/queries")
    kept = '[tool.plainsql.allow]\n"notes/get.sql" = "release-effects: its role bypasses policies"\n'
    count = "-- The orders.\n-- returns: value\nselect count(*) from shop.orders\n"
    write(top / "backend", {"pyproject.toml": kept, "sql/orders/count.sql": count})
    write(top / "backend", {f"migrations/{name}.sql": text for name, text in MIGRATIONS.items()})
    return top / "backend"


@pytest.fixture(scope="module")
def found(backend: Path, database_url: str) -> ReleaseCheck:
    return check_release(Project.load(backend), "v1.4", database_url)


def test_each_break_has_its_place_at_the_ref_and_its_migration(found: ReleaseCheck) -> None:
    everything = [*found.breaks, *found.allowed]
    top = "v1.4:backend/queries/"
    assert all(each.path.startswith(top) for each in everything)
    named = {
        (each.name, f"{each.path.removeprefix(top)}:{each.line}:{each.column}", each.migration)
        for each in everything
        if each not in found.allowed or each.name == "release-effects"
    }
    assert named == BREAKS
    assert {name for name, _, _ in BREAKS} == set(RELEASE_FINDINGS)
    assert found.queries == len(QUERIES) - len(("unread", "broken"))
    assert found.pending == tuple(MIGRATIONS)
    assert "v1.4: refused on its own schema, and not compared: broken" in found.notes


def test_a_comment_in_the_migration_or_a_setting_allows_a_break(found: ReleaseCheck) -> None:
    assert {(each.name, each.query, each.message) for each in found.allowed} == {
        (
            "release-columns",
            "notes.seen",
            "column seen: expected no null, it may be null now: nullable column",
        ),
        (
            "release-columns",
            "notes.get",
            "column seen: expected no null, it may be null now: nullable column",
        ),
        ("release-effects", "notes.get", "row-level security of shop.notes selects its rows now"),
    }


def test_the_review_shows_the_breaks_on_the_page_of_their_migration(
    backend: Path, found: ReleaseCheck, database_url: str
) -> None:
    review = read_review(Project.load(backend), database_url, since="v1.4", plans=False)
    sheets = {each.name: each for each in review.migrations}
    for name in MIGRATIONS:
        own = [each for each in (*found.breaks, *found.allowed) if each.migration == name]
        assert sorted(map(str, sheets[name].breaks)) == sorted(map(str, own))
    # The name is one that a comment in a migration may allow.
    assert [note for note in review.notes if note.name == "allow"] == []
    page = dict(site_files(review))["migrations/0006_notes.html"].decode()
    assert "breaks 2 of v1.4" in page
    assert "allowed: the running release writes null as &#39;&#39;" in page


def test_the_command_prints_the_breaks_and_ends_with_one(
    backend: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(backend)
    options = ("check", "--release", "v1.4", "--scratch", database_url)
    assert main([*options, "--format", "json"]) == 1
    printed = capsys.readouterr()
    problems = msgspec.json.decode(printed.out, type=list[Problem])
    assert {f"{each.path}:{each.line}:{each.column}" for each in problems} == {
        f"v1.4:backend/queries/{place}" for _, place, _ in BREAKS if not place.startswith("notes/get")
    }
    (upsert,) = (each for each in problems if each.path.endswith("upsert.sql"))
    assert upsert.detail == "the migration 0003_keys breaks it: migrations/0003_keys.sql"
    assert upsert.excerpt == "on conflict (email) do update set name = excluded.name"
    assert printed.err.splitlines()[-1].startswith(
        "17 breaks in 12 queries of v1.4, after 6 new migrations, "
    )
    # An annotation is shown at a file of the pull request.
    assert main([*options, "--format", "github"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert (
        "::error file=backend/migrations/0003_keys.sql,line=2,title=plainsql release-rows::"
        "v1.4:backend/queries/customers/get.sql:3:1: expected at most one row, got no proof of it: "
        "no unique key of c is bound%0ADETAIL: the migration 0003_keys breaks it: migrations/0003_keys.sql%0A"
        "HINT: keep the unique key until a release without the query runs"
    ) in lines


def test_a_release_that_runs_on_the_schema_is_clean(
    backend: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    git(backend, "stash", "-qu")
    try:
        write(backend, {"migrations/0002_harmless.sql": MIGRATIONS["0002_harmless"]})
        (backend / "queries" / "unread.sql").unlink()
        git(backend, "commit", "-qam", "Without the unread file")
        monkeypatch.chdir(backend)
        assert main(["check", "--release", "HEAD", "--scratch", database_url]) == 0
        assert "clean: 12 queries of HEAD, after 1 new migration, " in capsys.readouterr().out
    finally:
        (backend / "migrations" / "0002_harmless.sql").unlink()
        git(backend, "reset", "-q", "--hard", "v1.4")
        git(backend, "stash", "pop", "-q")


def test_a_schema_of_another_source_and_a_new_database_are_checked(tmp_path: Path, database_url: str) -> None:
    table = "create table items (id integer primary key, {} text not null);\n"
    get = "-- One.\n-- returns: optional value\nselect i.name from items as i where i.id = :id\n"
    settings = '[tool.plainsql.databases.one]\nsql = "sql"\noutput = "made"\nschema = "schema.sql"\n'
    write(tmp_path, {"pyproject.toml": settings, "schema.sql": table.format("name"), "sql/get.sql": get})
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "One")
    other = settings.replace("one]", "other]").replace('"sql"', '"more"').replace("made", "others")
    write(tmp_path, {"pyproject.toml": settings + other, "schema.sql": table.format("title")})
    write(tmp_path, {"more/get.sql": get})
    one, two = Project.load_all(tmp_path)
    (renamed,) = check_release(one, "HEAD", database_url).breaks
    assert (renamed.name, renamed.path, renamed.migration) == ("release-refused", "HEAD:sql/get.sql", "")
    assert renamed.message == "column i.name does not exist"
    assert renamed.in_work_tree("schema.sql").path == "schema.sql"
    new = check_release(two, "HEAD", database_url)
    assert (new.queries, new.notes) == (0, ["HEAD has no database 'other': no query of it runs"])


def test_a_ref_without_the_project_or_in_no_clone_is_refused(
    backend: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = Project.load(backend)
    with pytest.raises(SettingsError, match=r"^v0: this project is not in it"):
        check_release(project, "v0")
    with pytest.raises(SettingsError, match=r"^v9: there is no such commit") as missing:
        check_release(project, "v9")
    assert missing.value.hint is not None
    assert "git fetch --tags" in missing.value.hint
    git(tmp_path, "clone", "-q", "--depth", "1", "--no-tags", f"file://{backend.parent}", "shallow")
    with pytest.raises(SettingsError) as shallow:
        check_release(replace(project, root=tmp_path / "shallow" / "backend"), "v0")
    assert shallow.value.hint is not None
    assert "git fetch --unshallow --tags" in shallow.value.hint
    monkeypatch.chdir(backend)
    assert main(["check", "--release", "v1.4", "--cache-map"]) == 2
    assert "expected no --cache-map with it, got both" in capsys.readouterr().err
