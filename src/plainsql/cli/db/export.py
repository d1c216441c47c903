"""``plainsql db export``: the rows of layers as JSON lines."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

from cyclopts import Parameter

from plainsql.cli.db.common import COMMON, FLAG, Common, connected, print_json
from plainsql.cli.db.layer_selection import present_layers, report_left_out_schemas
from plainsql.cli.db.progress import bars
from plainsql.cli.exit_codes import COULD_NOT_RUN, FINE
from plainsql.files import remove_leftovers

__all__ = ["export"]


def export(
    *layers: str,
    output: Annotated[
        Path, Parameter(name=["--output", "-o"], show_default=False, allow_leading_hyphen=True)
    ],
    force: Annotated[bool, FLAG] = False,
    common: Common = COMMON,
) -> int:
    """Write the rows of layers to a file that ``plainsql db import`` reads back exactly.

    The file is a snapshot of one moment, whatever is written meanwhile. It appears when it is complete.

    Exits with 0 if it is written, 2 if it could not be, 130 or 143 after Ctrl-C or SIGTERM; no file is left
    then.

    Parameters
    ----------
    layers
        The layers; by default all that the database has.
    output
        The file, gzipped if its name ends in .gz; - is the standard output.
    force
        Overwrite the file.
    """
    from plainsql.transfer import create_file, export_schemas

    to_stdout = str(output) == "-"
    if to_stdout and common.json:
        print("--json and -o - both write to the standard output", file=sys.stderr)
        return COULD_NOT_RUN
    with connected(common.database) as session:
        present = present_layers(session.connection, layers)
        names = [layer.name for layer in present]
        if not layers:
            report_left_out_schemas(session.connection, present)
        if not to_stdout:
            for left in remove_leftovers(output):
                print(f"removed {left}: an earlier export was killed", file=sys.stderr)
        target = _stdout() if to_stdout else create_file(output, overwrite=force)
        try:
            with bars() as shown, target as file:
                done = export_schemas(session.connection, names, file, on_rows=shown)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("interrupted; nothing is left of the export") from None
    rows = sum(done.rows.values())
    if common.json:
        size = output.stat().st_size
        print_json(
            {
                "file": str(output),
                "bytes": size,
                "layers": done.layers,
                "rows": done.rows,
                "sha256": done.sha256,
            }
        )
    else:
        where = "the standard output" if to_stdout else output
        print(
            f"exported {rows:,} rows of {len(done.rows)} tables ({', '.join(done.layers)}) to {where}",
            file=sys.stderr if to_stdout else sys.stdout,
        )
    return FINE


@contextmanager
def _stdout() -> Generator[BinaryIO]:
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        # The rest of the buffer goes to the null device, so that flushing it at exit does not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OSError(error.errno, error.strerror, "the standard output") from None
