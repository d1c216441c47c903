"""Triggers that note writes: for tables and columns of any name, and with no rights to be had from them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from plainsql.cache.outbox_triggers import function_body, migration
from tests.layers.isolation import application_url

NAMES = [
    "$$",
    "$body1$ $body2$",
    "a$$b$body1$c",
    "it's",
    'a "quoted" name',
    "'); drop table users; --",
    "line\nend; select 1/0; --",
    "\r\nreturn",
    "back\\slash",
    "\\'",
    "tab\t",
    "/* comment",
    "-- comment",
    "%s %",
    "{} {0}",
    ":name",
    "$1",
    "ñandú 🦩 \u202e",
    "UPPER",
    "tg_op",
    "found",
    "new",
    "old",
    "new_rows",
    "n",
    "r",
    "select",
    "left",
    "system_user",
    "x" * 63,
    "🦩" * 15,
]


def run(connection: psycopg.Connection[Any], text: str) -> None:
    connection.execute(text.encode())


def write(connection: psycopg.Connection[Any], table: sql.Composable, columns: Sequence[str]) -> None:
    """Insert, update and delete a row, and truncate the table, in four statements."""
    identifiers = [sql.Identifier(column) for column in columns]
    listed = sql.SQL(", ").join(identifiers)
    values = sql.SQL(", ").join([sql.Literal("one")] * len(columns))
    assigned = sql.SQL(", ").join(sql.SQL("{} = 'two'").format(each) for each in identifiers)
    connection.execute(sql.SQL("insert into {} ({}) values ({})").format(table, listed, values))
    connection.execute(sql.SQL("update {} set {}").format(table, assigned))
    connection.execute(sql.SQL("delete from {}").format(table))
    connection.execute(sql.SQL("truncate {}").format(table))


def notes(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select o.table_name, o.known from plainsql.cache_outbox as o order by o.id"
    ).fetchall()


def noted(table: str, columns: Sequence[str]) -> list[tuple[str, dict[str, list[str]]]]:
    both = ["one", "two"]
    return [(table, {column: list(values) for column in columns}) for values in (["one"], both, ["two"])] + [
        (table, {})
    ]


@pytest.mark.parametrize("conforming", ["on", "off"])
def test_columns_of_any_name(fresh_database_url: str, conforming: str) -> None:
    columns = [name for name in NAMES if len(name.encode()) <= 63]
    table = sql.Identifier("public", "t")
    made = migration({"public.t": columns})
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        listed = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(each)) for each in columns)
        connection.execute(sql.SQL("create table {} ({})").format(table, listed))
        run(connection, made.apply)
        # Those who fire the triggers say how a string without an E is read.
        run(connection, f"set standard_conforming_strings = {conforming}; set backslash_quote = on")
        write(connection, table, columns)
        assert notes(connection) == noted("public.t", columns)
        run(connection, "set standard_conforming_strings = on")
        run(connection, made.rollback)
        assert connection.execute("select to_regclass('plainsql.cache_outbox')").fetchone() == (None,)


@pytest.mark.parametrize("name", [name for name in NAMES if "." not in name])
def test_tables_and_schemas_of_any_name(fresh_database_url: str, name: str) -> None:
    table = sql.Identifier(name, name)
    made = migration({f"{name}.{name}": [name]})
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("create schema {}").format(sql.Identifier(name)))
        connection.execute(sql.SQL("create table {} ({} text)").format(table, sql.Identifier(name)))
        run(connection, made.apply)
        write(connection, table, [name])
        assert notes(connection) == noted(f"{name}.{name}", [name])
        # The function is replaced under the name that it has, by its own definition.
        found = connection.execute(
            "select pg_get_functiondef(p.oid), p.prosrc from pg_proc as p "
            "where p.pronamespace = 'plainsql'::regnamespace"
        ).fetchone()
        assert found is not None
        assert found[1] == function_body(f"{name}.{name}", [name])
        again = migration({f"{name}.{name}": []}, before={f"{name}.{name}": found[0]})
        run(connection, again.apply)
        connection.execute(sql.SQL("insert into {} values ('x')").format(table))
        assert notes(connection)[-1] == (f"{name}.{name}", {})
        run(connection, again.rollback)
        connection.execute(sql.SQL("insert into {} values ('x')").format(table))
        assert notes(connection)[-1] == (f"{name}.{name}", {name: ["x"]})
        run(connection, made.rollback)


def test_an_outbox_of_any_name(fresh_database_url: str) -> None:
    made = migration({"public.t": ["a"]}, outbox='$$ it\'s\n.\\ "box"')
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        run(connection, "create table t (a text)")
        run(connection, made.apply)
        run(connection, "insert into t values ('x')")
        box = sql.Identifier("$$ it's\n", '\\ "box"')
        found = connection.execute(sql.SQL("select o.known from {} as o").format(box)).fetchall()
        assert found == [({"a": ["x"]},)]
        run(connection, made.rollback)


def test_every_table_has_a_function_of_its_own(fresh_database_url: str) -> None:
    long = "t" * 60
    tables = ["a_b.c", "a.b_c", f"a.{long}_1", f"a.{long}_2", f"a.{'🦩' * 15}x", f"a.{'🦩' * 15}y"]
    made = migration({table: ["id"] for table in tables})
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        run(connection, "create schema a; create schema a_b")
        for table in tables:
            place = sql.Identifier(*table.split("."))
            connection.execute(sql.SQL("create table {} (id text)").format(place))
        run(connection, made.apply)
        for table in tables:
            connection.execute(
                sql.SQL("insert into {} values ('x')").format(sql.Identifier(*table.split(".")))
            )
        assert notes(connection) == [(table, {"id": ["x"]}) for table in tables]
        run(connection, made.rollback)


BEFORE = """
create schema if not exists plainsql;
create table if not exists plainsql.cache_outbox (
  id bigint generated always as identity primary key,
  table_name text not null,
  known jsonb not null,
  noted_at timestamptz not null default now()
);
create or replace function plainsql.note_public_t() returns trigger
language plpgsql security definer set search_path = pg_catalog as $$
begin
  if tg_op = 'INSERT' then
    insert into plainsql.cache_outbox (table_name, known)
    select 'public.t', '{}'::jsonb
    from (select 1 as changed from new_rows) as r
    having count(*) > 0;
  end if;
  return null;
end
$$;
create trigger note_for_cache_insert
after insert on public.t referencing new table as new_rows
for each statement execute function plainsql.note_public_t();
"""
"""The migration of an earlier version, for one event."""
ATTACKS = {
    name: f"""
        create function pg_temp.own(value {of}) returns boolean language plpgsql as $$
        begin
          raise notice 'runs as %', current_user;
          return true;
        end
        $$;
        {create};
        insert into public.t values ('x')
    """
    for name, of, create in (
        ("a type", "jsonb", "create domain pg_temp.jsonb as pg_catalog.jsonb check (pg_temp.own(value))"),
        ("a table", "text", "create temporary table cache_outbox (table_name text check (pg_temp.own('')))"),
        (
            "a function",
            "text",
            "create function pg_temp.count() returns bigint return case when pg_temp.own('') then 1 end",
        ),
        (
            "a cast",
            "text",
            """
            create type pg_temp.jsonb as enum ('x');
            create function pg_temp.convert(text) returns pg_temp.jsonb
            return case when pg_temp.own($1) then 'x'::pg_temp.jsonb end;
            create cast (text as pg_temp.jsonb) with function pg_temp.convert(text) as implicit
            """,
        ),
    )
}
"""The objects that a role which may insert plants for the function, before its session writes first."""
WORKED = "a type"


@pytest.fixture
def writer(fresh_database_url: str) -> Generator[str]:
    """A login role that is a member of one that may insert into public.t, and no more."""
    role = f"outbox_writer_{uuid4().hex[:12]}"
    with psycopg.connect(fresh_database_url, autocommit=True) as admin:
        run(admin, f"create table t (id text); create role {role}; grant insert on t to {role}")
        try:
            with application_url(fresh_database_url, role) as url:
                yield url
        finally:
            run(admin, f"drop owned by {role}; drop role {role}")


def hearing(told: list[str]) -> Callable[[psycopg.errors.Diagnostic], None]:
    return lambda notice: told.append(notice.message_primary or "")


def caught(url: str) -> set[str]:
    """The attacks by which code of the writer's runs as another role."""
    found = set()
    for name, attack in ATTACKS.items():
        told: list[str] = []
        with suppress(psycopg.Error), psycopg.connect(url) as connection:
            connection.add_notice_handler(hearing(told))
            run(connection, attack)
            connection.rollback()
        own = conninfo_to_dict(url)["user"]
        if any(text.startswith("runs as ") and text != f"runs as {own}" for text in told):
            found.add(name)
    return found


def test_a_writer_does_not_get_the_rights_of_the_role_that_migrated(
    fresh_database_url: str, writer: str
) -> None:
    with psycopg.connect(fresh_database_url, autocommit=True) as admin:
        run(admin, BEFORE)
        assert caught(writer) == {WORKED}
        found = admin.execute("select pg_get_functiondef('plainsql.note_public_t'::regproc)").fetchone()
        assert found is not None
        made = migration({"public.t": []}, before={"public.t": found[0]})
        run(admin, made.apply)
        assert caught(writer) == set()
        run(admin, made.rollback)
        assert caught(writer) == set(), "the body is the one before, its search path is not"
        is_public = "select has_function_privilege('public', 'plainsql.note_public_t()', 'execute')"
        assert admin.execute(is_public).fetchone() == (False,)


def test_a_new_one_runs_nothing_of_the_writers(fresh_database_url: str, writer: str) -> None:
    for columns in ([], ["id"]):
        made = migration({"public.t": columns})
        with psycopg.connect(fresh_database_url, autocommit=True) as admin:
            run(admin, made.apply)
            assert caught(writer) == set()
            run(admin, made.rollback)


def test_who_drains_cannot_have_its_own_tables_noted(fresh_database_url: str, writer: str) -> None:
    with psycopg.connect(fresh_database_url, autocommit=True) as admin:
        run(admin, migration({"public.t": []}).apply)
        run(admin, "grant usage on schema plainsql to public")
    attach = (
        "create temporary table mine (id text); create trigger forged after insert on pg_temp.mine "
        "referencing new table as new_rows for each statement execute function plainsql.note_public_t()"
    )
    with (
        psycopg.connect(writer) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="note_public_t"),
    ):
        run(connection, attach)


OWNER = """
create role {role} nologin;
grant usage, create on schema plainsql to {role};
grant insert on plainsql.cache_outbox to {role};
alter function plainsql.note_public_t() owner to {role};
revoke create on schema plainsql from {role};
"""
"""The example of docs/cache.md."""


def test_the_functions_may_belong_to_a_role_that_may_only_insert(
    fresh_database_url: str, writer: str
) -> None:
    role, deployer = (f"outbox_{kind}_{uuid4().hex[:12]}" for kind in ("owner", "deployer"))
    with psycopg.connect(fresh_database_url, autocommit=True) as admin:
        run(admin, migration({"public.t": ["id"]}).apply)
        run(admin, OWNER.format(role=role))
        try:
            with psycopg.connect(writer) as connection:
                run(connection, "insert into t values ('x')")
            assert notes(admin) == [("public.t", {"id": ["x"]})]
            run(admin, f"set role {role}")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                notes(admin)
            run(admin, "reset role")
            # A later migration, applied by one who inherits its rights and is no superuser.
            found = admin.execute("select pg_get_functiondef('plainsql.note_public_t'::regproc)").fetchone()
            assert found is not None
            run(admin, f"create role {deployer} in role {role}")
            run(admin, f"alter schema plainsql owner to {deployer}")
            database = conninfo_to_dict(fresh_database_url)["dbname"]
            run(admin, f'grant create on database "{database}" to {deployer}; set role {deployer}')
            run(admin, migration({"public.t": []}, before={"public.t": found[0]}).apply)
            run(admin, "reset role")
            owner = "select p.proowner::regrole::text from pg_proc as p where p.proname = 'note_public_t'"
            assert admin.execute(owner).fetchone() == (role,)
            with psycopg.connect(writer) as connection:
                run(connection, "insert into t values ('x')")
            assert notes(admin)[1:] == [("public.t", {})]
        finally:
            for each in (role, deployer):
                if admin.execute("select to_regrole(%s)", [each]).fetchone() != (None,):
                    run(admin, f"reassign owned by {each} to current_user; drop owned by {each}")
            run(admin, f"drop role if exists {role}, {deployer}")
