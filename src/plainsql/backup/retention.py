"""The removal of old backups: never the newest one, and only what its own manifest lists."""

from __future__ import annotations

import stat
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from plainsql.backup.backup_folder import remove_folder
from plainsql.backup.errors import BackupError
from plainsql.backup.manifest import MANIFEST, Manifest, is_authentic, read_manifest
from plainsql.crypto.file_encryption import FileKeys
from plainsql.errors import EncryptionError

__all__ = ["Retention", "remove_old_backups"]

_CLOCK_STEP: Final = timedelta(hours=1)
"""Two backups may end at the same time, on machines whose clocks differ."""


@dataclass(slots=True)
class Retention:
    """The result of a removal."""

    removed: list[Path] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """The folders that may be old backups and are left alone, one line each with the reason."""


def remove_old_backups(
    parent: Path,
    newest: Manifest,
    *,
    keep: int | None,
    keep_days: int | None,
    now: datetime,
    keys: FileKeys | None = None,
) -> Retention:
    """Remove backups that neither ``keep`` nor ``keep_days`` keeps, of the newest one's database and kind.

    A backup counts if its files are there and as long as its manifest says, and if it is not dated in the
    future; with keys, if one of them has authenticated it. Another one takes no place among those that are
    kept, and is not removed. A folder with other files is left alone.

    Args:
        parent: the folder of backups.
        newest: the backup that has just been written; it is kept.
        keep: the number of the newest backups that are kept.
        keep_days: the days for which a backup is kept.
        now: the time.
        keys: the keys of encrypted backups.
    """
    done = Retention()
    if keep is None and keep_days is None:
        return done
    found = []
    for folder in sorted(parent.iterdir()):
        manifest = _manifest_of(folder)
        if manifest is None or _owner(manifest) != _owner(newest):
            continue
        if (damage := _damage(folder, manifest)) is not None:
            done.left.append(f"{folder} is not whole, and is left alone: {damage}")
            continue
        if manifest != newest and (doubt := _doubt(manifest, newest, keys)) is not None:
            done.left.append(f"{folder} does not count, and is left alone: {doubt}")
            continue
        found.append((manifest.finished, folder.name, folder, manifest))
    found.sort(reverse=True)
    for at, (finished, _, folder, manifest) in enumerate(found):
        is_recent = keep_days is not None and finished > now - timedelta(days=keep_days)
        if at == 0 or manifest == newest or is_recent or (keep is not None and at < keep):
            continue
        if more := sorted(_names(folder) - {MANIFEST, *(file.name for file in manifest.files)}):
            done.left.append(f"{folder} is old, and is left alone: plainsql did not write {more[0]}")
            continue
        with suppress(FileNotFoundError):  # another backup removes the same ones
            remove_folder(folder)
            done.removed.append(folder)
    return done


def _owner(manifest: Manifest) -> tuple[str, str | None, bool]:
    """Return what the backups of one history have in common."""
    is_physical = manifest.kind == "physical"
    return "" if is_physical else manifest.database, manifest.cluster, is_physical


def _manifest_of(folder: Path) -> Manifest | None:
    if folder.name.startswith(".") or folder.is_symlink() or not folder.is_dir():
        return None
    with suppress(BackupError, OSError):
        return read_manifest(folder)
    return None


def _doubt(manifest: Manifest, newest: Manifest, keys: FileKeys | None) -> str | None:
    """Return the reason why a backup may be none of ours or of another time than it says."""
    if manifest.finished > newest.finished + _CLOCK_STEP:
        return "it is dated in the future"
    if keys is None:
        return None
    if manifest.key is None:
        return "it is not encrypted"
    try:
        return None if is_authentic(manifest, keys) else "its manifest was changed"
    except EncryptionError:
        return f"its key {manifest.key!r} is not there"


def _damage(folder: Path, manifest: Manifest) -> str | None:
    for file in manifest.files:
        try:
            found = (folder / file.name).lstat()
        except OSError:
            return f"{file.name} is missing"
        if not stat.S_ISREG(found.st_mode) or found.st_size != file.bytes:
            return f"{file.name} is not of {file.bytes:,} bytes"
    return None


def _names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
