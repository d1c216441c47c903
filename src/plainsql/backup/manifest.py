"""The manifest of a backup: what it is of, and its files with their digests.

It can be read without a key, for retention and for a copy's check. The manifest of an encrypted backup is
authenticated: a file that was exchanged together with its digest is noticed.
"""

from __future__ import annotations

import hmac
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import msgspec

from plainsql.backup.errors import BackupError
from plainsql.crypto.file_encryption import FILE_KEYS_VARIABLE, FileKeys
from plainsql.errors import EncryptionError, SettingsError
from plainsql.files import read_file

__all__ = [
    "MANIFEST",
    "Manifest",
    "StoredFile",
    "authenticate",
    "encode_manifest",
    "is_authentic",
    "read_manifest",
    "require_keys",
]

MANIFEST: Final = "manifest.json"
FORMAT: Final = "plainsql backup"
VERSION: Final = 1


class StoredFile(msgspec.Struct, frozen=True):
    """One file of a backup, as it is stored: encrypted, if the backup is."""

    name: str
    """Its path in the backup's folder, with slashes."""
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``manifest.json``."""

    format: Literal["plainsql backup"] = FORMAT
    version: int = VERSION
    kind: Literal["dump", "directory", "physical"]
    """The form: pg_dump's custom format, its directory format, or pg_basebackup's tar files."""
    database: str
    """The name of the database; of a physical backup, the one that was connected to."""
    cluster: str | None
    """The server's system identifier; None if the role may not read it."""
    server: str
    """The version of the server, such as ``18.6``."""
    program: str
    """The version of pg_dump or pg_basebackup."""
    plainsql: str
    started: datetime
    """With a time zone; the snapshot of a dump is of this time."""
    finished: datetime
    key: str | None
    """The id of the key that encrypts the files; None if they are not encrypted."""
    files: tuple[StoredFile, ...]
    authentication: str = ""
    """The authentication code of all other fields; empty without a key."""

    @property
    def server_major(self) -> int:
        return int(self.server.partition(".")[0])

    @property
    def program_major(self) -> int:
        return int(self.program.partition(".")[0])

    @property
    def size_bytes(self) -> int:
        """The size of all files."""
        return sum(file.bytes for file in self.files)


def authenticate(manifest: Manifest, keys: FileKeys | None) -> Manifest:
    """Return a manifest with its authentication code if there are keys."""
    if keys is None or manifest.key is None:
        return manifest
    code = keys.sign(_authenticated(manifest), manifest.key)
    return msgspec.structs.replace(manifest, authentication=code)


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the text of a manifest."""
    return msgspec.json.format(msgspec.json.encode(manifest)) + b"\n"


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a backup, which is not authenticated yet.

    Raises ``BackupError`` if there is none in the folder, or if it cannot be read.
    """
    path = folder / MANIFEST
    try:
        text = read_file(path)
    except (FileNotFoundError, NotADirectoryError):
        raise BackupError(
            f"{folder} is no backup of plainsql: {MANIFEST} is missing",
            hint="name the folder that plainsql db backup has written",
        ) from None
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BackupError(f"{path}: expected the manifest of a backup, got another text") from None
    if manifest.version != VERSION:
        raise BackupError(
            f"{path}: expected version {VERSION} of the format, got {manifest.version}",
            hint="use the version of plainsql that wrote the backup",
        )
    if not manifest.server[:1].isdecimal() or not manifest.program[:1].isdecimal():
        raise BackupError(f"{path}: expected versions of PostgreSQL, got another text")
    for file in manifest.files:
        # The manifest may be written by anyone, and a restore opens what it names.
        parts = file.name.split("/")
        if any(part in ("", ".", "..") for part in parts) or "\\" in file.name or "\0" in file.name:
            raise BackupError(f"{path}: {file.name!r} is not the name of a backup's file")
    return manifest


def require_keys(manifest: Manifest, keys: FileKeys | None, *, unencrypted: bool = False) -> FileKeys | None:
    """Return the keys that an encrypted backup needs, after its manifest was authenticated; None for others.

    ``unencrypted``: take one that is not encrypted though there are keys. Anyone can have written it.

    Raises ``SettingsError`` without keys, ``EncryptionError`` if the key is not among them, and
    ``BackupError`` if the manifest was changed or the backup is not encrypted.
    """
    if manifest.key is None:
        if keys is not None and not unencrypted:
            raise BackupError(
                f"the backup of {manifest.finished:%Y-%m-%d %H:%M:%S %Z} is not encrypted: "
                f"expected an encrypted one, as {FILE_KEYS_VARIABLE} is set",
                hint="anyone can have written it; if you did, before you had keys: --unencrypted",
            )
        return None
    if keys is None:
        raise SettingsError(
            f"the backup is encrypted with the key {manifest.key!r}, and {FILE_KEYS_VARIABLE} is not set",
            hint=f"set {FILE_KEYS_VARIABLE} to {manifest.key}:KEY",
        )
    try:
        authentic = is_authentic(manifest, keys)
    except EncryptionError as error:
        raise EncryptionError(f"the backup: {error.message}", hint=error.hint) from None
    if not authentic:
        raise BackupError(
            f"{MANIFEST} was changed, or the key {manifest.key!r} here is another one",
            hint="copy the backup again; or find the key that had this id",
        )
    return keys


def is_authentic(manifest: Manifest, keys: FileKeys) -> bool:
    """Return whether a manifest was written with one of the keys.

    Raises ``EncryptionError`` if its key is not among them.
    """
    if manifest.key is None:
        return False
    code = keys.sign(_authenticated(manifest), manifest.key)
    return hmac.compare_digest(code, manifest.authentication)


def _authenticated(manifest: Manifest) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(manifest, authentication=""))
