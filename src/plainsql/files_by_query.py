"""A folder with a committed file for each query, in the folders of the SQL: plans, expected results."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from plainsql.errors import FileError
from plainsql.files import read_file, replace_file

__all__ = ["QueryFiles"]


class QueryFiles(ABC):
    """The files of one kind below one folder. Other programs' files are not changed."""

    suffix: ClassVar[str]
    setting: ClassVar[str]
    """The setting that names the folder."""
    written: ClassVar[str]
    """The words of the error for a link: ``no plan is``."""

    def __init__(self, folder: Path, sql_folder: Path) -> None:
        self.folder = folder
        self._sql_folder = sql_folder

    @abstractmethod
    def is_ours(self, file: Path) -> bool:
        """Return whether plainsql wrote a file that is there."""

    def file(self, sql_path: str) -> Path:
        """Return the place of the file of a query's SQL file."""
        relative = Path(os.path.relpath(sql_path, self._sql_folder))
        return self.folder / relative.with_suffix(self.suffix)

    def read(self, file: Path) -> str | None:
        """Return the text of a file, ``None`` if it is missing."""
        try:
            return read_file(file).decode("utf-8", "replace")
        except FileNotFoundError:
            return None

    def leftovers(self, files: Iterable[Path], others: Iterable[Path] = ()) -> list[Path]:
        """Return the files that are not among ``files``: their queries are gone.

        Files below ``others``, the folders of the project's other databases, are left out.
        """
        known = {*files}
        inside = [other for other in others if other.is_relative_to(self.folder) and other != self.folder]
        return [
            file
            for file in sorted(self.folder.rglob(f"*{self.suffix}"))
            if file not in known and not any(map(file.is_relative_to, inside))
            if file.is_file() and not file.is_symlink() and self.is_ours(file)
        ]

    def write(self, file: Path, text: str) -> None:
        """Write a file, moved over the old one when it is whole.

        Raises ``FileError`` if a folder on the way is a link, and the errors of ``replace_file``.
        """
        for folder in (file.parent, *file.parent.parents):
            if folder.is_symlink() and folder.is_relative_to(self.folder):
                raise FileError(
                    f"{os.path.relpath(folder)} is a symbolic link, and {self.written} written through it",
                    hint=f"remove it, or name the real folder as {self.setting} in [tool.plainsql]",
                )
        file.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(file) as opened:
            opened.write(text.encode())

    def remove(self, file: Path) -> None:
        """Remove a file, and its folder if that is empty without it."""
        file.unlink()
        with suppress(OSError):  # it holds other files
            file.parent.rmdir()
