"""The files of relations, made as large as production's: holes, which take no room on the disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from plainsql.files import create_file
from plainsql.plans.copy.page_checksum import PAGE_BYTES

__all__ = ["give_like", "pages_of", "stretch"]

_SEGMENT_PAGES: Final = 131_072
"""The pages of a full segment: 1 GB."""


def stretch(path: Path, pages: int) -> None:
    """Make the file of a relation, with its segments, this many pages long; a longer one stays as it is."""
    for number in range(max(1, -(-pages // _SEGMENT_PAGES))):
        segment = path if number == 0 else path.with_name(f"{path.name}.{number}")
        if not segment.exists():
            create_file(segment, 0o600).close()
            give_like(path, segment)
        size = min(pages - number * _SEGMENT_PAGES, _SEGMENT_PAGES) * PAGE_BYTES
        if segment.stat().st_size < size:
            os.truncate(segment, size)


def pages_of(path: Path) -> int:
    """Return the length of a relation's first segment, in pages."""
    return path.stat().st_size // PAGE_BYTES


def give_like(model: Path, path: Path) -> None:
    """Give a new file to the owner of another one: root may serve the data of an unprivileged user."""
    owner, own = model.stat(), path.stat()
    if (owner.st_uid, owner.st_gid) != (own.st_uid, own.st_gid):
        os.chown(path, owner.st_uid, owner.st_gid)
