"""The check of a running release: its queries on the schema that the migrations of the work tree make.

::

    from plainsql.check.release.release_check import check_release

    found = check_release(Project.load(), "v1.4")
    for each in found.breaks:       # ReleaseBreak: the query's place at the ref, the migration, the reason
        print(each)

Between a migration and the restart of the last process, the code of the release runs on the new schema. Its
SQL files and its settings are read from git, and analysed on the schema of the ref and on that of the work
tree. A difference that its generated modules do not expect is a break.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from plainsql.check.allowed import AllowedFindings
from plainsql.check.analysed_statements import AnalysedStatements
from plainsql.check.git_repository import Commit, Repository
from plainsql.check.problems import Problem, refusal
from plainsql.check.project_at_commit import ProjectAtCommit, check_at_commit, project_at_commit
from plainsql.check.project_check import ProjectCheck, check_project
from plainsql.check.release.breaking_migrations import (
    BreakingMigrations,
    allowed_in,
    find_breaking,
    pending_migrations,
)
from plainsql.check.release.breaks import (
    Break,
    cache_breaks,
    contract_breaks,
    query_breaks,
    refused_break,
)
from plainsql.check.release.release_findings import RELEASE_HINTS
from plainsql.errors import MigrationError, Place, SettingsError
from plainsql.migrate.discovery import Migration
from plainsql.migrate.script import place_at
from plainsql.schema import schema_source
from plainsql.settings import Project

__all__ = ["ReleaseBreak", "ReleaseCheck", "check_release"]


class ReleaseBreak(Problem, frozen=True):
    """A query of a running release that the new migrations break.

    Its path is that of the file at the ref, as git names it: ``v1.4:sql/shop/get.sql``.
    """

    query: str = ""
    """The name of the query; empty for a file that cannot be read."""
    migration: str = ""
    """The full name of the migration that breaks it; empty if it is not known."""
    migration_path: str = ""
    migration_line: int = 0
    allowed: str = ""
    """The reason why it is allowed; empty if nothing allows it."""

    def in_work_tree(self, other: str) -> Problem:
        """Return it as a problem of a file in the work tree: the migration, or ``other`` if it is not known.

        Annotations of a pull request are shown at files of the work tree only.
        """
        message = f"{Place(self.path, self.line, self.column)}: {self.message}"
        path = self.migration_path or other
        return Problem(self.name, path, self.migration_line, 0, message, self.detail, self.hint)


@dataclass(slots=True)
class ReleaseCheck:
    """The result of a check of a release."""

    ref: str
    commit: Commit
    queries: int = 0
    """The number of queries of the release that were compared; the refused ones are among them."""
    pending: tuple[str, ...] = ()
    """The full names of the migrations that the release does not have."""
    breaks: list[ReleaseBreak] = field(default_factory=list)
    """The breaks that nothing allows, in the order of their places."""
    allowed: list[ReleaseBreak] = field(default_factory=list)
    """The breaks that a comment in a migration or a setting allows."""
    notes: list[str] = field(default_factory=list)
    """The parts that could not be compared, each with the reason."""


def check_release(
    project: Project, ref: str, scratch: str | None = None, *, no_cache: bool = False
) -> ReleaseCheck:
    """Return the breaks of a release on the schema of the work tree.

    Args:
        project: the settings of the project now.
        ref: a tag, a branch or a hash; ``REF...`` for the commit at which the current branch left ``REF``.
        scratch: a database of the server for scratch databases, as for ``check_project``.
        no_cache: build the scratch database of the work tree even if it exists.

    Raises ``SettingsError`` if there is no repository, no such commit, or no project in it, and what
    ``check_project`` raises.
    """
    repository = Repository.around(project.root)
    commit = repository.commit(ref)
    found = ReleaseCheck(ref, commit)
    with project_at_commit(repository, commit.hash, project) as at:
        if not at.has_folder:
            raise SettingsError(
                f"{ref}: this project is not in it", hint="name the ref of a release that has this project"
            )
        if at.project is None:
            found.notes.append(f"{ref} has no database {project.name!r}: no query of it runs")
            return found
        _check(found, project, at, at.project, scratch, no_cache=no_cache)
        found.notes += [f"{ref}: {note}" for note in at.notes]
    return found


def _check(
    found: ReleaseCheck,
    project: Project,
    at: ProjectAtCommit,
    release: Project,
    scratch: str | None,
    *,
    no_cache: bool,
) -> None:
    deployed, pending = pending_migrations(project, release)
    found.pending = tuple(each.name for each in pending)
    after = check_project(release, scratch, schema=schema_source(project), home=project, no_cache=no_cache)
    before = check_at_commit(release, project, scratch, at.notes)
    if not before.analysed:
        raise SettingsError(
            f"{found.ref}: its queries cannot be analysed on its own schema",
            detail="; ".join(at.notes) or None,
            hint="name a ref whose schema can be made",
        )
    found.queries = len(before.inspection.checked)
    broken = _Breaks(before)
    breaks = [*_unreadable(after), *broken.of(after.inspection)]
    breaks += contract_breaks(before, after, {each.query for each in breaks})
    unexpected = _refused_before(before)
    if unexpected:
        at.notes.append(f"refused on its own schema, and not compared: {', '.join(sorted(unexpected))}")
    breaking = BreakingMigrations()
    keys = {each.key for each in breaks if each.name != "release-unchecked"}
    if keys and pending:
        names = {each.query for each in breaks}
        cached = any(each.name == "release-cache" for each in breaks)  # a pair of queries
        statements = [each for each in before.statements if cached or each.name in names]
        try:
            breaking = find_breaking(
                project, release, deployed, pending, statements, keys, broken.keys, scratch
            )
        except MigrationError as error:
            at.notes.append(f"the migrations that break it are not known: {error.message}")
    settings = AllowedFindings(project)
    for each in sorted(breaks, key=lambda each: (each.place.path, each.place.line, each.place.column)):
        migration = breaking.by_key.get(each.key)
        detail = [each.detail] if each.detail else []
        if migration is not None:
            detail.append(f"the migration {migration.name} breaks it: {migration.path}")
        elif each.key in breaking.older:
            detail.append(f"a migration that {found.ref} has was changed, or is gone")
        reason = settings.reason_for(each.name, _path_now(each.place.path, release, project))
        if migration is not None:
            reason = reason or allowed_in(migration).get(each.name)
        shown = _shown(each, migration, "; ".join(detail), at, found.ref, reason or "")
        (found.allowed if shown.allowed else found.breaks).append(shown)
    found.notes += [
        f"allowed, {each.allowed}: {each.path}: {each.message} [{each.name}]" for each in found.allowed
    ]


class _Breaks:
    """The breaks of the release's queries, against their analyses on the release's own schema."""

    def __init__(self, before: ProjectCheck) -> None:
        self._before = {each.statement.name: each for each in before.inspection.checked}
        self._names = {each.path: each.name for each in before.statements}

    def of(self, after: AnalysedStatements) -> list[Break]:
        """Return the breaks in an analysis of all the statements, or of some."""
        breaks: list[Break] = []
        for error in after.errors:
            problem = refusal(error)
            name = self._names.get(problem.path, "")
            if name in self._before:
                breaks.append(refused_break(name, problem))
        for each in after.checked:
            if (old := self._before.get(each.statement.name)) is not None:
                breaks += query_breaks(old, each)
        names = {each.statement.name for each in after.checked}
        breaks += cache_breaks([each for name, each in self._before.items() if name in names], after.checked)
        return breaks

    def keys(self, after: AnalysedStatements) -> set[tuple[str, str, str]]:
        """Return the keys of the breaks."""
        return {each.key for each in self.of(after)}


def _unreadable(after: ProjectCheck) -> Iterable[Break]:
    for each in after.errors:
        if each.name == "sql-file":
            place = Place(each.path, each.line, each.column, each.excerpt)
            yield Break("release-unchecked", "", each.path, each.message, place, each.detail)


def _refused_before(before: ProjectCheck) -> set[str]:
    checked = {each.statement.name for each in before.inspection.checked}
    return {each.name for each in before.statements} - checked


def _path_now(path: str, release: Project, project: Project) -> str:
    """Return the path that a file of the release has in the work tree, whose SQL folder may be another."""
    whole, folder = Path(path).resolve(), release.sql_folder
    if whole.is_relative_to(folder):
        return str(project.sql_folder / whole.relative_to(folder))
    return str(project.root / os.path.relpath(whole, release.root))


def _shown(
    each: Break, migration: Migration | None, detail: str, at: ProjectAtCommit, ref: str, allowed: str
) -> ReleaseBreak:
    top = os.path.relpath(at.top)

    def named(text: str) -> str:
        return text.replace(f"{at.top}/", f"{ref}:").replace(f"{top}/", f"{ref}:")

    path = Path(each.place.path).resolve()
    below = path.relative_to(at.top).as_posix() if path.is_relative_to(at.top) else each.place.path
    line = 0
    if migration is not None and migration.script.statements:
        script = migration.script
        line = place_at(migration.path, script.source, script.statements[0].start).line
    return ReleaseBreak(
        each.name,
        f"{ref}:{below}",
        each.place.line,
        each.place.column,
        named(each.message),
        named(detail) or None,
        RELEASE_HINTS[each.name],
        each.place.excerpt,
        query=each.query,
        migration=migration.name if migration is not None else "",
        migration_path=migration.path if migration is not None else "",
        migration_line=line,
        allowed=allowed,
    )
