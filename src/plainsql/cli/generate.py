"""``plainsql generate``: the Python modules of the SQL folder."""

from __future__ import annotations

import sys
import time
from typing import Annotated

from cyclopts import Parameter

from plainsql import codegen
from plainsql.check.project_check import check_project
from plainsql.cli.exit_codes import FINDINGS, FINE
from plainsql.cli.project import load_project

__all__ = ["generate"]


def generate(
    *,
    check: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    scratch: str | None = None,
) -> int:
    """Write the Python modules of the SQL folder.

    If PostgreSQL refuses a query, nothing is written: fix the errors, and run it again.

    Errors of queries go to standard output.

    Exits with 0 if the modules are up to date, 1 if a query is refused or --check finds an outdated module,
    2 if it could not run.

    Parameters
    ----------
    check
        Write nothing; exit with 1 if a module is not up to date.
    scratch
        URL of a server to build the scratch database on; by default the one named for it, else the embedded
        server.
    """
    began = time.perf_counter()
    project = load_project()
    found = check_project(project, scratch)
    for error in found.errors:
        print(f"{error}\n")
    if found.errors:
        count = len(found.errors)
        print(f"{count} error{'' if count == 1 else 's'}; nothing was written")
        return FINDINGS
    output = project.output_folder
    changes = (
        codegen.compare(found.files, output)
        if check
        else codegen.write(found.files, output, root=project.root)
    )
    for what, paths in (
        ("missing" if check else "wrote", changes.missing),
        ("out of date" if check else "wrote", changes.outdated),
        ("no longer made from any SQL" if check else "removed", changes.stale),
    ):
        for path in paths:
            print(f"{what}: {project.output}/{path}")
    took = time.perf_counter() - began
    count, modules = len(found.statements), found.modules
    summary = (
        f"{count} {'query' if count == 1 else 'queries'} in "
        f"{modules} {'module' if modules == 1 else 'modules'}, {took:.1f} s"
    )
    if check and changes:
        print(f"generated code is not up to date: run `plainsql generate` ({summary})", file=sys.stderr)
        return FINDINGS
    print(f"up to date: {summary}")
    return FINE
