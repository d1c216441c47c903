"""The paths of the pages: one for each query, table and migration, safe on every file system."""

from __future__ import annotations

import hashlib
from typing import Final

__all__ = ["migration_path", "query_path", "table_path"]

_SAFE: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_.-")
_MAX_CHARS: Final = 120


def query_path(name: str) -> str:
    """Return the path of a query's page below the site's folder, with ``/``."""
    return f"queries/{_file_name(name)}.html"


def table_path(name: str) -> str:
    """Return the path of a table's page below the site's folder, with ``/``."""
    return f"tables/{_file_name(name)}.html"


def migration_path(name: str) -> str:
    """Return the path of a migration's page below the site's folder, with ``/``."""
    # A layer's name has no dot: no two migrations get one path.
    return f"migrations/{_file_name(name.replace('/', '.', 1))}.html"


def _file_name(name: str) -> str:
    """Return a name without characters that a file system or an address treats specially.

    Two names never share a file: capital letters are written as numbers, because some file systems ignore
    case. The name of each folder's list, ``index``, belongs to no sheet.
    """
    safe = "".join(char if char in _SAFE else f"~{ord(char):x}~" for char in name)
    if len(safe) > _MAX_CHARS:
        digest = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
        safe = f"{safe[:_MAX_CHARS]}~{digest}"
    return f"{safe}~" if safe == "index" or safe.startswith(".") else safe
