"""``migrate new``: the two files of a new migration."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

from plainsql.errors import MigrationError
from plainsql.migrate.discovery import LAYER_NAME, taken_numbers
from plainsql.options import check

__all__ = ["new"]

_UP = """\
-- {title}
-- Lock: which, on which table, and for how long.
-- Undone by {rollback}.

"""
_DOWN = """\
-- Undo {up}.
-- Lost by it: which data, if any.

"""


def new(folder: str | os.PathLike[str], what: str, *, layer: str | None = None) -> tuple[Path, Path]:
    """Create ``NNNN_<what>.sql`` and its rollback file, with the next number and without statements.

    ``what`` describes the change in a few words: "add phone to leads". A missing folder is created. Returns
    both paths, the migration's first.

    Raises ``MigrationError`` if ``what`` has no letter, or if the folder has layers and none is named.
    """
    check("migrate.new", folder=folder, what=what, layer=layer)
    root = Path(folder)
    # Only file names are read: a migration without statements does not prevent the next one.
    taken = taken_numbers(root)
    if layer is None and taken and None not in taken:
        layers = ", ".join(str(name) for name in taken)
        raise MigrationError(
            "expected the layer that the migration is for", hint=f"name one with --layer: {layers}"
        )
    ascii_only = unicodedata.normalize("NFKD", what).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "_", ascii_only).strip("_")[:80].rstrip("_")
    if not slug:
        raise MigrationError(f"expected a few words that name the migration, got {what!r}")
    if layer is not None and not LAYER_NAME.fullmatch(layer):
        raise MigrationError(
            f"{layer!r} is not a name of a layer", hint="lower-case letters, digits and _; at most 41"
        )
    number = max(taken.get(layer, ()), default=0) + 1
    target = root / layer if layer else root
    target.mkdir(parents=True, exist_ok=True)
    up = target / f"{number:04d}_{slug}.sql"
    down = target / f"{number:04d}_{slug}.rollback.sql"
    title = " ".join(what.split())
    title = title[:1].upper() + title[1:]
    for path, text in (
        (up, _UP.format(title=title.rstrip(".") + ".", rollback=down.name)),
        (down, _DOWN.format(up=up.name)),
    ):
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    return up, down
