"""The migration that breaks each query: the queries are analysed again after each pending one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from plainsql.analysis.assumptions import Assumptions
from plainsql.analysis.catalog.definitions import Definitions
from plainsql.analysis.scratch_database import empty_databases
from plainsql.check.analysed_statements import AnalysedStatements, analyse_statements
from plainsql.check.analysis_cache import AnalysisCache
from plainsql.migrate.connection import Connection
from plainsql.migrate.discovery import Migration, read_folder, taken_numbers
from plainsql.migrate.trace.allowances import allowances_of
from plainsql.migrate.trace.recorded_run import run_migration
from plainsql.migrate.trace.traced_run import LOCK_TIMEOUT_S
from plainsql.settings import Project
from plainsql.statements import Statement

__all__ = ["BreakingMigrations", "Key", "allowed_in", "find_breaking", "pending_migrations"]

Key = tuple[str, str, str]
"""The key of a break."""


@dataclass(slots=True)
class BreakingMigrations:
    """The migrations that break queries."""

    by_key: dict[Key, Migration] = field(default_factory=dict)
    """The migration of each break; a break that is there before them has none."""
    older: set[Key] = field(default_factory=set)
    """The breaks before the first pending migration: an earlier file was changed."""


def pending_migrations(project: Project, at: Project) -> tuple[list[Migration], list[Migration]]:
    """Return the migrations that a release has, and those that it does not have, in their order.

    The numbers of the files decide. Both are empty if plainsql's migrations do not make both schemas.

    Raises ``MigrationError`` as ``read_folder`` does.
    """
    if not (project.owns_schema and at.owns_schema):
        return [], []
    found = read_folder(project.migrations_folder).migrations
    known = taken_numbers(at.migrations_folder)
    pending = [each for each in found if each.number not in known.get(each.layer, ())]
    return [each for each in found if each not in pending], pending


def find_breaking(
    project: Project,
    at: Project,
    deployed: Sequence[Migration],
    pending: Sequence[Migration],
    broken: Sequence[Statement],
    keys: set[Key],
    keys_of: Callable[[AnalysedStatements], set[Key]],
    scratch: str | None,
) -> BreakingMigrations:
    """Return the migration after which each break is there.

    Args:
        project: the project now, whose server and cache of analyses are used.
        at: the project of the release, whose settings hold for its queries.
        deployed: the migrations that the release has.
        pending: those that it does not have; they run after the others.
        broken: the statements of the release that have breaks.
        keys: the keys of their breaks.
        keys_of: returns the keys of the breaks in an analysis of ``broken``.
        scratch: a database of the server for the scratch database.

    Raises ``MigrationError`` if the server refuses a migration in this order.
    """
    found = BreakingMigrations()
    own = replace(project, search_path=at.search_path)
    with empty_databases(scratch, project=own) as new_database, new_database() as connection:
        runner = cast("Connection", connection)
        (path,) = connection.execute("select pg_catalog.current_setting('search_path')").fetchone() or ("",)

        def run(migration: Migration) -> None:
            connection.execute("reset search_path")  # migrations run without the project's
            run_migration(runner, migration, lock_timeout=LOCK_TIMEOUT_S)
            connection.execute("select pg_catalog.set_config('search_path', %s, false)", [path])

        def broken_now() -> set[Key]:
            assumptions = Assumptions(at.oldest_server, at.not_null)
            cache = AnalysisCache(
                Path(os.devnull),
                definitions=Definitions(connection),
                assumptions=assumptions,
                no_cache=True,
            )
            return keys & keys_of(analyse_statements(connection, broken, cache, assumptions))

        for migration in deployed:
            run(migration)
        found.older = broken_now()
        known = set(found.older)
        for migration in pending:
            if known == keys:
                break
            run(migration)
            new = broken_now() - known
            found.by_key |= dict.fromkeys(new, migration)
            known |= new
    return found


def allowed_in(migration: Migration) -> dict[str, str]:
    """Return the findings that comments in a migration allow, by name, with their reasons."""
    allowed: dict[str, str] = {}
    for each in allowances_of(migration.script):
        allowed |= each
    return allowed
