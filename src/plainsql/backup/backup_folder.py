"""The folder of a backup: it gets its name when it is complete and on the disk, and no folder has it before.

A killed process leaves an unfinished folder, which no command takes for a backup. The next backup removes it.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from plainsql.backup.errors import BackupError
from plainsql.files import sync_folder

__all__ = ["NewFolder", "backup_place", "new_folder", "remove_folder", "remove_unfinished"]

_SYNC_THREADS: Final = 16
_UNFINISHED: Final = re.compile(r"\.[A-Za-z0-9_.-]+\.[0-9a-f]{16}\.unfinished")
_UNUSUAL: Final = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass(slots=True)
class NewFolder:
    """A folder that is being written."""

    path: Path
    """The unfinished folder."""
    place: Path
    """Its path when the block has ended."""


def backup_place(parent: Path, database: str, at: datetime) -> Path:
    """Return the path of a new backup: the name of the database and the time, in UTC."""
    readable = _UNUSUAL.sub("_", database).lstrip(".-")[:100] or "_"
    return parent / f"{readable}-{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"


@contextmanager
def new_folder(place: Path, *, or_numbered: bool = False) -> Generator[NewFolder]:
    """Yield an unfinished folder, which is moved to ``place`` when the block ends without an error.

    Any error removes it, and the folders around it that were made for it. Its owner alone can read it.

    Args:
        place: the path of the new folder.
        or_numbered: put a number behind the name if something is there; two backups can begin in one second.

    Raises ``BackupError`` if something is there, and ``OSError`` if it cannot be written.
    """
    parent = place.parent
    made = _make_parents(parent)
    unfinished = written = parent / f".{place.name}.{secrets.token_hex(8)}.unfinished"
    try:
        lock = _make_locked(unfinished)
        try:
            new = NewFolder(unfinished, place)
            yield new
            _sync(unfinished)
            new.place = written = _move(unfinished, place, or_numbered)
        except OSError as error:
            if error.filename is None:  # a full disk names no file
                error.filename = str(place)
            raise
        finally:
            if lock is not None:
                os.close(lock)
        sync_folder(parent)
    except BaseException:
        shutil.rmtree(written, ignore_errors=True)
        for folder in made:
            with suppress(OSError):  # another process may use it by now
                folder.rmdir()
        raise


def remove_unfinished(parent: Path) -> list[Path]:
    """Remove the folders that killed backups left in ``parent``, and return them.

    A folder that is being written is held (flock) by its process, and is left alone.
    """
    removed = []
    with suppress(FileNotFoundError, NotADirectoryError):
        for folder in sorted(parent.iterdir()):
            if not _UNFINISHED.fullmatch(folder.name) or folder.is_symlink() or not folder.is_dir():
                continue
            with suppress(OSError):
                lock = _lock(folder)
                if lock is not None:
                    shutil.rmtree(folder)
                    os.close(lock)
                    removed.append(folder)
    return removed


def remove_folder(folder: Path) -> None:
    """Remove a backup: it has no name that looks whole from the first moment on."""
    unfinished = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}.unfinished")
    folder.rename(unfinished)
    shutil.rmtree(unfinished)


def _make_locked(folder: Path) -> int | None:
    while True:
        folder.mkdir(0o700, exist_ok=True)
        # Before it is locked it looks like one that a killed process left, and another one may remove it.
        lock = _lock(folder)
        if lock is None:
            return None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), folder.lstat()):
                return lock
        os.close(lock)


def _make_parents(folder: Path) -> list[Path]:
    """Make a folder and those around it; return the new ones, the innermost first."""
    made = []
    for each in reversed([folder, *folder.parents]):
        with suppress(FileExistsError):
            each.mkdir(0o700)
            made.append(each)
    return made[::-1]


def _move(unfinished: Path, place: Path, or_numbered: bool) -> Path:
    number, target = 1, place
    while True:
        with suppress(FileExistsError, NotADirectoryError):
            # A rename replaces an empty folder without a word, and no other.
            if not os.path.lexists(target):
                return unfinished.rename(target)
        if os.path.lexists(target) and not or_numbered:
            raise BackupError(f"{place} exists", hint="it was made meanwhile: try again")
        number += 1
        target = place.with_name(f"{place.name}-{number}")


def _sync(folder: Path) -> None:
    """Bring all files of a folder to the disk. A file that cannot be is an error."""
    # Several at a time: the file system writes its journal once for all of them.
    with ThreadPoolExecutor(_SYNC_THREADS, "sync") as executor:
        for place, _, names in os.walk(folder):
            for _ in executor.map(_sync_file, [Path(place, name) for name in names]):
                pass
            sync_folder(Path(place))


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _lock(folder: Path) -> int | None:
    """Take a folder's lock until the descriptor is closed; None if another process has it."""
    try:
        import fcntl
    except ImportError:  # Windows: there nothing is known of other processes
        return None
    fd = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return fd
