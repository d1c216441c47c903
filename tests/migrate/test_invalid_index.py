"""The invalid index of a concurrent build that failed: the next run drops it and builds it again."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from plainsql import migrate
from tests.migrate.conftest import Query, Write

TABLES = """
create schema s;
create table s.t (id int, "Note" text);
insert into s.t values (1), (1);
create table u (id int);
insert into u values (1), (1);
"""
OWN = """
select i.indexrelid::regclass::text, i.indisvalid
from pg_index as i
where i.indrelid > 16383 and not i.indisprimary
order by i.indexrelid::regclass::text collate "C"
"""


def notices(url: str, folder: object) -> list[str]:
    seen: list[str] = []

    def note(progress: migrate.Progress) -> None:
        if progress.stage == "notice":
            seen.append(progress.text)

    migrate.apply(url, str(folder), on_progress=note)
    return seen


@pytest.mark.parametrize(
    "statement",
    [
        'create unique index concurrently "Two" on s.t (id)',
        'create unique index concurrently if not exists "Two" on only s . t (id)',
        'set search_path = s; create unique index /* x */ concurrently "Two" -- y\n on "t" using btree (id)',
    ],
    ids=["plain", "if not exists", "search path"],
)
def test_it_is_dropped_and_built_again(
    write: Write, fresh_database_url: str, query: Query, statement: str
) -> None:
    folder = write({"0001_t.sql": TABLES, "0002_i.sql": f"-- transactional: false\n{statement};"})
    with pytest.raises(migrate.MigrationFailedError, match="could not create unique index") as caught:
        migrate.apply(fresh_database_url, folder)
    assert caught.value.hint == "run it again: it drops that index and builds it again"
    # Others that are invalid: of the same name on another table, of the same table with another name.
    for other in ('"Two" on u (id)', "two on s.t (id)"):
        with pytest.raises(psycopg.errors.UniqueViolation):
            query(f"create unique index concurrently {other}")
    query("delete from s.t")
    assert notices(fresh_database_url, folder) == [
        'dropped the invalid index s."Two", which an earlier build left; building it again'
    ]
    assert query(OWN) == [('"Two"', False), ('s."Two"', True), ("s.two", False)]
    assert migrate.status(fresh_database_url, folder).is_current


def test_after_a_kill_it_is_built_again(write: Write, fresh_database_url: str, query: Query) -> None:
    index = "create index concurrently a_y on a (y)"
    folder = write({"0001_a.sql": f"-- transactional: false\n{index};"})
    query("create table a (y int)")
    building = (
        f"select pid from pg_stat_activity where query = '{index}' and wait_event_type = 'Lock'"
        " and datname = current_database()"
    )
    with psycopg.connect(fresh_database_url) as writer:
        writer.execute("insert into a values (1)")
        command = [sys.executable, "-m", "plainsql", "migrate", "--database", fresh_database_url]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            while not (found := query(building)):
                assert process.poll() is None
            process.kill()
        # The server builds on until it looks for its client: until then nothing is dropped.
        while query(f"select 1 from pg_stat_activity where pid = {found[0][0]}"):
            pass
    assert query(OWN) == [("a_y", False)]
    # Another session builds it at this moment: it holds the lock of a concurrent build.
    with psycopg.connect(fresh_database_url) as builder:
        builder.execute("lock table a in share update exclusive mode")
        with pytest.raises(migrate.MigrationFailedError) as caught:
            migrate.apply(fresh_database_url, folder)
        assert caught.value.message == (
            f"the index public.a_y is invalid, and pid {builder.info.backend_pid}, which works on its table, "
            "may be building it"
        )
    assert query(OWN) == [("a_y", False)]
    assert notices(fresh_database_url, folder) == [
        "dropped the invalid index public.a_y, which an earlier build left; building it again"
    ]
    assert query(OWN) == [("a_y", True)]


def test_a_copy_of_a_reindexing_is_named_and_a_valid_index_never_dropped(
    write: Write, fresh_database_url: str, query: Query
) -> None:
    query("create table a (y int)")
    query("create unique index a_y on a (y)")
    folder = write({"0001_a.sql": "-- transactional: false\nreindex index concurrently a_y;"})
    with psycopg.connect(fresh_database_url) as writer:
        writer.execute("insert into a values (1)")
        with ThreadPoolExecutor(1) as pool:
            reindexing = pool.submit(query, "reindex index concurrently a_y")
            cancel = (
                "select pg_cancel_backend(pid) from pg_stat_activity where datname = current_database()"
                " and query ~ '^reindex' and wait_event_type = 'Lock'"
            )
            while not query(cancel):
                pass
            with pytest.raises(psycopg.errors.QueryCanceled):
                reindexing.result(60)
    assert query(OWN) == [("a_y", True), ("a_y_ccnew", False)]
    assert notices(fresh_database_url, folder) == [
        "an earlier reindexing left public.a_y_ccnew: drop index concurrently public.a_y_ccnew"
    ]
    write({"0002_b.sql": "-- transactional: false\ncreate index concurrently if not exists a_y on a (y);"})
    oid = query("select 'a_y'::regclass::oid")
    assert notices(fresh_database_url, folder) == ['NOTICE: relation "a_y" already exists, skipping']
    assert query("select 'a_y'::regclass::oid") == oid
