"""A logical backup: pg_dump and the digests of all rows read one snapshot at the same time."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import psycopg

from plainsql.backup.backup_folder import backup_place, new_folder
from plainsql.backup.child_process import Child, OnProgress, ignore_progress, running
from plainsql.backup.contents import CONTENTS, Contents, dropped_functions, read_contents, snapshot
from plainsql.backup.database_session import Connection, connect, major_of, same_server, server_version
from plainsql.backup.errors import BackupError
from plainsql.backup.manifest import Manifest, StoredFile
from plainsql.backup.sequence_values import read_sequences
from plainsql.backup.stored_files import store_bytes, store_manifest, storing, written_file
from plainsql.conninfo import Conninfo
from plainsql.crypto.file_encryption import FileKeys
from plainsql.server_programs import Program, client_environment, find_program

__all__ = ["DUMP", "DUMP_FOLDER", "create_dump", "plainsql_version", "read_cluster"]

DUMP: Final = "dump.pgdump"
"""The file of pg_dump's custom format."""
DUMP_FOLDER: Final = "dump"
"""The folder of pg_dump's directory format."""

_COPY_BYTES: Final = 1 << 20
_LOCK_WAIT_MS: Final = 30_000
_TABLE: Final = re.compile(r"pg_dump: dumping contents of table ")


def create_dump(
    url: str,
    parent: Path,
    *,
    keys: FileKeys | None = None,
    jobs: int = 1,
    digests: bool = True,
    on_progress: OnProgress = ignore_progress,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> tuple[Path, Manifest]:
    """Write a backup of one database into a folder of backups; return its own folder and its manifest.

    Writers do not wait for it; migrations do.

    Args:
        url: the database; its role must see every row.
        parent: the folder of backups, made if it is missing.
        keys: encrypt with the first of these keys.
        jobs: the tables that are dumped at the same time, in pg_dump's directory format if more than one.
        digests: read all rows for the digests that a trial restore is compared with.
        on_progress: called with the tables so far, from two threads.
        clock: the time.

    Raises ``BackupError``, ``ConnectError``, ``SettingsError`` if a program is missing, and ``OSError`` if a
    file cannot be written. Nothing is left then.
    """
    if keys is not None and jobs > 1:
        raise BackupError(
            "--jobs: an encrypted backup is one stream", hint="leave out --jobs, or unset the keys"
        )
    with connect(url) as connection:
        program = find_program("pg_dump", major_of(connection))
        with snapshot(connection) as (name, tables):
            started = clock()
            database = connection.info.dbname
            with new_folder(backup_place(parent, database, started), or_numbered=True) as new:
                folder = new.path
                facts = _Facts(connection, program, name, tables)
                with _contents(facts, digests, on_progress) as contents:
                    files = _dump(url, facts, folder, keys, jobs, contents.check, on_progress)
                    read = contents.wait()
                if gone := dropped_functions(connection):
                    raise BackupError(
                        f"the function {gone[0]} was dropped while the dump was written",
                        hint="a migration changes the database: try again",
                    )
                read = msgspec.structs.replace(
                    read, sequences=read_sequences(connection, earlier=facts.sequences)
                )
                files.append(store_bytes(folder, CONTENTS, msgspec.json.encode(read), keys))
                manifest = Manifest(
                    kind="dump" if jobs == 1 else "directory",
                    database=database,
                    cluster=facts.cluster,
                    server=server_version(connection),
                    program=program.version,
                    plainsql=plainsql_version(),
                    started=started,
                    finished=clock(),
                    key=None if keys is None else keys.active,
                    files=tuple(files),
                )
                manifest = store_manifest(folder, manifest, keys)
    return new.place, manifest


class _Facts:
    """The facts that a dump takes from its session before another thread uses it."""

    def __init__(self, connection: Connection, program: Program, snapshot: str, tables: int) -> None:
        self.cluster = read_cluster(connection)
        self.program = program
        self.snapshot = snapshot
        self.tables = tables
        self.sequences = read_sequences(connection)
        self.connection = connection


def _dump(
    url: str,
    facts: _Facts,
    folder: Path,
    keys: FileKeys | None,
    jobs: int,
    check: Callable[[], None],
    on_progress: OnProgress,
) -> list[StoredFile]:
    command = [facts.program.path, "--no-password", "--verbose", "--no-sync"]
    command += [f"--snapshot={facts.snapshot}", f"--lock-wait-timeout={_LOCK_WAIT_MS}"]
    command += [f"--dbname={same_server(url, facts.connection)}"]
    count = 0

    def count_table(line: str) -> None:
        nonlocal count
        if _TABLE.match(line):
            on_progress("dumping tables", count, max(facts.tables, count))
            count += 1

    environment = client_environment(Conninfo(url))
    if jobs > 1:
        command += ["--format=directory", f"--jobs={jobs}", f"--file={folder / DUMP_FOLDER}"]
        with running(command, environment, on_line=count_table) as child:
            _require_success(child, check)
        files = [written_file(folder, path) for path in sorted((folder / DUMP_FOLDER).iterdir())]
    else:
        command += ["--format=custom"]
        with (
            running(command, environment, stdout=subprocess.PIPE, on_line=count_table) as child,
            storing(folder, DUMP, keys) as writer,
        ):
            size = 0
            while data := child.stdout.read(_COPY_BYTES):
                check()
                writer.write(data)
                size += len(data)
                on_progress("writing the dump (MiB)", size >> 20, size >> 20)  # its end is not known
            _require_success(child, check)
            files = [writer.finish()]
    on_progress("dumping tables", max(facts.tables, count), max(facts.tables, count))
    return files


def _require_success(child: Child, check: Callable[[], None]) -> None:
    if child.wait() != 0:
        check()  # its snapshot may have gone with our session
        raise child.failure("pg_dump")


class _Reading:
    """The contents, read in a thread while pg_dump runs."""

    def __init__(self, connection: Connection, result: Future[Contents]) -> None:
        self._connection = connection
        self._result = result

    def check(self) -> None:
        """Raise the error of the thread, if it has failed already."""
        if self._result.done():
            self._result.result()

    def wait(self) -> Contents:
        """Return the contents, when they are read."""
        return self._result.result()

    def stop(self) -> None:
        """Cancel the reading if it has not ended."""
        while not self._result.done():
            # A statement that has just begun is not cancelled by a request that came before it.
            with suppress(psycopg.Error, OSError):
                self._connection.cancel_safe(timeout=5.0)
            wait([self._result], timeout=0.2)


@contextmanager
def _contents(facts: _Facts, rows: bool, on_progress: OnProgress) -> Generator[_Reading]:
    with ThreadPoolExecutor(1, "digests of rows") as executor:
        reading = _Reading(
            facts.connection,
            executor.submit(
                read_contents, facts.connection, facts.sequences, rows=rows, on_progress=on_progress
            ),
        )
        try:
            yield reading
        finally:
            reading.stop()


def read_cluster(connection: Connection) -> str | None:
    """Return the system identifier of the server, if the role may read it."""
    row = connection.execute(
        "select has_function_privilege('pg_catalog.pg_control_system()', 'execute')"
    ).fetchone()
    if row is None or not row[0]:
        return None
    found = connection.execute("select system_identifier::text from pg_control_system()").fetchone()
    return None if found is None else str(found[0])


def plainsql_version() -> str:
    """Return the version of this package."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("plainsql")
    except PackageNotFoundError:
        return "unknown"
