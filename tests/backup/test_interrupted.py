"""Backups and restores that are interrupted or killed, and full disks: what is left."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from queue import Queue

import psycopg
import pytest

from plainsql.backup import BackupError, child_process, create_dump, restore_dump
from plainsql.cli.app import main
from plainsql.crypto.file_encryption import FILE_KEYS_VARIABLE
from plainsql.embedded import EmbeddedServer
from tests.backup.conftest import KEY, databases, run, values

SLOW = """
create function slow() returns boolean language sql immutable as
  $$select pg_sleep(case when current_database() ~ '^plainsql_restore_' then 60 else 0 end) is not null$$;
create materialized view slowly as select slow();
"""
"""A restore of it hangs in the end: at its materialized view."""

BACKUP = """
import sys, pathlib, plainsql.backup
plainsql.backup.create_dump(sys.argv[1], pathlib.Path(sys.argv[2]))
"""
RESTORE = """
import sys, pathlib, plainsql.backup
plainsql.backup.restore_dump(sys.argv[1], *plainsql.backup.find_backup(pathlib.Path(sys.argv[2])))
"""


@contextmanager
def running(*arguments: str, environment: dict[str, str] | None = None) -> Generator[subprocess.Popen[str]]:
    """Python as a process."""
    with subprocess.Popen(
        [sys.executable, *arguments],
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def sessions(url: str, application: str, database: str) -> list[int]:
    rows = values(
        url,
        "select pid from pg_stat_activity"
        f" where application_name = '{application}' and datname like '{database}' and state = 'active'",
    )
    return [pid for (pid,) in rows]


def pg_dump_of(parent: int) -> str:
    """The folder in /proc of the pg_dump that a process has started."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            stat = (entry / "stat").read_text() if (entry / "stat").exists() else ""
            if "(pg_dump)" in stat and stat.rpartition(")")[2].split()[1] == str(parent):
                return str(entry)
    raise AssertionError("there is no pg_dump")


def test_an_interrupted_backup_leaves_nothing_and_a_killed_one_no_backup(
    fresh_database_url: str,
    tmp_path: Path,
    server: EmbeddedServer,
    capfd: pytest.CaptureFixture[str],
) -> None:
    parent = tmp_path / "interrupted" / "new" / "backups"
    killed = tmp_path / "killed"
    url = fresh_database_url.replace("postgres@", "postgres:pass%20phrase@")
    arguments = ("backup", "--to", str(parent), "--database", url)
    with psycopg.connect(fresh_database_url) as connection:
        name = connection.info.dbname
        run(connection, "create table notes as select n from generate_series(1, 10) as n")
        connection.commit()
        # pg_dump reads this catalog, and our own session does not.
        run(connection, "lock table pg_seclabel in access exclusive mode")

        def waits() -> list[int]:
            return sessions(server.url(), "pg_dump", name)

        with (
            running(
                "-m", "plainsql", "db", *arguments, environment={FILE_KEYS_VARIABLE: f"k:{KEY}"}
            ) as process,
            running("-c", BACKUP, url, str(killed)) as other,
        ):
            wait_until(lambda: len(waits()) == 2)
            other.kill()
            child = Path(pg_dump_of(process.pid))
            command_line = (child / "cmdline").read_text()
            environment = (child / "environ").read_text()
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
        assert (process.returncode, said) == (130, "interrupted; nothing is left of the backup\n")
        assert list(tmp_path.iterdir()) == [killed]
        wait_until(lambda: len(waits()) == 1)  # the program of the killed one ends with its next write
        assert f"dbname='{name}'" in command_line
        assert "phrase" not in command_line
        assert "PGPASSWORD=pass phrase\0" in environment
        assert KEY not in environment
    (left,) = killed.iterdir()
    assert left.name.endswith(".unfinished")
    assert main(["db", "restore", str(killed), "--verify"]) == 2
    assert "is no backup of plainsql" in capfd.readouterr().err
    assert main(["db", "backup", "--to", str(killed), "--database", url]) == 0
    assert capfd.readouterr().err == f"removed {left}: an earlier backup was killed\n"
    (backup,) = killed.iterdir()
    assert backup.name.startswith(f"{name}-")


def test_a_function_that_is_dropped_meanwhile_fails_the_backup(
    fresh_database_url: str, tmp_path: Path, server: EmbeddedServer
) -> None:
    with psycopg.connect(fresh_database_url) as holder, ThreadPoolExecutor(1) as executor:
        run(holder, "create function f() returns int language sql as 'select 1'")
        holder.commit()
        # pg_dump reads this catalog after the list of functions, and before their definitions.
        run(holder, "lock table pg_seclabel in access exclusive mode")
        backup = executor.submit(create_dump, fresh_database_url, tmp_path, digests=False)
        wait_until(lambda: sessions(server.url(), "pg_dump", holder.info.dbname))
        run(holder, "drop function f()")
        holder.commit()
        with pytest.raises(BackupError, match=r"the function public\.f was dropped while"):
            backup.result()
    assert list(tmp_path.iterdir()) == []


def test_a_program_ends_with_the_processes_that_it_has_started() -> None:
    def is_gone(pid: int) -> bool:
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"

    began = time.monotonic()
    for end in ("sleep 100", "exit 3"):
        started: Queue[str] = Queue()
        command = ["sh", "-c", f"sleep 100 & echo $! >&2; {end}"]
        with child_process.running(command, {}, on_line=started.put) as child:
            pid = int(started.get(timeout=60))
            if end == "exit 3":
                assert child.wait() == 3
        wait_until(partial(is_gone, pid))
    assert time.monotonic() - began < 90


def test_a_full_disk_leaves_nothing(
    fresh_database_url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        run(connection, "create table big as select md5(n::text) from generate_series(1, 8000) as n")
    parent = tmp_path / "backups"
    # As a full disk would: a larger file cannot be written.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        code = main(["db", "backup", "--to", str(parent), "--database", fresh_database_url])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    said = capfd.readouterr().err
    assert code == 2
    assert said.startswith(f"{parent}/")
    assert said.endswith(": file too large\n")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_restore_leaves_nothing_and_a_killed_one_is_cleared(
    fresh_database_url: str, tmp_path: Path, new_url: str, server: EmbeddedServer
) -> None:
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        run(connection, SLOW)
    folder, _ = create_dump(fresh_database_url, tmp_path)
    name = new_url.partition("@/")[2].partition("?")[0]

    def hanging() -> list[str]:
        rows = values(
            server.url(),
            "select datname from pg_stat_activity where state = 'active' and query ~ 'VIEW public.slowly'"
            " and pid <> pg_backend_pid()",
        )
        return [database for (database,) in rows]

    with running("-c", RESTORE, new_url, str(folder)) as killed:
        with running("-m", "plainsql", "db", "restore", str(folder), "--to", new_url) as process:
            wait_until(lambda: len(hanging()) == 2)
            both = hanging()
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=60)
        assert (process.returncode, said) == (143, "interrupted; nothing is left of the restore\n")
        (scratch,) = hanging()
        killed.kill()
    assert all(each.startswith("plainsql_restore_") for each in both)
    assert [found for each in both for found in databases(server, each)] == [(scratch,)]
    assert databases(server, name) == []
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        run(connection, "drop materialized view slowly")
    quick = create_dump(fresh_database_url, tmp_path)

    def cleared() -> bool:
        # The session of the killed process may live for a moment.
        restore_dump(new_url, *quick, replace=True)
        return databases(server, scratch) == []

    wait_until(cleared)
