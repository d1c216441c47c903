"""``plainsql watch``: after each saved file its module is written, and what is wrong is shown."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from plainsql import codegen
from plainsql.check.baseline import Baseline
from plainsql.check.fragment_copies import read_copies, write_copies
from plainsql.check.live_project import LiveProject
from plainsql.check.problems import Problem, refusal
from plainsql.check.project_check import ProjectCheck
from plainsql.cli.exit_codes import FINE
from plainsql.cli.project import has_sql, no_project
from plainsql.errors import PlainsqlError, SettingsError
from plainsql.plans.table_sizes import large_tables
from plainsql.settings import Project

__all__ = ["watch"]

_STEP_MS: Final = 20
"""The quiet after a change: an editor that saves by renaming makes several changes."""
_TICK_MS: Final = 500
"""The time between two looks at the settings, and at a schema that is not a folder."""


def watch(*, scratch: str | None = None) -> int:
    """Write the module of each SQL file that you save, and show its problems.

    It checks and generates everything first. The scratch database and its catalog stay open, so that only
    the changed file is analysed after that. A changed migration builds the scratch database again; changed
    settings are read again. Press Ctrl-C to stop.

    It shows the problems that are new, and those of the changed files; findings of the baseline are left out.

    Exits with 0 when it is stopped, 2 if it could not run.

    Parameters
    ----------
    scratch
        URL of a server to build the scratch databases on; by default the one named for it, else the embedded
        server.
    """
    try:
        import watchfiles
    except ModuleNotFoundError:
        raise SettingsError("plainsql watch needs watchfiles", hint="pip install 'plainsql[watch]'") from None
    projects = _projects()
    try:
        while True:
            with ExitStack() as stack:
                watched = [stack.enter_context(_Watched(project, scratch)) for project in projects]
                for each in watched:
                    each.check()
                settings = _settings_text(projects[0])
                folders = sorted({folder for each in watched for folder in each.folders()})
                _say(f"watching {', '.join(os.path.relpath(folder) for folder in folders)}: Ctrl-C stops")
                is_first = True
                for changes in watchfiles.watch(
                    *folders,
                    watch_filter=lambda _, path: _is_source(path),
                    step=_STEP_MS,
                    rust_timeout=_TICK_MS,
                    yield_on_timeout=True,
                ):
                    paths = {Path(path) for _, path in changes}
                    for each in watched:
                        # The first time in any case: a file may have been saved before they were watched.
                        each.check(paths) if is_first else each.changed(paths)
                    is_first = False
                    if _settings_text(projects[0]) != settings:
                        break
                    if sorted({folder for each in watched for folder in each.folders()}) != folders:
                        break  # a folder was made or removed: the new one is watched
            projects = _projects_again(projects)
    except KeyboardInterrupt:
        _say("stopped")
    return FINE


def _projects() -> list[Project]:
    projects = Project.load_selected()
    for project in projects:
        if not has_sql(project):
            raise no_project(project)
    return projects


def _projects_again(projects: list[Project]) -> list[Project]:
    """Return the projects of the changed settings; those of before, if the settings are wrong."""
    try:
        return _projects()
    except SettingsError as error:
        _say(f"{error}\n")
        return projects


class _Watched:
    """One database of the project that is watched."""

    def __init__(self, project: Project, scratch: str | None) -> None:
        self._project = project
        self._live = LiveProject(project, scratch, large=large_tables)
        self._baseline = _baseline(project)
        self._shown: set[Problem] = set()
        self._written: dict[Path, str] = {}
        self._schema = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._live.close()

    def folders(self) -> Iterator[Path]:
        """Yield the folders with the project's SQL, its schema and its modules, if they exist."""
        project = self._project
        for folder in (project.sql_folder, project.schema_path, project.output_folder):
            # The schema may be a file, whose folder may be the whole project: its content is compared.
            if folder.is_dir() and folder.resolve() != project.root.resolve():
                yield folder

    def changed(self, paths: set[Path]) -> None:
        """Check again, if a file was changed by another process, or the schema."""
        if paths - self._own(paths) or self._live.schema_digest() != self._schema:
            self.check(paths)

    def check(self, paths: set[Path] | None = None) -> None:
        """Check, show what is wrong, and write the modules; ``paths`` are the changed files, None for all."""
        began = time.perf_counter()
        try:
            self._schema = self._live.schema_digest()
            folder = self._project.sql_folder
            for path in write_copies(folder, read_copies(folder).texts):
                _say(f"wrote {path}")
            found = self._live.check()
            problems = self._baseline.new([*found.errors, *found.findings]) if self._baseline else None
            problems = [*found.errors, *found.findings] if problems is None else problems
            gone = len(self._shown - set(problems))
            own = None if paths is None else {path.resolve() for path in paths}
            for problem in problems:
                if own is None or problem not in self._shown or Path(problem.path).resolve() in own:
                    _say(f"{problem}\n")
            self._shown = set(problems)
            changes = self._write(found)
        except PlainsqlError as error:
            _say(f"{error}\n")
            return
        summary = _counted(len(problems), "problem", "problems") if problems else "clean"
        fixed = f", {gone} fixed" if gone else ""
        queries = _counted(len(found.statements), "query", "queries")
        took = time.perf_counter() - began
        name = f"[{self._project.name}] " if self._project.databases else ""
        if paths is None or problems or gone or changes:
            _say(f"{name}{summary}{fixed}: {queries}, {took:.2f} s")

    def _write(self, found: ProjectCheck) -> bool:
        """Write the modules of the queries without an error; return True if one changed."""
        project, files = self._project, found.files
        if found.errors:
            sound = found.sound_modules(project)
            if sound is None:
                return False
            known = set(map(str, found.errors))
            for error in map(refusal, sound.errors):
                if str(error) not in known:
                    _say(f"{error}\n")
            files = sound.files
        changes = codegen.write(files, project.output_folder, root=project.root)
        for what, paths in (
            ("wrote", (*changes.missing, *changes.outdated)),
            ("removed", changes.stale),
        ):
            for path in paths:
                _say(f"{what} {project.output}/{path}")
        self._written = {(project.output_folder / path).resolve(): text for path, text in files.items()}
        return bool(changes)

    def _own(self, paths: set[Path]) -> set[Path]:
        """Return the paths of modules that are as this process has written them."""
        return {path for path in paths if _text(path) == self._written.get(path.resolve(), "")}


def _baseline(project: Project) -> Baseline | None:
    if not project.baseline:
        return None
    baseline = Baseline(project.root / project.baseline, project)
    baseline.read()
    return baseline


def _is_source(path: str) -> bool:
    """Report whether a changed path may be SQL, a module, or a folder of these."""
    file = Path(path)
    if file.name.startswith(".") or "__pycache__" in file.parts:
        return False
    return file.suffix in ("", ".sql", ".py")


def _settings_text(project: Project) -> str | None:
    return _text(project.root / "pyproject.toml")


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _say(text: str) -> None:
    print(text)
    sys.stdout.flush()  # a pipe gets it as it happens
