"""The site's folder: only files that the command itself has written are replaced or removed.

A marker file holds the list of them, and the project's database: the site of another one is not replaced.
A folder with other files and no marker belongs to its owner.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from plainsql.errors import FileError
from plainsql.files import read_file, replace_file

__all__ = ["MARKER", "check_folder", "write_site"]

MARKER: Final = ".plainsql-review"
_FIRST_LINE: Final = "plainsql review: these files are written by the command, and removed by it"
_DATABASE: Final = "database: "
"""The beginning of the second line; the markers of earlier versions have none."""


def check_folder(folder: Path, database: str = "") -> None:
    """Check that the site of a database can be written into a folder.

    Raises ``FileError`` if it is another file, has files that no run of the command wrote, or the site of
    another of the project's databases.
    """
    _former(folder, database)


def write_site(folder: Path, files: Iterable[tuple[str, bytes]], database: str = "") -> int:
    """Write the files of a site, remove those of a former run that it does not have; return their number.

    A file whose content has not changed is left as it is.

    Raises ``FileError`` as ``check_folder`` does, and if another file is in the place of a new page.
    """
    former = _former(folder, database)
    # The list is complete before a new file is there: an interrupted run leaves no file that the next one
    # does not know.
    content = dict(files)
    folder.mkdir(parents=True, exist_ok=True)
    foreign = [path for path in sorted(content) if path not in former and (folder / path).exists()]
    if foreign:
        raise FileError(
            f"{folder / foreign[0]} is not a file that plainsql review wrote", hint="choose another folder"
        )
    _write_list(folder, {*former, *content}, database)
    for path, data in content.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if _has(file, data):
            continue
        with replace_file(file) as out:
            out.write(data)
    for path in former - content.keys():
        (folder / path).unlink(missing_ok=True)
        with suppress(OSError):  # other files are in it
            (folder / path).parent.rmdir()
    _write_list(folder, content, database)
    return len(content)


def _has(file: Path, data: bytes) -> bool:
    if file.is_symlink() or not file.is_file() or file.stat().st_size != len(data):
        return False
    return file.read_bytes() == data


def _former(folder: Path, database: str) -> set[str]:
    """Return the paths of the files that a former run wrote."""
    if not folder.is_dir():
        if folder.exists() or folder.is_symlink():
            raise FileError(f"{folder} is no folder", hint="choose another path")
        return set()
    marker = folder / MARKER
    try:
        first, *paths = read_file(marker).decode("utf-8").splitlines()
    except FileNotFoundError:
        if any(folder.iterdir()):
            raise FileError(
                f"{folder} has files that plainsql review did not write",
                hint="choose an empty or a new folder",
            ) from None
        return set()
    except (ValueError, UnicodeDecodeError):
        first, paths = "", []
    if first != _FIRST_LINE:
        raise FileError(f"{marker} is not a marker of plainsql review", hint="choose another folder")
    if paths and paths[0].startswith(_DATABASE):
        found = paths.pop(0).removeprefix(_DATABASE)
        if found != database:
            raise FileError(
                f"{folder}: expected a site of {_shown(database)}, got one of {_shown(found)}",
                hint="choose a folder for each database",
            )
    # The list is a file like any other: a path out of the folder is not followed.
    return {path for path in paths if not path.startswith("/") and ".." not in path.split("/")}


def _shown(database: str) -> str:
    return f"the database {database}" if database else "a project with one database"


def _write_list(folder: Path, paths: Iterable[str], database: str) -> None:
    text = "\n".join([_FIRST_LINE, f"{_DATABASE}{database}", *sorted(paths)])
    with replace_file(folder / MARKER) as file:
        file.write(f"{text}\n".encode())
