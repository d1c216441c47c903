"""The discovery of migrations in a folder: one ordered set for each layer.

``migrations/0001_x.sql`` belongs to no layer, ``migrations/realty/0001_x.sql`` to the layer realty. The
numbers are the order. A rollback file runs from top to bottom.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from plainsql.errors import MigrationError, Place
from plainsql.migrate.errors import MigrationFolderError
from plainsql.migrate.script import Script, checksum, place_at

__all__ = [
    "LAYER_NAME",
    "SCHEMA_FILE",
    "Folder",
    "Migration",
    "display_path",
    "gaps",
    "read_folder",
    "taken_numbers",
]

_FILE_NAME = re.compile(
    r"(?P<number>\d{4})_(?P<what>[A-Za-z0-9][A-Za-z0-9_-]*)(?P<rollback>\.rollback)?\.sql"
)
LAYER_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
SCHEMA_FILE = "schema.sql"
"""The file of ``plainsql migrate schema``, in the folder of the migrations: it is none of them.

A layer's folder may be the folder of a database of several, with a file of its own.
"""
_NAMING = "name it NNNN_<what>.sql, with four digits; its undoing NNNN_<what>.rollback.sql"
_TRANSACTION_CONTROL = {"begin", "start", "commit", "end", "abort", "rollback"}


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration with its rollback."""

    layer: str | None
    number: int
    id: str
    """The file's name without ``.sql``: yoyo's id."""
    path: str
    script: Script
    rollback_path: str
    """The path of the rollback file, which may not exist."""
    rollback: Script | None

    @property
    def name(self) -> str:
        return f"{self.layer}/{self.id}" if self.layer else self.id

    @property
    def checksum(self) -> str:
        return checksum(self.script.source)

    @property
    def transactional(self) -> bool:
        return self.script.header.transactional is not False

    @property
    def rollback_transactional(self) -> bool:
        """The value in the rollback's own header, else the migration's, which is the only one yoyo reads."""
        said = self.rollback.header.transactional if self.rollback else None
        return self.transactional if said is None else said


@dataclass(frozen=True, slots=True)
class Folder:
    """The migrations of a folder."""

    path: str
    sets: dict[str | None, tuple[Migration, ...]]
    """The migrations by layer, each in the order of its numbers; ``None`` holds those of the folder itself.
    The sets are in the order in which they run: first ``None``, then the layers by name."""

    @property
    def migrations(self) -> tuple[Migration, ...]:
        return tuple(migration for members in self.sets.values() for migration in members)

    def only(self, layers: Sequence[str] | None) -> Folder:
        """Return the named layers only, in the order given; all of them for ``None``.

        Raises ``MigrationError`` if a layer has no files here.
        """
        if layers is None:
            return self
        for layer in layers:
            if layer not in self.sets:
                known = ", ".join(name for name in self.sets if name) or "none"
                raise MigrationError(f"{self.path}: no layer {layer!r}", hint=f"the layers here: {known}")
        return Folder(self.path, {layer: self.sets[layer] for layer in layers})

    def find(self, wanted: str) -> Migration:
        """Return the migration that ``0003``, ``0003_add_index`` or ``realty/0003`` means.

        Raises ``MigrationError`` if it means none, or several of different layers.
        """
        layer, _, rest = wanted.rpartition("/")
        found = [
            migration
            for migration in self.migrations
            if (not layer or migration.layer == layer)
            and (migration.id == rest or (rest.isdecimal() and migration.number == int(rest)))
        ]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(migration.name for migration in found)
            raise MigrationError(f"{wanted!r} means {names}", hint=f"name its layer: {found[0].name}")
        raise MigrationError(f"{self.path}: no migration {wanted!r}", hint="see 'plainsql migrate status'")


def read_folder(path: str | os.PathLike[str]) -> Folder:
    """Read every migration of a folder.

    Raises ``MigrationError`` if there is no such folder, ``MigrationFolderError`` with all faults of its
    files.
    """
    root = Path(path)
    if not root.is_dir():
        raise MigrationError(
            f"{display_path(root)}: no such folder",
            hint="create one with 'plainsql migrate new <what>', or a project with 'plainsql init'",
        )
    errors: list[MigrationError] = []
    sets: dict[str | None, tuple[Migration, ...]] = {}
    for layer, files in _files_by_layer(root, errors):
        if members := _read_set(layer, files, errors):
            sets[layer] = members
    if errors:
        raise MigrationFolderError(sorted(errors, key=_by_place))
    return Folder(display_path(root), sets)


def gaps(members: Iterable[Migration], known: Iterable[int] = ()) -> list[MigrationError]:
    """Return an error for each missing number, unless it is among the ``known`` (applied) ones."""
    errors = []
    for before, after in pairwise(members):
        left_out = set(range(before.number + 1, after.number)) - set(known)
        if left_out:
            errors.append(
                _wrong(
                    after.path,
                    f"expected number {min(left_out):04d} after {before.id}, got {after.number:04d}",
                    f"rename it {min(left_out):04d}_…, or add the file that is missing",
                )
            )
    return errors


def taken_numbers(path: Path) -> dict[str | None, list[int]]:
    """Return the numbers that each layer has used, from the names of its files alone."""
    found: dict[str | None, list[int]] = {}
    for layer, files in _files_by_layer(path, []) if path.is_dir() else ():
        matches = [_FILE_NAME.fullmatch(file.name) for file in files]
        found[layer] = [int(match["number"]) for match in matches if match]
    return found


def display_path(path: Path) -> str:
    """Return the path for messages: relative to the working folder if it is below that."""
    try:
        return path.absolute().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.as_posix()


def _files_by_layer(root: Path, errors: list[MigrationError]) -> Iterable[tuple[str | None, list[Path]]]:
    flat, layers = _sql_files(root)
    if flat:
        yield None, flat
    for folder in layers:
        files, deeper = _sql_files(folder)
        for nested in deeper:
            errors.extend(
                _wrong(display_path(lost), "is too deep to be run", "move it up, into its layer's folder")
                for lost in sorted(nested.rglob("*.sql"))
                if lost.name != SCHEMA_FILE
            )
        if files and not LAYER_NAME.fullmatch(folder.name):
            errors.append(
                _wrong(
                    display_path(folder),
                    "is not a name of a layer",
                    "lower-case letters, digits and _; at most 41",
                )
            )
        elif files:
            yield folder.name, files


def _sql_files(folder: Path) -> tuple[list[Path], list[Path]]:
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    files = [
        entry
        for entry in entries
        if entry.suffix.lower() == ".sql" and entry.name != SCHEMA_FILE and entry.is_file()
    ]
    return files, [entry for entry in entries if entry.is_dir()]


def _read_set(layer: str | None, files: list[Path], errors: list[MigrationError]) -> tuple[Migration, ...]:
    scripts: dict[str, Script | None] = {}
    for path in files:
        if _FILE_NAME.fullmatch(path.name):
            scripts[path.name] = _read_script(path, errors)
        else:
            errors.append(_wrong(display_path(path), "is not named like a migration", _NAMING))
    members: dict[int, Migration] = {}
    for path in files:
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            continue
        id_ = f"{match['number']}_{match['what']}"
        undo = path.with_name(f"{id_}.rollback.sql")
        if match["rollback"]:
            if f"{id_}.sql" not in scripts:
                errors.append(_wrong(display_path(path), f"undoes {id_}.sql, which is not there", _NAMING))
            continue
        number = int(match["number"])
        if number in members:
            other = members[number].id
            errors.append(
                _wrong(display_path(path), f"has the same number as {other}.sql", "give it the next number")
            )
            continue
        script = scripts[path.name] or Script.read("")
        if scripts[path.name] and not script.statements:
            errors.append(_wrong(display_path(path), "holds no statement", "write it, or delete the file"))
        migration = Migration(
            layer, number, id_, display_path(path), script, display_path(undo), scripts.get(undo.name)
        )
        errors.extend(_unrunnable(migration.path, script, transactional=migration.transactional))
        if migration.rollback:
            errors.extend(
                _unrunnable(
                    migration.rollback_path,
                    migration.rollback,
                    transactional=migration.rollback_transactional,
                )
            )
        members[number] = migration
    ordered = tuple(members[number] for number in sorted(members))
    errors.extend(_depends_errors(ordered))
    return ordered


def _read_script(path: Path, errors: list[MigrationError]) -> Script | None:
    where, raw = display_path(path), path.read_bytes()
    try:
        source = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        errors.append(
            MigrationError(
                f"expected UTF-8, got byte 0x{raw[error.start]:02x}",
                place=Place(where, line),
                hint="save the file as UTF-8",
            )
        )
        return None
    if not source.strip() or "\0" in source:
        what = "holds a NUL character" if "\0" in source else "is empty"
        errors.append(_wrong(where, what, "write it, or delete the file"))
        return None
    script = Script.read(source)
    for offset, message in script.problems:
        place = place_at(where, source, offset)
        errors.append(
            MigrationError(message, place=place, hint="put it into the comment at the top of the file")
        )
    return script


def _unrunnable(where: str, script: Script, *, transactional: bool) -> Iterable[MigrationError]:
    """Yield an error for each statement that the server would refuse late or misunderstand."""
    for statement in script.statements:
        words = statement.words
        if statement.text.startswith("\\"):
            message, hint = "a backslash command is psql's, not SQL", "delete the line, or write it in SQL"
        elif transactional and _ends_transaction(words):
            message = f"{statement.first_line!r} would end the transaction that the file's record is part of"
            hint = "delete it; or start the file with '-- transactional: false'"
        elif words[:1] == ("copy",) and {"stdin", "stdout"} & set(words):
            message = "a migration has no standard input or output to copy"
            hint = "write an insert instead"
        else:
            continue
        # Finding the place scans the whole text, so it is done for errors only.
        yield MigrationError(message, place=place_at(where, script.source, statement.start), hint=hint)


def _ends_transaction(words: tuple[str, ...]) -> bool:
    if words[:1] == ("rollback",) and "to" in words[1:3]:
        return False
    return words[:2] == ("prepare", "transaction") or bool(_TRANSACTION_CONTROL & set(words[:1]))


def _depends_errors(members: Sequence[Migration]) -> Iterable[MigrationError]:
    """Yield an error for each ``-- depends:`` that contradicts the numbers, which alone are the order."""
    earlier: set[str] = set()
    for migration in members:
        for wanted in migration.script.header.depends:
            if wanted not in earlier:
                yield _wrong(
                    migration.path,
                    f"depends on {wanted!r}, which does not come before it",
                    "files run in the order of their numbers, within their layer",
                )
        earlier.add(migration.id)


def _wrong(path: str, message: str, hint: str) -> MigrationError:
    return MigrationError(message, place=Place(path), hint=hint)


def _by_place(error: MigrationError) -> tuple[str, int, int]:
    place = error.place or Place("")
    return place.path, place.line, place.column
