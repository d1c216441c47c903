"""``plainsql migrate schema``: the schema that the migrations make, as text that can be loaded again."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

from plainsql import migrate
from plainsql.cli.migrate import app
from plainsql.embedded import EmbeddedServer
from plainsql.migrate.mark_differences import differences
from plainsql.migrate.schema import dump
from plainsql.schema.sql_schema import SqlSchema
from plainsql.schema.structure import normalise_dump, read_migrated_schema
from plainsql.testing import Databases
from tests.migrate.conftest import Write, write

__all__ = ["write"]

ROOT = Path(__file__).parents[2]
FIRST = r"""
create extension pg_trgm;
create type mood as enum ('b', 'a');
create table "Odd table" (id bigint generated always as identity primary key, mood mood, note text);
create index note_index on "Odd table" using gin (note gin_trgm_ops);
create function body() returns int language plpgsql as $$
begin


  -- Name: \restrict
  return 1;
end
$$;
comment on table "Odd table" is 'Dumped by me';
grant select on "Odd table" to public;
"""


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        app(["schema", *arguments])
    out, err = capsys.readouterr()
    return int(stopped.value.code or 0), out, err


def test_the_file_is_written_compared_and_loaded_again(
    write: Write, server: EmbeddedServer, fresh_database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write({"0001_a.sql": FIRST})
    scratch = ("--scratch", server.url())
    missing = "migrations/schema.sql does not exist\nHINT: write it with plainsql migrate schema\n"
    code, out, err = run(capsys, "--check", *scratch)
    assert (code, err, "+CREATE TYPE public.mood AS ENUM (\n" in out) == (1, missing, True)
    assert run(capsys, *scratch) == (0, "wrote migrations/schema.sql\n", "")
    file = folder / "schema.sql"
    before = file.read_bytes()
    assert run(capsys, "--check", *scratch) == (0, "migrations/schema.sql is up to date\n", "")
    # Of what differs between machines and versions of pg_dump, it has nothing.
    text = before.decode()
    assert text.startswith("-- The schema that the migrations make. Written by 'plainsql migrate schema'.")
    assert not [
        word
        for word in (
            "Dumped from",
            "Dumped by",
            "\\unrestrict",
            "EXTENSION pg_trgm IS",
            "yoyo",
            "GRANT",
            "timeout",
        )
        if word in text.replace("Dumped by me", "")
    ]
    assert "\n\n\n  -- Name: \\restrict\n  return 1;\n" in text
    # Loaded into an empty database, it is the schema that the migrations make.
    SqlSchema(file).apply(fresh_database_url)
    loaded, url = dump(fresh_database_url), fresh_database_url
    assert read_migrated_schema(url).encode() == before
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(b'drop extension pg_trgm cascade; drop table "Odd table"; drop type mood')
        connection.execute("drop function body")
    migrate.apply(url, folder)  # the file is none of the migrations
    assert [*differences(loaded, dump(url)), *differences(dump(url), loaded)] == []
    # A migration that changes the schema makes the file out of date; its difference is what it changes.
    write({"0002_b.sql": 'alter table "Odd table" add column phone text;'})
    code, out, err = run(capsys, "--check", *scratch)
    assert (code, err) == (
        1,
        (
            "migrations/schema.sql is not the schema that the migrations make\n"
            "HINT: write it with plainsql migrate schema\n"
        ),
    )
    changed = [line for line in out.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert changed == ["-    note text", "+    note text,", "+    phone text"]
    assert file.read_bytes() == before
    # Another file, by the settings; one that would be taken for a migration is refused.
    settings = Path("pyproject.toml")
    settings.write_text('[tool.plainsql]\nmigrated_schema = "docs/tables.sql"\n')
    assert run(capsys, *scratch) == (0, "wrote docs/tables.sql\n", "")
    settings.write_text('[tool.plainsql]\nmigrated_schema = "migrations/tables.sql"\n')
    code, _, err = run(capsys, *scratch)
    assert (code, "or a file outside of it, got 'migrations/tables.sql'" in err) == (2, True)


OBJECTS = """\
--
-- Name: t; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.t (
    id integer
);


"""


def test_dumps_of_two_versions_are_the_same_text() -> None:
    new = (
        "--\n-- PostgreSQL database dump\n--\n\n\\restrict a1\n\n-- Dumped from database version 18.6\n"
        "-- Dumped by pg_dump version 18.6\n\nSET statement_timeout = 0;\nSET transaction_timeout = 0;\n\n"
        "--\n-- Name: pg_trgm; Type: EXTENSION; Schema: -; Owner: -\n--\n\n"
        "CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;\n\n\n"
        "--\n-- Name: EXTENSION pg_trgm; Type: COMMENT; Schema: -; Owner: -\n--\n\n"
        "COMMENT ON EXTENSION pg_trgm IS 'it''s 1.6;\nof two lines';\n\n\n"
        f"{OBJECTS}--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict a1\n\n"
    )
    old = new.replace("\\restrict a1\n", "").replace("\\unrestrict a1\n", "").replace("18.6", "16.9 (Debian)")
    old = old.replace("SET transaction_timeout = 0;\n", "").replace("it''s 1.6", "1.5")
    assert normalise_dump(new) == normalise_dump(old)
    end = "CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;\n\n" + OBJECTS.rstrip() + "\n"
    assert normalise_dump(new).endswith(end)
    # Without any object, only the head is left.
    assert normalise_dump(new.partition("--\n-- Name")[0]).endswith("'search_path', '', false);\n")


def test_the_file_of_this_repository_loads_as_its_migrations(plainsql_databases: Databases) -> None:
    with plainsql_databases.clone("template0") as applied, plainsql_databases.clone("template0") as loaded:
        migrate.apply(applied, ROOT / "migrations")
        SqlSchema(ROOT / "migrations" / "schema.sql").apply(loaded)
        wanted, found = without_casts(dump(applied)), without_casts(dump(loaded))
    # Owners and grants are not in the file.
    assert [*differences(wanted, found), *differences(found, wanted)] == []


def without_casts(text: str) -> str:
    """Leave out the casts of strings: a check that PostgreSQL writes and reads again has other ones."""
    return re.sub(r"::(character varying|text)(\(\d+\))?(\[\])?|[()]|ARRAY", "", text)
