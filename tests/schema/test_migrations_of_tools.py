"""The folders of other tools' migrations: what runs, in which order, and what cannot."""

from __future__ import annotations

import logging

import pytest

from plainsql.errors import PlainsqlError
from plainsql.schema.schema_files import read_schema_files, tool_of
from plainsql.schema.sql_schema import SqlSchema
from tests.schema.conftest import Names, Write, rows


def test_plain_files_run_in_natural_order_without_their_undoing(
    fresh_database_url: str, write: Write, names: Names
) -> None:
    folder = write(
        {
            "db/10_c.sql": "create view c as select * from b;",
            "db/2_b.sql": "create table b as select * from a;",
            "db/0001_a.sql": "create table a (id int);",
            "db/0001_a.rollback.sql": "drop table a;",
            "db/2_b.down.sql": "drop table b;",
            "db/down/2_b.sql": "drop table b;",
            "db/.hidden.sql": "no",
            "db/README.md": "no",
        }
    )
    SqlSchema(folder / "db").apply(fresh_database_url)
    assert names() == ["public.a", "public.b", "public.c"]
    assert tool_of(folder / "db") == ""


def test_flyway_runs_by_version_then_what_is_repeated(
    fresh_database_url: str, write: Write, names: Names, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write(
        {
            "db/V1__a.sql": "create table a (id int);",
            "db/V1.9__b.sql": "create table b as select * from a;",
            "db/sub/V1.10__c.sql": "create table c as select * from b;",
            "db/V2_0__d.sql": "create table d as select * from c;",
            "db/R__views.sql": "create or replace view e as select * from d;",
            "db/U2__d.sql": "drop table d;",
            "db/afterMigrate.sql": "no;",
            "db/notes.sql": "no;",
        }
    )
    with caplog.at_level(logging.WARNING, "plainsql"):
        SqlSchema(folder / "db").apply(fresh_database_url)
    assert names() == [f"public.{name}" for name in "abcde"]
    assert caplog.messages == ["db: skipped: 1 callback file"]
    write({"db/B1.10__baseline.sql": "create table c (id int);"})
    assert [file.path for file in read_schema_files(folder / "db").files] == [
        "db/B1.10__baseline.sql",
        "db/V2_0__d.sql",
        "db/R__views.sql",
    ]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"db/V1__a.sql": "create schema a;\ncreate table ${schema}.a (id int);"},
            (
                "db/V1__a.sql:2:14: Flyway would replace the placeholder ${schema}\n"
                "    create table ${schema}.a (id int);\n"
                "                 ^\n"
                "HINT: set schema_command to the tool's own command, or schema to a pg_dump --schema-only"
            ),
        ),
        (
            {"db/V1__a.sql": "select 1;", "db/V1.0__b.sql": "select 1;"},
            "db/V1__a.sql: has the same version as db/V1.0__b.sql\nHINT: give one of them another version",
        ),
        (
            {"db/V1__a.sql": "select 1;", "db/V2__b.java": "class V2__b {}"},
            (
                "db/V2__b.java is a program, which only Flyway can run\n"
                "HINT: set schema_command to its command, "
                "or schema to a pg_dump --schema-only of its database"
            ),
        ),
        (
            {"db/1_a.sql": "-- migrate:up\nselect 1;", "db/2_b.sql": "select 1;"},
            (
                "db/2_b.sql: expected a mark of the part to run, got none\n"
                "HINT: give it the mark that the other files of its folder have"
            ),
        ),
        (
            {"db/1_a.sql": "-- +goose ENVSUB ON\n-- +goose Up\nselect '${REGION}';"},
            (
                "db/1_a.sql:1:1: goose would put variables into the text\n"
                "    -- +goose ENVSUB ON\n"
                "    ^\n"
                "HINT: set schema_command to the tool's own command, or schema to a pg_dump --schema-only"
            ),
        ),
        (
            {"db/versions/1_a.py": "", "db/env.py": ""},
            (
                "db has no SQL files, only Python\n"
                'HINT: run them: schema_command = "alembic upgrade head", or "python manage.py migrate"'
            ),
        ),
        (
            {"db/README": ""},
            (
                "schema in [tool.plainsql]: there are no SQL files in db\n"
                "HINT: name the file or the folder that makes the schema"
            ),
        ),
        (
            {"README": ""},
            (
                "schema in [tool.plainsql]: there is no file or folder db\n"
                "HINT: name the file or the folder that makes the schema, relative to pyproject.toml"
            ),
        ),
        (
            {"db/sqitch.plan": "%project=x\n\nusers 2025-01-01T00:00:00Z A <a@x> # Users\n"},
            (
                "db/sqitch.plan: the change 'users' is planned, and there is no db/deploy/users.sql\n"
                "HINT: check the plan with 'sqitch status'"
            ),
        ),
    ],
)
def test_a_folder_that_cannot_be_loaded_says_why(
    write: Write, files: dict[str, str | bytes], message: str
) -> None:
    folder = write(files)
    with pytest.raises(PlainsqlError) as caught:
        read_schema_files(folder / "db")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("up", "down", "tool"),
    [
        ("-- migrate:up transaction:false", "-- migrate:down", "dbmate"),
        ("-- +goose Up", "-- +goose Down", "goose"),
        ("-- +goose NO TRANSACTION\n-- +goose Up\n-- +goose StatementBegin", "-- +goose down", "goose"),
        ("-- +migrate Up notransaction", "-- +migrate Down", "sql-migrate"),
    ],
)
def test_only_the_upper_part_of_a_file_runs(
    fresh_database_url: str, write: Write, names: Names, up: str, down: str, tool: str
) -> None:
    folder = write(
        {
            "db/20250101_a.sql": f"{up}\ncreate table a (id int);\n\n{down}\ndrop table a;\n",
            "db/20250102_b.sql": f"{down}\nno;\n{up}\ncreate index concurrently i on a (id);\n"
            "create function f() returns int language plpgsql as $$ begin return 1; end $$;\n",
        }
    )
    source = SqlSchema(folder / "db")
    source.apply(fresh_database_url)
    assert names() == ["public.a", "public.f()"]
    assert tool_of(folder / "db") == tool
    write({"db/20250101_a.sql": f"{down}\nno;\n{up}\n\n  no;\n"})
    with pytest.raises(PlainsqlError, match=r'db/20250101_a\.sql:\d:3: syntax error at or near "no"'):
        source.apply(fresh_database_url)


def test_sqitch_runs_in_the_order_of_its_plan(fresh_database_url: str, write: Write, names: Names) -> None:
    folder = write(
        {
            "sqitch.plan": "%syntax-version=1.0.0\n%project=x\n\n"
            "users 2025-01-01T00:00:00Z A <a@x> # Users: all\n"
            "@v1 2025-01-02T00:00:00Z A <a@x> # Release\n"
            "accounts [users] 2025-01-03T00:00:00Z A <a@x> # Accounts\n"
            "users [users@v1] 2025-01-04T00:00:00Z A <a@x> # Reworked\n",
            "deploy/users@v1.sql": "BEGIN;\ncreate table users (id int);\nCOMMIT;\n",
            "deploy/users.sql": "BEGIN;\nalter table users add name text;\nCOMMIT;\n",
            "deploy/accounts.sql": "BEGIN;\ncreate table accounts as select * from users;\nCOMMIT;\n",
            "revert/users.sql": "drop table users;",
            "verify/users.sql": "select 1/0;",
        }
    )
    for place in (folder, folder / "deploy"):
        assert tool_of(place) == "Sqitch"
        assert [file.path for file in read_schema_files(place).files] == [
            "deploy/users@v1.sql",
            "deploy/accounts.sql",
            "deploy/users.sql",
        ]
    SqlSchema(folder / "deploy").apply(fresh_database_url)
    assert names() == ["public.accounts", "public.users"]


def test_supabase_has_its_platform_before_the_first_migration(
    fresh_database_url: str, write: Write, names: Names
) -> None:
    folder = write(
        {
            "supabase/migrations/20250101_a.sql": """
create extension if not exists citext with schema extensions;
create extension if not exists pg_graphql with schema graphql;
create table profiles (id uuid primary key references auth.users on delete cascade, mail citext);
alter table profiles enable row level security;
create policy own on profiles for select to authenticated using ((select auth.uid()) = id);
create policy files on storage.objects for insert to anon, authenticated
  with check (bucket_id = 'a' and (storage.foldername(name))[1] = auth.uid()::text);
insert into storage.buckets (id, name, public) values ('a', 'a', true);
grant all on table profiles to anon, authenticated, service_role;
alter publication supabase_realtime add table profiles;
alter default privileges for role postgres in schema public grant all on tables to anon;
"""
        }
    )
    before = rows(fresh_database_url, "select rolname from pg_roles order by 1")
    SqlSchema(folder / "supabase" / "migrations").apply(fresh_database_url)
    assert "public.profiles" in names()
    assert rows(fresh_database_url, "show search_path") == [('"$user", public, extensions',)]
    assert rows(fresh_database_url, "select 'a'::citext = 'A'") == [(True,)]
    assert rows(fresh_database_url, "select rolname from pg_roles order by 1") == before
