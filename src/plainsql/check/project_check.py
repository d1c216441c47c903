"""The check of a whole project: its SQL folder against its scratch database, and its generated modules."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from plainsql import codegen, statements
from plainsql.analysis.assumptions import Assumptions
from plainsql.analysis.catalog.definitions import Definitions
from plainsql.analysis.scratch_database import scratch_database
from plainsql.check.allowed import AllowedFindings
from plainsql.check.analysed_statements import AnalysedStatements, analyse_statements
from plainsql.check.analysis_cache import AnalysisCache
from plainsql.check.assumed_columns import unneeded_columns
from plainsql.check.cached_names import cached_name_problems
from plainsql.check.declared_types import own_types_of
from plainsql.check.digest_columns import digest_columns, encrypted_columns, wrong_searches
from plainsql.check.fragment_copies import read_copies
from plainsql.check.generated_modules import (
    GeneratedModules,
    SoundModules,
    generate_modules,
    generate_sound_modules,
)
from plainsql.check.problems import (
    NO_LARGE_TABLES,
    WRONG_WHEN_CACHED,
    Problem,
    findings_of,
    problems_of_files,
    refusal,
)
from plainsql.check.schema_findings import schema_problems
from plainsql.check.statement_errors import fault_error
from plainsql.codegen import Checked
from plainsql.codegen.json_types import JsonTypes
from plainsql.codegen.own_types import OwnTypes
from plainsql.codegen.source_places import statement_place
from plainsql.errors import PlainsqlError, SqlFileError
from plainsql.schema import SchemaSource, schema_source
from plainsql.settings import Project
from plainsql.statements import Statement

__all__ = ["Generate", "ProjectCheck", "check_project", "judge", "truncated_tables"]


class Generate(Protocol):
    """A function that makes the modules of statements, as ``generate_modules`` does."""

    def __call__(
        self, checked: Sequence[Checked], project: Project, /, *, verify: bool, own_types: OwnTypes
    ) -> GeneratedModules: ...


@dataclass(frozen=True, slots=True)
class ProjectCheck:
    """The result of a check of a project."""

    statements: tuple[Statement, ...]
    inspection: AnalysedStatements
    errors: tuple[Problem, ...]
    """The problems that prevent code from being generated, in the order of files and places."""
    findings: tuple[Problem, ...]
    """The findings, in the same order."""
    files: dict[Path, str]
    """The generated files, relative to the output folder; not usable if there are errors."""
    modules: int
    analysed: bool = True
    """False if the errors left nothing to analyse, or no database to do it on: no findings are known."""
    notes: tuple[str, ...] = ()
    """Remarks that are no problems: fragments that no file uses."""

    def sound_modules(self, project: Project) -> SoundModules | None:
        """Return the modules of the statements without an error; ``None`` if none can be made."""
        if not self.analysed:
            return None
        return generate_sound_modules(
            self.inspection.checked,
            project,
            {problem.path for problem in self.errors},
            self.inspection.own_types,
        )

    def outdated(self, project: Project) -> list[Problem]:
        """Return a problem for each generated file that differs from what the SQL makes."""
        changes = codegen.compare(self.files, project.output_folder)
        output = Path(os.path.relpath(project.output_folder))
        return [
            Problem("outdated", str(output / path), 0, 0, message, None, "run `plainsql generate`")
            for paths, message in (
                (changes.missing, "this module is missing"),
                (changes.outdated, "this module is not what the SQL makes"),
                (changes.stale, "this module was made from SQL that is gone"),
            )
            for path in paths
        ]


def check_project(
    project: Project,
    scratch: str | None = None,
    *,
    only: Sequence[Path] = (),
    no_cache: bool = False,
    lint: bool = False,
    schema: SchemaSource | None = None,
    home: Project | None = None,
    large: Mapping[str, float] = NO_LARGE_TABLES,
) -> ProjectCheck:
    """Check a project.

    Args:
        project: the settings of the project.
        scratch: a database of the server to build the scratch database on; by default the server that the
            settings name for it, else the embedded server.
        only: the SQL files to check; all by default.
        no_cache: build the scratch database even if it exists, and analyse everything.
        lint: also lint the schema, if all files are checked.
        schema: the source of the schema; by default that of the settings.
        home: the project whose scratch database and cached analyses are used, if this one is a copy of it.
        large: the rows of the tables of which production has many, by ``schema.table``.

    Files that cannot be loaded are among the errors of the result.

    Raises what ``scratch_database`` raises, and ``SettingsError`` if ``allow`` has a value of another kind.
    """
    allowed = AllowedFindings(project)
    try:
        catalog, unsound = statements.load_sound(project.sql_folder)
    except SqlFileError as error:
        return ProjectCheck((), AnalysedStatements((), ()), tuple(problems_of_files(error)), (), {}, 0, False)
    wanted = {file.resolve() for file in only}
    chosen = tuple(s for s in catalog.values() if not wanted or Path(s.path).resolve() in wanted)
    errors = [problem for error in unsound for problem in problems_of_files(error)]
    copies = read_copies(project.sql_folder)
    errors += cached_name_problems(project, catalog, complete=not unsound)
    errors += [
        problem for problem in copies.problems() if not wanted or Path(problem.path).resolve() in wanted
    ]
    try:
        inspection, of_schema = _analyse(
            project,
            scratch,
            chosen,
            no_cache=no_cache,
            keep_others=bool(wanted or unsound or home),
            of_schema=not wanted,
            lint=lint,
            source=schema or schema_source(project),
            home=home or project,
            large=large,
        )
    except PlainsqlError:
        if not errors:
            raise
        # There is no database to use, but these files are wrong without one: they are reported first.
        return ProjectCheck((), AnalysedStatements((), ()), tuple(errors), (), {}, 0, False)
    found = judge(
        project,
        allowed,
        chosen,
        errors,
        inspection,
        of_schema,
        caches=any(statement.cache is not None for statement in catalog.values()),
        everything=not wanted,
        lint=lint,
        large=large,
    )
    unused = () if wanted else tuple(f"{path}: no file uses this fragment" for path in copies.unused)
    return replace(found, notes=unused)


def judge(
    project: Project,
    allowed: AllowedFindings,
    chosen: tuple[Statement, ...],
    errors: Sequence[Problem],
    inspection: AnalysedStatements,
    of_schema: Sequence[Problem],
    *,
    caches: bool,
    everything: bool,
    lint: bool = False,
    generate: Generate = generate_modules,
    large: Mapping[str, float] = NO_LARGE_TABLES,
) -> ProjectCheck:
    """Return the check of analysed statements: their modules, their errors and their findings.

    Args:
        project: the settings of the project.
        allowed: the allowances of its settings.
        chosen: the statements.
        errors: the errors of files that cannot be loaded.
        inspection: the analyses of the statements.
        of_schema: the findings about the schema.
        caches: true if any query of the project is cached.
        everything: true if the statements are all of the project's.
        lint: true if ``of_schema`` has the lints.
        generate: makes the modules.
        large: the rows of the tables of which production has many, by ``schema.table``.
    """
    errors = [*errors, *(refusal(error) for error in inspection.errors)]
    own_types = inspection.own_types
    made = generate(inspection.checked, project, verify=not errors, own_types=own_types)
    errors += [refusal(error) for error in made.errors]
    errors += [refusal(error) for error in wrong_searches(inspection.checked, inspection.digest_columns)]
    found: list[Problem] = [*of_schema]
    encrypted = encrypted_columns(chosen)
    json_types = JsonTypes(project.import_name, project.output_folder)
    for checked in inspection.checked:
        try:
            found += findings_of(
                checked, caches=caches, json_types=json_types, large=large, encrypted=encrypted
            )
        except Exception as error:  # noqa: BLE001 (a fault of ours: the other files are checked all the same)
            errors.append(refusal(fault_error(error, statement_place(checked.statement))))
    found = allowed.without_allowed(found)
    # A wrong cached result is an error, not a finding: no code caches it. A file with an error is not
    # reported twice.
    refused = {problem.path for problem in errors}
    errors += [
        problem for problem in found if problem.name in WRONG_WHEN_CACHED and problem.path not in refused
    ]
    findings = [problem for problem in found if problem.name not in WRONG_WHEN_CACHED]
    if everything:
        refused = {problem.path for problem in errors}
        findings += allowed.problems({s.path for s in chosen} | refused, refused, lint=lint)
    return ProjectCheck(
        chosen,
        inspection,
        tuple(sorted(errors, key=lambda problem: problem.order)),
        tuple(sorted(findings, key=lambda problem: problem.order)),
        made.files,
        made.modules,
    )


def _analyse(
    project: Project,
    scratch: str | None,
    chosen: tuple[Statement, ...],
    *,
    no_cache: bool,
    keep_others: bool,
    of_schema: bool,
    lint: bool,
    source: SchemaSource,
    home: Project,
    large: Mapping[str, float],
) -> tuple[AnalysedStatements, list[Problem]]:
    assumptions = Assumptions(project.oldest_server, project.not_null)
    own = replace(home, search_path=project.search_path)
    with scratch_database(source, scratch, project=own, rebuild=no_cache) as connection:
        cache = AnalysisCache(
            home.root / ".plainsql" / f"review{home.name and '-' + home.name}.msgpack",
            definitions=Definitions(connection),
            assumptions=assumptions,
            no_cache=no_cache,
        )
        unneeded = list(unneeded_columns(connection, project))
        own_types = own_types_of(connection, project)
        inspection = analyse_statements(connection, chosen, cache, assumptions)
        found = (
            schema_problems(
                connection,
                project.schema_path,
                owned=project.owns_schema,
                oldest_server=project.oldest_server,
                lint=lint,
                truncated=truncated_tables(inspection),
                large=large,
            )
            if of_schema
            else []
        )
        found += unneeded
        digests = digest_columns(connection, chosen)
    # The cached analyses of a file that cannot be read now are kept until it can.
    cache.save(keep_others=keep_others)
    return replace(inspection, own_types=own_types, digest_columns=digests), found


def truncated_tables(inspection: AnalysedStatements) -> frozenset[str]:
    """Return the tables that statements truncate, as ``schema.table``."""
    variants = (analysis for checked in inspection.checked for analysis in checked.variants)
    return frozenset(str(use) for each in variants for use in each.writes if use.action == "truncate")
