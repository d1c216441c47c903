"""``plainsql generate``: the Python modules of the SQL folder."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from plainsql import codegen
from plainsql.check.fragment_copies import read_copies, write_copies
from plainsql.check.problems import refusal
from plainsql.check.project_check import ProjectCheck, check_project
from plainsql.cli.exit_codes import FINDINGS, FINE
from plainsql.cli.project import load_project
from plainsql.settings import Project

__all__ = ["generate"]


def generate(
    *,
    check: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    scratch: str | None = None,
) -> int:
    """Write the Python modules of the SQL folder, and the copies of fragments in its files.

    If a query is refused, the modules of the others are written. A module that has the refused query already
    is kept as it is, with all of its queries. A refused query that is new is left out of its module.

    Errors of queries go to standard output.

    Exits with 0 if the modules are up to date, 1 if a query is refused or --check finds an outdated module,
    2 if it could not run.

    Parameters
    ----------
    check
        Write nothing; exit with 1 if a module or a copy of a fragment is not up to date.
    scratch
        URL of a server to build the scratch database on; by default the one named for it, else the embedded
        server.
    """
    began = time.perf_counter()
    project = load_project()
    if not check:
        for path in write_copies(project.sql_folder, read_copies(project.sql_folder).texts):
            print(f"wrote: {path}")
    found = check_project(project, scratch)
    for error in found.errors:
        print(f"{error}\n")
    if found.errors:
        return _generate_sound(found, project, check=check, began=began)
    changes = _apply(found.files, project, check=check)
    summary = _summary(len(found.statements), found.modules, began)
    if check and changes:
        print(f"generated code is not up to date: run `plainsql generate` ({summary})", file=sys.stderr)
        return FINDINGS
    print(f"up to date: {summary}")
    return FINE


def _generate_sound(found: ProjectCheck, project: Project, *, check: bool, began: float) -> int:
    """Write the modules of the queries without an error, and print the rest."""
    sound = found.sound_modules(project)
    if sound is None:
        print(f"{_counted(len(found.errors), 'error')}; nothing was written")
        return FINDINGS
    known = set(map(str, found.errors))
    later = [error for error in map(str, map(refusal, sound.errors)) if error not in known]
    for error in later:
        print(f"{error}\n")
    changes = _apply(sound.files, project, check=check)
    for path, kept in sound.kept.items():
        print(f"kept as it is: {project.output}/{path}, which has {', '.join(kept.queries)}")
    for name in sound.left_out:
        print(f"left out: {name}")
    state = "not up to date" if check and changes else "up to date"
    summary = _summary(sound.queries, sound.modules, began)
    print(f"{_counted(len(found.errors) + len(later), 'error')}; the others are {state}: {summary}")
    return FINDINGS


def _apply(files: Mapping[Path, str], project: Project, *, check: bool) -> codegen.Changes:
    """Write the files, or compare them with ``check``; print and return the differences."""
    output = project.output_folder
    changes = codegen.compare(files, output) if check else codegen.write(files, output, root=project.root)
    for what, paths in (
        ("missing" if check else "wrote", changes.missing),
        ("out of date" if check else "wrote", changes.outdated),
        ("no longer made from any SQL" if check else "removed", changes.stale),
    ):
        for path in paths:
            print(f"{what}: {project.output}/{path}")
    return changes


def _summary(queries: int, modules: int, began: float) -> str:
    took = time.perf_counter() - began
    return f"{_counted(queries, 'query', 'queries')} in {_counted(modules, 'module')}, {took:.1f} s"


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or f'{one}s'}"
