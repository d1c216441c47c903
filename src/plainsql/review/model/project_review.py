"""The review of a project: its check, its schema, its history and its Python, as sheets."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec.structs import replace

from plainsql.analysis.scratch_database import scratch_database
from plainsql.check.allowed import AllowedFindings
from plainsql.check.problems import Problem, findings_of
from plainsql.check.project_check import ProjectCheck, check_project
from plainsql.migrate.discovery import read_folder
from plainsql.review.model.callers import find_callers, python_files
from plainsql.review.model.file_history import read_history
from plainsql.review.model.migration_sheets import migration_sheets
from plainsql.review.model.query_sheets import query_sheets
from plainsql.review.model.sheets import AllowanceNote, MigrationSheet, Note, QuerySheet, Review, TableSheet
from plainsql.review.model.table_definitions import table_definitions
from plainsql.review.model.table_usage import with_users
from plainsql.schema import schema_source
from plainsql.settings import Project

__all__ = ["read_review"]


def read_review(
    project: Project, scratch: str | None = None, *, no_cache: bool = False, version: str = ""
) -> Review:
    """Return the content of the review.

    Args:
        project: the settings of the project.
        scratch: a database of the server to build the scratch database on; by default as ``check_project``.
        no_cache: build the scratch database even if it exists, and analyse everything.
        version: the version of plainsql, which the pages name.

    Files that cannot be loaded and queries that are refused are among the notes.

    Raises what ``check_project`` raises.
    """
    check = check_project(project, scratch, no_cache=no_cache)
    tables = _tables(project, scratch) if check.analysed else ()
    by_name = {table.name: table for table in tables}
    queries = query_sheets(check.statements, check.inspection.checked, by_name)
    migrations: tuple[MigrationSheet, ...] = ()
    if project.owns_schema and project.migrations_folder.is_dir():
        migrations = migration_sheets(read_folder(project.migrations_folder), queries, by_name)
    notes = tuple(
        sorted(
            (_note(problem, project, is_error=error) for problem, error in _problems(check)),
            key=lambda note: (not note.is_error, note.path, note.line, note.name),
        )
    )
    return _with_history(
        Review(
            project.application or project.root.name,
            version,
            tuple(_with_notes(_below_root(queries, project), notes, _allowed(project, check))),
            with_users(tables, queries, migrations),
            tuple(
                replace(
                    each,
                    path=_shown(each.path, project),
                    rollback_path=_shown(each.rollback_path, project) if each.rollback_path else "",
                    notes=tuple(n for n in notes if n.path == _shown(each.path, project)),
                )
                for each in migrations
            ),
            notes,
            schema_origin=project.schema_origin,
        ),
        project,
    )


def _tables(project: Project, scratch: str | None) -> tuple[TableSheet, ...]:
    with scratch_database(schema_source(project), scratch, project=project) as connection:
        return table_definitions(connection)


def _problems(check: ProjectCheck) -> Iterator[tuple[Problem, bool]]:
    for error in check.errors:
        yield error, True
    for finding in check.findings:
        yield finding, False


def _note(problem: Problem, project: Project, *, is_error: bool) -> Note:
    return Note(
        problem.name,
        _shown(problem.path, project),
        problem.line,
        problem.message,
        problem.detail,
        problem.hint,
        is_error,
    )


def _shown(path: str, project: Project) -> str:
    """Return a path relative to the project, so that the pages are the same from any working folder."""
    whole = os.path.normpath(Path.cwd() / path)
    return Path(os.path.relpath(whole, project.root)).as_posix() if path else ""


def _below_root(queries: Iterable[QuerySheet], project: Project) -> Iterator[QuerySheet]:
    for query in queries:
        path = _shown(query.path, project)
        yield replace(
            query, path=path, allowances=tuple(replace(each, path=path) for each in query.allowances)
        )


def _allowed(project: Project, check: ProjectCheck) -> dict[str, list[AllowanceNote]]:
    """Return the findings that the settings allow, by the path of the query."""
    if not project.allow:
        return {}
    settings = AllowedFindings(project)
    caches = any(statement.cache is not None for statement in check.statements)
    found: dict[str, list[AllowanceNote]] = defaultdict(list)
    for item in check.inspection.checked:
        for problem in findings_of(item, caches=caches):
            reason = settings.reason_for(problem.name, problem.path)
            if reason is not None:
                note = AllowanceNote(problem.name, reason, "pyproject.toml", 0)
                found[_shown(problem.path, project)].append(note)
    return found


def _with_notes(
    queries: Iterable[QuerySheet], notes: Iterable[Note], allowed: dict[str, list[AllowanceNote]]
) -> Iterator[QuerySheet]:
    by_path: dict[str, list[Note]] = defaultdict(list)
    for note in notes:
        by_path[note.path].append(note)
    for query in queries:
        own = (*query.allowances, *dict.fromkeys(allowed.get(query.path, ())))
        yield replace(query, notes=tuple(by_path[query.path]), allowances=own)


def _with_history(review: Review, project: Project) -> Review:
    """Add the last change of each file, and the callers of each query."""
    paths = [*(query.path for query in review.queries), *(each.path for each in review.migrations)]
    history = read_history(project.root, paths)
    python = history.python if history.python is not None else python_files(project.root)
    names = [query.name for query in review.queries]
    callers = find_callers(project.root, python, project.import_name, names)
    return replace(
        review,
        queries=tuple(
            replace(query, callers=callers.get(query.name, ()), change=history.change(query.path))
            for query in review.queries
        ),
        migrations=tuple(replace(each, change=history.change(each.path)) for each in review.migrations),
        remarks=(*review.remarks, *([history.remark] if history.remark else ())),
        has_history=bool(history.changes),
    )
