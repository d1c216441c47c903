"""The version of asyncpg that is installed, and the ways to run a statement that it has."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Final

import asyncpg

__all__ = ["IS_KNOWN", "PIPELINES_RETURN_ROWS"]


def is_known(installed: str) -> bool:
    """Return whether the fast path was tested with a version of asyncpg: 0.29 to 0.32."""
    found = re.match(r"0\.(\d+)(?:\.|$)", installed)
    return found is not None and 29 <= int(found[1]) <= 32


IS_KNOWN: Final = is_known(version("asyncpg"))
"""True if statements may go to asyncpg's protocol directly. If not, its public methods run them."""

PIPELINES_RETURN_ROWS: Final = hasattr(asyncpg.Connection, "fetchmany")
"""True if asyncpg returns the rows of a pipeline: from 0.30 on."""
