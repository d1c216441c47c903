"""The results that one review keeps for the next, each in a file of ``.plainsql/`` that may be removed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TypeVar

import msgspec

from plainsql.files import make_ignored_folder, read_file, remove_leftovers, replace_file
from plainsql.settings import Project

__all__ = ["kept_file", "modules_in", "read_kept", "write_kept"]

_T = TypeVar("_T")


def kept_file(project: Project, name: str) -> Path:
    """Return the path of the file of some results; each database of a project has its own."""
    return project.root / ".plainsql" / f"{name}{project.name and '-' + project.name}.msgpack"


def read_kept(file: Path, type: type[_T]) -> _T | None:
    """Return the content of a file, or ``None`` if it is missing or from another version."""
    with suppress(OSError, ValueError, RecursionError):
        return msgspec.msgpack.decode(read_file(file), type=type)
    return None


def write_kept(file: Path, content: object) -> None:
    """Write the content of a file."""
    # In a read-only checkout the next review is slower, and correct.
    with suppress(OSError):
        make_ignored_folder(file.parent)
        remove_leftovers(file)
        with replace_file(file) as out:
            out.write(msgspec.msgpack.encode(content))


def modules_in(folder: Traversable) -> Iterator[Traversable]:
    """Yield the Python files of a package: results depend on the code that made them."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from modules_in(entry)
        elif entry.name.endswith(".py"):
            yield entry
