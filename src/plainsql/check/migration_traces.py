"""The traces of a project's migrations, and their hazards as problems.

::

    from plainsql.check.migration_traces import problems_of_traces, trace_migrations

    traces = trace_migrations(Project.load(), since="origin/main")   # or names=…, pending=…, or all of them
    for trace in traces:              # MigrationTrace of plainsql.migrate.trace, one for each migration
        trace.locks                   # the strongest lock on each relation that existed before it
        trace.statements[0].rewrites  # also .locks, .scans, .built_indexes, .time
        trace.hazards                 # those that are allowed have a reason in .allowed
    problems_of_traces(traces)        # the others, as ``plainsql check`` reports problems

Nothing but a scratch database is changed, which is dropped at the end.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

import msgspec

from plainsql import statements
from plainsql.analysis.distribution.findings import TABLE_FINDINGS
from plainsql.analysis.findings.definer_findings import SCHEMA_FINDINGS
from plainsql.analysis.findings.schema_lints import SCHEMA_LINTS
from plainsql.analysis.representative_variants import representative_variants
from plainsql.analysis.scratch_database import empty_databases
from plainsql.check.allowed import AllowedFindings
from plainsql.check.git_repository import Repository
from plainsql.check.problems import Problem
from plainsql.check.release.release_findings import RELEASE_FINDINGS
from plainsql.errors import SettingsError, SqlFileError
from plainsql.migrate.connection import Connection
from plainsql.migrate.discovery import Folder, read_folder, taken_numbers
from plainsql.migrate.trace import MigrationTrace, OldQueries, OldQuery, TableSize, trace_run
from plainsql.migrate.trace.model import Severity
from plainsql.migrate.trace.traced_run import LOCK_TIMEOUT_S
from plainsql.settings import Project

__all__ = ["problems_of_traces", "trace_migrations"]


def trace_migrations(
    project: Project,
    names: Sequence[str] = (),
    *,
    since: str | None = None,
    pending: Collection[str] | None = None,
    folder: Path | None = None,
    layers: Sequence[str] | None = None,
    scratch: str | None = None,
    lock_timeout: float = LOCK_TIMEOUT_S,
    sizes: Mapping[str, TableSize] | None = None,
    max_blocked_s: float = 1.0,
) -> tuple[MigrationTrace, ...]:
    """Return the traces of some of a project's migrations, by default of all of them.

    Args:
        project: the project of the migrations.
        names: the migrations to trace, as ``0003``, ``0003_add_index`` or ``realty/0003``. Each is traced as
            if all before it were deployed long ago.
        since: a git ref, or ``REF...`` for the commit at which the branch left it. The migrations whose files
            it does not have are traced, as one deployment, and the queries that it has are prepared before
            and after each.
        pending: the full names of the migrations to trace, as one deployment.
        folder: the folder of the migrations; by default the project's.
        layers: only these layers.
        scratch: URL of a server for the scratch database; by default the one named for it.
        lock_timeout: the limit of ``plainsql migrate``, in seconds; 0 is no limit.
        sizes: the sizes of production's tables, by ``schema.name``.
        max_blocked_s: the seconds for which a lock may block the application, if sizes are known.

    Raises ``MigrationError`` if a migration is not found or fails, ``SettingsError`` if the schema is not
    plainsql's or git does not know the revision, and what ``scratch_database`` raises.
    """
    if folder is None and not project.owns_schema:
        raise SettingsError(
            f"the schema is not plainsql's: {project.schema_origin} in [tool.plainsql] makes it",
            hint="name a folder of SQL migrations: --folder DIR",
        )
    path = folder or project.migrations_folder
    if since is not None and not path.resolve().is_relative_to(project.root.resolve()):
        raise SettingsError(
            f"--since: expected a folder of migrations in the project, got {path}",
            hint=f"name the migrations, or start it with -C in the project of {path}",
        )
    found = read_folder(path).only(layers)
    old_queries = None
    if names:
        chosen = {found.find(name).name for name in names}
    elif since is not None:
        chosen, old_queries = _since(project, since, path, found)
    elif pending is not None:
        chosen = {each.name for each in found.migrations if each.name in pending}
    else:
        chosen = {each.name for each in found.migrations}
    if not chosen:
        return ()
    allowed = AllowedFindings(project)
    with empty_databases(scratch, project=project) as new_database, new_database() as connection:
        connection.execute("reset search_path")  # migrations run without the project's
        traces = trace_run(
            cast("Connection", connection),
            found.migrations,
            chosen,
            one_batch=not names and (since is not None or pending is not None),
            lock_timeout=lock_timeout,
            sizes=sizes,
            max_blocked_s=max_blocked_s,
            old_queries=old_queries,
            other_findings=(*RELEASE_FINDINGS, *SCHEMA_FINDINGS, *SCHEMA_LINTS, *TABLE_FINDINGS),
        )
    return tuple(_with_settings(trace, allowed) for trace in traces)


def problems_of_traces(traces: Iterable[MigrationTrace], severity: Severity = "error") -> list[Problem]:
    """Return the hazards of a severity that nothing allows, in the order of their places."""
    return [
        Problem(
            each.name, each.path, each.line, each.column, each.message, each.detail, each.hint, each.excerpt
        )
        for trace in traces
        for each in trace.open_hazards
        if each.severity == severity
    ]


def _since(project: Project, revision: str, path: Path, found: Folder) -> tuple[set[str], OldQueries | None]:
    """Return the migrations that a revision does not have, and its queries."""
    repository = Repository.around(project.root)
    commit = repository.commit(revision).hash
    migrations, queries = (each.resolve().relative_to(repository.top) for each in (path, project.sql_folder))
    with tempfile.TemporaryDirectory(prefix="plainsql-") as temporary:
        into = Path(temporary)
        repository.export(commit, [each.as_posix() for each in (migrations, queries)], into)
        known = taken_numbers(into / migrations)
        chosen = {each.name for each in found.migrations if each.number not in known.get(each.layer, ())}
        sql = into / queries
        return chosen, OldQueries(_queries(sql)) if sql.is_dir() else None


def _queries(folder: Path) -> list[OldQuery]:
    try:
        catalog, _ = statements.load_sound(folder)
    except SqlFileError:  # there was none
        return []
    return [
        OldQuery(statement.name, variant.sql)
        for statement in catalog.values()
        for variant in representative_variants(statement.compiled, statement.variants())
    ]


def _with_settings(trace: MigrationTrace, allowed: AllowedFindings) -> MigrationTrace:
    """Return a trace whose hazards have the reasons of ``[tool.plainsql.allow]``."""
    hazards = tuple(
        each
        if each.allowed is not None
        else msgspec.structs.replace(each, allowed=allowed.reason_for(each.name, each.path))
        for each in trace.hazards
    )
    return msgspec.structs.replace(trace, hazards=hazards)
