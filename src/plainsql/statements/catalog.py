"""A folder of SQL files as a catalog: the path is the name, and one error lists all that is wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from plainsql.errors import Place, SqlFileError, SqlFolderError
from plainsql.statements.discovery import Found, find_files, read_text
from plainsql.statements.header import close_match
from plainsql.statements.model import Statement
from plainsql.statements.parser import parse

__all__ = ["Catalog", "LoadedFile", "load", "load_sound"]

_NO_TEXTS: Final[Mapping[Path, str]] = MappingProxyType({})


class LoadedFile(NamedTuple):
    """The text of a SQL file, with its statement or its errors."""

    text: str
    statement: Statement | None
    errors: tuple[SqlFileError, ...] = ()


class Catalog(Mapping[str, Statement]):
    """The statements of a folder by name, sorted: ``catalog["realty.leads.get_by_id"]``."""

    __slots__ = ("_statements", "folder")

    def __init__(self, folder: str, statements: Mapping[str, Statement]) -> None:
        self.folder = folder
        """The folder, which begins every path."""
        self._statements = dict(sorted(statements.items()))

    def __getitem__(self, name: str) -> Statement:
        """Return the statement of that name.

        Raises ``KeyError``, with the nearest name, if there is none.
        """
        try:
            return self._statements[name]
        except KeyError:
            meant = close_match(name, list(self._statements), 0.6)
            raise KeyError(f"{name}; did you mean {meant}?" if meant else name) from None

    def __contains__(self, name: object) -> bool:
        return name in self._statements

    def __iter__(self) -> Iterator[str]:
        return iter(self._statements)

    def __len__(self) -> int:
        return len(self._statements)

    def modules(self) -> dict[str, list[Statement]]:
        """Return the statements by module (``realty.leads``), modules and statements sorted."""
        modules: dict[str, list[Statement]] = {}
        for statement in self._statements.values():
            modules.setdefault(statement.module, []).append(statement)
        return dict(sorted(modules.items()))

    @staticmethod
    def parse(text: str, name: str, path: str) -> Statement:
        """Return the text of one file as a statement: :func:`plainsql.statements.parse`."""
        return parse(text, name=name, path=path)

    def __repr__(self) -> str:
        return f"<Catalog of {self.folder}: {len(self)} statements>"


def load(folder: str | os.PathLike[str]) -> Catalog:
    """Read every ``.sql`` file below a folder.

    ``sql/realty/leads/get_by_id.sql`` becomes ``realty.leads.get_by_id``. Files and folders whose names begin
    with a dot are skipped, and so are files of other kinds. Paths in errors are relative to the working
    folder if that is shorter.

    Raises:
        SqlFileError: the folder cannot be read or holds no SQL file, or its files have one error.
        SqlFolderError: the files have several errors; it holds them in the order of their places.
    """
    catalog, errors = load_sound(folder)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise SqlFolderError(errors)
    return catalog


def load_sound(
    folder: str | os.PathLike[str],
    *,
    known: dict[Path, LoadedFile] | None = None,
    texts: Mapping[Path, str] = _NO_TEXTS,
) -> tuple[Catalog, tuple[SqlFileError, ...]]:
    """Read the files that are sound, as ``load`` does, and return them with the errors of the others.

    It serves a caller that reports more about the sound ones. The errors are in the order of their places.
    ``known`` are the files of an earlier call: one whose text is the same is not parsed again, and the
    mapping gets those of this call. ``texts`` are the texts of files that an editor has not saved, by their
    resolved paths.

    Raises ``SqlFileError`` if the folder cannot be read or holds no SQL file.
    """
    top = _shown(Path(folder))
    files, errors = find_files(top)
    if not files and not errors:
        raise SqlFileError(
            "there is no SQL file in this folder",
            place=Place(str(top)),
            hint="add a query file, whose name ends in .sql",
        )
    before = dict(known or {})
    if known is not None:
        known.clear()
    statements: dict[str, Statement] = {}
    for file in files:
        try:
            unsaved = texts.get(file.path.resolve()) if texts else None
            text = read_text(file.path) if unsaved is None else unsaved
        except SqlFileError as error:
            errors.append(error)
            continue
        except Exception as error:  # noqa: BLE001 (a fault of ours: the other files are read all the same)
            errors.append(_unforeseen(error, file.path))
            continue
        loaded = before.get(file.path)
        if loaded is None or loaded.text != text:
            loaded = _loaded(file, text)
        if known is not None:
            known[file.path] = loaded
        errors.extend(loaded.errors)
        if loaded.statement is not None:
            statements[file.name] = loaded.statement
    return Catalog(str(top), statements), tuple(sorted(errors, key=_position))


def _loaded(file: Found, text: str) -> LoadedFile:
    try:
        return LoadedFile(text, parse(text, name=file.name, path=str(file.path)))
    except SqlFolderError as several:
        return LoadedFile(text, None, several.errors)
    except SqlFileError as error:
        return LoadedFile(text, None, (error,))
    except Exception as error:  # noqa: BLE001 (a fault of ours: the other files are read all the same)
        return LoadedFile(text, None, (_unforeseen(error, file.path),))


def _unforeseen(error: Exception, path: Path) -> SqlFileError:
    from plainsql.statements.unexpected_errors import FAULT_HINT, fault_detail

    found = SqlFileError(
        "this file cannot be read", place=Place(str(path)), detail=fault_detail(error), hint=FAULT_HINT
    )
    found.__cause__ = error
    return found


def _shown(folder: Path) -> Path:
    """Return the folder relative to the working folder, if that is shorter."""
    try:
        relative = os.path.relpath(folder)
    except ValueError:  # on another drive
        return folder
    return Path(relative) if len(relative) < len(str(folder)) else folder


def _position(error: SqlFileError) -> tuple[str, int, int]:
    place = error.place or Place("")
    return place.path, place.line, place.column
