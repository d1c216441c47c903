"""Who uses a server, and whether it lives: told by the kernel, through file locks.

Process ids lie: they are reused, differ between containers and outlive a reboot in files. A lock taken with
``flock`` goes when the last process that holds it is gone, however it ended. Three kinds of file are held:

- ``lock``: by whoever decides (starts, joins, stops), one at a time;
- ``users/*``: one each, by every user of the server, from joining to leaving. A file that can be locked
  belongs to a process that was killed, and is removed by the next one that looks;
- ``alive``: inherited by the postmaster and all its children. It is free only when the last of them is gone,
  also after the postmaster alone was killed.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from plainsql.embedded.server_folder import ServerFolder
from plainsql.files import make_folder, open_file

__all__ = [
    "User",
    "forget_dead_users",
    "hold",
    "is_held",
    "lifecycle_lock",
    "live_users",
    "try_lifecycle_lock",
]

_POLL = 0.005
"""Seconds. No call waits for a file lock with a time limit, so it is looked at this often."""


@contextmanager
def lifecycle_lock(folder: ServerFolder) -> Generator[None]:
    """Be the only process that starts, joins or stops the server; makes the folder where it is missing."""
    while True:
        folder.make()
        try:
            with folder.usable():
                fd = _open(folder.lock)
        except Exception:
            if folder.path.exists():
                raise
            continue  # a scratch folder was removed under us by its last user
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if _is_same(fd, folder.lock):
                yield
                return
        finally:
            os.close(fd)


@contextmanager
def try_lifecycle_lock(folder: ServerFolder) -> Generator[bool]:
    """Like `lifecycle_lock`, for an existing folder and without waiting: False if another process decides."""
    try:
        fd = _open(folder.lock)
    except OSError:
        yield False
        return
    try:
        yield _try(fd, fcntl.LOCK_EX) and _is_same(fd, folder.lock)
    finally:
        os.close(fd)


class User:
    """One user of a server, from joining to leaving. To be made and left under `lifecycle_lock`."""

    def __init__(self, folder: ServerFolder) -> None:
        make_folder(folder.users)
        self._path = folder.users / f"{os.getpid()}.{secrets.token_hex(4)}"
        self._fd = _open(self._path)
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def leave(self) -> None:
        with suppress(FileNotFoundError):
            self._path.unlink()
        os.close(self._fd)


def live_users(folder: ServerFolder) -> list[int]:
    """Return the process ids of the users that live, ascending; a process may use the server twice."""
    return sorted(int(path.name.partition(".")[0]) for path in folder.users.glob("*.*") if is_held(path))


def forget_dead_users(folder: ServerFolder) -> None:
    """Remove what killed users left. Under `lifecycle_lock` only: a user that is just joining is not held yet."""
    for path in folder.users.glob("*.*"):
        if not is_held(path):
            path.unlink(missing_ok=True)


def is_held(path: Path) -> bool:
    """Whether a process holds this file's lock; False for a missing file."""
    try:
        # To look at a lock changes nothing, whatever file it is.
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    try:
        # A shared lock: two that look at the same time do not take each other for the holder.
        return not _try(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


def hold(path: Path, *, timeout: float) -> int | None:
    """Take this file's lock and return its descriptor for children to inherit; None after ``timeout`` s."""
    fd = _open(path)
    deadline = time.monotonic() + timeout
    while not _try(fd, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            os.close(fd)
            return None
        time.sleep(_POLL)
    return fd


def _open(path: Path) -> int:
    return open_file(path, os.O_RDWR | os.O_CREAT)


def _try(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_same(fd: int, path: Path) -> bool:
    """Whether the locked file is still the one that others find under this path."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False
