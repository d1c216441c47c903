"""Migrations that are marked up to one: the database must have what they create."""

from __future__ import annotations

import pytest

from plainsql import migrate
from plainsql.cli.app import main
from plainsql.errors import MigrationError
from tests.migrate.conftest import Query, Write

FILES = {
    "0001_people.sql": """
create extension if not exists citext;
create schema s;
create type mood as enum ('glad', 'sad');
create table people (
  id bigint generated always as identity primary key,
  name text not null default 'x',
  feels mood,
  boss bigint references people (id),
  constraint named check (name <> '')
);
create table gone (id int);
""",
    "0002_more.sql": """
drop table gone;
create index people_name on people (name);
create view glad as select p.id from people as p where p.feels = 'glad';
create function one() returns int language sql as 'select 1';
create function fires() returns trigger language plpgsql as 'begin return new; end';
create trigger fires before insert on people for each row execute function fires();
alter table people enable row level security;
create policy own on people using (name = current_user);
create sequence counter;
""",
    "0003_later.sql": "create table later (id int);",
}


@pytest.fixture
def marked(write: Write, fresh_database_url: str, query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that has what 0001 and 0002 create, made by no migration, with more of its own."""
    monkeypatch.setenv("DATABASE_URL", fresh_database_url)
    monkeypatch.setenv("PLAINSQL_SCRATCH_URL", fresh_database_url)
    folder = write(FILES)
    assert folder.name == "migrations"
    for name in ("0001_people.sql", "0002_more.sql"):
        query(FILES[name])
    query("create table alembic_version (version_num text); grant select on people to public")


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str], str]:
    capfd.readouterr()
    code = main(["migrate", "mark", *arguments])
    out, err = capfd.readouterr()
    return code, out.splitlines(), err


@pytest.mark.usefixtures("marked")
def test_a_database_that_has_all_is_marked(
    capfd: pytest.CaptureFixture[str], fresh_database_url: str, write: Write, query: Query
) -> None:
    lines = ["0001_people: applied (was: pending)", "0002_more: applied (was: pending)"]
    assert run(capfd, "--to", "0002", "--dry-run") == (0, [*lines, "nothing was recorded"], "")
    assert run(capfd, "--to", "0002", "--yes") == (0, lines, "")
    states = [item.state for item in migrate.status(fresh_database_url, write({})).migrations]
    assert states == ["applied", "applied", "pending"]
    assert migrate.apply(fresh_database_url, write({})).done == ("0003_later",)
    assert run(capfd, "--to", "0002", "--yes") == (
        2,
        [],
        (
            "0002_more: applied is already recorded of it and of all before it\n"
            "HINT: see 'plainsql migrate status'\n"
        ),
    )


@pytest.mark.usefixtures("marked")
@pytest.mark.parametrize(
    ("change", "lines"),
    [
        ("drop table people cascade", None),
        (
            "alter table people alter name drop not null",
            [
                (
                    "table public.people: expected column name text not null default 'x'::text, "
                    "got column name text default 'x'::text"
                )
            ],
        ),
        (
            "alter table people alter name drop default",
            [
                (
                    "table public.people: expected column name text not null default 'x'::text, "
                    "got column name text not null"
                )
            ],
        ),
        (
            "alter table people drop column boss",
            [
                "table public.people: expected column boss bigint, got none",
                (
                    "table public.people: expected constraint people_boss_fkey FOREIGN KEY (boss) REFERENCES "
                    "public.people(id), got none"
                ),
            ],
        ),
        (
            "alter table people add column extra int not null",
            ["table public.people: expected no column extra, got column extra integer not null"],
        ),
        (
            "alter table people drop constraint named",
            ["table public.people: expected constraint named CHECK ((name <> ''::text)), got none"],
        ),
        (
            "alter table people disable row level security",
            ["table public.people: expected row level security, got none"],
        ),
        ("drop index people_name", ["index public.people_name: expected it, got none"]),
        ("drop view glad", ["view public.glad: expected it, got none"]),
        (
            "create or replace view glad as select p.id from people as p where p.feels = 'sad'",
            ["view public.glad: its definition is another one"],
        ),
        ("drop function one()", ["function public.one(): expected it, got none"]),
        (
            "create or replace function one() returns int language sql as 'select 2'",
            ["function public.one(): its definition is another one"],
        ),
        ("drop trigger fires on people", ["trigger fires on public.people: expected it, got none"]),
        ("drop policy own on people", ["policy own on public.people: expected it, got none"]),
        ("drop sequence counter", ["sequence public.counter: expected it, got none"]),
        ("drop schema s", ["schema s: expected it, got none"]),
        ("alter type mood add value 'calm'", None),
        ("drop extension citext", ["extension citext: expected it, got none"]),
    ],
)
def test_what_the_database_lacks_is_said_in_lines(
    capfd: pytest.CaptureFixture[str],
    fresh_database_url: str,
    write: Write,
    query: Query,
    change: str,
    lines: list[str] | None,
) -> None:
    query(change)
    code, out, err = run(capfd, "--to", "0002", "--yes")
    assert (code, err) == (1, "nothing was recorded\n")
    if lines is None:
        assert out
    else:
        assert out == lines
    assert not migrate.status(fresh_database_url, write({})).having("applied")
    assert run(capfd, "--to", "0002", "--yes", "--force")[0] == 0
    assert len(migrate.status(fresh_database_url, write({})).having("applied")) == 2


@pytest.mark.usefixtures("marked")
def test_owners_and_the_order_of_columns_are_no_difference(
    capfd: pytest.CaptureFixture[str], query: Query
) -> None:
    query("alter table people drop column feels cascade; alter table people add column feels mood")
    query("create view glad as select p.id from people as p where p.feels = 'glad'")
    query("create role other; alter table people owner to other")
    try:
        assert run(capfd, "--to", "0002", "--yes")[0] == 0
    finally:
        query("drop owned by other cascade; drop role other")


@pytest.mark.usefixtures("marked")
def test_a_name_or_to_is_needed_and_not_both(capfd: pytest.CaptureFixture[str]) -> None:
    for words in ((), ("0001", "--to", "0002")):
        assert run(capfd, *words, "--yes") == (
            2,
            [],
            "expected the name of a migration, or --to with the last one\nHINT: give one of them\n",
        )
    assert run(capfd, "--to", "0002", "--not-applied", "--yes")[0] == 2


def test_only_the_layer_of_the_last_one_is_marked(
    write: Write, fresh_database_url: str, query: Query
) -> None:
    folder = write({"a/0001_x.sql": "create table x ();", "b/0001_y.sql": "create table y ();"})
    assert [mark.name for mark in migrate.mark(fresh_database_url, folder, to="b/0001")] == ["b/0001_y"]
    with pytest.raises(MigrationError, match="expected one of name and to"):
        migrate.mark(fresh_database_url, folder)
    with pytest.raises(MigrationError, match="'0001' means a/0001_x, b/0001_y"):
        migrate.mark(fresh_database_url, folder, to="0001")
