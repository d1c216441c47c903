"""``plainsql new query``: first SQL files for a table, to edit."""

from __future__ import annotations

from cyclopts import App

from plainsql.analysis.scratch_database import scratch_database
from plainsql.cli.exit_codes import FINE
from plainsql.cli.project import load_project
from plainsql.errors import PlainsqlError, printable
from plainsql.files import create_file
from plainsql.scaffold.scaffold_table import read_table
from plainsql.scaffold.table_queries import table_queries
from plainsql.schema import schema_source

__all__ = ["app"]

app = App(name="new", help="Write first SQL files, to edit.")


@app.command
def query(table: str, /, *, scratch: str | None = None) -> int:
    """Write create, get, list, update and delete of a table into the SQL folder, as a beginning.

    A file that exists stays as it is. Then edit the files, and run ``plainsql generate``.

    Exits with 0 if the files are written or were there, 2 if it could not run.

    Parameters
    ----------
    table
        The table, with its schema if several have one of its name.
    scratch
        URL of a server to build the scratch database on; by default the one named for it, else the embedded
        server.
    """
    project = load_project()
    with scratch_database(schema_source(project), scratch, project=project) as connection:
        found = read_table(connection, table)
    texts = table_queries(found)
    if not texts:
        raise PlainsqlError(
            f"{table} has no key, and nothing can be written into it",
            hint="write its queries by hand, or add a primary key",
        )
    folder = project.sql_folder / found.folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        shown = printable(f"{project.sql}/{found.folder}/{name}.sql")
        try:
            with create_file(folder / f"{name}.sql") as file:
                file.write(text.encode())
        except FileExistsError:
            print(f"exists: {shown}")
        else:
            print(f"wrote: {shown}")
    if not found.key:
        print(printable(f"{found.sql} has no key: get, list, update and delete are not written"))
    return FINE
