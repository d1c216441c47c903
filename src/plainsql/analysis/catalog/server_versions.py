"""The majors of PostgreSQL that have a function, an operator, a column of the catalog, or a type."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Final

__all__ = ["DATA_NAME", "NEWEST", "OLDEST", "first_major"]

OLDEST: Final = 14
NEWEST: Final = 18
"""The majors that plainsql supports."""

DATA_NAME: Final = "server_versions.tsv"
"""The file with the names that some major lacks; scripts/server_catalogs.py writes it."""


def first_major(kind: str, *names: str) -> int:
    """Return the first major that has an object of the newest server under one of these names.

    The first name is the one that it has there. Further names are those that a call of it fits in an older
    server, such as a function with fewer arguments.
    """
    known = [_ranges()[kind, name][0] for name in names if (kind, name) in _ranges()]
    return OLDEST if (kind, names[0]) not in _ranges() else min(known)


@lru_cache(maxsize=1)
def _ranges() -> dict[tuple[str, str], tuple[int, int]]:
    """Return the first and last major of each name that not all majors have."""
    ranges: dict[tuple[str, str], tuple[int, int]] = {}
    text = files("plainsql.analysis.catalog").joinpath(DATA_NAME).read_text("utf-8")
    for line in text.splitlines():
        if not line.startswith("#"):
            majors, kind, name = line.split("\t")
            first, last = majors.split("-")
            ranges[kind, name] = int(first), int(last)
    return ranges
