"""``plainsql import``: the SQL files of another tool as query files with headers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from plainsql.cli.exit_codes import FINDINGS, FINE
from plainsql.errors import printable
from plainsql.importers import Import, import_files
from plainsql.settings import Project

__all__ = ["import_queries"]

_FLAG = Parameter(negative=(), show_default=False)


def import_queries(
    tool: Literal["aiosql", "sqlc", "pgtyped"],
    path: Path,
    /,
    *,
    into: Path | None = None,
    dry_run: Annotated[bool, _FLAG] = False,
    force: Annotated[bool, _FLAG] = False,
) -> int:
    """Write query files with headers from the SQL files of aiosql, sqlc or pgtyped.

    Each query becomes a file: get-user^ of users.sql is users/get_user.sql. Queries that cannot be converted
    are listed with the reason; the others are written. No file is replaced without --force.

    Exits with 0 if all queries are converted, 1 if some are left out, 2 if it could not run.

    Parameters
    ----------
    tool
        The tool that the files are written for.
    path
        A SQL file, or a folder of SQL files.
    into
        The folder for the query files: by default the project's SQL folder.
    dry_run
        Report the files, and write none.
    force
        Replace files that exist with another text.
    """
    target = into if into is not None else Project.load().sql_folder
    target = Path(os.path.relpath(target))
    found = import_files(tool, path, target, force=force, dry_run=dry_run)
    for written in found.written:
        print(f"{'would write' if dry_run else 'wrote'} {printable(str(written))}")
    for error in found.left_out:
        print(f"\n{printable(str(error))}")
    if found.left_out:
        print()
    print(_summary(found, dry_run=dry_run))
    for source in found.sources:
        if not dry_run and target.resolve() in source.resolve().parents and found.written:
            print(f"remove {printable(str(source))} now: its queries have files of their own")
    return FINDINGS if found.left_out else FINE


def _summary(found: Import, *, dry_run: bool) -> str:
    parts = [f"{_counted(len(found.written), 'file')} {'to write' if dry_run else 'written'}"]
    if found.unchanged:
        parts.append(f"{found.unchanged} unchanged")
    if found.left_out:
        parts.append(f"{len(found.left_out)} left out")
    return ", ".join(parts)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
