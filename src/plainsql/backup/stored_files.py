"""The files of a backup: written with their digests and encrypted, checked, and read back as they were."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

import msgspec

from plainsql.backup.child_process import OnProgress, ignore_progress
from plainsql.backup.contents import CONTENTS, Contents
from plainsql.backup.errors import BackupError
from plainsql.backup.manifest import (
    MANIFEST,
    Manifest,
    StoredFile,
    authenticate,
    encode_manifest,
    read_manifest,
)
from plainsql.crypto.file_encryption import DecryptingReader, EncryptingWriter, FileKeys
from plainsql.files import create_file, open_file

__all__ = [
    "StoredWriter",
    "check_files",
    "find_backup",
    "read_contents_file",
    "read_stored",
    "store_bytes",
    "store_manifest",
    "storing",
    "written_file",
]

_COPY_BYTES: Final = 1 << 20


class StoredWriter:
    """The writer of one file of a backup."""

    def __init__(self, file: BinaryIO, name: str, keys: FileKeys | None) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._name = name
        self._bytes = 0
        self._encrypting = None if keys is None else EncryptingWriter(cast(BinaryIO, _Sink(self)), keys, name)

    def write(self, data: bytes) -> None:
        if self._encrypting is not None:
            self._encrypting.write(data)
        else:
            self.store(data)

    def store(self, data: bytes) -> None:
        """Write what is stored, encrypted already."""
        self._digest.update(data)
        self._bytes += len(data)
        self._file.write(data)

    def finish(self) -> StoredFile:
        """Write the end, and return the file as the manifest has it."""
        if self._encrypting is not None:
            self._encrypting.finish()
        self._file.flush()
        return StoredFile(self._name, self._bytes, self._digest.hexdigest())


class _Sink:
    def __init__(self, writer: StoredWriter) -> None:
        self.write = writer.store


@contextmanager
def storing(folder: Path, name: str, keys: FileKeys | None) -> Generator[StoredWriter]:
    """Create a file of a backup, for its owner alone."""
    with create_file(folder / name, 0o600) as file:
        yield StoredWriter(file, name, keys)


def store_bytes(folder: Path, name: str, content: bytes, keys: FileKeys | None) -> StoredFile:
    """Write a small file of a backup."""
    with storing(folder, name, keys) as writer:
        writer.write(content)
        return writer.finish()


def store_manifest(folder: Path, manifest: Manifest, keys: FileKeys | None) -> Manifest:
    """Write the manifest, as the last file of a backup; return it as it was written."""
    manifest = authenticate(manifest, keys)
    with create_file(folder / MANIFEST, 0o600) as file:
        file.write(encode_manifest(manifest))
    return manifest


def written_file(folder: Path, path: Path) -> StoredFile:
    """Return a file that a program has written into the folder, as the manifest has it."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while data := file.read(_COPY_BYTES):
            digest.update(data)
            size += len(data)
    path.chmod(0o600)
    return StoredFile(path.relative_to(folder).as_posix(), size, digest.hexdigest())


def find_backup(path: Path) -> tuple[Path, Manifest]:
    """Return a backup's folder and its manifest; of a folder of backups, the newest.

    Raises ``BackupError`` if there is none, or if the backups are of several databases.
    """
    if not path.is_dir():
        raise BackupError(f"{path}: there is no such folder", hint="name a backup, or a folder of backups")
    if (path / MANIFEST).exists():
        return path, read_manifest(path)
    found = [
        (folder, read_manifest(folder))
        for folder in sorted(path.iterdir())
        if not folder.name.startswith(".") and (folder / MANIFEST).is_file()
    ]
    if not found:
        return path, read_manifest(path)
    databases = sorted({(each.database, each.cluster or "") for _, each in found})
    if len(databases) > 1:
        names = ", ".join(sorted({name for name, _ in databases}))
        raise BackupError(
            f"{path} has backups of several databases: {names}",
            hint=f"name one of its backups, such as {found[-1][0]}",
        )
    return max(found, key=lambda each: (each[1].finished, each[0].name))


def check_files(folder: Path, manifest: Manifest, on_progress: OnProgress = ignore_progress) -> None:
    """Check that all files of a backup are as they were written.

    Raises ``BackupError`` with the first one that is not.
    """
    done, total = 0, manifest.size_bytes >> 20
    for stored in manifest.files:
        digest, size = hashlib.sha256(), 0
        with _opened(folder, stored) as file:
            while data := file.read(_COPY_BYTES):
                digest.update(data)
                size += len(data)
                on_progress("checking the files (MiB)", (done + size) >> 20, total)
        done += size
        if size != stored.bytes:
            raise BackupError(
                f"{folder / stored.name}: expected {stored.bytes:,} bytes, got {size:,}", hint=_AGAIN
            )
        if digest.hexdigest() != stored.sha256:
            raise BackupError(
                f"{folder / stored.name} was changed after it was written: its digest differs", hint=_AGAIN
            )


def read_stored(folder: Path, stored: StoredFile, keys: FileKeys | None) -> Iterator[bytes]:
    """Yield the content of a file, decrypted if there are keys, in pieces of at most 1 MiB."""
    with _opened(folder, stored) as file:
        if keys is None:
            while data := file.read(_COPY_BYTES):
                yield data
        else:
            reader = DecryptingReader(file, keys, stored.name)
            while data := reader.read():
                yield data


def read_contents_file(folder: Path, manifest: Manifest, keys: FileKeys | None) -> Contents:
    """Return what the backup says of its contents.

    Raises ``BackupError`` if it has no such file, or if that cannot be read.
    """
    for stored in manifest.files:
        if stored.name == CONTENTS:
            text = b"".join(read_stored(folder, stored, keys))
            try:
                return msgspec.json.decode(text, type=Contents)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                raise BackupError(f"{folder / CONTENTS} cannot be read", hint=_AGAIN) from None
    raise BackupError(f"{folder}: {CONTENTS} is missing in the manifest", hint=_AGAIN)


_AGAIN: Final = "copy the backup again from the place where it was written, or take another one"


@contextmanager
def _opened(folder: Path, stored: StoredFile) -> Generator[BinaryIO]:
    try:
        handle = open_file(folder / stored.name, os.O_RDONLY)
    except FileNotFoundError:
        raise BackupError(f"{folder / stored.name} is missing", hint=_AGAIN) from None
    with os.fdopen(handle, "rb") as file:
        yield file
