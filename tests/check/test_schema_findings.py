"""Functions that run with their owner's rights: reported at their migration, unless it allows them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from plainsql.analysis.findings.definer_findings import search_path_names
from plainsql.check.problems import Problem
from plainsql.check.project_check import check_project
from plainsql.settings import Project

Find = Callable[..., list[Problem]]
SAFE = "set search_path = pg_catalog, app, pg_temp"
START = "create schema app;\ncreate table app.t (a int);\n"


@pytest.fixture
def find(tmp_path: Path, database_url: str) -> Find:
    """Check migrations, with one query that is correct, and return the problems."""

    def run(*migrations: str, files: Mapping[str, str] | None = None) -> list[Problem]:
        texts = {
            "sql/notes/it.sql": "-- It.\n-- returns: value\nselect 1::int as one\n",
            **{f"migrations/{number:04}_it.sql": text for number, text in enumerate(migrations, 1)},
            **(files or {}),
        }
        shutil.rmtree(tmp_path / "migrations", ignore_errors=True)
        for name, text in texts.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        found = check_project(Project(root=tmp_path), database_url)
        assert found.errors == ()
        return list(found.findings)

    return run


def definer(setting: str, name: str = "app.f(a integer)", kind: str = "function") -> str:
    returns = "" if kind == "procedure" else "returns int "
    body = "begin perform 1; end" if kind == "procedure" else "begin return a; end"
    return f"create {kind} {name} {returns}language plpgsql security definer {setting} as $$ {body} $$;\n"


@pytest.fixture(scope="module")
def role(database_url: str) -> Generator[str]:
    """A role that may create in a schema if a migration grants it."""
    name = f"findings_{uuid4().hex[:12]}"
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(f"create role {name}".encode())
        try:
            yield name
        finally:
            # The scratch database that grants something to the role goes with the next state of the
            # migrations.
            scratch = admin.execute(
                "select datname from pg_database where starts_with(datname, 'plainsql_scratch_')"
            ).fetchall()
            for (database,) in scratch:
                shared = admin.execute(
                    "select from pg_shdepend as s inner join pg_database as d on d.oid = s.dbid "
                    "where d.datname = %s and s.refobjid = %s::regrole",
                    [database, name],
                ).fetchall()
                if shared:
                    admin.execute(f'drop database "{database}" with (force)'.encode())
            admin.execute(f"drop role {name}".encode())


WRONG = {
    "": "sets no search_path",
    "set search_path = ''": "does not end in pg_temp",
    "set search_path = pg_catalog": "does not end in pg_temp",
    "set search_path = app": "does not end in pg_temp",
    "set search_path to pg_catalog, public": "does not end in pg_temp",
    "set search_path from current": "does not end in pg_temp",
    "set search_path = 'pg_catalog, pg_temp'": "does not end in pg_temp",
    "set search_path = pg_temp": "",
    "set search_path = pg_temp, app": "names pg_temp before the end",
    "set search_path = pg_temp, pg_catalog, pg_temp": "names pg_temp before the end",
    'set search_path = pg_catalog, "PG_TEMP"': "does not end in pg_temp",
    'set search_path = "$user", pg_catalog, pg_temp': "names $user",
    "set search_path = pg_catalog, nowhere, pg_temp": 'names "nowhere", and there is no such schema',
    "set work_mem = '8MB'": "sets no search_path",
    SAFE: "",
    "set search_path = pg_catalog, public, pg_temp": "",
    "set search_path = app, pg_catalog, pg_temp": "",
}


@pytest.mark.parametrize("setting", WRONG)
def test_a_search_path_is_read_as_postgresql_reads_it(find: Find, setting: str) -> None:
    found = find(START + definer(setting))
    if not WRONG[setting]:
        assert found == []
        return
    (finding,) = found
    assert finding.name == "definer-search-path"
    assert "function app.f(a integer) is security definer, and" in finding.message
    assert WRONG[setting] in finding.message
    assert (finding.line, finding.column) == (3, 1)
    assert finding.path.endswith("migrations/0001_it.sql")
    assert finding.excerpt.startswith("create function app.f(a integer)")
    # Doing what the hint says is enough.
    assert finding.hint is not None
    assert find(START + definer(setting), finding.hint.removeprefix("in a new migration: ") + ";") == []


@pytest.mark.parametrize("grantee", ["public", "role"])
def test_a_schema_open_to_other_roles_is_named_with_them(find: Find, role: str, grantee: str) -> None:
    who = role if grantee == "role" else "public"
    text = START + definer(SAFE) + f"grant create on schema app to {who};\n"
    (finding,) = find(text)
    said = f"the role {role}" if grantee == "role" else "every role"
    assert f"its search_path names app, in which {said} may create" in finding.message
    assert finding.hint is not None
    assert finding.hint.endswith("set search_path = pg_catalog, pg_temp")
    # After pg_catalog it is still searched, for all that pg_catalog does not have.
    assert find(text + f"revoke create on schema app from {who};\n") == []


def test_the_owner_may_create_in_its_functions_search_path(find: Find, role: str) -> None:
    text = (
        START + definer(SAFE) + f"grant create on schema app to {role};\n"
        f"alter function app.f(integer) owner to {role};\n"
    )
    assert find(text) == []


def test_several_reasons_are_one_finding(find: Find) -> None:
    (finding,) = find(
        "grant create on schema public to public;\n" + START + definer("set search_path = public, gone")
    )
    assert "does not end in pg_temp" in finding.message
    assert finding.detail is not None
    assert 'names public, in which every role may create; its search_path names "gone"' in finding.detail


def test_procedures_atomic_bodies_and_functions_of_any_name(find: Find) -> None:
    found = find(
        START
        + definer("", kind="procedure", name="app.p()")
        + definer("", name='app."it\'s ""F"""("A" int)').replace("return a", 'return "A"')
        + "create function app.g() returns int language sql security definer return 1;\n"
        + "create function app.mine() returns int language plpgsql as $$ begin return 1; end $$;\n"
    )
    assert [(each.line, each.message.partition(" is ")[0]) for each in found] == [
        (3, "procedure app.p()"),
        (4, 'function app."it\'s ""F"""("A" integer)'),
        (5, "function app.g()"),
    ]
    hints = [(each.hint or "").removeprefix("in a new migration: ") + ";" for each in found]
    assert find(*[START + "".join(each.excerpt + "\n" for each in found)], "\n".join(hints)) == []


def test_functions_of_extensions_are_theirs(find: Find) -> None:
    assert find("create extension pg_stat_statements;\ncreate extension vector;\n") == []


# Places ----------------------------------------------------------------------------------------------------


def places(found: list[Problem]) -> list[tuple[str, int]]:
    return [(Path(each.path).name, each.line) for each in found]


def test_the_place_is_the_statement_that_last_made_it_so(find: Find) -> None:
    created = START + definer(SAFE)
    assert places(find(created, "-- Again.\n" + definer("").replace("create", "create or replace"))) == [
        ("0002_it.sql", 2)
    ]
    assert places(find(created, "alter function app.f(int) reset search_path;")) == [("0002_it.sql", 1)]
    assert places(find(created, "\nalter function app.f set search_path = app;")) == [("0002_it.sql", 2)]
    assert places(
        find(
            created.replace("security definer ", "").replace(SAFE, ""),
            "comment on function app.f(int) is 'x';\nalter function app.f(int) security definer;",
        )
    ) == [("0002_it.sql", 2)]
    # A statement that does not change the function is not its place.
    assert places(find(START + definer(""), "alter function app.f(int) owner to current_user;")) == [
        ("0001_it.sql", 3)
    ]


def test_of_overloads_each_has_its_own_place(find: Find) -> None:
    one, two = definer(""), definer("", name="app.f(a text)").replace("return a", "return 0")
    assert places(find(START + one + two)) == [("0001_it.sql", 3), ("0001_it.sql", 4)]


def test_a_renamed_or_moved_function_is_found_by_its_body(find: Find) -> None:
    moved = (
        "alter function app.f(int) rename to g; create schema other;"
        "alter function app.g(int) set schema other;"
    )
    assert places(find(START + definer(""), moved)) == [("0001_it.sql", 3)]


def test_a_function_made_at_run_time_is_found_by_name_or_folder(find: Find) -> None:
    made = (
        "do $do$ begin execute 'create function app.{} {}' || $f$ as $$ begin return 1; end $$ $f$; end $do$;"
    )
    clause = "returns int language plpgsql security definer"
    assert places(find(START + made.format("f()", clause))) == [("0001_it.sql", 3)]
    hidden = made.format("' || 'f' || '()", clause.replace("definer", "' || 'definer"))
    hidden = hidden.replace("return 1", "ret$f$ || $f$urn 1")
    assert places(find(START + hidden)) == [("migrations", 0)]


def test_layers_have_places_too(find: Find) -> None:
    found = find(files={"migrations/app/0001_it.sql": START + definer("")})
    assert places(found) == [("0001_it.sql", 3)]
    assert found[0].path.endswith("migrations/app/0001_it.sql")


# Allowances ------------------------------------------------------------------------------------------------

ALLOW = "-- allow: definer-search-path: superusers alone may call it\n"


def test_a_comment_above_the_statement_allows_it_and_no_other(find: Find) -> None:
    other = definer("", name="app.g(a integer)")
    assert places(find(START + ALLOW + "-- Why.\n" + definer("") + other)) == [("0001_it.sql", 6)]
    assert places(find(ALLOW + START + definer(""))) == [("0001_it.sql", 4)]


def test_a_later_migration_may_allow_a_function_of_an_applied_one(find: Find) -> None:
    allowed = f"{ALLOW}alter function app.f(integer) security definer;\n"
    assert find(START + definer(""), allowed) == []


def test_an_allowance_that_is_no_longer_needed_is_no_problem(find: Find) -> None:
    assert find(START + ALLOW + definer(""), f"alter function app.f(int) {SAFE};") == []


def test_an_allowance_of_another_finding_allows_nothing(find: Find) -> None:
    for line, said in {
        "-- allow: definer-serch-path: x": "there is no finding 'definer-serch-path'",
        "-- allow: unbounded: x": "'unbounded' is a finding of queries: nothing in a migration has it",
        "-- allow: definer-search-path": "the reason why definer-search-path is allowed is missing",
        "-- allow: definer-search-path:": "the reason why definer-search-path is allowed is missing",
    }.items():
        found = find(START + line + "\n" + definer(""))
        assert [(each.name, each.line) for each in found] == [("allow", 3), ("definer-search-path", 4)]
        assert found[0].message == said
        assert found[0].hint


# Triggers --------------------------------------------------------------------------------------------------

TRIGGER = (
    "create function app.log() returns trigger language plpgsql security definer "
    f"{SAFE} as $$ begin return null; end $$;\n"
)


def test_a_trigger_function_that_any_role_may_attach_is_found(find: Find) -> None:
    reached = START + "grant usage on schema app to public;\n"
    (finding,) = find(reached + TRIGGER)
    assert finding.name == "definer-trigger"
    assert finding.message == (
        "function app.log() is security definer, and any role may make it the trigger of a table of its own"
    )
    assert finding.line == 4
    assert finding.hint == "in a new migration: revoke all on function app.log() from public"
    assert find(reached + TRIGGER, finding.hint.removeprefix("in a new migration: ") + ";") == []
    assert (
        find(reached + "-- allow: definer-trigger: it writes what it is given, to be seen\n" + TRIGGER) == []
    )
    # No role may use the schema; it is not a trigger function.
    assert find(START + TRIGGER) == []
    assert find(reached + definer(SAFE)) == []


# Cascades --------------------------------------------------------------------------------------------------

CASCADE = """
create schema app;
create table app.owners (id int primary key);
create table app.pets (id int primary key, owner_id int references app.owners {action});
create table app.toys (id int primary key, pet_id int references app.pets on delete cascade);
create function app.touch() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger touch before {event} on app.{table} for each row execute function app.touch();
grant {right} on app.owners to {role};
"""
CASCADED = {
    "set null": ("on delete set null", "update", "pets", "delete", True),
    "set default": ("on delete set default", "update", "pets", "delete", True),
    "delete": ("on delete cascade", "delete", "pets", "delete", True),
    "two steps": ("on delete cascade", "insert or delete", "toys", "delete", True),
    "key": ("on update cascade", "update", "pets", "update", True),
    "key, by column": ("on update cascade", "update", "pets", "update (id)", True),
    "event": ("on delete cascade", "insert or update", "pets", "delete", False),
    "step": ("on delete set null", "delete", "toys", "delete", False),
    "right": ("on delete cascade", "delete", "pets", "select, insert, update", False),
    "action": ("", "update or delete", "pets", "delete, update", False),
    "side": ("on delete cascade", "delete", "owners", "delete", False),
}


@pytest.mark.parametrize("case", CASCADED)
def test_triggers_that_a_foreign_key_fires_as_the_owner(find: Find, role: str, case: str) -> None:
    action, event, table, right, is_found = CASCADED[case]
    text = CASCADE.format(action=action, event=event, table=table, right=right, role=role)
    found = find(text)
    if not is_found:
        assert found == []
        return
    (finding,) = found
    assert finding.name == "definer-search-path"
    assert finding.message.startswith(
        f"function app.touch() is a trigger of app.{table}, which a foreign key changes as its owner, and"
    )
    assert finding.line == 6
    assert (
        finding.hint == "in a new migration: alter function app.touch() set search_path = pg_catalog, pg_temp"
    )
    assert find(text, finding.hint.removeprefix("in a new migration: ") + ";") == []
    assert find(text.replace("create function", f"{ALLOW}create function")) == []


def test_the_finding_of_a_cascade_is_real(database_url: str, role: str) -> None:
    """A role that may delete an owner runs as the owner of the pets' table, by a type of its own."""
    text = CASCADE.format(
        action="on delete set null", event="update", table="pets", right="delete, select", role=role
    ).replace("as $$ begin", "as $$ declare x text := 'x'; begin")
    attack = """
        create function pg_temp.own(value pg_catalog.text) returns boolean language plpgsql as $$
        begin
          raise notice 'runs as %', current_user;
          return true;
        end
        $$;
        create domain pg_temp.text as pg_catalog.text check (pg_temp.own(value));
    """
    told: list[str] = []
    with psycopg.connect(database_url) as connection:
        connection.add_notice_handler(lambda notice: told.append(notice.message_primary or ""))
        (owner,) = connection.execute("select current_user::text").fetchone() or ("",)
        connection.execute(text.encode())
        connection.execute(
            "insert into app.owners values (1), (2); insert into app.pets values (1, 1), (2, 2)"
        )
        connection.execute(f"grant usage on schema app to {role}; set role {role}".encode())
        connection.execute(attack.encode())
        connection.execute("delete from app.owners where id = 1")
        assert told == [f"runs as {owner}"]
        connection.execute("reset role")
        connection.execute("alter function app.touch() set search_path = pg_catalog, pg_temp")
        connection.execute(f"set role {role}".encode())
        connection.execute("delete from app.owners where id = 2")
        assert told == [f"runs as {owner}"]
        connection.rollback()


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ('""', [""]),
        ("pg_catalog, pg_temp", ["pg_catalog", "pg_temp"]),
        ('"$user", public', ["$user", "public"]),
        ('"a, b", "c""d",E', ["a, b", 'c"d', "e"]),
        ("", []),
    ],
)
def test_the_names_of_a_search_path(path: str, names: list[str]) -> None:
    assert search_path_names(path) == names
