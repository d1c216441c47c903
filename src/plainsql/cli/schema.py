"""``plainsql schema``: the committed structure of a database that another tool changes."""

from __future__ import annotations

import difflib
import os
import re
import sys
from typing import Annotated

from cyclopts import App, Parameter

from plainsql.cli.exit_codes import FINDINGS, FINE
from plainsql.cli.text_file import read_text, write_text
from plainsql.errors import SettingsError
from plainsql.settings import Project, database_url

__all__ = ["app"]

app = App(
    name="schema",
    help="""Keep a committed copy of a database's structure, from which queries are typed.

    The settings are schema_from, which names the database, and schema_file, by default schema.sql. The
    structure is read with pg_dump, in a read-only transaction.

    Exit codes: 0 fine; 1 'diff' found that the file is not the database's structure; 2 it could not run.
    """,
)

_DATABASE = Parameter(name="--database")


@app.command
def pull(*, database: Annotated[str | None, _DATABASE] = None) -> int:
    """Write the structure of the database into the file.

    Parameters
    ----------
    database
        URL of the database; by default the one that schema_from names.
    """
    from plainsql.schema.structure import read_structure

    project = _project()
    file = project.root / project.schema_file
    text = read_structure(_url(project, database))
    return write_text(file, text)


@app.command
def diff(*, database: Annotated[str | None, _DATABASE] = None) -> int:
    """Show how the database's structure differs from the file.

    Exits with 0 if they are the same, 1 if the file is behind, 2 if it could not run.

    Parameters
    ----------
    database
        URL of the database; by default the one that schema_from names.
    """
    from plainsql.schema.structure import read_structure

    project = _project()
    file = project.root / project.schema_file
    text, shown = read_structure(_url(project, database)), os.path.relpath(file)
    before = read_text(file)
    if before == text:
        print(f"{shown} is up to date")
        return FINE
    lines = difflib.unified_diff(
        (before or "").splitlines(keepends=True), text.splitlines(keepends=True), shown, "the database"
    )
    sys.stdout.writelines(lines)
    print(f"{shown} is behind the database: plainsql schema pull", file=sys.stderr)
    return FINDINGS


def _project() -> Project:
    project = Project.load()
    if not project.schema_from:
        raise SettingsError(
            "schema_from in [tool.plainsql]: expected the name of a database, got none",
            hint='set schema_from = "database", or to the name of a variable that holds its URL',
        )
    return project


def _url(project: Project, database: str | None) -> str:
    """Return the URL of the database whose structure is read."""
    named = project.schema_from
    if database or named == "database":
        url = database_url(database)
        if url is None:
            raise SettingsError(
                'schema_from = "database" in [tool.plainsql]: no database is configured',
                hint="set DATABASE_URL, or pass --database URL",
            )
        return url
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", named):
        return named
    if not os.environ.get(named):
        raise SettingsError(
            f"schema_from in [tool.plainsql]: the variable {named} is not set",
            hint=f"set {named} to the URL of the database, or pass --database URL",
        )
    return os.environ[named]
