"""One run at a time, no deadlock, and a killed run blocks no other."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from plainsql import migrate
from plainsql.migrate import lock
from plainsql.migrate.connection import connected
from tests.migrate.conftest import Query, Write


def test_runs_at_the_same_time_apply_everything_once(
    write: Write, fresh_database_url: str, query: Query
) -> None:
    folder = write(
        {
            "0001_a.sql": "create table a (id int);",
            "0002_b.sql": "-- transactional: false\ncreate index concurrently i on a (id);",
            "0003_c.sql": "insert into a values (1);",
        }
    )
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda _: migrate.apply(fresh_database_url, folder), range(4)))
    assert sorted(len(run.done) for run in runs) == [0, 0, 0, 3]
    assert query("select count(*) from a") == [(1,)]


def test_a_waiting_run_does_not_block_a_concurrent_index(
    write: Write, fresh_database_url: str, query: Query
) -> None:
    query("create table a (id int)")
    waiting, built = threading.Event(), threading.Event()
    seen: list[str] = []

    def told(progress: migrate.Progress) -> None:
        seen.append(progress.text)
        waiting.set()

    folder = write({"0001_a.sql": "select 1;"})
    with connected(fresh_database_url) as holder, ThreadPoolExecutor(1) as pool:
        with lock.held(holder, wait=0, on_waiting=seen.append):
            run = pool.submit(migrate.apply, fresh_database_url, folder, on_progress=told)
            assert waiting.wait(10)
            # It would wait for the snapshot of a session that waits in pg_advisory_lock.
            holder.execute("set statement_timeout = '10s'")
            holder.execute("create index concurrently i on a (id)")
            built.set()
        assert run.result(10).done == ("0001_a",)
        assert f"pid {holder.info.backend_pid} (plainsql migrate), user " in seen[0]


def test_a_process_that_waits_for_a_concurrent_index_holds_no_snapshot(
    write: Write, fresh_database_url: str, query: Query
) -> None:
    query("create table a (id int)")
    index = "create index concurrently i on a (id);"
    folder = write({"0001_a.sql": f"-- transactional: false\n{index}"})
    command = [sys.executable, "-m", "plainsql", "migrate", "--database", fresh_database_url]

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    with psycopg.connect(fresh_database_url) as writer, ExitStack() as stack:
        writer.execute("insert into a values (1)")
        builder = stack.enter_context(start())
        stack.callback(builder.kill)
        building = (
            f"select pid from pg_stat_activity where wait_event_type = 'Lock' and query = '{index[:-1]}'"
        )
        while not query(f"{building} and datname = current_database()"):
            assert builder.poll() is None
        waiter = stack.enter_context(start())
        stack.callback(waiter.kill)
        assert waiter.stderr is not None
        assert "waiting for another run of migrations: pid " in waiter.stderr.readline()
        # Between two polls, which is nearly always; never in a session that waits in pg_advisory_lock.
        while query(
            "select state, backend_xmin, backend_xid from pg_stat_activity"
            " where datname = current_database() and query ~ 'advisory|pg_locks' and pid <> pg_backend_pid()"
        ) != [("idle", None, None)]:
            assert waiter.poll() is None
        # From here on the index waits for every snapshot that is older than its own.
        writer.commit()
        assert (builder.wait(60), waiter.wait(60)) == (0, 0)
        assert waiter.stdout is not None
        assert waiter.stdout.read() == "nothing to apply\n"
    assert query("select indisvalid from pg_index where indexrelid = 'i'::regclass") == [(True,)]
    assert migrate.status(fresh_database_url, folder).is_current


def test_the_error_of_a_timed_out_run_names_the_holder_of_the_lock(
    write: Write, fresh_database_url: str
) -> None:
    folder = write({"0001_a.sql": "select 1;"})
    with psycopg.connect(fresh_database_url, application_name="the deploy", autocommit=True) as other:
        other.execute("select pg_advisory_lock(%s)", (lock.KEY,))
        pid = other.info.backend_pid
        with pytest.raises(
            migrate.LockedError,
            match=(
                rf"waited 0\.1 s\nDETAIL: held by pid {pid} \(the deploy\), user .*, "
                r"connected since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\n"
                rf"HINT: wait for it to end; or end it with select pg_terminate_backend\({pid}\)"
            ),
        ):
            migrate.apply(fresh_database_url, folder, wait=0.1)


KILLED = """
import sys
from plainsql import migrate
migrate.apply(sys.argv[1], sys.argv[2], on_progress=lambda progress: print(progress.stage, flush=True))
"""

SLEEPING = """
select count(*)
from pg_stat_activity as a
where a.datname = current_database()
  and a.state = 'active'
  and a.query like '%pg_sleep(600)%'
  and a.pid <> pg_backend_pid()
"""


@pytest.mark.parametrize("header", ["", "-- transactional: false\n"], ids=["in a transaction", "outside one"])
def test_a_run_that_is_killed_leaves_nothing_that_blocks_the_next(
    write: Write, fresh_database_url: str, query: Query, header: str
) -> None:
    folder = write({"0001_a.sql": f"{header}create table if not exists a ();\nselect pg_sleep(600);"})
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, fresh_database_url, str(folder.absolute())],
        stdout=subprocess.PIPE,
        cwd=Path.cwd(),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        while query(SLEEPING) == [(0,)]:
            assert process.poll() is None
        process.kill()
    write({"0001_a.sql": f"{header}create table if not exists a ();\nselect 1;"})
    assert migrate.apply(fresh_database_url, folder, wait=20).done == ("0001_a",)
    assert query(SLEEPING) == [(0,)]


def test_the_lock_is_free_after_a_failure(write: Write, fresh_database_url: str, query: Query) -> None:
    with pytest.raises(migrate.MigrationFailedError):
        migrate.apply(fresh_database_url, write({"0001_a.sql": "select 1/0;"}))
    assert query(f"select pg_try_advisory_lock({lock.KEY})") == [(True,)]


def test_a_lost_connection_is_reported(write: Write, fresh_database_url: str) -> None:
    folder = write({"0001_a.sql": "create table a ();\nselect pg_terminate_backend(pg_backend_pid());"})
    with pytest.raises(
        migrate.MigrationFailedError, match=r"terminating connection|connection to the server was lost"
    ):
        migrate.apply(fresh_database_url, folder)
    assert len(migrate.status(fresh_database_url, folder).pending) == 1
