"""The import of a folder: where each query goes, and the files that are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from plainsql.errors import FileError, Place, SqlFileError
from plainsql.files import replace_file
from plainsql.importers import aiosql, pgtyped, sqlc
from plainsql.importers.blocks import COMMENTS, Block, Mark, divide_at_marks
from plainsql.importers.names import file_name
from plainsql.importers.query_file import Conversion, write_query
from plainsql.statements import Token, scan
from plainsql.statements.discovery import read_text
from plainsql.statements.source import Source

__all__ = ["TOOLS", "Import", "import_files"]


class _Tool(NamedTuple):
    read_mark: Callable[[Source, Token], Mark | None]
    convert: Callable[[Block], Conversion]
    example: str


TOOLS: Final = {
    "aiosql": _Tool(aiosql.read_mark, aiosql.convert, "-- name: get-user^"),
    "sqlc": _Tool(sqlc.read_mark, sqlc.convert, "-- name: GetUser :one"),
    "pgtyped": _Tool(pgtyped.read_mark, pgtyped.convert, "/* @name GetUser */"),
}
"""The tools whose files can be imported."""


@dataclass(slots=True)
class Import:
    """The result of an import."""

    written: dict[Path, str] = field(default_factory=dict)
    """The texts of new and changed files, in the order of their paths."""
    unchanged: int = 0
    """The number of files that had the same text already."""
    left_out: list[SqlFileError] = field(default_factory=list)
    """The queries that were not converted, in the order of their places."""
    sources: list[Path] = field(default_factory=list)
    """The files of the tool that were read."""


def import_files(tool: str, path: Path, into: Path, *, force: bool = False, dry_run: bool = False) -> Import:
    """Convert the queries of a file, or of all ``.sql`` files below a folder, and write them below ``into``.

    ``users.sql`` becomes the folder ``users`` with one file for each query. A file that exists is replaced
    only with ``force``; with ``dry_run`` nothing is written.

    Raises ``SqlFileError`` if ``path`` is missing or has no SQL file, ``FileError`` or ``OSError`` if a file
    cannot be written.
    """
    if not path.exists():
        raise SqlFileError(
            "there is no such file or folder",
            place=Place(str(path)),
            hint=f"give the folder of {tool}'s files",
        )
    found = Import(sources=list(_sources(path, into)))
    if not found.sources:
        raise SqlFileError(
            "there is no SQL file in this folder",
            place=Place(str(path)),
            hint=f"give the folder of {tool}'s files",
        )
    targets: dict[Path, tuple[Place, str]] = {}
    for file in found.sources:
        parent = file.relative_to(path).parent if path.is_dir() else Path()
        folders = [
            *(file_name(part) or "queries" for part in parent.parts),
            file_name(file.stem) or "queries",
        ]
        for block in _blocks(tool, file, found.left_out):
            try:
                _convert(TOOLS[tool], block, into, folders, targets)
            except SqlFileError as error:
                found.left_out.append(error)
    _refuse_clashes(targets, into, found.left_out)
    for target, (place, text) in sorted(targets.items()):
        if target.exists() and not target.is_symlink() and _same(target, text):
            found.unchanged += 1
        elif target.is_symlink() or (target.exists() and not force):
            found.left_out.append(_exists(target, place))
        else:
            found.written[target] = text
    found.left_out.sort(
        key=lambda e: (e.place.path, e.place.line or 0, e.place.column or 0) if e.place else ("", 0, 0)
    )
    if not dry_run:
        for target, text in found.written.items():
            _write(target, text, into)
    return found


def _sources(path: Path, into: Path) -> Iterator[Path]:
    """Yield the tool's files; those below ``into`` that an earlier import wrote have no marks."""
    if not path.is_dir():
        yield path
        return
    for file in sorted(path.rglob("*.sql")):
        hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
        inside = path.resolve() != into.resolve() and into.resolve() in file.resolve().parents
        if not hidden and not inside:
            yield file


def _blocks(name: str, file: Path, left_out: list[SqlFileError]) -> list[Block]:
    tool = TOOLS[name]
    try:
        source = Source(read_text(file), str(file))
        tokens = scan(source.text, path=str(file))
    except SqlFileError as error:
        left_out.append(error)
        return []
    blocks, stray = divide_at_marks(source, tokens, tool.read_mark, left_out)
    if stray is not None and not _is_of_plainsql(source):
        other = None if blocks else _other_mark(name, source, tokens)
        left_out.append(other or _no_name(tool, source, stray))
    return blocks


def _other_mark(name: str, source: Source, tokens: list[Token]) -> SqlFileError | None:
    """Return the error for a file that has the marks of another of the tools."""
    for other, tool in TOOLS.items():
        for token in tokens if other != name else ():
            if token.kind in COMMENTS:
                with suppress(SqlFileError):
                    if (mark := tool.read_mark(source, token)) is not None:
                        return source.error(
                            mark.offset,
                            f"this is a mark of {other}, expected one of {name}",
                            hint=f"plainsql import {other} {source.path}",
                        )
    return None


def _no_name(tool: _Tool, source: Source, stray: Token) -> SqlFileError:
    return source.error(stray.start, "this statement has no name", hint=f"write {tool.example} above it")


def _is_of_plainsql(source: Source) -> bool:
    """Report whether a file has a header of plainsql already, as the result of an import has."""
    return any(line.startswith("-- returns: ") for line in source.text.split("\n"))


def _convert(
    tool: _Tool, block: Block, into: Path, folders: list[str], targets: dict[Path, tuple[Place, str]]
) -> None:
    mark, source = block.mark, block.source
    if not block.tokens:
        raise source.error(mark.offset, f"the query {mark.name} has no statement", hint="remove the mark")
    parts = [file_name(part) for part in mark.name.split(".")]
    if not all(parts):
        raise source.error(
            mark.offset, f"{mark.name} has no letter for a name of a file", hint="give the query another name"
        )
    names = [*folders, *parts]
    target = into.joinpath(*names[:-1], f"{names[-1]}.sql")
    if target in targets:
        raise source.error(
            mark.offset,
            f"{mark.name} and the query at {targets[target][0]} would both be {target}",
            hint="rename one of them",
        )
    conversion = tool.convert(block)
    text = write_query(conversion, ".".join(names), str(target))
    targets[target] = source.place(mark.offset), text


def _refuse_clashes(targets: dict[Path, tuple[Place, str]], into: Path, left_out: list[SqlFileError]) -> None:
    """Take out the queries whose file would have the name of a folder of queries next to it."""
    folders = {folder for target in targets for folder in target.parents if folder != into}
    for target in sorted(targets):
        if target.with_suffix("") in folders:
            place, _ = targets.pop(target)
            left_out.append(
                SqlFileError(
                    f"the file {target} would have the name of a folder",
                    place=place,
                    hint="rename the query",
                )
            )


def _same(target: Path, text: str) -> bool:
    try:
        return target.read_text(encoding="utf-8") == text
    except (OSError, UnicodeDecodeError):
        return False


def _exists(target: Path, place: Place) -> SqlFileError:
    if target.is_symlink():
        return SqlFileError(f"{target} is a symbolic link", place=place, hint="put the file itself there")
    return SqlFileError(f"{target} exists, with another text", place=place, hint="--force replaces it")


def _write(target: Path, text: str, into: Path) -> None:
    for folder in [into, *reversed([f for f in target.parents if into in f.parents])]:
        if folder.is_symlink() and folder != into:
            raise FileError(
                f"{folder} is a symbolic link, and is not written through", hint="put a folder there"
            )
        folder.mkdir(parents=True, exist_ok=True)
    with replace_file(target) as file:
        file.write(text.encode())
