"""The findings about cached queries, and the map of writes that make them stale."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from plainsql.cache_times import cache_times
from plainsql.check.cache_map import CacheEntry, Invalidation, invalidations
from plainsql.check.project_check import ProjectCheck, check_project
from plainsql.settings import Project

SCHEMA = """
create table notes (id bigint primary key, author bigint not null, text text not null);
create index on notes (author);
create table tallies (author bigint primary key, notes integer not null);
create function tally() returns trigger language plpgsql as $$
begin
  update tallies set notes = tallies.notes + 1 where tallies.author = new.author;
  return null;
end $$;
create function peek() returns bigint language sql stable as 'select count(*) from notes';
"""
TRIGGER = "create trigger tally after insert on notes for each row execute function tally();\n"
DECLARED = "comment on function tally() is 'plainsql: writes tallies';\n"
READ = """\
-- Theirs.
-- returns: many value
-- cache: 5m
select n.id
from notes as n
where n.author = :author
"""
ADD = """\
-- Add one.
-- returns: count
insert into notes (id, author, text)
values (:id, :author, :text)
"""
REMOVE = """\
-- Remove one.
-- returns: count
delete from notes as n
where n.id = :id
"""
COUNT = """\
-- How many.
-- returns: optional value
-- cache: 1h
select t.notes
from tallies as t
where t.author = :author
"""
Check = Callable[..., ProjectCheck]


@pytest.fixture
def check(tmp_path: Path, database_url: str) -> Check:
    """Check queries of one folder, by name, on the tables above and the migrations given."""

    def run(more: str = "", **queries: str) -> ProjectCheck:
        files = {f"sql/notes/{name}.sql": text for name, text in queries.items()}
        for name, text in {"migrations/0001_notes.sql": SCHEMA + more, **files}.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return check_project(Project(root=tmp_path), database_url)

    return run


def said(found: ProjectCheck) -> list[tuple[str, str, int]]:
    return [
        (Path(problem.path).name, problem.name, problem.line) for problem in (*found.errors, *found.findings)
    ]


def test_the_map_lists_stale_reads_by_write_and_the_rows_spared(check: Check) -> None:
    found = check(theirs=READ, add=ADD, remove=REMOVE)
    assert said(found) == []
    assert invalidations(found.inspection.checked) == [
        CacheEntry(
            "notes.theirs",
            300.0,
            ("public.notes where author = :author",),
            (
                Invalidation("notes.add", ("public.notes",), ("author",)),
                Invalidation("notes.remove", ("public.notes",)),
            ),
        )
    ]


def test_the_map_has_the_times_that_the_project_sets(check: Check) -> None:
    checked = check(theirs=READ).inspection.checked
    for value, ttl in (("30m", 1800.0), ("off", None)):
        [entry] = invalidations(checked, cache_times({"*.theirs": value}))
        assert (entry.ttl, entry.header_ttl) == (ttl, 300.0)
        assert entry.set_by == '[tool.plainsql.cache] "*.theirs"'
    [entry] = invalidations(checked, cache_times({"others": "30m"}))
    assert (entry.ttl, entry.header_ttl, entry.set_by) == (300.0, None, "")


def test_an_unknown_trigger_is_a_finding_if_a_query_is_cached(check: Check) -> None:
    assert said(check(TRIGGER, add=ADD)) == []
    found = check(TRIGGER, add=ADD, tallies=COUNT)
    assert said(found) == [("add.sql", "hidden-writes", 3)]
    (entry,) = invalidations(found.inspection.checked)
    assert entry.invalidated == (Invalidation("notes.add", ("public.tallies",)),)


def test_the_annotation_of_a_function_is_trusted(check: Check) -> None:
    found = check(TRIGGER + DECLARED, add=ADD, tallies=COUNT, theirs=READ)
    assert said(found) == []
    tallies, theirs = invalidations(found.inspection.checked)
    assert tallies.invalidated == (Invalidation("notes.add", ("public.tallies",)),)
    assert theirs.invalidated == (Invalidation("notes.add", ("public.notes",), ("author",)),)


@pytest.mark.parametrize(("name", "call"), [("cache-unsteady", "now()"), ("cache-untracked", "peek()")])
def test_no_code_caches_results_that_differ_from_call_to_call(check: Check, name: str, call: str) -> None:
    sql = f"-- It.\n-- returns: value\n-- cache: 5m\nselect {call} as it\n"
    found = check(it=sql)
    assert [problem.name for problem in found.errors] == [name]
    assert name not in {problem.name for problem in found.findings}
    allowed = check(it=sql.replace("5m\n", f"5m\n-- allow: {name}: five minutes do no harm\n"))
    assert not allowed.errors
    assert any("CachedRead(300" in text for text in allowed.files.values())


def test_a_setting_that_is_read_is_part_of_the_cache_key(check: Check) -> None:
    sql = "-- It.\n-- returns: value\n-- cache: 5m\nselect current_setting('app.region', true) as it\n"
    found = check(it=sql)
    assert said(found) == []
    (text,) = (text for text in found.files.values() if "CachedRead(" in text)
    assert 'cache=CachedRead(300, (), scoped=True, settings=("app.region",))' in text


def test_a_header_may_allow_hidden_writes(check: Check) -> None:
    allowed = ADD.replace("count\n", "count\n-- allow: hidden-writes: it runs once a year\n", 1)
    assert said(check(TRIGGER, add=allowed, tallies=COUNT)) == []
    # If nothing is cached there is nothing to allow.
    assert said(check(TRIGGER, add=allowed, tallies=COUNT.replace("-- cache: 1h\n", ""))) == [
        ("add.sql", "allow", 3)
    ]


@pytest.mark.parametrize("name", ["cache-unsteady", "cache-untracked"])
def test_only_a_cached_query_has_findings_about_dependencies(check: Check, name: str) -> None:
    call = {"cache-unsteady": "random()", "cache-untracked": "peek()"}[name]
    sql = f"-- It.\n-- returns: value\nselect\n  {call} as it\n"
    assert said(check(it=sql)) == []
    place = {"cache-unsteady": 5, "cache-untracked": 4}[name]
    assert said(check(it=sql.replace("value\n", "value\n-- cache: 5m\n"))) == [("it.sql", name, place)]


@pytest.mark.parametrize(
    ("sql", "because"),
    [
        ("insert into notes (id, author, text)\nvalues (1, 1, '')\nreturning id", "it writes"),
        ("select n.id\nfrom notes as n\nwhere n.id = 1\nfor update", "row locks"),
        ("select nextval('tickets') as id", "nextval(regclass) may write"),
    ],
)
def test_only_a_proved_read_can_be_cached(check: Check, sql: str, because: str) -> None:
    found = check("create sequence tickets;", it=f"-- It.\n-- returns: optional value\n-- cache: 5m\n{sql}\n")
    (error,) = found.errors
    assert (error.name, error.line, error.column) == ("contract", 3, 4)
    assert error.message == f"notes.it: its header caches it, and it is not proved to only read: {because}"
    assert error.hint


@pytest.mark.parametrize(
    ("sql", "because"),
    [
        ("insert into notes (id, author, text)\nvalues (1, 1, '')\nreturning id", "it writes"),
        ("select n.id\nfrom notes as n\nwhere n.id = 1\nfor update", "row locks"),
        ("select nextval('tickets') as id", "nextval(regclass) may write"),
        ("select 1 as id\nfrom pg_advisory_lock(1) as l", "pg_advisory_lock(bigint) may write"),
        ("select n.id\nfrom notes as n\nwhere n.id = 1 and random() > 0.5", "it calls a volatile function"),
    ],
)
def test_only_a_proved_read_can_run_on_replicas(check: Check, sql: str, because: str) -> None:
    header = "-- It.\n-- returns: optional value\n-- replica: yes\n"
    found = check("create sequence tickets;", it=f"{header}{sql}\n")
    (error,) = found.errors
    assert (error.name, error.line, error.column) == ("contract", 3, 4)
    expected = "notes.it: its header sends it to replicas, and it is not proved to only read: "
    assert error.message.startswith(f"{expected}{because}")


def test_generated_code_has_the_lag_of_its_header(check: Check) -> None:
    select = "select n.id\nfrom notes as n\nwhere n.id = 1\n"
    found = check(
        "",
        far=f"-- It.\n-- returns: optional value\n-- replica: yes\n{select}",
        near=f"-- It.\n-- returns: optional value\n-- replica: yes, lag 250ms\n{select}",
    )
    (source,) = (text for text in found.files.values() if "def near" in text)
    assert "replica=10.0" in source
    assert "replica=0.25" in source


def test_generated_code_has_the_derived_dependencies(check: Check) -> None:
    found = check(TRIGGER + DECLARED, add=ADD, theirs=READ.replace("5m", "5m, local 1.5s, no negative"))
    (source,) = (text for text in found.files.values() if "def add" in text)
    assert "from plainsql.dependencies import CachedRead, Change, Dependency\n" in source
    assert (
        '""", read_only=True, session_clean=True, cache=CachedRead(300, (\n'
        '    Dependency("public.notes", "author", "author"),\n'
        "), local=1.5, negative=False))\n"
    ) in source
    assert (
        "changes=(\n"
        '    Change("public.notes", (("author", "parameter", "author"), ("id", "parameter", "id"))),\n'
        '    Change("public.tallies"),\n'
        "))\n"
    ) in source
