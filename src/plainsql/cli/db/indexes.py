"""``plainsql db indexes``: the indexes of each layer, those without a finished build, and builds that run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

from cyclopts import Parameter

from plainsql.cli.db.common import COMMON, FLAG, Common, connected, print_json
from plainsql.cli.db.index_watch import notes_of, remedy, watch_builds
from plainsql.cli.db.layer_selection import present_layers, report_left_out_schemas
from plainsql.cli.exit_codes import FINDINGS, FINE
from plainsql.cli.number_range import NumberRange
from plainsql.cli.tables import Column, print_rows, size_of
from plainsql.workload.index_builds import Index, IndexBuild, read_builds, read_indexes

__all__ = ["indexes"]

_EVERY: Final = NumberRange("seconds", 0, 3600, "1", above_low=True)


def indexes(
    *layers: str,
    watch: Annotated[bool, FLAG] = False,
    every: Annotated[float, Parameter(validator=_EVERY)] = 1.0,
    common: Common = COMMON,
) -> int:
    """Show the indexes of every table, the invalid ones, and the progress of those that are being built.

    An index is invalid if its concurrent build has failed: no query uses it, and writes may keep it up to
    date. The role needs pg_read_all_stats to see the builds of other roles.

    Exits with 0 if no index is invalid, 1 if one is.

    Parameters
    ----------
    layers
        The layers; by default all that the database has, and with --watch every schema.
    watch
        Show the progress of the builds that run, until none does. With --json, print a line at each change.
    every
        The seconds between two looks of --watch.
    """
    with connected(common.database) as session:
        if watch:
            names = [layer.name for layer in present_layers(session.connection, layers)] if layers else None
            return watch_builds(session.connection, names, every=every, json=common.json)
        present = present_layers(session.connection, layers)
        names = [layer.name for layer in present]
        if not layers:
            report_left_out_schemas(session.connection, present)
        builds = read_builds(session.connection, names)
        found = [index for index in read_indexes(session.connection, builds) if index.schema in names]
        notes = notes_of(session.connection, builds)
    if common.json:
        print_json({"indexes": found, "builds": builds, "notes": notes})
    else:
        _show(found, builds, notes)
    return FINDINGS if any(index.state == "invalid" for index in found) else FINE


_HEADINGS: Final = [
    *map(Column, ("layer", "table", "index", "method")),
    Column("size", right=True),
    Column("scans", right=True),
    Column("state"),
]


def _show(found: Sequence[Index], builds: Sequence[IndexBuild], notes: Sequence[str]) -> None:
    print_rows(
        _HEADINGS,
        [
            [
                index.schema,
                index.table,
                index.index,
                index.method,
                size_of(index.bytes),
                f"{index.scans:,}",
                "" if index.state == "valid" else index.state,
            ]
            for index in found
        ],
    )
    for build in builds:
        print(f"building: {build.line}")
    for note in notes:
        print(f"note: {note}")
    for index in found:
        if index.state == "invalid":
            print(f"invalid: {index.name}: no query uses it")
            print(f"HINT: {remedy(index.name)}")
