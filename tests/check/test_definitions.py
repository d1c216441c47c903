"""After a migration, exactly those statements are analysed again that depend on a changed definition."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import psycopg
import pytest
from psycopg import sql

from plainsql.analysis import Analyser
from plainsql.analysis.catalog.definitions import Definitions
from plainsql.check.project_check import ProjectCheck, check_project
from plainsql.settings import Project
from tests.check.conftest import Write

SCHEMA = """
create type mood as enum ('glad', 'sad');
create domain rating as int check (value > 0);
create table owners (id int primary key, name text not null);
create table notes (
  id int primary key, owner int not null references owners on delete cascade, stars rating, mood mood
);
create table pages (id int primary key, note int not null references notes on delete cascade);
create table plain (id int primary key, "Big Name" int);
create table log (id int generated always as identity, what text);
create table "Mixed Case" (id int);
create view starred as select n.id, n.stars from notes as n where n.stars is not null;
create function shout(words text) returns text language sql immutable return upper(words);
create function loud(words text) returns text language sql immutable as $$ select shout(words) $$;
create function stamp() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger stamped before insert on pages for each row execute function stamp();
"""

QUERIES = {
    "log_all": ("many value", "select l.what\nfrom log as l"),
    "loud_name": ("many value", "select loud(o.name) as name\nfrom owners as o"),
    "mixed": ("many value", 'select m.id\nfrom "Mixed Case" as m'),
    "moods": ("many value", "select n.mood\nfrom notes as n\nwhere n.mood = :mood"),
    "of_plain": ("value", "select p.id\nfrom plain as p\nwhere p.id = :id"),
    "owner_gone": ("count", "delete from owners as o\nwhere o.id = :id"),
    "page_added": ("count", "insert into pages (id, note)\nvalues (:id, :note)"),
    "size": ("value", "select pg_relation_size('notes'::regclass) as size"),
    "starry": ("many value", "select s.stars\nfrom starred as s"),
}

OF_NOTES = {"loud_name", "moods", "owner_gone", "size", "starry"}
"""Statements that depend on notes: by name, in a string, by a view, and from owners, whose deletion
deletes notes.
"""

OF_PAGES = OF_NOTES | {"page_added"}
"""Statements that depend on pages: the deletion of notes deletes them."""

# Additions of a migration to the schema, and the queries whose analysis may change.
CHANGES = {
    "nothing": ("select 1;", set()),
    "a table of its own": ("create table other (id int);", set()),
    "a column": ("alter table plain add column more int;", {"of_plain"}),
    "a column that all that reads the table leads to": (
        "alter table notes add column more int;",
        OF_NOTES,
    ),
    "an index": ("create index on log (what);", {"log_all"}),
    "an expression that the check of a foreign key may compute": (
        "create index on notes ((id + 1));",
        OF_NOTES | {"page_added"},
    ),
    "a plain index of a table that is referred to": ("create index on notes (stars);", OF_NOTES),
    "statistics": ("create statistics said on (what || 'x') from log;", {"log_all"}),
    "a constraint": ("alter table log alter column what set not null;", {"log_all"}),
    "a check": ("alter table log add check (what is not null);", {"log_all"}),
    "a comment on a column": ("comment on column log.what is 'said';", {"log_all"}),
    "a default": ("alter table log alter column what set default 'x';", {"log_all"}),
    "a trigger": (
        "create trigger late before delete on pages for each row execute function stamp();",
        OF_PAGES,
    ),
    "the body of a trigger's function": (
        """
        create or replace function stamp() returns trigger language plpgsql as $$
        begin insert into log (what) values ('x'); return new; end $$;
        """,
        OF_PAGES,
    ),
    "row-level security": ("alter table plain enable row level security;", {"of_plain"}),
    "a policy": ("create policy p on plain using (id > 1);", {"of_plain"}),
    "a rule": ("create rule r as on insert to log do also select 1;", {"log_all"}),
    "an enum's label": (
        "alter type mood add value 'so so';",
        OF_NOTES,
    ),
    "a domain's check": (
        "alter domain rating add check (value < 9);",
        OF_NOTES,
    ),
    "a view": ("create or replace view starred as select n.id, n.stars from notes as n;", {"starry"}),
    "a function that is called": (
        "create or replace function loud(words text) returns text language sql volatile return null;",
        {"loud_name"},
    ),
    "a function that is called by one": (
        "create or replace function shout(words text) returns text language sql return null;",
        {"loud_name"},
    ),
    "an overload": ("create function loud(words int) returns int language sql return 1;", {"loud_name"}),
    "an overload in another schema": (
        "create schema s; create function s.loud(words int) returns int language sql return 1;",
        set(QUERIES),  # a new schema
    ),
    "an overload of a server's function": (
        "create function pg_relation_size(int) returns int language sql return 1;",
        {"size"},
    ),
    "a table of the same name": ("create schema s; create table s.log (id int);", set(QUERIES)),
    "a name in capitals": ('alter table "Mixed Case" add column more int;', {"mixed"}),
    "an operator": (
        """
        create function differ(mood, int) returns boolean language sql return true;
        create operator <<>> (function = differ, leftarg = mood, rightarg = int);
        """,
        set(QUERIES),
    ),
    "a cast": (
        """
        create function glad(mood) returns int language sql return 1;
        create cast (mood as int) with function glad(mood);
        """,
        set(QUERIES),
    ),
    "a collation": ("create collation c (provider = 'libc', locale = 'C');", set(QUERIES)),
    "a foreign key that changes rows": (
        "alter table plain add foreign key (id) references owners on delete cascade;",
        {"loud_name", "of_plain", "owner_gone"},
    ),
    "rows": ("insert into log (what) values ('x');", {"log_all"}),
}


@pytest.fixture
def project(migrations: Write, tmp_path: Path) -> Project:
    migrations({"0001_start.sql": SCHEMA})
    folder = tmp_path / "sql" / "notes"
    folder.mkdir(parents=True)
    for name, (returns, text) in QUERIES.items():
        (folder / f"{name}.sql").write_text(f"-- It.\n-- returns: {returns}\n{text}\n")
    return Project(root=tmp_path)


def analysed(project: Project, url: str, *, no_cache: bool = False) -> tuple[ProjectCheck, set[str]]:
    """Check a project; return the result and the queries that were analysed."""
    with patch.object(Analyser, "analyse", autospec=True, side_effect=Analyser.analyse) as counted:
        found = check_project(project, url, no_cache=no_cache)
    assert [str(error) for error in found.errors] == []
    sent = [call.args[1] for call in counted.call_args_list]
    return found, {
        name
        for name, (_, text) in QUERIES.items()
        if any(each.startswith(text.split(":", maxsplit=1)[0]) for each in sent)
    }


@pytest.mark.parametrize("change", CHANGES)
def test_statements_that_a_migration_affects_are_analysed_again(
    project: Project, migrations: Write, database_url: str, change: str
) -> None:
    """The cached analyses equal those of a complete analysis."""
    text, expected = CHANGES[change]
    assert analysed(project, database_url)[1] == set(QUERIES)
    migrations({"0002_change.sql": text})
    found, again = analysed(project, database_url)
    assert again == expected
    everything, _ = analysed(project, database_url, no_cache=True)
    assert found.files == everything.files
    assert found.findings == everything.findings


@pytest.mark.parametrize(
    "text",
    [
        "select 'no'\n  'tes'::regclass",
        "select 'no'  -- half\n  -- of it\n'tes'::regclass",
        r"select e'n\157tes'::regclass",
        r'select x from U&"n\006ftes"',
        """select x from u&"n!006ftes" uescape '!'""",
    ],
)
def test_a_name_that_does_not_show_leads_everywhere(database_url: str, text: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("create schema hidden; set search_path = hidden")
        before = Definitions(connection).digest_for([text])
        connection.execute("create table hidden.notes (x int)")
        after = Definitions(connection).digest_for([text])
        connection.execute("drop schema hidden cascade")
    assert after != before


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('select x from "Two Words"', "Two Words"),
        ("select x from NOTES", "notes"),
        ("select x from a$b", "a$b"),
        ('select x from "é-b"', "é-b"),
        ('select x from "-+"', "-+"),
        (f"select x from {'n' * 70}", "n" * 63),
        ("select 'notes'::regclass", "notes"),
        ("select $tag$notes$tag$::regclass", "notes"),
    ],
)
def test_a_name_is_found_however_it_is_written(database_url: str, text: str, name: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("create schema shown")
        before, other = (Definitions(connection).digest_for([each]) for each in (text, "select 1"))
        connection.execute(sql.SQL("create table shown.{} (x int)").format(sql.Identifier(name)))
        definitions = Definitions(connection)
        connection.execute("drop schema shown cascade")
    assert definitions.digest_for([text]) != before
    assert (definitions.digest_for(["select 1"]) == other) is (name != "-+")


def test_types_have_the_oids_of_the_database_that_is_there(
    project: Project, migrations: Write, database_url: str
) -> None:
    """Two queries that share a row type are compared by it, although one may be cached and the other not."""
    folder = project.sql_folder / "notes"
    for name in ("first", "second"):
        (folder / f"{name}.sql").write_text(
            f"-- It.\n-- returns: many Felt\nselect n.id, n.mood\nfrom notes as n\nwhere n.id > :{name}\n"
        )
    check_project(project, database_url)
    migrations({"0002_change.sql": "create table other (id int);"})
    (folder / "second.sql").write_text((folder / "second.sql").read_text().replace(">", "<"))
    assert check_project(project, database_url).errors == ()
