"""Files that a command writes completely or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from plainsql.errors import FileError, Place, SettingsError

__all__ = ["NewFiles"]


class NewFiles:
    """A writer of files that can undo all of its work."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before: dict[Path, bytes | None] = {}
        self._made: list[Path] = []
        self.done: list[str] = []

    def write(self, name: str, text: str) -> None:
        path = self._folder / name
        for parent in reversed(path.parents):
            if not parent.exists():
                parent.mkdir()
                self._made.append(parent)
        if path.is_symlink():
            raise FileError(
                f"{path} is a symbolic link, and is not written through", hint="put the file itself there"
            )
        self._before[path] = path.read_bytes() if path.exists() else None
        # Line ends stay unchanged: an existing file may have those of Windows.
        with path.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
        self.done.append(name)

    @contextmanager
    def undone_on_error(self) -> Iterator[None]:
        """Restore the folder if the block fails, also after Ctrl-C."""
        try:
            yield
        except BaseException as error:
            self._undo()
            if isinstance(error, OSError) and not isinstance(error, FileError):
                reason = (error.strerror or str(error)).lower()
                raise SettingsError(
                    f"the project cannot be written: {reason}",
                    place=Place(str(error.filename or self._folder)),
                    hint="nothing was kept; choose a folder that this user can write to",
                ) from None
            raise

    def _undo(self) -> None:
        for path, before in self._before.items():
            with suppress(OSError):
                if before is None:
                    path.unlink(missing_ok=True)
                else:
                    path.write_bytes(before)
        for path in reversed(self._made):
            with suppress(OSError):  # it holds other files by now
                path.rmdir()
