"""The report of ``plainsql check --release``."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from plainsql.check.problems import Problem
from plainsql.check.release.release_check import check_release
from plainsql.errors import SettingsError
from plainsql.settings import Project

__all__ = ["refuse_options", "release_report"]


def release_report(
    project: Project, ref: str, scratch: str | None = None, *, no_cache: bool = False, in_work_tree: bool
) -> tuple[Sequence[Problem], list[str]]:
    """Check a release; return its breaks, and the lines that follow them.

    With ``in_work_tree`` the breaks are at the migrations, else at the files of the release.

    Raises what ``check_release`` raises.
    """
    began = time.perf_counter()
    found = check_release(project, ref, scratch, no_cache=no_cache)
    problems: Sequence[Problem] = found.breaks
    if in_work_tree:
        other = os.path.relpath(project.schema_path)
        problems = [each.in_work_tree(other) for each in found.breaks]
    pending = len(found.pending)
    schema = f"{pending} new {'migration' if pending == 1 else 'migrations'}"
    if not project.owns_schema:
        schema = f"the schema of {os.path.relpath(project.schema_path)}"
    broken = (
        f"{len(found.breaks)} {'break' if len(found.breaks) == 1 else 'breaks'} in" if problems else "clean:"
    )
    queries = f"{found.queries} {'query' if found.queries == 1 else 'queries'}"
    took = time.perf_counter() - began
    summary = f"{broken} {queries} of {ref}, after {schema}, {took:.1f} s"
    return problems, [*(f"note: {note}" for note in found.notes), summary]


def refuse_options(chosen: str, /, **given: bool) -> None:
    """Raise ``SettingsError`` if an option is given that does not go with ``chosen``."""
    for name, is_given in given.items():
        if is_given:
            option = name if name == "files" else f"--{name.replace('_', '-')}"
            raise SettingsError(
                f"{chosen}: expected no {option} with it, got both",
                hint="check the work tree in a run of its own: plainsql check",
            )
