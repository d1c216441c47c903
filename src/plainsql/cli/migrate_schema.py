"""``plainsql migrate schema``: the schema that the migrations make, as a file that is reviewed."""

from __future__ import annotations

import difflib
import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from plainsql.cli.exit_codes import FINDINGS, FINE
from plainsql.cli.migrate_target import Target, guarded, of_database
from plainsql.cli.text_file import read_text, write_text
from plainsql.errors import Place, SettingsError
from plainsql.settings import Project

__all__ = ["schema"]


def schema(
    *,
    check: Annotated[bool, Parameter(name="--check", negative=(), show_default=False)] = False,
    folder: Annotated[Path | None, Parameter(name="--folder")] = None,
    scratch: str | None = None,
) -> int:
    """Write the schema that the migrations make into a file, by default schema.sql next to them.

    The text is the same on every machine, so that its difference shows what a migration changes. pg_dump
    writes it from a scratch database, without owners, grants, roles and rows.

    Exits with 0 if the file is written or up to date, 1 if '--check' finds that it is not, 2 if it could not
    run.

    Parameters
    ----------
    check
        Write nothing; print the difference and exit with 1 if the file is not up to date.
    folder
        Folder of the migrations; by default that of pyproject.toml, or 'migrations'.
    scratch
        URL of the server for the scratch database; by default the embedded server.
    """

    def run() -> int:
        from plainsql.analysis.scratch_database import scratch_database, url_of
        from plainsql.schema.migrations import MigrationsFolder
        from plainsql.schema.structure import read_migrated_schema

        path = Target(folder=folder).path
        file = _file(path, is_named=folder is not None)
        with scratch_database(MigrationsFolder(path), scratch) as connection:
            text = read_migrated_schema(url_of(connection))
        return _compare(file, text) if check else write_text(file, text)

    return guarded(run)


def _file(folder: Path, *, is_named: bool) -> Path:
    project = Project.load()
    file = folder / "schema.sql" if is_named else project.migrated_schema_file
    if (
        file.resolve().is_relative_to(folder.resolve())
        and file.resolve() != (folder / "schema.sql").resolve()
    ):
        raise SettingsError(
            f"migrated_schema in [tool.plainsql]: expected schema.sql in the folder of migrations, or a file "
            f"outside of it, got {project.migrated_schema!r}",
            place=Place(str(project.root / "pyproject.toml")),
            hint="leave out migrated_schema",
        )
    return file


def _compare(file: Path, text: str) -> int:
    shown, before = os.path.relpath(file), read_text(file)
    if before == text:
        print(f"{shown} is up to date")
        return FINE
    was, now = ((each or "").splitlines(keepends=True) for each in (before, text))
    sys.stdout.writelines(difflib.unified_diff(was, now, shown, "the migrations"))
    state = "does not exist" if before is None else "is not the schema that the migrations make"
    hint = of_database("write it with plainsql migrate schema")
    print(f"{shown} {state}\nHINT: {hint}", file=sys.stderr)
    return FINDINGS
