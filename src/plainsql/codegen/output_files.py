"""The files of generated modules: written if they have changed, or only compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

from plainsql.codegen.modules import Module
from plainsql.codegen.render import MARK, render, render_package
from plainsql.errors import ContractError, FileError, Place
from plainsql.files import replace_file

__all__ = ["Changes", "compare", "sources", "write"]


class Changes:
    """The differences between the generated files and those on disk, as paths relative to the output
    folder.
    """

    def __init__(self) -> None:
        self.missing: list[Path] = []
        self.outdated: list[Path] = []
        self.stale: list[Path] = []
        """Generated files whose SQL is gone."""

    def __bool__(self) -> bool:
        return bool(self.missing or self.outdated or self.stale)


def sources(modules: Iterable[Module], sql: str) -> dict[Path, str]:
    """Return the sources of a package by path relative to the output folder.

    ``sql`` is the SQL folder relative to the project's root; it appears in the generated files.
    """
    sql = PurePosixPath(sql).as_posix()
    modules = list(modules)
    files: dict[Path, str] = {}
    children: dict[str, set[str]] = {}
    for module in modules:
        parts = module.name.split(".")
        for depth in range(1, len(parts)):
            children.setdefault(".".join(parts[:depth]), set()).add(parts[depth])
    names = {module.name for module in modules}
    for module in modules:
        parts = module.name.split(".")
        # A folder with files and folders in it is a package whose __init__ holds the queries.
        is_package = module.name in children or module.package
        file = Path(*parts, "__init__.py") if is_package else Path(*parts[:-1], f"{parts[-1]}.py")
        files[file] = render(module, sql)
    for package, inner in children.items():
        if package not in names:
            folder = f"{sql}/{package.replace('.', '/')}"
            files[Path(*package.split("."), "__init__.py")] = render_package(folder, inner)
    return files


def compare(files: Mapping[Path, str], output: Path) -> Changes:
    """Return what ``write`` would change."""
    changes = Changes()
    for path, source in sorted(files.items()):
        target = output / path
        if not target.exists():
            changes.missing.append(path)
        elif path.name == "__init__.py" and not _is_generated(target) and not _holds_queries(source):
            continue  # a package's own, hand-written file: not touched
        elif target.read_text(encoding="utf-8", errors="replace") != source:
            changes.outdated.append(path)
    if output.exists():
        for target in sorted(output.rglob("*.py")):
            path = target.relative_to(output)
            if path not in files and _is_generated(target):
                changes.stale.append(path)
    return changes


def write(files: Mapping[Path, str], output: Path, *, root: Path | None = None) -> Changes:
    """Write the files that differ, remove stale ones, and return the changes.

    Raises ``ContractError`` instead of overwriting a file without the mark of generated ones, and
    ``FileError`` for a folder below ``root`` that is a link.
    """
    changes = compare(files, output)
    for path in changes.outdated:
        if not _is_generated(output / path):
            raise ContractError(
                "this file would be overwritten, and plainsql did not write it",
                place=Place(str(output / path)),
                hint="move it, or rename the SQL folder of the same name",
            )
    written = [*changes.missing, *changes.outdated]
    _refuse_links({(output / path).parent for path in [*written, *changes.stale]}, root or output.parent)
    for path in written:
        target = output / path
        target.parent.mkdir(parents=True, exist_ok=True)
        # Moved over the old file: a reader never sees half a module.
        with replace_file(target) as file:
            file.write(files[path].encode())
    for path in changes.stale:
        (output / path).unlink()
        with suppress(OSError):  # it holds other files
            (output / path).parent.rmdir()
    return changes


def _refuse_links(folders: Iterable[Path], root: Path) -> None:
    """Raise ``FileError`` if a folder is a link: a repository may contain one that leads out of the
    project.
    """
    for folder in sorted(folders):
        for each in (folder, *folder.parents):
            if each == root:
                break
            if each.is_symlink():
                raise FileError(
                    f"{each} is a symbolic link, and no module is written through it",
                    hint="remove it, or name the real folder as output in [tool.plainsql]",
                )


def _holds_queries(source: str) -> bool:
    return "\n__all__ = " in source


def _is_generated(file: Path) -> bool:
    with file.open("rb") as content:
        return content.read(len(MARK)) == MARK.encode()
