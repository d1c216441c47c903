"""The record of a build of the compiled part: a file in its folder with the sources and versions.

Extension modules are named for a Python and a system, and so is the record: several Pythons share a checkout.
"""

from __future__ import annotations

import json
import zlib
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import NamedTuple

__all__ = ["EXTENSION_SUFFIX", "BuildRecord", "crc_by_source", "read_record", "source_digest", "write_record"]

EXTENSION_SUFFIX = EXTENSION_SUFFIXES[0]
"""The end of the name of an extension module of this Python, such as ``.cpython-311-x86_64-linux-gnu.so``."""

_PATTERNS = ("*.pyx", "*.pxd", "*.pxi", "include/*.h")


class BuildRecord(NamedTuple):
    """The sources and versions of a build, or the reason for its failure."""

    sources: str
    """The digest of the sources: the modules are those of these sources, and of no others."""
    asyncpg: str
    """The version of asyncpg whose declarations they were compiled with."""
    cython: str
    """The version of Cython; empty if the compiler was not even started."""
    failure: str
    """The reason for having no modules, in one line; empty if they were built."""


def read_record(folder: Path) -> BuildRecord | None:
    """Return the record in a folder; None without one that can be read."""
    try:
        fields = json.loads(_path(folder).read_bytes())
        return BuildRecord(*(str(fields[name]) for name in BuildRecord._fields))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_record(folder: Path, record: BuildRecord) -> None:
    """Write the record of a folder, in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    path = _path(folder)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(record._asdict(), indent=2) + "\n", encoding="utf-8")
    unfinished.replace(path)


def crc_by_source(folder: Path) -> dict[str, int]:
    """Return the checksum of each source below a folder, by its name; none if it holds no sources."""
    paths = sorted(path for pattern in _PATTERNS for path in folder.glob(pattern))
    return {path.relative_to(folder).as_posix(): zlib.crc32(path.read_bytes()) for path in paths}


def source_digest(folder: Path) -> str:
    """Return a digest of all sources; empty for an installed package, which holds none."""
    checksums = crc_by_source(folder)
    return f"{zlib.crc32(repr(checksums).encode()):08x}" if checksums else ""


def _path(folder: Path) -> Path:
    return folder / f"_built{EXTENSION_SUFFIX.rpartition('.')[0]}.json"
