"""``plainsql db indexes``: builds that run, builds that fail, and builds of other roles."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from plainsql.cli.app import main
from plainsql.testing import Databases
from plainsql.workload.index_builds import ended_builds, read_builds, read_indexes

# Both are in every build's expression: it waits until the test releases the lock.
WAITING = """
create table notes (id bigint generated always as identity primary key, text text not null);
insert into notes (text) select 'note ' || n / 2 from generate_series(2, 401) as n;
create function waited(text text) returns text immutable language plpgsql as $$
begin
  perform pg_advisory_xact_lock_shared(7);
  return text;
end
$$;
"""


def create(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(WAITING)


@pytest.fixture
def url(plainsql_databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[str]:
    """A database of this test with a table, whose schema is the layer of the working folder."""
    (tmp_path / "migrations").mkdir()
    (tmp_path / "pyproject.toml").write_text("[tool.plainsql]\n")
    (tmp_path / "migrations" / "0001_notes.sql").write_text("select 1;\n")
    monkeypatch.chdir(tmp_path)
    with plainsql_databases.clone(plainsql_databases.template(create)) as url:
        yield url


@contextmanager
def building(url: str, statement: str, release: str) -> Generator[psycopg.Connection[Any]]:
    """Run a build that another session's transaction holds up; yield that session."""
    with psycopg.connect(url) as holder, psycopg.connect(url, autocommit=True) as builder:
        holder.execute(release.encode())
        thread = threading.Thread(target=_run, args=(builder, statement))
        thread.start()
        try:
            with psycopg.connect(url, autocommit=True) as observer:
                _until_it_waits(observer, builder.info.backend_pid)
            yield holder
        finally:
            holder.rollback()
            thread.join()


def _run(connection: psycopg.Connection[Any], statement: str) -> None:
    with suppress(psycopg.errors.UniqueViolation, psycopg.errors.QueryCanceled):
        connection.execute(statement.encode())


def _until_it_waits(observer: psycopg.Connection[Any], pid: int) -> None:
    until = time.monotonic() + 20
    while not observer.execute(
        "select 1 from pg_stat_activity as a inner join pg_stat_progress_create_index as p on p.pid = a.pid"
        " where a.pid = %s and a.wait_event_type = 'Lock'",
        [pid],
    ).fetchone():
        assert time.monotonic() < until, "the build does not wait"
        time.sleep(0.01)


@contextmanager
def watching(url: str, *options: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "plainsql", "db", "indexes", "--watch", "--every", "0.05"]
    with subprocess.Popen(
        [*command, "--database", url, *options],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


WRITES = "insert into notes (text) values ('one more')"
LOCKS = "select pg_advisory_xact_lock(7)"


def test_a_concurrent_build_is_watched_until_it_ends(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    statement = "create index concurrently notes_text_idx on notes (text)"
    with building(url, statement, WRITES) as holder, watching(url, "--json") as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        [build] = first["builds"]
        assert main(["db", "indexes", "--database", url]) == 0
        shown = capsys.readouterr().out
        blocker = holder.info.backend_pid
        holder.commit()
        *_, last = [first, *map(json.loads, process.stdout)]
        assert process.wait() == 0
    assert (build["table"], build["index"]) == ("public.notes", "public.notes_text_idx")
    assert (build["command"], build["phase"]) == (
        "create index concurrently",
        "waiting for writers before build",
    )
    assert (build["done"], build["total"], build["unit"]) == (0, 1, "transactions")
    assert build["waits_for"] == blocker
    assert last["builds"] == []
    assert [(each["index"], each["result"]) for each in last["ended"]] == [("public.notes_text_idx", "built")]
    assert "building" in next(line for line in shown.splitlines() if "notes_text_idx  btree" in line)
    assert f"waits for process {blocker}, 0% (0 of 1 transactions)" in shown


def test_a_build_that_fails_leaves_an_invalid_index_and_says_so(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    statement = 'create unique index concurrently "Notes Key" on notes (text)'
    with building(url, statement, WRITES) as holder, watching(url) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        holder.commit()
        rest = process.stdout.read()
        assert process.wait() == 1
    assert first.startswith('public."Notes Key": waiting for writers before build, waits for process ')
    assert rest.endswith(
        'invalid: public."Notes Key": its build has failed\n'
        'HINT: reindex index concurrently public."Notes Key", or drop it\n'
        "no index is being built\n"
    )
    assert main(["db", "indexes", "--database", url, "--json"]) == 1
    states = {each["index"]: each["state"] for each in json.loads(capsys.readouterr().out)["indexes"]}
    assert states == {"Notes Key": "invalid", "notes_pkey": "valid"}
    assert main(["db", "indexes", "--database", url]) == 1
    assert 'invalid: public."Notes Key": no query uses it\nHINT: reindex index concurrently' in (
        capsys.readouterr().out
    )


def test_a_plain_build_has_a_bar_and_its_name_at_the_end(url: str) -> None:
    statement = "create index notes_waited_idx on notes (waited(text))"
    with (
        building(url, statement, LOCKS) as holder,
        watching(url, FORCE_COLOR="1", COLUMNS="200") as process,
    ):
        assert process.stderr is not None
        seen = ""
        while "an index of public.notes: building index: scanning table" not in seen:
            seen += process.stderr.read(1)
        holder.commit()
        out, error = process.communicate()
        assert process.returncode == 0
    assert "built: public.notes_waited_idx" in error
    assert out == "no index is being built\n"


@pytest.mark.parametrize("is_cancelled", [False, True])
@pytest.mark.parametrize(
    "statement", ["create index on notes (waited(text))", "reindex index notes_waited_idx"]
)
def test_a_build_is_reported_as_built_only_if_it_was(url: str, statement: str, is_cancelled: bool) -> None:
    with psycopg.connect(url, autocommit=True) as observer:
        if statement.startswith("reindex"):
            observer.execute("create index on notes (waited(text))")
        with building(url, statement, LOCKS) as holder:
            builds = read_builds(observer)
            before = read_indexes(observer, builds)
            if is_cancelled:
                holder.execute("select pg_cancel_backend(%s)", [builds[0].pid])
        assert read_builds(observer) == []
        [ended] = ended_builds(builds, before, read_indexes(observer, []))
    assert (builds[0].table, builds[0].unit) == ("public.notes", "blocks")
    assert ended.result == ("unknown" if is_cancelled else "built")
    if not is_cancelled:
        assert ended.index == "public.notes_waited_idx"


def test_builds_of_other_roles_are_counted_and_the_grant_is_named(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    role = f"reader_{secrets.token_hex(4)}"
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(sql.SQL("create role {} login").format(sql.Identifier(role)))
        try:
            reader = url.replace("postgres@", f"{role}@")
            with building(url, "create index concurrently n on notes (text)", WRITES):
                assert main(["db", "indexes", "--database", reader, "--json"]) == 0
                seen = json.loads(capsys.readouterr().out)
                assert main(["db", "indexes", "--database", reader]) == 0
                shown = capsys.readouterr().out
        finally:
            admin.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))
    [build] = seen["builds"]
    assert (build["hidden"], build["table"], build["phase"]) == (True, None, None)
    assert {each["index"]: each["state"] for each in seen["indexes"]} == {
        "n": "unknown",
        "notes_pkey": "valid",
    }
    assert f"building: process {build['pid']}: hidden\n" in shown
    assert f"1 build of another role is hidden from {role}: grant pg_read_all_stats to" in shown


def test_without_a_build_the_watch_ends(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db", "indexes", "--watch", "--database", url]) == 0
    assert capsys.readouterr().out == "no index is being built\n"
    assert main(["db", "indexes", "--watch", "--every", "0", "--database", url]) == 2
    assert "expected seconds above 0, at most 3600" in capsys.readouterr().err
