"""The files of generated modules: written if they have changed, or only compared."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from plainsql.codegen.modules import Module
from plainsql.codegen.render import MARK, render, render_enums, render_package
from plainsql.errors import ContractError, FileError, Place
from plainsql.files import replace_file

__all__ = [
    "ENUMS_FILE",
    "Changes",
    "Kept",
    "compare",
    "keep",
    "modules_of_queries",
    "sources",
    "write",
]

_QUERY: Final = re.compile(r'^@.*\("([\w.]+)", "(?:[^"\\]|\\.)*\.sql", \d+, """', re.MULTILINE)


ENUMS_FILE: Final = Path("enums.py")
"""The module of the enums of the package."""


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


@dataclass(frozen=True, slots=True)
class Kept:
    """A generated file that is left as it is: it has queries that are refused now."""

    module: str
    source: str
    queries: tuple[str, ...]
    """The names of the queries that are refused."""


def sources(modules: Iterable[Module], sql: str, *, others: Iterable[str] = ()) -> dict[Path, str]:
    """Return the sources of a package by path relative to the output folder.

    ``sql`` is the SQL folder relative to the project's root; it appears in the generated files. ``others``
    are the names of modules that are in the package, too.
    """
    sql = PurePosixPath(sql).as_posix()
    modules = list(modules)
    files: dict[Path, str] = {}
    children: dict[str, set[str]] = {}
    for name in (*(module.name for module in modules), *others):
        parts = name.split(".")
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
    if modules and (enums := modules[0].own_types.project_types.enums):
        files[ENUMS_FILE] = render_enums(enums, sql)
    return files


def modules_of_queries(refused: Collection[str], output: Path) -> dict[Path, Kept]:
    """Return the generated files that hold queries of these names, or below folders of these names.

    The paths are relative to the output folder.
    """
    found: dict[Path, Kept] = {}
    if not output.exists():
        return found
    for target in sorted(output.rglob("*.py")):
        if not _is_generated(target):
            continue
        source = target.read_text(encoding="utf-8", errors="replace")
        names = [
            name
            for name in _QUERY.findall(source)
            if any(name == each or name.startswith(f"{each}.") for each in refused)
        ]
        if names:
            path = target.relative_to(output)
            parts = path.parts[:-1] if path.name == "__init__.py" else (*path.parts[:-1], path.stem)
            found[path] = Kept(".".join(parts), source, tuple(names))
    return found


def keep(files: Mapping[Path, str], kept: Mapping[Path, Kept]) -> dict[Path, str]:
    """Return the files with the kept ones as they are, without those that would hide a kept one."""
    hidden = {
        # A package hides the module of its name, and the module is not there for long.
        path
        for path in files
        for each in kept
        if each.with_suffix("") in path.parents or path.with_suffix("") == each.parent
    }
    sound = {path: source for path, source in files.items() if path not in hidden}
    return {**sound, **{path: each.source for path, each in kept.items()}}


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
