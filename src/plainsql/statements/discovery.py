"""The SQL files of a folder: their paths, names and texts."""

from __future__ import annotations

import re
from keyword import iskeyword
from pathlib import Path
from stat import S_ISREG
from typing import Final, NamedTuple

from plainsql.errors import Place, SqlFileError

__all__ = ["FRAGMENTS_FOLDER", "Found", "find_files", "read_text"]

FRAGMENTS_FOLDER: Final = "_fragments"
"""The name of folders whose files are no queries: queries have copies of them."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_HALF: Final = re.compile(r"[\ud800-\udfff]")


class Found(NamedTuple):
    """A SQL file: its path, and its name from the folder down (``realty.leads.get_by_id``)."""

    path: Path
    name: str


def find_files(folder: Path) -> tuple[list[Found], list[SqlFileError]]:
    """Return every SQL file below a folder, and the errors of folders and names."""
    files: list[Found] = []
    errors: list[SqlFileError] = []
    _walk(folder, (), frozenset(), files, errors)
    return files, errors


def _walk(
    folder: Path,
    parts: tuple[str, ...],
    above: frozenset[tuple[int, int]],
    files: list[Found],
    errors: list[SqlFileError],
) -> None:
    """Collect the files of a folder and of the folders in it; ``above`` identifies the folders around it."""
    try:
        status = folder.stat()
        items = sorted(folder.iterdir())
    except OSError as error:
        errors.append(_unreadable(folder, error, "folder"))
        return
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        errors.append(_error(folder, "a symbolic link leads back to a folder above it", "remove the link"))
        return
    before = len(files)
    folders: set[str] = set()
    for item in items:
        if item.name.startswith("."):
            continue
        if item.name == FRAGMENTS_FOLDER and item.is_dir():
            continue
        if item.is_dir():
            count = len(files)
            _walk(item, (*parts, item.name), above | {identity}, files, errors)
            if len(files) > count:
                folders.add(item.name)
        elif item.suffix == ".sql":
            names = (*parts, item.stem)
            # A name that is not UTF-8 has surrogates for its bytes, which cannot be printed.
            if (half := next(filter(_HALF.search, names), None)) is not None:
                errors.extend(_check_name(half, item))
                continue
            errors.extend(_check_name(item.stem, item))
            files.append(Found(item, ".".join(names)))
        elif item.suffix.lower() == ".sql":
            errors.append(
                _error(
                    item,
                    f"the file's name ends in {item.suffix}, expected .sql",
                    f"rename it to {item.stem}.sql",
                )
            )
    errors.extend(_twice_named(files[before:], folder, folders))
    # A folder without queries needs no name for Python.
    if parts and len(files) > before:
        errors.extend(_check_name(parts[-1], folder))


def _twice_named(files: list[Found], folder: Path, folders: set[str]) -> list[SqlFileError]:
    """Return the errors of files that have the name of a folder next to them."""
    return [
        _error(
            file.path,
            f"the file and the folder {folder / file.path.stem} claim one name, {file.name}",
            "rename the file, or move it into the folder",
        )
        for file in files
        if file.path.parent == folder and file.path.stem in folders
    ]


def _check_name(name: str, path: Path) -> list[SqlFileError]:
    """Return the error if the name of a file or folder cannot be a name in Python."""
    if iskeyword(name):
        return [
            _error(
                path,
                f"{name!r} is a keyword of Python and cannot be the name of a query or module",
                f"rename it, for example to {name}_all",
            )
        ]
    if _NAME.fullmatch(name):
        return []
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    snake = re.sub(r"[^a-z0-9]+", "_", snake.lower()).strip("_")
    return [
        _error(
            path,
            f"{name!r} cannot be the name of a query or module, expected lower-case letters, digits and _",
            f"rename it to {snake}" if _NAME.fullmatch(snake) else "begin it with a letter",
        )
    ]


def read_text(path: Path) -> str:
    r"""Return the text of a file with line ends as ``\n``, so that no checkout changes a query.

    Raises:
        SqlFileError: the file cannot be read, or is not UTF-8 without a byte order mark.
    """
    try:
        if not S_ISREG(path.stat().st_mode):
            # Reading a pipe would wait for its writer.
            raise _error(path, "expected a file, got a device, a pipe or a socket", "remove it")
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error, "file") from None
    if data.startswith(b"\xef\xbb\xbf"):
        raise SqlFileError(
            "the file begins with a byte order mark, which PostgreSQL reads as a name",
            place=Place(str(path), 1),
            hint="save it as UTF-8 without a byte order mark",
        )
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        before = data[data.rfind(b"\n", 0, error.start) + 1 : error.start].decode()
        raise SqlFileError(
            f"the file is not UTF-8: the byte at offset {error.start} is 0x{data[error.start]:02x}",
            place=Place(str(path), line, len(before) + 1),
            hint="save it as UTF-8",
        ) from None
    return text.replace("\r\n", "\n") if "\r" in text else text


def _unreadable(path: Path, error: OSError, what: str) -> SqlFileError:
    """Return the error of the operating system as an error at the file or folder."""
    if isinstance(error, FileNotFoundError):
        if path.is_symlink():
            return _error(path, "the symbolic link leads nowhere", "remove or repair the link")
        return _error(path, f"there is no such {what}", f"check the path, which begins in {Path.cwd()}")
    if isinstance(error, NotADirectoryError):
        return _error(path, "expected a folder, got a file", "give the folder that holds the file")
    reason = (error.strerror or str(error)).lower()
    return _error(path, f"the {what} cannot be read: {reason}", "check its permissions")


def _error(path: Path, message: str, hint: str) -> SqlFileError:
    return SqlFileError(message, place=Place(str(path)), hint=hint)
