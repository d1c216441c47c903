"""``plainsql check``."""

from __future__ import annotations

import sys
import time

from plainsql import codegen
from plainsql.cli.exits import FINDINGS, FINE
from plainsql.errors import PlainsqlError, Place
from plainsql.review.project import review
from plainsql.settings import Project

__all__ = ["check"]


def check(*, database: str | None = None, anew: bool = False) -> int:
    """Check every query against PostgreSQL: its SQL, its header, its generated module.

    Exits with 0 where everything holds, 1 where something is found, 2 where it could not run.

    Parameters
    ----------
    database
        URL of a server to build the scratch database on; by default what is configured, else the embedded server.
    anew
        Build the scratch database again, even where the migrations have not changed.
    """
    began = time.perf_counter()
    project = Project.load()
    found = review(project, database, anew=anew)
    errors = [*found.errors]
    if not errors:
        changes = codegen.compare(found.files, project.output_folder)
        for path in [*changes.missing, *changes.outdated, *changes.stale]:
            errors.append(
                PlainsqlError(
                    "is not what the SQL makes",
                    place=Place(f"{project.output}/{path}"),
                    hint="run `plainsql generate`",
                )
            )
    for error in errors:
        print(f"{error}\n", file=sys.stderr)
    took = time.perf_counter() - began
    summary = f"{len(found.statements)} queries, {took:.1f} s"
    if errors:
        print(f"{len(errors)} findings in {summary}", file=sys.stderr)
        return FINDINGS
    print(f"clean: {summary}")
    return FINE
