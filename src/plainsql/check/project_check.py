"""A whole project, reviewed: its SQL folder against its scratch database, and the modules that this makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from plainsql import codegen, statements
from plainsql.analysis.catalog.definitions import Definitions
from plainsql.analysis.scratch_database import scratch_database
from plainsql.check.analysed_statements import AnalysedStatements, analyse_statements
from plainsql.check.analysis_cache import AnalysisCache
from plainsql.check.generated_modules import generate_modules
from plainsql.check.problems import (
    WRONG_WHEN_CACHED,
    Problem,
    findings_of,
    problems_of_files,
    refusal,
)
from plainsql.check.schema_findings import schema_problems
from plainsql.check.statement_errors import fault_error
from plainsql.codegen.source_places import statement_place
from plainsql.errors import PlainsqlError, SqlFileError
from plainsql.settings import Project
from plainsql.statements import Statement

__all__ = ["Review", "review"]


@dataclass(frozen=True, slots=True)
class Review:
    """What a project's SQL is, and what is wrong with it."""

    statements: tuple[Statement, ...]
    inspection: AnalysedStatements
    errors: tuple[Problem, ...]
    """In the order of files and places: what keeps code from being generated."""
    findings: tuple[Problem, ...]
    """In the same order: what a reviewer would object to."""
    files: dict[Path, str]
    """The generated files, relative to the output folder; of no use where there are errors."""
    modules: int

    def outdated(self, project: Project) -> list[Problem]:
        """Say which generated files are not what the SQL makes."""
        changes = codegen.compare(self.files, project.output_folder)
        return [
            Problem("outdated", f"{project.output}/{path}", 0, 0, message, None, "run `plainsql generate`")
            for paths, message in (
                (changes.missing, "this module is missing"),
                (changes.outdated, "this module is not what the SQL makes"),
                (changes.stale, "this module was made from SQL that is gone"),
            )
            for path in paths
        ]


def review(
    project: Project, database: str | None = None, *, only: Sequence[Path] = (), anew: bool = False
) -> Review:
    """Review a project.

    Args:
        project: where its files are.
        database: a database of the server to build the scratch database on.
        only: SQL files to look at; all by default.
        anew: build the scratch database even where it is there, and analyse everything.

    Raises what ``scratch_database`` raises. Files that cannot be loaded are among the errors of the review.
    """
    try:
        catalog, unsound = statements.load_sound(project.sql_folder)
    except SqlFileError as error:
        return Review((), AnalysedStatements((), ()), tuple(problems_of_files(error)), (), {}, 0)
    wanted = {file.resolve() for file in only}
    chosen = tuple(s for s in catalog.values() if not wanted or Path(s.path).resolve() in wanted)
    errors = [problem for error in unsound for problem in problems_of_files(error)]
    try:
        inspection, of_schema = _inspect(
            project, database, chosen, anew=anew, keep_others=bool(wanted or unsound), schema=not wanted
        )
    except PlainsqlError:
        if not errors:
            raise
        # First things first: there is no database to ask, but these files are wrong without one.
        return Review((), AnalysedStatements((), ()), tuple(errors), (), {}, 0)
    errors += [refusal(error) for error in inspection.errors]
    made = generate_modules(inspection.checked, project, verify=not errors)
    errors += [refusal(error) for error in made.errors]
    caches = any(statement.cache is not None for statement in catalog.values())
    found: list[Problem] = [*of_schema]
    for checked in inspection.checked:
        try:
            found += findings_of(checked, caches=caches)
        except Exception as error:  # noqa: BLE001 (a fault of ours: the other files are checked all the same)
            errors.append(refusal(fault_error(error, statement_place(checked.statement))))
    # A result that is not what the next caller should get is no matter of taste: no code caches it. What is
    # refused already is not refused again.
    refused = {problem.path for problem in errors}
    errors += [
        problem for problem in found if problem.name in WRONG_WHEN_CACHED and problem.path not in refused
    ]
    findings = [problem for problem in found if problem.name not in WRONG_WHEN_CACHED]
    return Review(
        chosen,
        inspection,
        tuple(sorted(errors, key=lambda problem: problem.order)),
        tuple(sorted(findings, key=lambda problem: problem.order)),
        made.files,
        made.modules,
    )


def _inspect(
    project: Project,
    database: str | None,
    chosen: tuple[Statement, ...],
    *,
    anew: bool,
    keep_others: bool,
    schema: bool,
) -> tuple[AnalysedStatements, list[Problem]]:
    with scratch_database(project.migrations_folder, database, anew=anew) as connection:
        memory = AnalysisCache(
            project.root / ".plainsql" / "review.msgpack",
            definitions=Definitions(connection),
            anew=anew,
        )
        inspection = analyse_statements(connection, chosen, memory)
        of_schema = schema_problems(connection, project.migrations_folder) if schema else []
    # What is remembered of a file that cannot be read now is for when it can.
    memory.save(keep_others=keep_others)
    return inspection, of_schema
