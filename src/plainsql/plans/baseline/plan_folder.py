"""The folder of plan files: one for each query, in the folders of the SQL."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from plainsql.errors import FileError
from plainsql.files import read_file, replace_file
from plainsql.plans.baseline.plan_file import MARK, SUFFIX

__all__ = ["PlanFolder"]


class PlanFolder:
    """The plan files below one folder. Other programs' files are not changed."""

    def __init__(self, folder: Path, sql_folder: Path) -> None:
        self.folder = folder
        self._sql_folder = sql_folder

    def file(self, sql_path: str) -> Path:
        """Return the place of the plan file of a query's SQL file."""
        relative = Path(os.path.relpath(sql_path, self._sql_folder))
        return self.folder / relative.with_suffix(SUFFIX)

    def read(self, file: Path) -> str | None:
        """Return the text of the file in the place of a plan file, ``None`` if it is missing."""
        try:
            return read_file(file).decode("utf-8", "replace")
        except FileNotFoundError:
            return None

    def leftovers(self, files: Iterable[Path], others: Iterable[Path] = ()) -> list[Path]:
        """Return the plan files that are not among ``files``: their queries are gone.

        Files below ``others``, the folders of the project's other databases, are left out.
        """
        known = {*files}
        inside = [other for other in others if other.is_relative_to(self.folder) and other != self.folder]
        return [
            file
            for file in sorted(self.folder.rglob(f"*{SUFFIX}"))
            if file not in known and not any(map(file.is_relative_to, inside))
            if file.is_file() and not file.is_symlink() and _is_ours(file)
        ]

    def write(self, texts: Mapping[Path, str]) -> None:
        """Write files, each moved over the old one when it is whole.

        Raises ``FileError`` if a folder on the way is a link, and the errors of ``replace_file``.
        """
        for file, text in sorted(texts.items()):
            for folder in (file.parent, *file.parent.parents):
                if folder.is_symlink() and folder.is_relative_to(self.folder):
                    raise FileError(
                        f"{os.path.relpath(folder)} is a symbolic link, and no plan is written through it",
                        hint="remove it, or name the real folder as plans in [tool.plainsql]",
                    )
            file.parent.mkdir(parents=True, exist_ok=True)
            with replace_file(file) as opened:
                opened.write(text.encode())

    def remove(self, files: Iterable[Path]) -> None:
        """Remove plan files, and the folders that are empty without them."""
        for file in files:
            file.unlink()
            with suppress(OSError):  # it holds other files
                file.parent.rmdir()


def _is_ours(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(len(MARK)) == MARK.encode()
