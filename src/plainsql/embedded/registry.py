"""The users of a server, and whether it runs, known from file locks that the kernel keeps.

Process ids lie: they are reused, differ between containers and outlive a reboot in files. A lock taken with
``flock`` is released when the last process that holds it is gone, however it ended. Three kinds of file are
locked:

- ``lock``, by the one process that starts, joins or stops the server;
- ``users/*``, one file for each user of the server, from joining to leaving. A file that can be locked
  belongs to a process that was killed; the next process that lists the users removes it;
- ``alive``, inherited by the postmaster and all its children. It is free only when the last of them is gone,
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

_POLL_INTERVAL_S = 0.005
"""No system call waits for a file lock with a time limit, so it is polled."""


@contextmanager
def lifecycle_lock(folder: ServerFolder) -> Generator[None]:
    """Hold the lock of the process that starts, joins or stops the server; create a missing folder."""
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
    """Hold the lock of an existing folder, without waiting: yield False if another process holds it."""
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
    """One user of a server, from joining to leaving. Both need the ``lifecycle_lock``."""

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
    """Remove the files of killed users.

    Needs the ``lifecycle_lock``: the file of a user that is just joining is not locked yet.
    """
    for path in folder.users.glob("*.*"):
        if not is_held(path):
            path.unlink(missing_ok=True)


def is_held(path: Path) -> bool:
    """Return True if a process holds this file's lock; False for a missing file."""
    try:
        # Testing a lock changes nothing, whatever the file is.
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    try:
        # A shared lock: two processes that test it at the same time do not see each other as its holder.
        return not _try(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


def hold(path: Path, *, timeout: float) -> int | None:
    """Lock this file, and return its descriptor for children to inherit; None after ``timeout`` seconds."""
    fd = _open(path)
    deadline = time.monotonic() + timeout
    while not _try(fd, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            os.close(fd)
            return None
        time.sleep(_POLL_INTERVAL_S)
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
    """Return True if the locked file is still the one that other processes find under this path."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False
