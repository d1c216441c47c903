"""A statement that gets no lock in time: its migration is tried again, and the blocker is named."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest

from plainsql import migrate
from plainsql.migrate.lock_limit import LockLimit
from tests.migrate.conftest import Query, Write

TABLE = "create table a (y int, email text);"
ADD = "create table b ();\nalter table a add column z int;"


@contextmanager
def blocker(url: str) -> Iterator[psycopg.Connection]:
    """A transaction that has locked a table, and whose last statement holds a value."""
    with psycopg.connect(url, application_name="the report", client_encoding="utf8") as connection:
        connection.execute(
            b"select /* of hush@example.com */ from a where email = 'hush@example.com' or y = 42"
        )
        yield connection


class Seen:
    """The progress of a run in another thread, as events."""

    def __init__(self) -> None:
        self.events: list[migrate.Progress] = []
        self._changed = threading.Condition()

    def __call__(self, progress: migrate.Progress) -> None:
        with self._changed:
            self.events.append(progress)
            self._changed.notify_all()

    def wait_for(self, *stages: str) -> None:
        with self._changed:
            assert self._changed.wait_for(
                lambda: set(stages) <= {each.stage for each in self.events}, timeout=60
            )

    def texts(self, stage: str) -> list[str]:
        return [each.text for each in self.events if each.stage == stage]


@pytest.mark.parametrize(
    "script", [ADD, f"-- transactional: false\n{ADD}"], ids=["in a transaction", "outside one"]
)
def test_a_lock_that_comes_free_is_taken_by_the_next_try(
    write: Write, fresh_database_url: str, query: Query, script: str
) -> None:
    query(TABLE)
    folder, seen = write({"0001_a.sql": script}), Seen()
    with ThreadPoolExecutor(1) as pool, blocker(fresh_database_url) as other:
        pid = other.info.backend_pid
        run = pool.submit(
            migrate.apply,
            fresh_database_url,
            folder,
            lock_timeout=0.2,
            lock_retries=1000,
            on_progress=seen,
        )
        seen.wait_for("blocked", "retrying")
        # Between two tries nothing is in the queue, and nothing of a file in a transaction is kept.
        assert query("select to_regclass('b')") == [(None if script is ADD else "b",)]
        other.rollback()
        assert run.result(60).done == ("0001_a",)
    assert query("select count(*) from pg_attribute where attrelid = 'a'::regclass and attname = 'z'") == [
        (1,)
    ]
    assert re.fullmatch(
        rf"pid {pid} \(the report\) of \w+, idle in transaction, transaction begun "
        r"[-0-9]+ [:0-9]+ UTC: select from a where email = \? or y = \?",
        seen.texts("blocked")[0],
    )
    assert re.fullmatch(
        r"statement 2: canceling statement due to lock timeout; try 2 of 1001 in 0\.[012] s",
        seen.texts("retrying")[0],
    )


def test_after_the_last_try_one_error_names_the_blocker(
    write: Write, fresh_database_url: str, query: Query
) -> None:
    query(TABLE)
    write({"0001_a.sql": ADD, "pyproject.toml": ""})
    command = [sys.executable, "-m", "plainsql", "migrate", "--database", fresh_database_url]
    command += ["--lock-timeout", "0.4", "--lock-retries", "2"]
    with blocker(fresh_database_url) as other:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
        pid = other.info.backend_pid
    assert done.returncode == 1
    start, blocked, first, second, end = done.stdout.splitlines()
    assert (start, end) == ("0001_a … ", "0001_a … failed")
    assert blocked.startswith(f"  blocked by pid {pid} (the report) of postgres, idle in transaction")
    timeout = "  statement 2: canceling statement due to lock timeout; try"
    assert (first.partition(" 2 of 3 in ")[0], second.partition(" 3 of 3 in ")[0]) == (timeout, timeout)
    error = re.sub(r"\d+\.\d s", "0.0 s", re.sub(r"[-0-9]{10} [:0-9]{8} UTC", "<time>", done.stderr))
    assert error == (
        "migrations/0001_a.sql:2:1: canceling statement due to lock timeout (SQLSTATE 55P03)\n"
        "    alter table a add column z int;\n"
        "    ^\n"
        "DETAIL: statement 2 of 2: alter table a add column z int\n"
        "        tried 3 times in 0.0 s\n"
        f"        blocked by pid {pid} (the report) of postgres, idle in transaction, transaction begun "
        "<time>: select from a where email = ? or y = ?\n"
        "        nothing of this file was kept\n"
        "HINT: end what blocks it, or run it when the table is less busy; --lock-timeout and "
        "--lock-retries allow more\n"
    )
    assert "hush" not in done.stdout + done.stderr
    assert query("select to_regclass('b')") == [(None,)]


def test_a_timeout_of_the_files_own_wins(write: Write, fresh_database_url: str, query: Query) -> None:
    query(TABLE)
    query("create table seen (value text)")
    show = "insert into seen values (current_setting('lock_timeout'));"
    own = f"set lock_timeout = '70ms';\n{show}"
    folder = write(
        {
            "0001_a.sql": show,
            "0002_b.sql": own,
            "0003_c.sql": f"-- transactional: false\n{show}",
            "0004_d.sql": f"-- transactional: false\n{own}",
            "0005_e.sql": f"{own}\nalter table a add column z int;",
        }
    )
    with blocker(fresh_database_url), pytest.raises(migrate.MigrationFailedError, match="lock timeout"):
        # Without a timeout of its own, the last file would wait for the whole minute.
        migrate.apply(fresh_database_url, folder, lock_timeout=60, lock_retries=0)
    assert query("select value from seen") == [("1min",), ("70ms",), ("1min",), ("70ms",)]


def test_a_concurrent_index_has_no_limit_and_names_what_it_waits_for(
    write: Write, fresh_database_url: str, query: Query
) -> None:
    query(TABLE)
    index = "-- transactional: false\ncreate index concurrently a_y on a (y);"
    folder, seen = write({"0001_a.sql": index}), Seen()
    with ThreadPoolExecutor(1) as pool, blocker(fresh_database_url) as other:
        other.execute("insert into a values (1)")
        run = pool.submit(
            migrate.apply, fresh_database_url, folder, lock_timeout=0.05, lock_retries=0, on_progress=seen
        )
        seen.wait_for("blocked")
        assert not run.done()
        other.commit()
        assert run.result(60).done == ("0001_a",)
    assert ": insert into a values (?)" in seen.texts("blocked")[0]
    assert query("select indisvalid from pg_index where indexrelid = 'a_y'::regclass") == [(True,)]


def test_of_the_sessions_of_other_roles_the_process_is_named(
    write: Write, fresh_database_url: str, query: Query
) -> None:
    role = f"owner_{fresh_database_url.partition('?')[0][-12:]}"
    query(f"create role {role} login")
    query(f"grant create on schema public to {role}")
    seen = Seen()
    try:
        query(TABLE)
        query(f"alter table a owner to {role}")
        url, folder = fresh_database_url.replace("postgres@", f"{role}@"), write({"0001_a.sql": ADD})
        with blocker(fresh_database_url) as other:
            pid = other.info.backend_pid
            with pytest.raises(migrate.MigrationFailedError) as caught:
                migrate.apply(url, folder, lock_timeout=1, lock_retries=0, on_progress=seen)
        hidden = f"pid {pid} (the report) of postgres: hidden from this role, which needs pg_read_all_stats"
        assert seen.texts("blocked") == [hidden]
        assert f"blocked by {hidden}" in str(caught.value)
    finally:
        query(f"drop owned by {role}")
        query(f"drop role {role}")


def test_pauses_grow_and_are_random() -> None:
    limit = LockLimit(4, 9)
    for attempt, longest in ((1, 2), (2, 4), (3, 8), (9, 30)):
        pauses = {limit.pause_s(attempt) for _ in range(50)}
        assert len(pauses) > 10
        assert longest / 2 <= min(pauses) <= max(pauses) <= longest


def test_the_victim_of_a_deadlock_is_tried_again(write: Write, fresh_database_url: str, query: Query) -> None:
    query("create table a ()")
    query("create table b ()")
    script = "lock table a;\nselect pg_advisory_xact_lock(7);\nlock table b;"
    folder = write({"0001_a.sql": f"set local deadlock_timeout = '10ms';\n{script}"})
    seen = Seen()
    with (
        ThreadPoolExecutor(2) as pool,
        psycopg.connect(fresh_database_url) as other,
        psycopg.connect(fresh_database_url, autocommit=True) as gate,
    ):
        gate.execute("select pg_advisory_lock(7)")
        other.execute("set deadlock_timeout = '100s'")
        other.execute("lock table b")
        run = pool.submit(
            migrate.apply, fresh_database_url, folder, lock_timeout=0, lock_retries=1, on_progress=seen
        )
        until_waiting(gate, 1)
        waits = pool.submit(other.execute, "lock table a")
        until_waiting(gate, 2)
        # The session that waits last closes the circle, and the one that finds that is its victim.
        gate.execute("select pg_advisory_unlock(7)")
        seen.wait_for("retrying")
        waits.result(60)
        other.commit()
        assert run.result(60).done == ("0001_a",)
    assert seen.texts("retrying")[0].startswith("statement 4: deadlock detected; try 2 of 2 in ")


def until_waiting(connection: psycopg.Connection, count: int) -> None:
    waiting = "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    while connection.execute(waiting).rowcount < count:
        pass
