"""Commands through PgBouncer in transaction mode: no setting of theirs outlives their transactions."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from plainsql import migrate
from plainsql.crypto import new_key
from plainsql.embedded import EmbeddedServer
from tests.cli.conftest import Command, Write
from tests.pgbouncer import pgbouncer, url_through

SETTINGS = ("my.tenant", "my.user", "app.jwt_tenant", "app.jwt_user", "row_security", "hnsw.iterative_scan")
PROJECT = {
    "pyproject.toml": '[tool.plainsql]\ntenant_setting = "my.tenant"\nuser_setting = "my.user"\n',
    "migrations/notes/0001_notes.sql": (
        "create schema notes;\n"
        "create table notes.note (id int primary key, tenant text not null, secret bytea);\n"
        "insert into notes.note values (1, 'a'), (2, 'a'), (3, 'b');\n"
    ),
    "sql/notes/whose.sql": (
        "-- returns: one Whose\n"
        "select current_setting('my.tenant', true) as tenant, current_setting('my.user', true) as user_name,"
        " current_setting('hnsw.iterative_scan', true) as scan\n"
    ),
    "sql/notes/tidy.sql": "-- returns: count\nvacuum notes.note\n",
    "sql/notes/all.sql": (
        "-- returns: many value\nselect n.id from notes.note as n where n.tenant = :tenant order by n.id\n"
    ),
    "sql/notes/cleanup/note.sql": (
        "-- returns: count\n"
        "delete from notes.note as n\n"
        "where n.tenant = current_setting('my.tenant', true) and :days > 0\n"
        "  and n.id in (select m.id from notes.note as m order by m.id limit :limit)\n"
    ),
    "sql/notes/save.sql": (
        "-- returns: count\n-- param secret: encrypted as notes.note.secret (id)\n"
        "update notes.note set secret = :secret where id = :id\n"
    ),
}


@pytest.fixture(scope="module")
def pool(server: EmbeddedServer) -> Generator[Path]:
    """One connection to the server, which all clients are given in turn."""
    with pgbouncer(server, "transaction", size=1) as folder:
        yield folder


@pytest.fixture
def pooled(pool: Path, configured: str, write: Write, monkeypatch: pytest.MonkeyPatch) -> str:
    """The project, migrated, and its database behind the pooler as what is configured."""
    write(PROJECT)
    migrate.apply(configured, "migrations")
    url = url_through(pool, urlsplit(configured).path.lstrip("/"))
    monkeypatch.setenv("DATABASE_URL", url)
    return url


def seen_by_another(url: str) -> dict[str, str | None]:
    """The settings and the named statements that the next client of the pool finds."""
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as other:
        found = {
            name: other.execute("select nullif(current_setting(%s, true), '')", [name]).fetchall()[0][0]
            for name in SETTINGS
        }
        # What a role or database is set to.
        assert found.pop("row_security") == "on"
        return {name: value for name, value in found.items() if value}


def test_run_is_the_tenant_for_its_transaction_and_no_longer(pooled: str, command: Command) -> None:
    done = command("run", "notes.whose", "--tenant", "evil", "--user", "me", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.out == '{"tenant":"evil","user_name":"me","scan":"strict_order"}\n'
    assert seen_by_another(pooled) == {}
    assert command("run", "notes.whose", "--json").out.startswith('{"tenant":"",')
    assert seen_by_another(pooled) == {}


def test_run_outside_a_transaction_works_and_is_refused_as_a_tenant(pooled: str, command: Command) -> None:
    assert command("run", "notes.tidy").code == 0
    done = command("run", "notes.tidy", "--tenant", "a")
    assert (done.code, "cannot run inside a transaction block" in done.err) == (1, True)
    assert seen_by_another(pooled) == {}


def test_run_with_json_arguments_prepares_nothing_that_stays(pooled: str, command: Command) -> None:
    done = command("run", "notes.all", 'tenant:="a"', "--json")
    assert (done.code, done.out) == (0, "[1,2]\n")
    with psycopg.connect(pooled, autocommit=True) as other:
        names = other.execute("select count(*) from pg_prepared_statements where name <> ''").fetchall()
    assert names == [(0,)]


@pytest.mark.parametrize("options", [["--dry-run"], []])
def test_cleanup_is_of_its_tenant_in_every_batch_and_leaves_no_setting(
    pooled: str, configured: str, command: Command, options: list[str]
) -> None:
    done = command("db", "cleanup", "notes", "--tenant", "a", "--batch", "1", *options, "--json")
    assert (done.code, done.err) == (0, "")
    assert '"rows":2' in done.out
    assert {name: value for name, value in seen_by_another(pooled).items() if "hnsw" not in name} == {}
    with psycopg.connect(configured) as direct:
        left = direct.execute("select array_agg(id order by id) from notes.note").fetchall()[0][0]
    assert left == ([1, 2, 3] if options else [3])


@pytest.mark.parametrize("options", [["--set", "my.tenant=a"], ["--tenant", "a"]])
def test_rotation_leaves_no_setting(
    pooled: str,
    configured: str,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
) -> None:
    old, new = new_key(), new_key()
    monkeypatch.setenv("PLAINSQL_ENCRYPTION_KEYS", f"old:{old}")
    assert command("run", "notes.save", "id=1", "secret=hush").code == 0
    monkeypatch.setenv("PLAINSQL_ENCRYPTION_KEYS", f"new:{new},old:{old}")
    done = command("crypto", "rotate", *options)
    assert (done.code, done.err, done.out.startswith("notes.note.secret: 1 re-encrypted")) == (0, "", True)
    assert seen_by_another(pooled) == {}


def test_the_scratch_database_is_refused_there(pooled: str, command: Command) -> None:
    done = command("check", "--scratch", pooled)
    assert done.code == 2
    assert done.err.startswith("the scratch database needs a session of its own, and a pooler")
    assert "HINT: give --scratch the URL of PostgreSQL itself" in done.err


def test_export_and_import_and_drop_work_and_hold_the_lock(
    pooled: str, configured: str, command: Command, tmp_path: Path
) -> None:
    file = str(tmp_path / "notes.jsonl")
    assert command("db", "export", "notes", "-o", file).code == 0
    assert command("db", "import", file, "notes", "--replace").code == 0
    with psycopg.connect(configured) as direct:
        assert direct.execute("select count(*) from notes.note").fetchall() == [(3,)]
        # A session's lock would be left in the pooler's connection.
        held = (
            "select count(*) from pg_locks as l inner join pg_database as d on d.oid = l.database"
            " where l.locktype = 'advisory' and d.datname = current_database()"
        )
        assert direct.execute(held).fetchall() == [(0,)]
    assert command("db", "drop", "notes", "--force").code == 0
    with psycopg.connect(configured) as direct:
        assert direct.execute("select to_regnamespace('notes')").fetchall() == [(None,)]
        assert direct.execute(held).fetchall() == [(0,)]
    assert {name: value for name, value in seen_by_another(pooled).items() if "hnsw" not in name} == {}


def test_migrate_is_refused_and_says_so(pooled: str, command: Command) -> None:
    done = command("migrate")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("plainsql migrate needs a session of its own, and a pooler")
    assert command("migrate", "status", "--check").code == 0
