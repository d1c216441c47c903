"""The folder of expected results: a file for each query, in the folders of the SQL."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from plainsql.errors import FileError
from plainsql.files import read_file, replace_file
from plainsql.result_tests.result_file import SUFFIX, is_result_file

__all__ = ["ResultFolder"]


class ResultFolder:
    """The files of results below one folder. Other programs' files are not changed."""

    def __init__(self, folder: Path, sql_folder: Path) -> None:
        self.folder = folder
        self._sql_folder = sql_folder

    def file(self, sql_path: str) -> Path:
        """Return the place of the file of a query's SQL file."""
        return self.folder / Path(os.path.relpath(sql_path, self._sql_folder)).with_suffix(SUFFIX)

    def read(self, file: Path) -> str | None:
        """Return the text of a file, ``None`` if it is missing."""
        try:
            return read_file(file).decode("utf-8", "replace")
        except FileNotFoundError:
            return None

    def leftovers(self, files: Iterable[Path], others: Iterable[Path] = ()) -> list[Path]:
        """Return the files of results that are not among ``files``.

        Files below ``others``, the folders of the project's other databases, are left out.
        """
        known = {*files}
        inside = [other for other in others if other.is_relative_to(self.folder) and other != self.folder]
        return [
            file
            for file in sorted(self.folder.rglob(f"*{SUFFIX}"))
            if file not in known and not any(map(file.is_relative_to, inside))
            if file.is_file() and not file.is_symlink() and is_result_file(self.read(file) or "")
        ]

    def write(self, file: Path, text: str) -> None:
        """Write a file, moved over the old one when it is whole.

        Raises ``FileError`` if a folder on the way is a link, and the errors of ``replace_file``.
        """
        for folder in (file.parent, *file.parent.parents):
            if folder.is_symlink() and folder.is_relative_to(self.folder):
                raise FileError(
                    f"{os.path.relpath(folder)} is a symbolic link, and no results are written through it",
                    hint="remove it, or name the real folder as results in [tool.plainsql]",
                )
        file.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(file) as opened:
            opened.write(text.encode())

    def remove(self, file: Path) -> None:
        """Remove a file, and its folder if that is empty without it."""
        file.unlink()
        with suppress(OSError):  # it holds other files
            file.parent.rmdir()
