"""Files and folders that other users cannot redirect: links are not followed, and existing files are checked.

A predictable path may hold a symbolic link: git keeps them in a repository, and in a shared folder every user
can make one. So a file is created under a random name that must be free, and moved to its place when
it is whole; a file that has to keep its name is opened without following a link; and a folder that is ours
alone is one that belongs to us and that no other user can write to.

The folders on the way to a path are its caller's choice: only the last part is looked at.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from plainsql.errors import FileError

__all__ = [
    "check_folder",
    "create_file",
    "make_folder",
    "make_ignored_folder",
    "open_file",
    "read_file",
    "remove_leftovers",
    "replace_file",
    "sync_folder",
]

# Windows has neither; making a link there needs a right of its own.
_NOFOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
_CLOEXEC: Final = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
# A named pipe in the place of a file would keep us waiting for its other end.
_NONBLOCK: Final = getattr(os, "O_NONBLOCK", 0)
_NOT_FOLLOWED: Final = frozenset({errno.ELOOP, getattr(errno, "EMLINK", errno.ELOOP)})
_DISK: Final = frozenset(
    {errno.ENOSPC, errno.EFBIG, errno.EIO, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)}
)
_UNFINISHED: Final = ".unfinished"


def create_file(path: Path, mode: int = 0o666) -> BinaryIO:
    """Create a file and open it for writing. Whatever has its name already, a link included, is refused.

    Raises ``FileExistsError``, and the errors of ``open``.
    """
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _CLOEXEC, mode), "wb")


def open_file(path: Path, flags: int, mode: int = 0o600) -> int:
    """Open a regular file that has no other name, and return its descriptor. ``flags`` are ``os.open``'s.

    Raises ``FileError`` if a link or something else is there, and the errors of ``os.open``.
    """
    if not _NOFOLLOW and path.is_symlink():
        raise _is_link(path)
    try:
        fd = os.open(path, flags | _NOFOLLOW | _CLOEXEC | _NONBLOCK, mode)
    except OSError as error:
        if error.errno in _NOT_FOLLOWED and path.is_symlink():
            raise _is_link(path) from None
        raise
    found = os.fstat(fd)
    if stat.S_ISREG(found.st_mode) and found.st_nlink <= 1:
        return fd
    os.close(fd)
    if stat.S_ISREG(found.st_mode):
        raise FileError(f"{path} has a second name (a hard link)", hint="remove it")
    raise FileError(f"{path} is not a regular file", hint="remove it")


def read_file(path: Path) -> bytes:
    """Return the content of a file. Raises the errors of ``open_file``."""
    with os.fdopen(open_file(path, os.O_RDONLY), "rb") as file:
        return file.read()


def _check_replaceable(path: Path) -> None:
    try:
        found = path.lstat()
    except OSError:
        return  # creating the file reports the error
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)):
        # It would be gone, and a file in its place.
        raise FileError(
            f"{path} is not a regular file", hint="open the device or pipe, and pass the open file"
        )


@contextmanager
def replace_file(
    path: Path, *, mode: int = 0o666, overwrite: bool = True, durable: bool = False
) -> Generator[BinaryIO]:
    """Write a file next to its place, and move it there when the block ends without an error. A link there is
    replaced.

    If the block fails, the written file is removed.

    Args:
        path: the file's place; its folder exists.
        mode: the file's, before the umask.
        overwrite: replace an existing file.
        durable: it is on the disk before it is in its place.

    Raises:
        FileExistsError: something is there, and ``overwrite`` is false.
        IsADirectoryError, FileError: a folder, a device or a pipe is there.
        OSError: it cannot be written; the error's ``filename`` is the file's place.
    """
    _check_replaceable(path)
    unfinished, file = _create_unfinished(path, mode)
    try:
        with file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        _move(unfinished, path, overwrite=overwrite)
    except OSError as error:
        # A full disk names no file. What else fails in the block, a connection, is none of the file's.
        if error.filename is None and error.errno in _DISK:
            error.filename = str(path)
        raise
    finally:
        unfinished.unlink(missing_ok=True)
    if durable:
        sync_folder(path.parent)


def remove_leftovers(path: Path) -> list[Path]:
    """Remove the files that killed processes left of ``replace_file`` with this path, and return them.

    A file that is being written is held (flock) by its process, and is left alone.
    """
    removed = []
    for left in sorted(path.parent.glob(f".{_literal(path.name)}.*{_UNFINISHED}")):
        with suppress(OSError):
            fd = open_file(left, os.O_RDWR)
            try:
                if _lock(fd):
                    left.unlink()
                    removed.append(left)
            finally:
                os.close(fd)
    return removed


def make_folder(path: Path, mode: int = 0o700) -> None:
    """Make a folder of our own, or accept one that is. The folder around it exists.

    Raises ``FileError`` as ``check_folder`` does, and the errors of ``mkdir``.
    """
    try:
        path.mkdir(mode)
    except FileExistsError:
        check_folder(path)
    else:
        path.chmod(mode)  # regardless of the umask


def make_ignored_folder(path: Path) -> None:
    """Make a folder of our own that git ignores, or accept one. Others may look into it.

    Raises the errors of ``make_folder``.
    """
    make_folder(path, 0o755)
    with suppress(FileExistsError), create_file(path / ".gitignore") as ignore:
        ignore.write(b"*\n")


def check_folder(path: Path) -> None:
    """Refuse a folder whose files other users can change: their own, one they may write to, or a link.

    Root may use a folder of another user: it is that user's data then.

    Raises ``FileError``, and the errors of ``lstat``.
    """
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise _is_link(path)
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    if not hasattr(os, "geteuid"):
        return
    me = os.geteuid()
    if me not in (0, found.st_uid):
        error = FileError(f"{path} belongs to another user ({_user(found.st_uid)})", hint="give your own")
        error.errno = errno.EPERM
        raise error
    shared = found.st_mode & stat.S_IWOTH or (
        found.st_mode & stat.S_IWGRP and not _is_private(found.st_gid, found.st_uid)
    )
    if shared:
        raise FileError(
            f"{path} can be written to by other users (its mode is {stat.S_IMODE(found.st_mode):04o})",
            hint=f"check its files, then: chmod go-w {path}",
        )


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk, if the system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _create_unfinished(path: Path, mode: int) -> tuple[Path, BinaryIO]:
    while True:
        # Not the whole name: it may be as long as a name may be.
        unfinished = path.with_name(f".{_short(path.name)}.{secrets.token_hex(8)}{_UNFINISHED}")
        try:
            file = create_file(unfinished, mode)
        except OSError as error:
            error.filename = str(path)
            raise
        # Between its creation and its lock it looks like a leftover, and another process may have removed it.
        _lock(file.fileno())
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), unfinished.lstat()):
                return unfinished, file
        file.close()


def _move(unfinished: Path, path: Path, *, overwrite: bool) -> None:
    if not overwrite:
        # A link, and not a rename: it refuses if another program has made the file in the meantime.
        try:
            path.hardlink_to(unfinished)
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            if os.path.lexists(path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        else:
            return
    unfinished.replace(path)


def _short(name: str) -> str:
    encoded = os.fsencode(name)
    return name if len(encoded) <= 200 else os.fsdecode(encoded[:200])


def _literal(name: str) -> str:
    """A name as a pattern that matches this name and no other."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in _short(name))


def _lock(fd: int) -> bool:
    """Take a file's lock until it is closed; False if another process has it."""
    try:
        import fcntl
    except ImportError:  # Windows: there nothing is known of other processes
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_link(path: Path) -> FileError:
    return FileError(
        f"{path} is a symbolic link, and is not followed", hint="remove it, or give the real path"
    )


def _is_private(gid: int, uid: int) -> bool:
    """Return whether a group has one user only: many systems make such a group for each user."""
    try:
        import grp
        import pwd

        group, name = grp.getgrgid(gid), pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return False
    return group.gr_name == name and set(group.gr_mem) <= {name}


def _user(uid: int) -> str:
    try:
        import pwd

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return str(uid)
