"""The review of a project: its check, its schema, its history and its Python, as sheets."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from plainsql.analysis.scratch_database import scratch_database
from plainsql.check.allowed import AllowedFindings
from plainsql.check.cache_map import times_of
from plainsql.check.migration_traces import trace_migrations
from plainsql.check.problems import Problem, findings_of
from plainsql.check.project_check import ProjectCheck, check_project
from plainsql.check.release.release_check import ReleaseBreak, check_release
from plainsql.codegen.json_types import JsonTypes
from plainsql.errors import ConnectError, EmbeddedServerError, PlainsqlError
from plainsql.migrate.discovery import Folder, read_folder
from plainsql.migrate.trace.model import MigrationTrace
from plainsql.plans.statistics.production_statistics import ProductionStatistics
from plainsql.plans.table_sizes import large_tables, table_sizes
from plainsql.review.changes.changes_since import changes_since
from plainsql.review.model.callers import find_callers, python_files
from plainsql.review.model.file_history import read_history
from plainsql.review.model.migration_sheets import migration_sheets
from plainsql.review.model.plan_sheets import query_plan_sheet
from plainsql.review.model.planned_queries import PlannedQueries, indexes_used, plan_queries
from plainsql.review.model.production_sizes import read_project_statistics, with_sizes
from plainsql.review.model.query_sheets import query_sheets
from plainsql.review.model.rollback_proofs import rollback_proofs, unknown_proofs
from plainsql.review.model.sheets import (
    AllowanceNote,
    MigrationSheet,
    Note,
    QuerySheet,
    Review,
    RollbackProof,
    TableSheet,
)
from plainsql.review.model.table_definitions import table_definitions
from plainsql.review.model.table_usage import with_users
from plainsql.schema import schema_source
from plainsql.settings import Project

__all__ = ["read_review"]


def read_review(
    project: Project,
    scratch: str | None = None,
    *,
    no_cache: bool = False,
    plans: bool = True,
    since: str | None = None,
    version: str = "",
) -> Review:
    """Return the content of the review.

    Args:
        project: the settings of the project.
        scratch: a database of the server to build the scratch database on; by default as ``check_project``.
        no_cache: build the scratch database even if it exists, and analyse everything.
        plans: plan the queries on a copy of production's size.
        since: the git ref with which the project is compared.
        version: the version of plainsql, which the pages name.

    Files that cannot be loaded and queries that are refused are among the notes.

    Raises what ``check_project`` raises, and what ``changes_since`` does.
    """
    check = check_project(project, scratch, no_cache=no_cache, large=large_tables(project))
    remarks: list[str] = []
    tables: tuple[TableSheet, ...] = ()
    planned: PlannedQueries | None = None
    statistics: ProductionStatistics | None = None
    if check.analysed:
        with scratch_database(schema_source(project), scratch, project=project) as connection:
            tables = table_definitions(connection)
            if plans:
                planned = _planned(project, check, connection, remarks, no_cache=no_cache)
    by_name = {table.name: table for table in tables}
    queries = query_sheets(check.statements, check.inspection.checked, by_name, times_of(project))
    if planned is not None:
        queries = [
            replace(query, plans=query_plan_sheet(planned.queries[query.name]))
            if query.name in planned.queries
            else query
            for query in queries
        ]
        statistics = read_project_statistics(project)
        tables = with_sizes(tables, statistics)
    migrations: tuple[MigrationSheet, ...] = ()
    traces: dict[str, MigrationTrace] = {}
    breaks: dict[str, list[ReleaseBreak]] = {}
    if project.owns_schema and project.migrations_folder.is_dir():
        folder = read_folder(project.migrations_folder)
        proofs = _proofs(project, folder, scratch, remarks, no_cache=no_cache)
        migrations = migration_sheets(folder, queries, by_name, proofs)
        traces = _traces(project, scratch, statistics, remarks)
        breaks = _breaks(project, since, scratch, remarks)
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
            with_users(tables, queries, migrations, _indexes(planned)),
            tuple(
                replace(
                    each,
                    path=_shown(each.path, project),
                    rollback_path=_shown(each.rollback_path, project) if each.rollback_path else "",
                    notes=tuple(n for n in notes if n.path == _shown(each.path, project)),
                    trace=_below_root_of(traces.get(each.name), project),
                    breaks=tuple(breaks.get(each.name, ())),
                )
                for each in migrations
            ),
            notes,
            schema_origin=project.schema_origin,
            has_plans=planned is not None,
            plan_notes=planned.notes if planned is not None else (),
            has_sizes=any(table.rows is not None for table in tables),
            statistics_day=f"{statistics.production.taken:%Y-%m-%d}" if statistics is not None else "",
            remarks=tuple(remarks),
            changes=changes_since(project, since, scratch, checked=check) if since is not None else None,
        ),
        project,
    )


def _traces(
    project: Project, scratch: str | None, statistics: ProductionStatistics | None, remarks: list[str]
) -> dict[str, MigrationTrace]:
    """Return the traces of the migrations by name; none with a remark if one of them fails."""
    sizes = None if statistics is None else table_sizes(statistics)
    try:
        found = trace_migrations(project, scratch=scratch, sizes=sizes)
    except PlainsqlError as error:
        remarks.append(f"the migrations are not traced: {error.message}")
        return {}
    return {trace.name: trace for trace in found}


def _breaks(
    project: Project, since: str | None, scratch: str | None, remarks: list[str]
) -> dict[str, list[ReleaseBreak]]:
    """Return the queries of a ref that each migration breaks; none with a remark if they cannot run."""
    found: dict[str, list[ReleaseBreak]] = defaultdict(list)
    if since is None:
        return found
    try:
        release = check_release(project, since, scratch)
    except PlainsqlError as error:
        remarks.append(f"the queries of {since} are not checked against the new migrations: {error.message}")
        return found
    for each in (*release.breaks, *release.allowed):
        found[each.migration].append(each)
    return found


def _proofs(
    project: Project, folder: Folder, scratch: str | None, remarks: list[str], *, no_cache: bool
) -> dict[str, RollbackProof]:
    """Return the proofs of the rollbacks by migration; unknown ones with a remark if they cannot run."""
    try:
        return rollback_proofs(project, folder, scratch, no_cache=no_cache)
    except PlainsqlError as error:
        remarks.append(f"the rollbacks are not verified: {error.message}")
        return unknown_proofs(folder, error.message)


def _planned(
    project: Project,
    check: ProjectCheck,
    connection: Any,
    remarks: list[str],
    *,
    no_cache: bool,
) -> PlannedQueries | None:
    """Return the plans of the queries; ``None`` with a remark if no copy of production can be made."""
    try:
        return plan_queries(project, check.inspection.checked, connection, no_cache=no_cache)
    except (ConnectError, EmbeddedServerError) as error:
        remarks.append(f"no plans: {error.message}")
        return None


def _indexes(planned: PlannedQueries | None) -> dict[str, frozenset[str]] | None:
    if planned is None:
        return None
    return {name: indexes_used(explained) for name, explained in planned.queries.items()}


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


def _below_root_of(trace: MigrationTrace | None, project: Project) -> MigrationTrace | None:
    if trace is None:
        return None
    path = _shown(trace.path, project)
    return replace(
        trace,
        path=path,
        statements=tuple(replace(each, path=path) for each in trace.statements),
        hazards=tuple(replace(each, path=path) for each in trace.hazards),
    )


def _allowed(project: Project, check: ProjectCheck) -> dict[str, list[AllowanceNote]]:
    """Return the findings that the settings allow, by the path of the query."""
    if not project.allow:
        return {}
    settings = AllowedFindings(project)
    caches = any(statement.cache is not None for statement in check.statements)
    found: dict[str, list[AllowanceNote]] = defaultdict(list)
    json_types = JsonTypes(project.import_name, project.output_folder)
    large = large_tables(project)
    for item in check.inspection.checked:
        for problem in findings_of(item, caches=caches, json_types=json_types, large=large):
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
