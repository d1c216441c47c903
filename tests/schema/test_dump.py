"""A dump as pg_dump writes it makes the schema, and what an empty database cannot have is said once."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Generator

import psycopg
import pytest

from plainsql.embedded import EmbeddedServer
from plainsql.errors import SqlFileError
from plainsql.migrate.schema import dump
from plainsql.schema.sql_schema import SqlSchema
from plainsql.testing import Databases
from tests.schema.conftest import Names, Write, rows

REAL = r"""
create extension if not exists citext;
create schema shop;
create type shop.mood as enum ('glad', 'sad; or not');
create domain shop.code as text check (value ~ '^[a-z]+\\$');
create table shop.people (
  id bigint generated always as identity primary key,
  mail citext not null unique,
  feels shop.mood default 'sad; or not',
  note text default E'it\'s; \\',
  "odd;name" text default $q$a;b$q$
);
insert into shop.people (mail, note) values ('a@x', E'\\restrict\ntab\t; row'), ('b@x', null);
create view shop.mails as select p.mail from shop.people as p;
create rule loud as on delete to shop.people do also (select 1; select 2);
create function shop.count_people() returns bigint language sql begin atomic
  select case when true then count(*) end from shop.people; select count(*) from shop.people;
end;
create function shop.broken() returns bigint language sql as $$ select count(*) from shop.later $$;
create table shop.later (id int);
create function shop.touch() returns trigger language plpgsql as $body$
begin new.note := ';'; return new; end
$body$;
create trigger touch before update on shop.people for each row execute function shop.touch();
create materialized view shop.totals as select count(*) as total from shop.people;
alter table shop.people enable row level security;
create policy own on shop.people for select using (mail = current_setting('app.mail', true));
create publication news for table shop.people;
comment on table shop.people is 'it''s; a table
\connect nowhere
';
"""


@pytest.fixture
def real_url(plainsql_databases: Databases) -> Generator[str]:
    """A database with objects of every kind that a semicolon may hide in."""
    with plainsql_databases.clone() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"set check_function_bodies = off; {REAL}".encode())
        yield url


def written(server: EmbeddedServer, url: str, *options: str) -> str:
    """Return what the server's own pg_dump writes."""
    command = [str(server.bin("pg_dump")), *options, url]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "options",
    [
        ("--schema-only",),
        ("--schema-only", "--clean"),
        ("--schema-only", "--clean", "--if-exists", "--create"),
        ("--inserts",),
        (),
    ],
)
def test_what_pg_dump_writes_makes_the_same_schema(
    server: EmbeddedServer, real_url: str, fresh_database_url: str, write: Write, options: tuple[str, ...]
) -> None:
    folder = write({"schema.sql": written(server, real_url, *options)})
    with psycopg.connect(real_url) as connection:
        connection.execute("drop publication news")
    SqlSchema(folder / "schema.sql").apply(fresh_database_url)
    assert dump(fresh_database_url) == dump(real_url)
    assert rows(fresh_database_url, "select count(*) from shop.people") == [(0,)]


def test_what_is_left_out_is_said_once(
    fresh_database_url: str, write: Write, names: Names, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write(
        {
            "schema.sql": r"""
--
-- PostgreSQL database dump
--
\restrict x1
\set ON_ERROR_STOP on
CREATE DATABASE shop WITH TEMPLATE = template0 ENCODING = 'UTF8';
ALTER DATABASE shop OWNER TO app;
\connect shop
SET statement_timeout = 0;
SET a_timeout_of_tomorrow = 0;
SET client_encoding = 'LATIN1';
SELECT pg_catalog.set_config('search_path', '', false);
SET default_tablespace = 'fast';
SET default_table_access_method = columnar;
CREATE SCHEMA public;
ALTER SCHEMA public OWNER TO app;
CREATE SCHEMA shop AUTHORIZATION app;
CREATE EXTENSION IF NOT EXISTS pg_cron WITH SCHEMA public;
COMMENT ON EXTENSION pg_cron IS 'Job scheduler';
CREATE TABLE public.notes (id bigint, text text DEFAULT 'é');
ALTER TABLE public.notes OWNER TO app;
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY "of app; " ON public.notes FOR SELECT TO app, "Other; role" USING (true);
CREATE FUNCTION public.f() RETURNS integer LANGUAGE sql SECURITY DEFINER AS $_$ select 1; $_$;
ALTER FUNCTION public.f() OWNER TO app;
COPY public.notes (id, text) FROM stdin;
1	a; \restrict
2	CREATE TABLE public.no (id int);
\.
INSERT INTO public.notes VALUES (1, 'a');
SELECT pg_catalog.setval('public.notes_id_seq', 1, true);
CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION public.f();
CREATE SUBSCRIPTION s CONNECTION 'host=nowhere password=x' PUBLICATION p;
CREATE USER MAPPING FOR app SERVER x OPTIONS (password 'x');
SECURITY LABEL ON TABLE public.notes IS 'x';
CREATE ROLE app LOGIN PASSWORD 'x';
GRANT app TO other;
GRANT SELECT ON TABLE public.notes TO app;
REVOKE ALL ON FUNCTION public.f() FROM PUBLIC;
GRANT ALL ON FUNCTION public.f() TO app WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA public GRANT SELECT ON TABLES TO reader;
\unrestrict x1
"""
        }
    )
    before = rows(fresh_database_url, "select rolname from pg_roles order by 1")
    with caplog.at_level(logging.WARNING, "plainsql"):
        SqlSchema(folder / "schema.sql").apply(fresh_database_url)
    assert [record.getMessage() for record in caplog.records] == [
        (
            "schema.sql: skipped: "
            "4 psql commands, 1 comment on an extension or a database, 2 statements about databases, "
            "1 event trigger, 1 extension of the server's operator, "
            "2 grants to roles that do not exist, "
            "1 insert of rows, 1 security label, 1 user mapping, 4 owners, "
            "1 name of a policy's role that does not exist (the policy is for all roles), "
            "1 default privilege, "
            "1 publication or subscription, 2 statements about roles, 1 table's rows, "
            "1 setting that the server does not know, 2 tablespaces and access methods"
        )
    ]
    assert names() == ["public.f()", "public.notes"]
    assert rows(fresh_database_url, "select rolname from pg_roles order by 1") == before
    assert rows(fresh_database_url, "select polroles::text, polname from pg_policy") == [("{0}", "of app; ")]
    assert rows(fresh_database_url, "select has_function_privilege('public', 'f()', 'execute')") == [(False,)]
    assert rows(fresh_database_url, "select column_default from information_schema.columns") != []
    # The dump empties the search_path for its own session only.
    assert rows(fresh_database_url, "show search_path") == [('"$user", public',)]
    assert rows(fresh_database_url, "select count(*) from notes") == [(0,)]


def test_the_search_path_of_the_dumped_database_is_kept(fresh_database_url: str, write: Write) -> None:
    folder = write(
        {"schema.sql": "create schema shop; alter database old set search_path to 'shop', 'public';"}
    )
    SqlSchema(folder / "schema.sql").apply(fresh_database_url)
    assert rows(fresh_database_url, "show search_path") == [("shop, public",)]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        (
            "create table t (id int);\n\n  create view v as select no from t;",
            (
                'schema.sql:3:27: column "no" does not exist (SQLSTATE 42703)\n'
                "      create view v as select no from t;\n"
                "                              ^\n"
                "DETAIL: on the scratch database, which is dropped: no other database was changed"
            ),
        ),
        (
            "create table t (id int);\n/* ; */ create table t (id int); -- again",
            (
                'schema.sql:2:9: relation "t" already exists (SQLSTATE 42P07)\n'
                "    /* ; */ create table t (id int); -- again\n"
                "            ^\n"
                "DETAIL: on the scratch database, which is dropped: no other database was changed"
            ),
        ),
        (
            "create extension pgcrypto;",
            (
                "schema.sql:1:1: the server does not have the extension pgcrypto\n"
                "    create extension pgcrypto;\n"
                "    ^\n"
                "HINT: set scratch in [tool.plainsql] to a server that has it, or remove the statement"
            ),
        ),
        (
            "create collation c (provider = icu, locale = 'und');",
            (
                "schema.sql:1:1: ICU is not supported in this build (SQLSTATE 0A000)\n"
                "    create collation c (provider = icu, locale = 'und');\n"
                "    ^\n"
                "DETAIL: on the scratch database, which is dropped: no other database was changed\n"
                "HINT: set scratch in [tool.plainsql] to a server that can do it"
            ),
        ),
        (
            "select 'create table t (id int)' \\gexec\n",
            (
                "schema.sql:1:34: '\\\\gexec' is a command of psql inside a statement\n"
                "    select 'create table t (id int)' \\gexec\n"
                "                                     ^\n"
                "HINT: end the statement before it with a semicolon, or remove the command"
            ),
        ),
        (
            "\\if :x\n",
            (
                "schema.sql:1:1: psql's \\if is not understood\n"
                "    \\if :x\n"
                "    ^\n"
                "HINT: write the statements that it makes, or use a pg_dump --schema-only of the database"
            ),
        ),
        (
            "copy t from stdin;\n1\n2\n",
            (
                "schema.sql:1:1: expected a line \\. after the rows of this copy, got none\n"
                "    copy t from stdin;\n"
                "    ^\n"
                "HINT: write the file again, or remove the copy: only the structure is read"
            ),
        ),
        (
            b"create table t ();\n-- \xe9",
            (
                "schema.sql:2: expected UTF-8, got byte 0xe9\n"
                "HINT: save the file as UTF-8; pg_dump writes it with --encoding=UTF8"
            ),
        ),
        (
            b"PGDMP\x01\x0e",
            (
                "schema.sql: expected SQL, got pg_dump's own format\n"
                "HINT: write it as SQL: pg_restore --schema-only --file schema.sql schema.sql"
            ),
        ),
        (
            "\\i tables.sql\n",
            (
                "schema.sql:1:1: tables.sql cannot be included: there is no such file\n"
                "    \\i tables.sql\n"
                "    ^\n"
                "HINT: name a file relative to this one"
            ),
        ),
    ],
)
def test_a_refused_statement_has_its_place(
    fresh_database_url: str, write: Write, sql: str | bytes, message: str
) -> None:
    folder = write({"schema.sql": sql})
    with pytest.raises(SqlFileError) as caught:
        SqlSchema(folder / "schema.sql").apply(fresh_database_url)
    assert str(caught.value) == message


def test_each_statement_is_committed_as_psql_does(
    fresh_database_url: str, write: Write, names: Names
) -> None:
    folder = write(
        {
            "schema.sql": "create type mood as enum ('a');\nalter type mood add value 'b';\n"
            "create table t (m mood default 'b');\ncreate index concurrently i on t (m);\n"
            "begin;\ncreate table gone ();\nrollback;\nvacuum t;\n"
        }
    )
    SqlSchema(folder / "schema.sql").apply(fresh_database_url)
    assert names() == ["public.t"]


def test_an_included_file_is_loaded_in_its_place(fresh_database_url: str, write: Write, names: Names) -> None:
    folder = write(
        {
            "db/all.sql": "create table a (id int);\n\\i parts/b.sql\ncreate view c as select * from b;\n",
            "db/parts/b.sql": "create table b (id int);\n",
        }
    )
    source = SqlSchema(folder / "db" / "all.sql")
    source.apply(fresh_database_url)
    assert names() == ["public.a", "public.b", "public.c"]
    before = source.digest()
    write({"db/parts/b.sql": "create table b (id bigint);\n"})
    assert source.digest() != before


def test_a_file_of_powershell_is_read(fresh_database_url: str, write: Write, names: Names) -> None:
    folder = write({"schema.sql": "create table é (id int);".encode("utf-16")})
    SqlSchema(folder / "schema.sql").apply(fresh_database_url)
    assert names() == ["public.é"]
