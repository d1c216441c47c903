"""``plainsql stats``: the statistics of production, kept in files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from plainsql.cli.exit_codes import FINE
from plainsql.settings import Project, required_database_url

__all__ = ["app"]

_FLAG = Parameter(negative=(), show_default=False)

app = App(
    name="stats", help="Keep what PostgreSQL's planner knows about production, without production's data."
)


@app.command
def pull(
    *,
    database: Annotated[str | None, Parameter(name="--database")] = None,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    schema: Annotated[tuple[str, ...], _FLAG] = (),
    with_values: Annotated[bool, _FLAG] = False,
    incomplete: Annotated[bool, _FLAG] = False,
) -> int:
    """Write the statistics, sizes and planner's settings of a database into files to commit.

    Nothing is changed in the database. Texts of columns with more than 50 distinct values are not written.

    Exits with 0, or 2 if it could not run or the role does not see the statistics of all tables.

    Parameters
    ----------
    database
        URL of the database; by default the configured one. Its role needs pg_read_all_data and BYPASSRLS.
    output
        The folder; by default the setting stats, or 'stats'.
    schema
        Only the tables in this schema; may be given several times.
    with_values
        Write all values that the statistics hold, also names and texts of persons.
    incomplete
        Leave out the tables whose statistics the role cannot see.
    """
    from plainsql.plans.statistics.production_statistics import never_analysed
    from plainsql.plans.statistics.statistics_files import write_statistics
    from plainsql.plans.statistics.statistics_pull import pull_statistics

    project = Project.load()
    url = required_database_url(database)
    folder = output or project.stats_folder
    found = pull_statistics(url, schemas=schema, with_values=with_values, incomplete=incomplete)
    write_statistics(folder, found)
    tables = [table for own in found.schemas.values() for table in own.values()]
    indexes = sum(len(table.indexes) for table in tables)
    shown = os.path.relpath(folder)
    print(f"wrote the statistics of {len(tables)} tables and {indexes} indexes to {shown}")
    for name in found.production.hidden:
        print(f"left out {name}: the role cannot see its statistics")
    for name in never_analysed(found):
        print(f"never analysed: analyze {name}")
    for name in found.production.unread:
        print(f"not read: {name}")
    return FINE
