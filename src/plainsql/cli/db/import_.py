"""``plainsql db import``: the rows of an export, into tables."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

from cyclopts import Parameter

from plainsql.cli.db.common import COMMON, FLAG, Common, Session, connected, print_json
from plainsql.cli.db.layer_selection import known_layers
from plainsql.cli.db.progress import bars
from plainsql.cli.exit_codes import COULD_NOT_RUN, FINDINGS, FINE
from plainsql.cli.number_range import NumberRange

if TYPE_CHECKING:
    from plainsql.transfer import Replaced

__all__ = ["import_"]

_MAX_LINE = NumberRange("MiB", 1, 4096, "128")


def import_(
    # Let the hyphen alone through.
    file: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    /,
    *layers: str,
    replace: Annotated[bool, FLAG] = False,
    max_line: Annotated[int, Parameter(validator=_MAX_LINE)] = 64,
    common: Common = COMMON,
) -> int:
    """Import a file of ``plainsql db export`` into a database with the same migrations.

    The import is one transaction. The whole file is checked before the database is changed. Triggers do not
    run; constraints are checked. The file may only hold rows of layers: schemas that have a folder of
    migrations.

    Exits with 0 if all rows are imported, 1 if the file does not fit the database, 2 if it could not run.

    Parameters
    ----------
    file
        The file, unpacked if its name ends in .gz; - is the standard input.
    layers
        The only layers that the file may hold; by default any.
    replace
        Empty the layers' tables first, and show them; name the layers with it. Without it, the tables must
        be empty.
    max_line
        The length of the longest line in MiB; a line is held in memory.
    """
    if str(file).startswith("-") and str(file) != "-":
        print(f"unknown option: {file}", file=sys.stderr)
        return COULD_NOT_RUN
    from plainsql.transfer import TransferError, Transferred, check_file, import_file, open_file

    allowed = {layer.name for layer in known_layers(layers)}
    lost: list[Replaced] = []

    def show_loss(tables: Sequence[Replaced], address: str) -> None:
        lost.extend(tables)
        if not common.json or not layers:
            print(f"{'to be replaced' if layers else 'would be replaced'} in {address}", file=sys.stderr)
            for table in tables:
                about = "" if table.exact else "about "
                print(f"  {table.name}: {about}{table.rows:,} rows", file=sys.stderr)
        if not layers:
            held = sorted({table.layer for table in tables})
            raise TransferError(
                "the layers to replace are not named",
                hint=f"if they are these: plainsql db import {shlex.join([str(file), *held])} --replace",
            )

    def load(session: Session, lines: BinaryIO, name: str, totals: dict[str, int] | None) -> Transferred:
        return import_file(
            session.connection,
            lines,
            name,
            replace=replace,
            layers=allowed,
            max_line_bytes=max_line << 20,
            totals=totals,
            on_replace=lambda tables: show_loss(tables, session.address),
            on_rows=shown,
        )

    def read() -> Transferred:
        if str(file) == "-":
            with connected(common.database) as session:
                return load(session, sys.stdin.buffer, "standard input", None)
        with open_file(file) as lines:
            checked = check_file(
                lines, str(file), layers=allowed, max_line_bytes=max_line << 20, on_rows=shown
            )
        with connected(common.database) as session, open_file(file) as lines:
            return load(session, lines, str(file), checked.rows)

    try:
        with bars() as shown:
            done = read()
    except TransferError as error:
        print(f"{error}\nnothing was imported", file=sys.stderr)
        return FINDINGS
    rows = sum(done.rows.values())
    if common.json:
        report = {"file": str(file), "layers": done.layers, "rows": done.rows, "sha256": done.sha256}
        if replace:
            report["replaced"] = {table.name: table.rows for table in lost}
        print_json(report)
    else:
        print(f"imported {rows:,} rows into {len(done.rows)} tables ({', '.join(done.layers)})")
    return FINE
