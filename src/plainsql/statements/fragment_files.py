"""The files of fragments: pieces of SQL that several queries have copies of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from plainsql.errors import SqlFileError
from plainsql.statements.discovery import FRAGMENTS_FOLDER, read_text
from plainsql.statements.scanner import scan
from plainsql.statements.source import Source

__all__ = ["Fragment", "FragmentFolders", "header_end"]

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_ALIASES: Final = re.compile(r"--[ \t]*aliases[ \t]*:[ \t]*(.*?)[ \t]*")


class Fragment(NamedTuple):
    """A piece of SQL in a file of its own."""

    name: str
    path: str
    aliases: tuple[str, ...]
    """The names in it that a use may replace, in the order in which a use gives its own."""
    text: str
    """The SQL below the header, without empty lines around it."""
    line: int
    """The line of the file on which the SQL begins, 1-based."""


class FragmentFolders:
    """The fragments of a folder of queries; a file is read when it is used."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[Path, Fragment | SqlFileError] = {}

    def files(self) -> list[Path]:
        """Return the files of all fragments, sorted."""
        folders = (each for each in self._folder.rglob(FRAGMENTS_FOLDER) if each.is_dir())
        return sorted(file for folder in folders for file in folder.glob("*.sql"))

    def find(self, name: str, user: Path) -> Fragment | None:
        """Return the fragment of a name for a file: that of the nearest folder; ``None`` without one.

        Raises ``SqlFileError`` if its file cannot be read or is wrong.
        """
        for folder in self._above(user):
            file = folder / f"{name}.sql"
            if file.is_file():
                found = self._known.get(file) or _read(file)
                self._known[file] = found
                if isinstance(found, SqlFileError):
                    raise found
                return found
        return None

    def names(self, user: Path) -> list[str]:
        """Return the names of the fragments that a file may use, sorted."""
        return sorted({file.stem for folder in self._above(user) for file in folder.glob("*.sql")})

    def _above(self, user: Path) -> Iterator[Path]:
        """Yield the folders of fragments of a file's folder and of those above it, the nearest first."""
        folder = user.parent.parent if user.parent.name == FRAGMENTS_FOLDER else user.parent
        while folder.is_relative_to(self._folder):
            yield folder / FRAGMENTS_FOLDER
            if folder == self._folder:
                return
            folder = folder.parent


def header_end(text: str) -> int:
    """Return the offset at which the comment lines at the top of a file end."""
    at = 0
    for line in text.splitlines(keepends=True):
        if not line.lstrip(" \t").startswith("--"):
            break
        at += len(line)
    return at


def _read(file: Path) -> Fragment | SqlFileError:
    """Return a fragment, or the error of its file."""
    try:
        whole = read_text(file)
        tokens = scan(whole, path=str(file))
    except SqlFileError as error:
        return error
    source, end = Source(whole, str(file)), header_end(whole)
    if not _NAME.fullmatch(file.stem):
        message = f"{file.stem!r} cannot be the name of a fragment, expected lower-case letters, digits and _"
        return source.error(0, message, hint="rename the file")
    aliases: tuple[str, ...] = ()
    at = 0
    for line in whole[:end].splitlines(keepends=True):
        if found := _ALIASES.fullmatch(line.strip()):
            aliases = tuple(each.strip() for each in found[1].split(","))
            if not all(map(_NAME.fullmatch, aliases)) or len(set(aliases)) < len(aliases):
                message = f"expected different names in lower case, got {found[1]!r}"
                return source.error(at, message, hint="write them as -- aliases: p, s")
        at += len(line)
    body = whole[end:]
    text = body.lstrip("\n").rstrip()
    if not text.strip():
        return source.error(0, "the fragment is empty", hint="write its SQL below the comment")
    semicolon = next((token for token in tokens if token.kind == "semicolon"), None)
    if semicolon is not None:
        message = "a fragment is a part of a statement, expected no semicolon"
        return source.error(semicolon.start, message, hint="remove it")
    line_number = whole.count("\n", 0, end + len(body) - len(body.lstrip("\n"))) + 1
    return Fragment(file.stem, str(file), aliases, text, line_number)
