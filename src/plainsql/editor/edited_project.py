"""A project whose files are open in an editor: its last check, its schema and the texts that are unsaved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from pathlib import Path

from plainsql.check.live_project import LiveProject
from plainsql.check.problems import Problem
from plainsql.check.project_check import ProjectCheck
from plainsql.check.quick_fixes import with_fixes
from plainsql.codegen import Checked
from plainsql.editor.destinations import query_name
from plainsql.editor.schema_names import SchemaNames
from plainsql.errors import PlainsqlError, SettingsError, SqlFileError
from plainsql.plans.table_sizes import large_tables
from plainsql.review.model.table_definitions import table_definitions
from plainsql.settings import Project, use_database
from plainsql.statements.discovery import read_text

__all__ = ["EditedProject", "projects_around"]


def projects_around(file: Path, scratch: str | None = None) -> list[EditedProject]:
    """Return the databases of the project around a file or a folder; none without a folder of SQL.

    Raises ``SettingsError`` if the settings cannot be read.
    """
    found = Project.load_all(file if file.is_dir() else file.parent)
    return [EditedProject(project, scratch) for project in found if project.sql_folder.is_dir()]


class EditedProject:
    """One database of a project. One thread checks; any thread reads the results of the last check."""

    def __init__(self, project: Project, scratch: str | None = None) -> None:
        self.project = project
        self.names = SchemaNames()
        self.checked: dict[str, Checked] = {}
        """The facts of each statement, by its name, of the last text that PostgreSQL accepted."""
        self.modules: tuple[str, ...] = ()
        """The sources of the generated modules."""
        self.files: dict[str, Path] = {}
        """The SQL file of each query."""
        self.without_place: tuple[Problem, ...] = ()
        """The problems of the last check that are about no file, such as a server that cannot be reached."""
        self._live = LiveProject(project, scratch, large=large_tables)
        self._names_of: object = None
        self._settings = self._settings_text()

    def owns(self, file: Path) -> bool:
        """Report whether a file is a query or a migration of the project."""
        return any(
            file.is_relative_to(folder.resolve())
            for folder in (self.project.sql_folder, self.project.schema_path)
        )

    @property
    def is_outdated(self) -> bool:
        """Report whether the settings have changed since they were read."""
        return self._settings_text() != self._settings

    def check(self, texts: Mapping[Path, str], file: Path | None = None) -> dict[Path, list[Problem]]:
        """Return the problems by file, each with its edit; the files without one have an empty list.

        ``texts`` are the unsaved texts by their paths. With a ``file``, only the files of its folder are
        checked.
        """
        module = query_name(file, self.project).rpartition(".")[0] if file is not None else None
        with self._in_place():
            try:
                found = self._live.check(texts, module=module)
            except SettingsError as error:
                place = error.place
                path, line = (place.path, place.line) if place else ("", 0)
                problem = Problem("settings", path, line, 0, error.message, error.detail, error.hint)
                self.without_place = () if path else (problem,)
                return {Path(path).resolve(): [problem]} if path else {}
            self._remember(found, everything=module is None)
            problems = [*found.errors, *found.findings]
            self.without_place = tuple(problem for problem in problems if not problem.path)
            fixed = with_fixes(
                [problem for problem in problems if problem.path], lambda path: _text(Path(path), texts)
            )
            checked = {Path(statement.path).resolve() for statement in found.statements}
            by_file: dict[Path, list[Problem]] = {path: [] for path in checked}
            for problem in fixed:
                by_file.setdefault(Path(problem.path).resolve(), []).append(problem)
        if file is not None:
            by_file.setdefault(file, [])
            # The errors of files that cannot be read are known for all folders.
            return {path: each for path, each in by_file.items() if path.parent == file.parent}
        return by_file

    def close(self) -> None:
        """Leave the scratch database."""
        with self._in_place():
            self._live.close()

    def _remember(self, found: ProjectCheck, *, everything: bool) -> None:
        for checked in found.inspection.checked:
            self.checked[checked.statement.name] = checked
        if not everything:
            return
        known = {statement.name for statement in found.statements}
        self.files = {each.name: Path(each.path).resolve() for each in found.statements}
        if found.analysed:
            self.checked = {name: each for name, each in self.checked.items() if name in known}
            if not found.errors or not self.modules:  # with errors, queries are missing in them
                self.modules = tuple(found.files.values())
        connection = self._live.connection
        if connection is not None and connection is not self._names_of:
            (path,) = connection.execute("select current_schemas(false)::text[]").fetchone()
            self.names = SchemaNames(table_definitions(connection), path)
            self._names_of = connection

    @contextmanager
    def _in_place(self) -> Iterator[None]:
        # The embedded server is that of the working folder, and paths are relative to it.
        with chdir(self.project.root), use_database(self.project.name or None):
            yield

    def _settings_text(self) -> bytes:
        try:
            return (self.project.root / "pyproject.toml").read_bytes()
        except OSError:
            return b""


def _text(path: Path, texts: Mapping[Path, str]) -> str | None:
    unsaved = texts.get(path.resolve())
    if unsaved is not None:
        return unsaved
    try:
        return read_text(path) if path.suffix == ".sql" else None
    except (SqlFileError, PlainsqlError):
        return None
