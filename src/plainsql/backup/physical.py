"""A physical backup: the files of a whole server by pg_basebackup, with the WAL that they need."""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from plainsql.backup.backup_folder import backup_place, new_folder
from plainsql.backup.child_process import Child, OnProgress, ignore_progress, running
from plainsql.backup.database_session import connect, major_of, same_server, server_version
from plainsql.backup.dump import plainsql_version, read_cluster
from plainsql.backup.errors import BackupError
from plainsql.backup.manifest import Manifest, StoredFile, require_keys
from plainsql.backup.stored_files import check_files, read_stored, store_manifest, storing, written_file
from plainsql.conninfo import Conninfo
from plainsql.crypto.file_encryption import FileKeys
from plainsql.files import create_file
from plainsql.server_programs import client_environment, find_program

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

__all__ = ["create_base_backup", "unpack_base_backup"]

_BASE: Final = "base.tar.gz"
_WAL: Final = "pg_wal.tar.gz"
_SERVER_MANIFEST: Final = "backup_manifest"
_FOLDER: Final = "server"
_COPY_BYTES: Final = 1 << 20
_PROGRESS: Final = re.compile(r"\s*(?P<done>\d+)/(?P<total>\d+) kB")


def create_base_backup(
    url: str,
    parent: Path,
    *,
    keys: FileKeys | None = None,
    on_progress: OnProgress = ignore_progress,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> tuple[Path, Manifest]:
    """Write a backup of a whole server into a folder of backups; return its own folder and its manifest.

    Args:
        url: any database of the server; the role has REPLICATION.
        parent: the folder of backups, made if it is missing.
        keys: encrypt with the first of these keys. The backup is one stream then: the server must have one
            tablespace, and keep the WAL of that time.
        on_progress: called with the MiB so far.
        clock: the time.

    Raises ``BackupError``, ``ConnectError``, ``SettingsError`` if a program is missing, and ``OSError`` if a
    file cannot be written. Nothing is left then.
    """
    with connect(url) as connection:
        program = find_program("pg_basebackup", major_of(connection))
        started = clock()
        database = connection.info.dbname
        command = [program.path, "--no-password", "--progress", "--checkpoint=fast", "--no-sync"]
        command += ["--format=tar", "--gzip", f"--label=plainsql {started:%Y-%m-%dT%H:%M:%SZ}"]
        command += [f"--dbname={same_server(url, connection)}"]
        server, cluster = server_version(connection), read_cluster(connection)
    with new_folder(backup_place(parent, "server", started), or_numbered=True) as new:
        files = _copy(command, client_environment(Conninfo(url)), new.path, keys, on_progress)
        manifest = Manifest(
            kind="physical",
            database=database,
            cluster=cluster,
            server=server,
            program=program.version,
            plainsql=plainsql_version(),
            started=started,
            finished=clock(),
            key=None if keys is None else keys.active,
            files=tuple(files),
        )
        manifest = store_manifest(new.path, manifest, keys)
    return new.place, manifest


def unpack_base_backup(
    folder: Path,
    manifest: Manifest,
    place: Path | None,
    *,
    keys: FileKeys | None = None,
    verify: bool = False,
    unencrypted: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> Path | None:
    """Unpack a physical backup into a new data directory, and return it.

    Args:
        folder: the backup.
        manifest: its manifest.
        place: the new folder; None for a folder that is removed again.
        keys: the keys of an encrypted backup.
        verify: compare all files with the list of the server, and read the WAL, with pg_verifybackup.
        unencrypted: take a backup that is not encrypted, though there are keys.
        on_progress: called with the MiB so far.

    Raises ``BackupError``, and ``SettingsError`` if pg_verifybackup is missing. Nothing is left then.
    """
    keys = require_keys(manifest, keys, unencrypted=unencrypted)
    if place is not None and os.path.lexists(place):
        raise BackupError(f"{place} exists", hint="name a new folder")
    check_files(folder, manifest, on_progress)
    with ExitStack() as stack:
        if place is None:
            target = stack.enter_context(_temporary_folder())
        else:
            target = stack.enter_context(new_folder(place.absolute())).path
        for stored in manifest.files:
            name = stored.name.rpartition("/")[2]
            if name == _BASE:
                _unpack(folder, stored, keys, target, on_progress)
            elif name == _WAL:
                _unpack(folder, stored, keys, target / "pg_wal", on_progress)
            elif name == _SERVER_MANIFEST:
                with create_file(target / name, 0o600) as file:
                    for data in read_stored(folder, stored, keys):
                        file.write(data)
            else:
                raise BackupError(
                    f"{folder}: {stored.name} is of another tablespace, and is not unpacked here",
                    hint="unpack the tar files yourself: each tablespace has a place of its own",
                )
        if verify:
            _verify(manifest, target)
    return place


@contextmanager
def _temporary_folder() -> Generator[Path]:
    with tempfile.TemporaryDirectory(prefix="plainsql-restore-") as made:
        try:
            yield Path(made)
        except OSError as error:
            if error.filename is None:  # a full disk names no file
                error.filename = made
            raise


def _copy(
    command: list[str],
    environment: dict[str, str],
    folder: Path,
    keys: FileKeys | None,
    on_progress: OnProgress,
) -> list[StoredFile]:
    def show(line: str) -> None:
        if found := _PROGRESS.match(line):
            done, total = int(found["done"]) >> 10, int(found["total"]) >> 10
            on_progress("copying the server's files (MiB)", done, max(done, total))

    if keys is None:
        server = folder / _FOLDER
        command += [f"--pgdata={server}", "--wal-method=stream"]
        with running(command, environment, on_line=show) as child:
            _require_success(child)
        return [written_file(folder, path) for path in sorted(server.iterdir())]
    command += ["--pgdata=-", "--wal-method=fetch"]
    with (
        running(command, environment, stdout=subprocess.PIPE, on_line=show) as child,
        storing(folder, _BASE, keys) as writer,
    ):
        while data := child.stdout.read(_COPY_BYTES):
            writer.write(data)
        _require_success(child)
        return [writer.finish()]


def _require_success(child: Child) -> None:
    if child.wait() != 0:
        raise child.failure("pg_basebackup")


def _unpack(
    folder: Path, stored: StoredFile, keys: FileKeys | None, target: Path, on_progress: OnProgress
) -> None:
    source = io.BufferedReader(_Pieces(read_stored(folder, stored, keys)), _COPY_BYTES)
    done = 0
    try:
        # pg_basebackup writes several members, which tarfile's own reading of gzip does not know.
        with gzip.GzipFile(fileobj=source) as plain, tarfile.open(fileobj=plain, mode="r|") as archive:
            for member in archive:
                _unpack_member(archive, member, target)
                done += member.size
                on_progress("unpacking (MiB)", done >> 20, done >> 20)
            while plain.read(_COPY_BYTES):  # the end of an encrypted file is checked when it is read
                pass
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise BackupError(f"{folder / stored.name} cannot be unpacked: {error}") from None


def _unpack_member(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    # Only our own names, and no links: the archive may be written by anyone.
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    if member.name.startswith("/") or ".." in parts:
        raise BackupError(f"the archive has a file outside of its folder: {member.name!r}")
    path = target.joinpath(*parts)
    if member.isdir():
        path.mkdir(0o700, parents=True, exist_ok=True)
    elif member.isfile():
        content = archive.extractfile(member)
        assert content is not None
        with create_file(path, 0o600) as file:
            shutil.copyfileobj(content, file, _COPY_BYTES)
    else:
        raise BackupError(
            f"the archive has a link to another tablespace: {member.name!r}",
            hint="unpack the tar files yourself: each tablespace has a place of its own",
        )


class _Pieces(io.RawIOBase):
    """Pieces of a file, to be read in any size."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        if not self._left:
            self._left = memoryview(next(self._pieces, b""))
        view = memoryview(buffer)
        size = min(len(view), len(self._left))
        view[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


def _verify(manifest: Manifest, target: Path) -> None:
    program = find_program("pg_verifybackup", manifest.server_major, below=manifest.server_major + 1)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PLAINSQL_")}
    with running([program.path, "--exit-on-error", str(target)], environment | {"LC_ALL": "C"}) as child:
        if child.wait() != 0:
            raise child.failure("pg_verifybackup")
