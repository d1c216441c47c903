"""``plainsql cache triggers``: the migration of the triggers that record external writes."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from plainsql import migrate
from plainsql.analysis.scratch_database import scratch_database
from plainsql.cache.outbox_triggers import SEARCH_PATH, Migration, function_body, migration
from plainsql.check.project_check import check_project
from plainsql.check.recorded_tables import RecordedTable, read_tables, recorded_tables
from plainsql.cli.exit_codes import FINDINGS, FINE
from plainsql.errors import PlainsqlError, SettingsError
from plainsql.migrate.discovery import display_path, taken_numbers
from plainsql.schema import schema_source
from plainsql.settings import Project

__all__ = ["triggers"]

_WHAT = "note writes for cache"


def triggers(
    *tables: str,
    write: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    scratch: str | None = None,
) -> int:
    """Write a migration with triggers that record external writes, so that the cache can be invalidated.

    The triggers are on the tables that cached reads depend on. They record each statement in
    plainsql.cache_outbox, in its own transaction. 'plainsql cache drain' or connect(cache_outbox=True) then
    invalidates the cached results. Triggers that the project's migrations have already are left out, unless
    an earlier version of plainsql wrote another function for them.

    Exits with 0 if the migration is written or all triggers exist, 1 if queries cannot be analysed, 2 if it
    could not run.

    Parameters
    ----------
    tables
        Tables with their schemas, such as realty.messages; by default all that cached reads depend on.
    write
        Write the two files of the migration, with the next number; in a folder with layers, those of each
        layer with such a table. By default both are printed.
    scratch
        URL of a server to build the scratch database on; by default the one named for it, else the embedded
        server.
    """
    project = Project.load()
    found = check_project(project, scratch)
    if found.errors:
        for problem in found.errors:
            print(f"{problem}\n", file=sys.stderr)
        return FINDINGS
    wanted = _chosen(read_tables(found.inspection.checked), tables)
    with scratch_database(schema_source(project), scratch, project=project) as connection:
        noted = recorded_tables(connection)
    left = {
        table: columns
        for table, columns in wanted.items()
        if table not in noted or not _is_as_it_would_be_made(noted[table], table, columns)
    }
    if not left:
        print("nothing to write: the migrations have all triggers", file=sys.stderr)
        return FINE
    before = {table: noted[table].definition for table in left if table in noted}
    if not write:
        made = migration(left, before=before)
        print(f"{made.apply}\n-- The rollback:\n{_commented(made.rollback)}", end="")
        return FINE
    if not project.owns_schema:
        raise SettingsError(
            f"the schema is not plainsql's: {project.schema_origin} in [tool.plainsql] makes it; "
            "nothing was written",
            hint="leave out --write, and put what is printed into a migration of that tool",
        )
    folder = project.migrations_folder
    for layer, members in _by_layer(folder, left).items():
        made = migration(members, before=before)
        for path in _write(folder, layer, made):
            print(display_path(path))
    print("apply it with 'plainsql migrate', then run 'plainsql generate'", file=sys.stderr)
    return FINE


def _is_as_it_would_be_made(noted: RecordedTable, table: str, columns: Sequence[str]) -> bool:
    return (
        noted.body == function_body(table, columns)
        and noted.runs_as_owner
        and noted.search_path == SEARCH_PATH
        and not noted.is_public
    )


def _chosen(read: Mapping[str, Sequence[str]], tables: Sequence[str]) -> dict[str, Sequence[str]]:
    if not read:
        raise PlainsqlError("no query is cached", hint="put 'cache: 5m' into the header of one")
    for table in tables:
        if table not in read:
            raise PlainsqlError(
                f"no cached read depends on {table!r}", hint=f"they depend on {', '.join(read)}"
            )
    return {table: read[table] for table in tables or read}


def _by_layer(
    folder: Path, tables: Mapping[str, Sequence[str]]
) -> dict[str | None, dict[str, Sequence[str]]]:
    """Return the tables by the layer whose migrations create them: that of their schema, if any."""
    taken = taken_numbers(folder)
    if not taken or None in taken:
        return {None: dict(tables)}
    found: dict[str | None, dict[str, Sequence[str]]] = {}
    for table, columns in tables.items():
        layer = table.partition(".")[0]
        if layer not in taken:
            raise PlainsqlError(
                f"{table}: there is no layer {layer!r} to write its migration into",
                hint="name the tables, or print the migration without --write and save it yourself",
            )
        found.setdefault(layer, {})[table] = columns
    return found


def _write(folder: Path, layer: str | None, made: Migration) -> tuple[Path, Path]:
    up, down = migrate.new(folder, _WHAT, layer=layer)
    up.write_text(made.apply, "utf-8", newline="\n")
    down.write_text(
        f"-- Undo {up.name}.\n-- Lost by it: recorded writes that were not processed yet.\n\n{made.rollback}",
        "utf-8",
    )
    return up, down


def _commented(text: str) -> str:
    return "".join(f"-- {line}".rstrip() + "\n" for line in text.splitlines())
