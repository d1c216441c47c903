"""The cases before and after the migrations that a git ref does not have, on the same seeded data."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from plainsql import migrate, statements
from plainsql.analysis.scratch_database import connect
from plainsql.application import project_search_path
from plainsql.check.git_repository import Repository
from plainsql.check.project_at_commit import SchemaAtCommit, project_at_commit
from plainsql.cli.case_runner import Case, CaseRun, CaseRunner, cases_of, open_runner
from plainsql.cli.chosen_queries import choose_queries
from plainsql.errors import PlainsqlError, SettingsError
from plainsql.result_tests.case_report import CaseReport, refused_case
from plainsql.result_tests.placeholders import placeholder_paths, volatile_paths, with_placeholders
from plainsql.result_tests.result_file import CaseResult, ResultFileError, parse_results
from plainsql.result_tests.result_folder import ResultFolder
from plainsql.schema import schema_source
from plainsql.settings import Project
from plainsql.statements import Statement

__all__ = ["cases_since"]


@dataclass(frozen=True, slots=True)
class _Pair:
    """A case of the work tree, with the query of the ref and its result."""

    statement: Statement
    case: Case
    old: Statement | None
    before: CaseRun | None
    not_run: str = ""
    """The reason why there is no result of the ref."""


def cases_since(
    project: Project, ref: str, words: Sequence[str], tolerance: float
) -> tuple[list[CaseReport], list[str], str]:
    """Compare the results of the ref with those after the new migrations.

    The ref's queries run on its schema and its seed, or on the seed of the work tree if it has none. Return
    the reports, notes, and the end of the summary.

    Raises ``SettingsError`` if there is no repository, no such commit or no project in it, and the errors of
    ``open_runner`` and ``migrate.apply``.
    """
    if not project.owns_schema:
        raise SettingsError(
            f"--since: expected migrations of plainsql, got {project.schema_origin}",
            hint="compare with the committed results: plainsql test",
        )
    repository = Repository.around(project.root)
    commit = repository.commit(ref)
    chosen = choose_queries(list(statements.load(project.sql_folder).values()), words)
    folder = ResultFolder(project.results_folder, project.sql_folder)
    tested = [
        (each, case)
        for each in chosen
        for case in cases_of(each, without_example=folder.file(each.path).exists())
    ]
    with project_at_commit(repository, commit.hash, project) as at:
        release = at.project
        if release is None or not at.has_folder or not release.owns_schema:
            raise SettingsError(
                f"{ref}: this project and its migrations are not in it",
                hint="name a ref that has migrations of this project",
            )
        schema = SchemaAtCommit(schema_source(release), b"since\0" + schema_source(project).identity)
        catalog = statements.load(release.sql_folder)
        with open_runner(project, schema, release if release.seed else project) as runner:
            before = [_before(runner, each, case, catalog.get(each.name), folder) for each, case in tested]
            runner.restore_sequences()
            done = migrate.apply(runner.url, project.migrations_folder).done
            with closing(connect(runner.url)) as connection:
                connection.prepare_threshold = None
                after = CaseRunner(project, runner.url, connection, project_search_path(project) or "")
                reports = [_compare(after, pair, ref, done, tolerance) for pair in before if pair.before]
        notes = [f"note: {ref}: {note}" for note in at.notes]
    notes += [
        f"note: not compared: {each.statement.name}, {each.case.name}: {each.not_run}"
        for each in before
        if each.not_run
    ]
    count = f"{len(done)} new {'migration' if len(done) == 1 else 'migrations'}"
    return reports, notes, f", after {count} since {ref}"


def _before(
    runner: CaseRunner, statement: Statement, case: Case, old: Statement | None, folder: ResultFolder
) -> _Pair:
    """Run a case with the query of the ref."""
    if old is None:
        return _Pair(statement, case, None, None, "the query is new")
    try:
        first, second = runner.run(old, case), runner.run(old, case)
    except PlainsqlError as error:
        return _Pair(statement, case, old, None, f"it does not run before the migrations: {error.message}")
    paths = volatile_paths(first.result, second.result)
    try:
        expected = parse_results(folder.read(folder.file(statement.path)) or "{}")
    except ResultFileError:
        expected = {}
    paths |= placeholder_paths(expected[case.name]) if case.name in expected else set()
    return _Pair(statement, case, old, replace(first, result=with_placeholders(first.result, paths)))


def _compare(
    runner: CaseRunner, pair: _Pair, ref: str, migrations: Sequence[str], tolerance: float
) -> CaseReport:
    assert pair.before is not None
    assert pair.old is not None
    statement, case = pair.statement, pair.case
    name = f"{statement.name}, {case.name}"
    try:
        found = runner.run(statement, case)
    except PlainsqlError as error:
        return refused_case(statement.name, case.name, error, case.place, "after the migrations: ")
    ordered = found.comparison.ordered and pair.before.comparison.ordered
    comparison = replace(found.comparison, tolerance=tolerance, ordered=ordered)
    differences = tuple(comparison.differences(*_common(pair.before.result, found.result)))
    count = f"{len(differences)} {'difference' if len(differences) == 1 else 'differences'}"
    if not differences:
        return CaseReport(query=statement.name, case=case.name, state="same", path=case.place.path)
    changed = statement.body != pair.old.body
    migrated = f"read the new migrations: {', '.join(migrations)}" if migrations else "read the seed"
    shown = os.path.relpath(statement.path)
    cause = f"compare the texts of the query: git diff {ref} -- {shown}" if changed else migrated
    return CaseReport(
        query=statement.name,
        case=case.name,
        state="failed",
        path=case.place.path,
        line=case.place.line,
        column=case.place.column,
        message=f"{name}: {count} from the result at {ref}",
        differences=differences,
        hint=cause,
    )


def _common(before: CaseResult, after: CaseResult) -> tuple[CaseResult, CaseResult]:
    """Return two results with the columns that both have: a new column is no change of the data."""
    rows = [row for row in (*before.rows, *after.rows) if isinstance(row, dict)]
    if not rows or len(rows) != len(before.rows) + len(after.rows):
        return before, after
    common = [name for name in rows[0] if all(name in row for row in rows)]

    def cut(result: CaseResult) -> CaseResult:
        return CaseResult(tuple({name: row[name] for name in common} for row in result.rows), result.count)

    return cut(before), cut(after)
