"""Up, down, up: each difference of the schema is named with its object, at the file to correct."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import psycopg
import pytest

from plainsql import migrate
from plainsql.cli.migrate import app
from plainsql.embedded import EmbeddedServer
from plainsql.errors import MigrationError
from tests.migrate.conftest import Write

FINE = {
    "0001_a.sql": "create table a (id int primary key, note text not null default 'x', old int);",
    "0001_a.rollback.sql": "drop table a;",
    # A column that is added again is the last one, which is no difference.
    "0002_b.sql": "alter table a drop column note;\ninsert into a values (1, 1);",
    "0002_b.rollback.sql": "delete from a;\nalter table a add column note text not null default 'x';",
    "0003_c.sql": "-- transactional: false\ncreate index concurrently a_old on a (old);",
    "0003_c.rollback.sql": "drop index concurrently a_old;",
    "0004_d.sql": "create or replace function f() returns int language sql as 'select 1';",
    "0004_d.rollback.sql": "-- keeps: the function is safe to keep\nselect 1;",
}
WRONG = {
    "0005_e.sql": "drop index if exists i;\nalter table a add check (old > 0), alter old set not null;\n"
    "create index i on a (old);",
    "0005_e.rollback.sql": "alter table a drop constraint a_old_check;\ndrop index if exists j;",
    "0006_f.sql": "comment on table a is 'no way back';",
    "0007_g.sql": "create type mood as enum ('ok');\ncreate table g (m mood);",
    "0007_g.rollback.sql": "select 1;\ndrop type mood;",
    "0008_h.sql": "create view v as select a.id from a as a;\ngrant select on v to public;",
    "0008_h.rollback.sql": "revoke select on v from public;",
    "0009_i.sql": "create schema s;",
    "0009_i.rollback.sql": "drop schema s;",
}


def test_every_difference_is_named_at_its_file(
    write: Write, server: EmbeddedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    write(FINE | WRONG)
    with pytest.raises(SystemExit) as stopped:
        app(["verify", "--scratch", server.url()])
    out, err = capsys.readouterr()
    assert (stopped.value.code, err) == (1, "")
    assert out.replace("migrations/", "").splitlines() == [
        "0005_e.rollback.sql: after the rollback, index public.i: expected none, got it",
        (
            "0005_e.rollback.sql: after the rollback, table public.a: expected column old integer, "
            "got column old integer not null"
        ),
        (
            "0007_g.rollback.sql:2:1: the rollback failed: cannot drop type mood because other objects "
            "depend on it (SQLSTATE 2BP01)"
        ),
        "    drop type mood;",
        "    ^",
        "0008_h.rollback.sql: after the rollback, view public.v: expected none, got it",
        (
            '0008_h.sql:1:1: it cannot be applied again after its rollback: relation "v" already exists '
            "(SQLSTATE 42P07)"
        ),
        "    create view v as select a.id from a as a;",
        "    ^",
        "0006_f: no rollback, so it was only applied",
        "0004_d: its rollback keeps something: the function is safe to keep",
        "not verified, because one before cannot be applied again: 0009_i",
        "verified 6 migrations: 3 with differences; rows are not compared",
    ]
    with pytest.raises(SystemExit) as stopped:
        app(["verify", "--scratch", server.url(), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (stopped.value.code, found["not_run"], len(found["verified"])) == (1, ["0009_i"], 6)
    assert [each["place"]["line"] for each in found["differences"] if each["place"]] == [2, 1]


def test_a_second_run_that_differs_is_named_at_the_migration(write: Write, fresh_database_url: str) -> None:
    folder = write(
        {
            "0001_a.sql": "create table a ();",
            "0002_b.sql": "alter table a add column if not exists n int default 1;",
            "0002_b.rollback.sql": "alter table a alter column n drop default;",
        }
    )
    found = migrate.verify(fresh_database_url, folder)
    assert [str(each).removeprefix("migrations/") for each in found.differences] == [
        ("0002_b.rollback.sql: after the rollback, table public.a: expected none, got column n integer"),
        (
            "0002_b.sql: after its second run, table public.a: expected column n integer default 1, "
            "got column n integer"
        ),
    ]
    assert (found.verified, found.without_rollback, found.is_fine) == (("0002_b",), ("0001_a",), False)
    # It is no command for a database that is in use.
    with pytest.raises(MigrationError, match="expected an empty database to verify migrations on, got one"):
        migrate.verify(fresh_database_url, folder)
    with psycopg.connect(fresh_database_url) as connection:
        assert connection.execute("select from a").rowcount == 0


def test_the_fixture_fails_a_test_with_the_differences(
    write: Write, plainsql_verify_migrations: Callable[..., None]
) -> None:
    files: Mapping[str, str] = FINE
    plainsql_verify_migrations(write(files))
    write({"0003_c.rollback.sql": "select 1;"})
    with pytest.raises(pytest.fail.Exception, match=r"index public\.a_old: expected none, got it"):
        plainsql_verify_migrations()
