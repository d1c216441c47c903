"""The comparison of a project with its state at a git ref."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from plainsql.check.git_repository import Repository
from plainsql.check.project_at_commit import NOTHING_CHECKED, check_at_commit, project_at_commit
from plainsql.check.project_check import ProjectCheck, check_project
from plainsql.plans.table_sizes import large_tables
from plainsql.review.changes.change_sheets import ChangedFile, Changes
from plainsql.review.changes.plan_differences import plan_differences
from plainsql.review.changes.query_differences import changed_queries, text_diff
from plainsql.review.changes.query_facts import QueryFacts, below_root, query_facts
from plainsql.settings import Project

__all__ = ["changes_since"]

_ORDER: Final = ("changed", "gone", "new")


def changes_since(
    project: Project, ref: str, scratch: str | None = None, *, checked: ProjectCheck | None = None
) -> Changes:
    """Return the changes of a project since a git ref; its state now is that of the work tree.

    Args:
        project: the settings of the project.
        ref: a branch, a tag or a hash; ``REF...`` for the commit at which the current branch left ``REF``.
        scratch: a database of the server for scratch databases, as for ``check_project``.
        checked: the check of the project now, if the caller has it.

    Raises ``SettingsError`` if there is no repository or no such commit, and what ``check_project`` raises.
    """
    repository = Repository.around(project.root)
    commit = repository.commit(ref)
    # First, so that the cache of analyses has what both states share.
    large = large_tables(project)
    checked = checked or check_project(project, scratch, large=large)
    now = query_facts(project, checked)
    with project_at_commit(repository, commit.hash, project) as at:
        found, before = NOTHING_CHECKED, dict[str, QueryFacts]()
        migrations, plans = dict[str, str](), dict[str, str]()
        if at.project is not None:
            found = check_at_commit(at.project, project, scratch, at.notes, large=large)
            before = query_facts(at.project, found)
            moved = below_root(at.project, at.project.sql_folder.resolve())
            if moved != below_root(project, project.sql_folder.resolve()):
                at.notes.append(f"the folder of queries was {moved}")
            migrations, plans = _schema_files(at.project), _plan_files(at.project)
        failed = sum(bool(query.errors) for query in before.values())
        if failed:
            at.notes.append(f"queries with an error, of which only the texts are compared: {failed}")
        plans_now = _plan_files(project)
        queries = changed_queries(before, now, plan_differences(plans, plans_now))
        own, own_before = _schema_findings(project, checked, now), frozenset[str]()
        if at.project is not None and found.analysed:
            own_before = _schema_findings(at.project, found, before)
        return Changes(
            ref,
            commit.hash,
            commit.date,
            commit.subject,
            queries=tuple(queries),
            migrations=_changed_files(migrations, _schema_files(project), _schema_folder(project)),
            plans=_changed_files(plans, plans_now, project.plans),
            findings_new=tuple(sorted(own - own_before)) if found.analysed else (),
            findings_gone=tuple(sorted(own_before - own)),
            unchanged=len(now) - sum(change.name in now for change in queries),
            notes=tuple(f"{ref}: {note}" for note in at.notes),
        )


def _schema_files(project: Project) -> dict[str, str]:
    """Return the texts of the files that make the schema, by path below their folder."""
    path = project.schema_path
    if path.is_file():
        return {path.name: _text(path)} if project.schema_setting != "schema_command" else {}
    return {
        file.relative_to(path).as_posix(): _text(file)
        for file in sorted(path.rglob("*.sql"))
        if file.is_file() and not file.name.endswith(".rollback.sql")
    }


def _schema_folder(project: Project) -> str:
    """Return the folder that the names of ``_schema_files`` are below, as the user knows it."""
    path = project.schema_path
    return os.path.relpath(path.parent if path.is_file() else path, project.root)


def _plan_files(project: Project) -> dict[str, str]:
    folder = project.plans_folder
    return {
        file.relative_to(folder).as_posix(): _text(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.name.startswith(".")
    }


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")


def _changed_files(before: Mapping[str, str], now: Mapping[str, str], folder: str) -> tuple[ChangedFile, ...]:
    """Return the files that differ: changed ones, then those that are gone, then the new ones."""

    def of(name: str) -> ChangedFile:
        path = f"{folder}/{name}"
        if name not in now:
            return ChangedFile(path, "gone")
        kind: Literal["new", "changed"] = "changed" if name in before else "new"
        return ChangedFile(path, kind, text_diff(before.get(name, ""), now[name]))

    changed = (of(name) for name in {*before, *now} if before.get(name) != now.get(name))
    return tuple(sorted(changed, key=lambda file: (_ORDER.index(file.kind), file.path)))


def _schema_findings(
    project: Project, found: ProjectCheck, queries: Mapping[str, QueryFacts]
) -> frozenset[str]:
    """Return the findings and errors that are of no query: of the schema, the settings, the folders."""
    files = {query.path for query in queries.values()}
    return frozenset(
        f"{problem.message} [{problem.name}]"
        for problem in (*found.errors, *found.findings)
        if below_root(project, Path(problem.path).resolve()) not in files
    )
