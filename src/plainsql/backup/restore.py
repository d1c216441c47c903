"""A restore of a dump: into a new database that replaces the target when it is whole, or on trial.

A trial restore runs on a private embedded server that is removed afterwards. It compares the rows of every
table with the digests that the backup has of its own snapshot, and all objects with those that it lists.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from plainsql.backup.child_process import OnProgress, ignore_progress, running
from plainsql.backup.contents import Contents, Locale, differences, notes, read_state
from plainsql.backup.database_properties import try_properties
from plainsql.backup.database_session import Connection, connect, major_of, same_server, server_version
from plainsql.backup.dump import DUMP, DUMP_FOLDER
from plainsql.backup.errors import BackupError
from plainsql.backup.manifest import Manifest, require_keys
from plainsql.backup.role_definitions import create_missing_roles, drop_roles
from plainsql.backup.stored_files import check_files, read_contents_file, read_stored
from plainsql.backup.target_database import (
    maintenance_session,
    new_database,
    put_in_place,
    read_target,
    remove_left_databases,
)
from plainsql.conninfo import Conninfo
from plainsql.crypto.file_encryption import FileKeys
from plainsql.server_programs import Program, client_environment, find_program

__all__ = ["Restored", "check_backup", "restore_dump"]

_TABLE: Final = re.compile(r"pg_restore: processing data for table ")
_NEW_SETTINGS_MAJOR: Final = 17
"""From this version on, pg_restore begins with a setting that older servers do not know."""


@dataclass(frozen=True, slots=True)
class Restored:
    """The result of a restore."""

    contents: Contents
    differences: list[str] = field(default_factory=list)
    """The differences from the backup, one line each; empty if it was not compared."""
    old_name: str | None = None
    """The name that the replaced database has now."""
    dropped: list[str] = field(default_factory=list)
    """Databases that killed restores had left."""
    created_roles: list[str] = field(default_factory=list)
    """The roles that the server lacked and that were created."""
    notes: list[str] = field(default_factory=list)
    """Differences that do not make the restore a failed one, one line each."""


def restore_dump(
    url: str,
    folder: Path,
    manifest: Manifest,
    *,
    keys: FileKeys | None = None,
    replace: bool = False,
    no_owner: bool = False,
    create_roles: bool = False,
    jobs: int = 1,
    verify: bool = False,
    unencrypted: bool = False,
    on_progress: OnProgress = ignore_progress,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Restored:
    """Restore a backup as the database that the URL names, which is missing or empty.

    It is another database until it is whole.

    Args:
        url: the database; its role must be allowed to create databases.
        folder: the backup.
        manifest: its manifest.
        keys: the keys of an encrypted backup.
        replace: put it in the place of a database with objects, which is renamed, and end its sessions.
        no_owner: leave out owners and privileges; all objects belong to the role.
        create_roles: create the roles of the backup that the server lacks, without passwords.
        jobs: the tables that are restored at the same time.
        verify: compare the rows and the objects with the backup before the database is put in its place. It
            is dropped if they differ.
        unencrypted: take a backup that is not encrypted, though there are keys.
        on_progress: called with the tables so far.
        clock: the time.

    Raises ``BackupError``, and leaves the server as it was.
    """
    name = Conninfo(url)["dbname"]
    if not name:
        raise BackupError("the URL names no database", hint="end it with the name of the database: …/shop")
    keys, contents = _checked(folder, manifest, keys, on_progress, verify=verify, unencrypted=unencrypted)
    _check_jobs(manifest, keys, jobs)
    with maintenance_session(url, name) as maintenance:
        program = _program(manifest, maintenance)
        _check_extensions(maintenance, contents)
        missing = _missing_roles(maintenance, contents.policy_roles if no_owner else contents.roles)
        if missing and not create_roles:
            raise _without_roles(missing, no_owner)
        dropped = remove_left_databases(url, maintenance)
        target = read_target(url, maintenance, name)
        if not target.is_empty and not replace:
            raise BackupError(
                f"the database {name} is not empty",
                hint="name a new database; --replace renames this one, and puts the backup in its place",
            )
        if target.sessions and not replace:
            raise BackupError(
                f"{target.sessions} sessions use the database {name}",
                hint="end the programs that use it; --replace ends their sessions",
            )
        source = _Source(folder, manifest, keys, contents, no_owner, jobs)
        with (
            _new_roles(maintenance, contents, create_roles, no_owner) as roles,
            new_database(url, maintenance, target.locale or contents.locale) as new,
        ):
            said = _run(url, maintenance, new, program, source, on_progress)
            with connect(url, new) as connection:
                if verify:
                    found, more = _compare(connection, contents, on_progress, owners=not no_owner)
                    if found:
                        return Restored(contents, found, dropped=dropped)
                    said += more
                connection.execute("analyze")
            if not target.exists:
                said += try_properties(maintenance, new, contents.properties, owners=not no_owner)
            old = put_in_place(url, maintenance, new, target, end_sessions=replace, now=clock())
            roles.are_kept = True
    return Restored(contents, [], old, dropped, roles.names, said)


def check_backup(
    folder: Path,
    manifest: Manifest,
    *,
    keys: FileKeys | None = None,
    unencrypted: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> Restored:
    """Restore a backup on a private embedded server, compare the rows, and remove the server.

    Raises ``BackupError`` if it cannot be restored or holds no digests, and ``EmbeddedServerError``.
    """
    keys, contents = _checked(folder, manifest, keys, on_progress, verify=True, unencrypted=unencrypted)
    from plainsql import embedded

    with embedded.start(scratch=True) as server, maintenance_session(server.url(), "") as maintenance:
        program = _program(manifest, maintenance)
        _check_extensions(maintenance, contents)
        create_missing_roles(maintenance, contents.role_definitions, login=False)
        like_c = Locale(contents.locale.encoding, "c", "C", "C", None)
        with new_database(server.url(), maintenance, contents.locale, like_c) as new:
            source = _Source(folder, manifest, keys, contents, False, 1)
            _run(server.url(), maintenance, new, program, source, on_progress)
            with connect(server.url(), new) as connection:
                found, said = _compare(connection, contents, on_progress)
            said += try_properties(maintenance, new, contents.properties, owners=True)
            return Restored(contents, found, notes=said)


def _checked(
    folder: Path,
    manifest: Manifest,
    keys: FileKeys | None,
    on_progress: OnProgress,
    *,
    verify: bool,
    unencrypted: bool,
) -> tuple[FileKeys | None, Contents]:
    """Return the keys that the backup needs, and its contents, after all files were checked."""
    if manifest.kind == "physical":
        raise BackupError(
            f"{folder} is a physical backup: it is of a whole server",
            hint="restore it into a new folder: --to FOLDER",
        )
    keys = require_keys(manifest, keys, unencrypted=unencrypted)
    check_files(folder, manifest, on_progress)
    contents = read_contents_file(folder, manifest, keys)
    if verify and contents.tables is None:
        raise BackupError(
            f"{folder} has no digests to compare with",
            hint="write a backup without --no-digests, or restore it without --verify",
        )
    return keys, contents


@dataclass(slots=True)
class _Roles:
    """The roles that a restore has created."""

    names: list[str]
    are_kept: bool = False


@contextmanager
def _new_roles(
    maintenance: Connection, contents: Contents, create_roles: bool, no_owner: bool
) -> Generator[_Roles]:
    """Create the missing roles with ``create_roles``; drop them when the block ends, unless they are kept."""
    wanted = [
        role for role in contents.role_definitions if not no_owner or role.name in contents.policy_roles
    ]
    created = _Roles(create_missing_roles(maintenance, wanted) if create_roles else [])
    try:
        yield created
    finally:
        if not created.are_kept:
            drop_roles(maintenance, created.names)


@dataclass(frozen=True, slots=True)
class _Source:
    folder: Path
    manifest: Manifest
    keys: FileKeys | None
    contents: Contents
    no_owner: bool
    jobs: int


def _run(
    url: str,
    maintenance: Connection,
    database: str,
    program: Program,
    source: _Source,
    on_progress: OnProgress,
) -> list[str]:
    """Run pg_restore on a new database; it stops at the first error. Return what is not as in the backup."""
    said: list[str] = []
    command = [program.path, "--no-password", "--verbose", "--exit-on-error"]
    command += [f"--dbname={same_server(url, maintenance, database)}"]
    if source.no_owner:
        command += ["--no-owner", "--no-privileges"]
    if source.jobs > 1:
        command += [f"--jobs={source.jobs}"]
    if missing := _missing_tablespaces(maintenance, source.contents):
        command += ["--no-tablespaces"]
        said.append(
            f"the server lacks tablespaces of the backup: {', '.join(missing)}; all tables are in the "
            "default one"
        )
    count, total = 0, len(source.contents.tables or ())

    def count_table(line: str) -> None:
        nonlocal count
        if _TABLE.match(line):
            on_progress("restoring tables", count, max(total, count))
            count += 1

    is_stream = source.manifest.kind == "dump" and source.jobs == 1
    if not is_stream:
        command.append(str(source.folder / (DUMP if source.manifest.kind == "dump" else DUMP_FOLDER)))
    environment = client_environment(Conninfo(url))
    stdin = subprocess.PIPE if is_stream else subprocess.DEVNULL
    with running(command, environment, stdin=stdin, on_line=count_table) as child:
        try:
            if is_stream:
                stored = next((file for file in source.manifest.files if file.name == DUMP), None)
                if stored is None:
                    raise BackupError(f"{source.folder}: {DUMP} is missing in the manifest")
                size = 0
                for data in read_stored(source.folder, stored, source.keys):
                    child.stdin.write(data)
                    size += len(data)
                    on_progress("sending the dump (MiB)", size >> 20, stored.bytes >> 20)
                child.stdin.close()
        except BrokenPipeError:
            pass  # it has ended, and its exit code says how
        if child.wait() != 0:
            raise child.failure("pg_restore")
    on_progress("restoring tables", max(total, count), max(total, count))
    return said


def _compare(
    connection: Connection, contents: Contents, on_progress: OnProgress, *, owners: bool = True
) -> tuple[list[str], list[str]]:
    """Return the differences from the backup, and what is different and not wrong."""
    state = read_state(connection, on_progress)
    return differences(contents, state, owners=owners), notes(contents, state)


def _program(manifest: Manifest, maintenance: Connection) -> Program:
    """Return the pg_restore that reads the backup and that the server understands."""
    major, version = major_of(maintenance), server_version(maintenance)
    if major < manifest.server_major:
        raise BackupError(
            f"the backup is of PostgreSQL {manifest.server}: expected a server of version "
            f"{manifest.server_major} or newer, got {version}",
            hint="no dump is made for an older server: restore it into a newer one",
        )
    if major < _NEW_SETTINGS_MAJOR <= manifest.program_major:
        raise BackupError(
            f"the backup was written by pg_dump {manifest.program}: expected a server of version "
            f"{_NEW_SETTINGS_MAJOR} or newer, got {version}",
            hint=f"write backups with the pg_dump of PostgreSQL {manifest.server_major}",
        )
    below = _NEW_SETTINGS_MAJOR if major < _NEW_SETTINGS_MAJOR else None
    return find_program("pg_restore", manifest.program_major, below=below)


def _check_jobs(manifest: Manifest, keys: FileKeys | None, jobs: int) -> None:
    if jobs > 1 and keys is not None:
        raise BackupError("--jobs: an encrypted backup is one stream", hint="leave out --jobs")


def _check_extensions(maintenance: Connection, contents: Contents) -> None:
    rows = maintenance.execute("select name from pg_available_extensions").fetchall()
    missing = [name for name in contents.extensions if (name,) not in rows]
    if missing:
        shown = ", ".join(f"{name} {contents.extensions[name]}" for name in missing)
        raise BackupError(
            f"the server lacks extensions of the backup: {shown}",
            hint="install them on the server, or restore on one that has them: --to URL --verify",
        )


def _missing_tablespaces(maintenance: Connection, contents: Contents) -> list[str]:
    here = {name for (name,) in maintenance.execute("select spcname from pg_tablespace").fetchall()}
    return [name for name in contents.tablespaces if name not in here]


def _missing_roles(maintenance: Connection, roles: tuple[str, ...]) -> list[str]:
    here = {name for (name,) in maintenance.execute("select rolname from pg_roles").fetchall()}
    return [role for role in roles if role not in here]


def _without_roles(missing: list[str], no_owner: bool) -> BackupError:
    return BackupError(
        f"the server lacks roles of the backup: {', '.join(missing)}",
        hint="create them, without passwords: --create-roles"
        + ("" if no_owner else "; or leave out owners and privileges: --no-owner"),
    )
