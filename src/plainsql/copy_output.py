"""The output of a copy of a query's rows: its options, and its files. It knows no driver."""

from __future__ import annotations

import io
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from plainsql.copy_rows import Progress
from plainsql.options import check
from plainsql.query import Args, Query

__all__ = ["CopyFormat", "Writable", "arguments_of", "mode_of", "write_all"]

CopyFormat = Literal["csv", "text", "binary"]


class Writable(Protocol):
    """A binary file, or an object with its ``write``."""

    def write(self, data: bytes, /) -> object: ...


def arguments_of(
    query: Query[..., Any, Any],
    output: object,
    parameters: Mapping[str, object] | None,
    copy_format: CopyFormat,
    header: bool,
    progress: Progress | None,
) -> Args:
    """Check the options of ``copy_out`` and return the query's arguments."""
    check(
        "copy_out",
        query=query,
        output=output,
        parameters=parameters,
        format=copy_format,
        header=header,
        progress=progress,
    )
    return query.compiled.bind((), dict(parameters or {}))


def write_all(file: Any, data: bytes) -> None:
    """Write all of the data to a file."""
    written = file.write(data)
    # Without a buffer, a pipe accepts as much as it has room for.
    while isinstance(file, io.RawIOBase) and written is not None and written < len(data):
        data = data[written:]
        written = file.write(data)


def mode_of(path: Path) -> int:
    """Return the mode of the replaced file, which may be private, or the mode of a new one."""
    try:
        found = path.lstat()
    except OSError:
        return 0o666
    return stat.S_IMODE(found.st_mode) & 0o666 if stat.S_ISREG(found.st_mode) else 0o666
