"""A project as a commit has it: its files in a temporary folder, checked against their own schema."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, cast

from plainsql import statements
from plainsql.check.analysed_statements import AnalysedStatements
from plainsql.check.git_repository import Repository
from plainsql.check.problems import NO_LARGE_TABLES
from plainsql.check.project_check import ProjectCheck, check_project
from plainsql.errors import (
    ConnectError,
    ContractError,
    EmbeddedServerError,
    PlainsqlError,
    SettingsError,
    SqlFileError,
)
from plainsql.schema import SchemaSource, schema_source
from plainsql.settings import Project, use_database

__all__ = ["NOTHING_CHECKED", "ProjectAtCommit", "SchemaAtCommit", "check_at_commit", "project_at_commit"]

NOTHING_CHECKED: Final = ProjectCheck((), AnalysedStatements((), ()), (), (), {}, 0, False)
"""The check of a project without a file."""


@dataclass(slots=True)
class ProjectAtCommit:
    """The files of a project at a commit, in a folder that is removed at the end."""

    project: Project | None
    """``None`` if the commit has no such project."""
    top: Path
    """The folder with the files; a path below it is the path of a file in the repository."""
    has_folder: bool = False
    """True if the commit has the project, with this database or without it."""
    notes: list[str] = field(default_factory=list)
    """The parts that could not be read, each with the reason."""


@dataclass(frozen=True, slots=True)
class SchemaAtCommit:
    """A schema whose scratch database is found again, though its folder has another path each time."""

    source: SchemaSource
    identity: bytes

    def digest(self) -> str:
        return self.source.digest()

    def apply(self, url: str) -> None:
        self.source.apply(url)


@contextmanager
def project_at_commit(repository: Repository, commit: str, now: Project) -> Generator[ProjectAtCommit]:
    """Yield the project of a commit that is the project ``now``, with its files.

    Its folder is the same one; else the only one in that commit with ``[tool.plainsql]``.
    """
    with TemporaryDirectory(prefix="plainsql-since-") as name:
        yield _read(repository, commit, now, Path(name).resolve())


def _read(repository: Repository, commit: str, now: Project, target: Path) -> ProjectAtCommit:
    found = ProjectAtCommit(None, target)
    folder = _folder(repository, commit, now, found.notes)
    if folder is None:
        found.notes.append("there was no project: every query counts as new")
        return found
    found.has_folder = True
    root = target / folder
    repository.export(commit, [_joined(folder, "pyproject.toml")], target)
    root.mkdir(parents=True, exist_ok=True)
    project = _settings(root, now, found.notes)
    if project is None:
        return found
    paths: list[str] = []
    exported = {
        key: _exported(value, key, project, repository, target, paths, found.notes)
        for key in ("sql", "migrations", "schema", "schema_file", "plans", "seed")
        if (value := getattr(project, key))
    }
    project = replace(project, **cast("dict[str, Any]", exported))
    # A command may read any file of the project.
    paths += [folder] if project.schema_command else []
    left_out = repository.export(commit, paths if all(paths) else [""], target)
    found.notes += [f"{path} is a link that leads to no file: it is left out" for path in left_out]
    # The modules of its own types are not among the files, and their columns may be gone by now.
    found.project = replace(project, types={})
    return found


def _folder(repository: Repository, commit: str, now: Project, notes: list[str]) -> str | None:
    """Return the folder of the project below the top; ``None`` if the commit has none."""
    root = now.root.resolve()
    own = root.relative_to(repository.top).as_posix() if root.is_relative_to(repository.top) else "."
    own = "" if own == "." else own
    if repository.paths(commit, _joined(own, "pyproject.toml")):
        return own
    others = [
        path.removesuffix("pyproject.toml").rstrip("/")
        for path in repository.paths(commit, "")
        if path.rpartition("/")[2] == "pyproject.toml" and _is_project(repository.read(commit, path))
    ]
    if len(others) == 1:
        notes.append(f"the project was in the folder {others[0] or 'at the top'}")
        return others[0]
    return own if repository.paths(commit, _joined(own, now.sql)) else None


def _is_project(content: bytes | None) -> bool:
    try:
        return "plainsql" in tomllib.loads((content or b"").decode()).get("tool", {})
    except (ValueError, AttributeError, TypeError):
        return False


def _settings(root: Path, now: Project, notes: list[str]) -> Project | None:
    """Return the settings at the commit; ``None`` if they lack the database of ``now``.

    Those of ``now`` replace settings that cannot be read.
    """
    if not (root / "pyproject.toml").is_file():
        return replace(now, root=root)
    try:
        with use_database(None):
            everything = Project.load_all(root)
            kept = {each.name for each in Project.load_all(now.root)} if now.name else {""}
    except SettingsError as error:
        notes.append(f"its settings cannot be read, and those of now are used: {error.message}")
        return replace(now, root=root)
    named = [each for each in everything if each.name == now.name]
    if not named and len(everything) == 1 and everything[0].name not in kept:
        named = everything  # it was renamed
    if not named:
        notes.append(f"there was no database {now.name!r}: every query counts as new")
        return None
    return named[0]


def _exported(
    value: str,
    key: str,
    project: Project,
    repository: Repository,
    target: Path,
    paths: list[str],
    notes: list[str],
) -> str:
    """Add the path that a setting names to those to export, and return the setting for the exported file."""
    root = repository.top / project.root.relative_to(target)
    path = Path(os.path.normpath(root / value))
    if not path.is_relative_to(repository.top):
        notes.append(f"{key} = {value!r} is outside of the repository: it is read as it is now")
        return str(path)
    below = path.relative_to(repository.top).as_posix()
    paths.append("" if below == "." else below)
    return os.path.relpath(target / below, project.root)


def check_at_commit(
    project: Project,
    now: Project,
    scratch: str | None,
    notes: list[str],
    *,
    large: Mapping[str, float] = NO_LARGE_TABLES,
) -> ProjectCheck:
    """Return the check of a project at a commit.

    It uses the server, the cache of analyses and, if the schema is the same, the scratch database of the
    project ``now``. If the schema cannot be made, nothing is analysed, and ``notes`` gets the reason.
    ``large`` has the rows of the tables of which production has many.
    """
    try:
        source, schema = schema_source(project), schema_source(now)
        if type(source) is not type(schema) or source.digest() != schema.digest():
            schema = SchemaAtCommit(source, b"since\0" + schema.identity)
        return check_project(project, scratch, schema=schema, home=now, large=large)
    except (ConnectError, ContractError, EmbeddedServerError):
        raise  # of the server, which now has as well
    except PlainsqlError as error:
        notes.append(f"it cannot be checked, and only texts are compared: {error.message}")
    try:
        catalog, _ = statements.load_sound(project.sql_folder)
    except SqlFileError:
        return NOTHING_CHECKED
    return replace(NOTHING_CHECKED, statements=tuple(catalog.values()))


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
