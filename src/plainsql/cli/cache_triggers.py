"""``plainsql cache triggers``: the migration that has writes by others noted for the cache."""

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
from plainsql.errors import PlainsqlError
from plainsql.migrate.discovery import shown, taken_numbers
from plainsql.settings import Project

__all__ = ["triggers"]

_WHAT = "note writes for cache"


def triggers(
    *tables: str,
    write: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    database: str | None = None,
) -> int:
    """Write the migration that has writes by others noted, for plainsql to tell the cache of them.

    Triggers of the tables that cached reads depend on note each statement in plainsql.cache_outbox, in its
    own transaction. 'plainsql cache drain', or connect(cache_outbox=True), tells the cache. What the
    migrations of the project note already is left out, unless an earlier version of plainsql wrote its
    function otherwise.

    Exits with 0 where it has written it, or nothing is left to note; 1 where queries cannot be analysed; 2
    where it could not run.

    Parameters
    ----------
    tables
        With their schemas, such as realty.messages; by default all that cached reads depend on.
    write
        Write the two files of the migration, with the next number; in a folder with layers, those of each
        layer whose tables are noted. By default both are printed.
    database
        URL of a server to build the scratch database on; by default what is configured, else the embedded
        server.
    """
    project = Project.load()
    found = check_project(project, database)
    if found.errors:
        for problem in found.errors:
            print(f"{problem}\n", file=sys.stderr)
        return FINDINGS
    wanted = _chosen(read_tables(found.inspection.checked), tables)
    with scratch_database(project.migrations_folder, database) as connection:
        noted = recorded_tables(connection)
    left = {
        table: columns
        for table, columns in wanted.items()
        if table not in noted or not _is_as_it_would_be_made(noted[table], table, columns)
    }
    if not left:
        print("nothing to note: the migrations have it all", file=sys.stderr)
        return FINE
    before = {table: noted[table].definition for table in left if table in noted}
    if not write:
        made = migration(left, before=before)
        print(f"{made.apply}\n-- The rollback:\n{_commented(made.rollback)}", end="")
        return FINE
    folder = project.migrations_folder
    for layer, members in _by_layer(folder, left).items():
        made = migration(members, before=before)
        for path in _write(folder, layer, made):
            print(shown(path))
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
    """The tables by the layer whose migrations make them: that of their schema, where there are layers."""
    taken = taken_numbers(folder)
    if not taken or None in taken:
        return {None: dict(tables)}
    found: dict[str | None, dict[str, Sequence[str]]] = {}
    for table, columns in tables.items():
        layer = table.partition(".")[0]
        if layer not in taken:
            raise PlainsqlError(
                f"{table}: there is no layer {layer!r} to write its migration into",
                hint="name the tables to note, or put what is printed without --write where it belongs",
            )
        found.setdefault(layer, {})[table] = columns
    return found


def _write(folder: Path, layer: str | None, made: Migration) -> tuple[Path, Path]:
    up, down = migrate.new(folder, _WHAT, layer=layer)
    up.write_text(made.apply, "utf-8", newline="\n")
    down.write_text(
        f"-- Undo {up.name}.\n-- Lost by it: notes that were not told yet.\n\n{made.rollback}", "utf-8"
    )
    return up, down


def _commented(text: str) -> str:
    return "".join(f"-- {line}".rstrip() + "\n" for line in text.splitlines())
