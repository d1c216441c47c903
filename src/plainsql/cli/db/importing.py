"""``plainsql db import``: what ``export`` wrote, back into tables."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from plainsql.cli.db.bars import bars
from plainsql.cli.db.session import COMMON, FLAG, Common, connected, print_json
from plainsql.cli.exits import COULD_NOT_RUN, FINDINGS, FINE

__all__ = ["import_"]


def import_(
    # Let the hyphen alone through.
    file: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    replace: Annotated[bool, FLAG] = False,
    common: Common = COMMON,
) -> int:
    """Read a file of ``plainsql db export`` into a database with the same migrations.

    All of it or nothing: it is one transaction. The file is checked from the first line to the last before
    the database is touched. Triggers do not run; constraints are checked.

    Exits with 0 where all rows are in, 1 where the file or the database is not as it must be, 2 where it
    could not run.

    Parameters
    ----------
    file
        The file, unpacked where its name ends in .gz; - is the standard input.
    replace
        Empty the layers' tables first. Without it, they must be empty.
    """
    if str(file).startswith("-") and str(file) != "-":
        print(f"unknown option: {file}", file=sys.stderr)
        return COULD_NOT_RUN
    from plainsql.transfer import TransferError, Transferred, check_file, import_file, open_file

    def read() -> Transferred:
        if str(file) == "-":
            with connected(common.database) as session, bars() as shown:
                lines = sys.stdin.buffer
                return import_file(
                    session.connection, lines, "standard input", replace=replace, on_rows=shown
                )
        with bars() as shown:
            with open_file(file) as lines:
                totals = check_file(lines, str(file), on_rows=shown).rows
            with connected(common.database) as session, open_file(file) as lines:
                return import_file(
                    session.connection, lines, str(file), replace=replace, totals=totals, on_rows=shown
                )

    try:
        done = read()
    except TransferError as error:
        print(f"{error}\nnothing was imported", file=sys.stderr)
        return FINDINGS
    rows = sum(done.rows.values())
    if common.json:
        print_json({"file": str(file), "layers": done.layers, "rows": done.rows, "sha256": done.sha256})
    else:
        print(f"imported {rows:,} rows into {len(done.rows)} tables ({', '.join(done.layers)})")
    return FINE
