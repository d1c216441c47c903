"""The migration tool of a repository, found by the files that it needs."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from plainsql.schema.schema_command import watched_by_default
from plainsql.schema.schema_files import tool_of

__all__ = ["FoundTool", "find_tool"]


@dataclass(frozen=True, slots=True)
class FoundTool:
    """The tool that makes a repository's schema."""

    name: str
    place: str
    """The file or folder that it was found by, relative to the root."""
    settings: Mapping[str, str | list[str]]
    """The settings that load its schema."""


_FOLDERS: Final = (
    *("supabase/migrations", "db/migrations", "db/migration", "database/migrations", "migrations"),
    *("src/main/resources/db/migration", "flyway/sql", "sql/migrations", "sql"),
)
_DUMPS: Final = ("schema.sql", "db/schema.sql", "db/structure.sql", "structure.sql", "database/schema.sql")
_MANAGE: Final = ("manage.py", "backend/manage.py", "src/manage.py", "app/manage.py")


def find_tool(root: Path) -> FoundTool | None:
    """Return the tool that makes the schema of the repository at a folder; ``None`` if none is found."""
    return _alembic(root) or _django(root) or _sqitch(root) or _folder(root) or _dump(root)


def _alembic(root: Path) -> FoundTool | None:
    if (root / "migrations" / "env.py").is_file() and not (root / "alembic.ini").is_file():
        # Flask-Migrate has alembic.ini in that folder.
        if (root / "migrations" / "alembic.ini").is_file():
            return FoundTool("Flask-Migrate", "migrations", {"schema_command": "flask db upgrade"})
        return None
    place = "alembic.ini" if (root / "alembic.ini").is_file() else ""
    if not place:
        with suppress(OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, AttributeError):
            document = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
            place = "pyproject.toml" if "alembic" in document.get("tool", {}) else ""
    if not place:
        return None
    command = "alembic upgrade head"
    settings: dict[str, str | list[str]] = {"schema_command": command}
    if not watched_by_default(root, command):
        folders = sorted(file.parent.relative_to(root).as_posix() for file in root.glob("*/env.py"))
        settings["schema_watch"] = folders or ["alembic.ini"]
    return FoundTool("Alembic", place, settings)


def _django(root: Path) -> FoundTool | None:
    for place in _MANAGE:
        file = root / place
        if file.is_file() and b"django" in file.read_bytes():
            return FoundTool("Django", place, {"schema_command": f"python {place} migrate"})
    return None


def _sqitch(root: Path) -> FoundTool | None:
    for folder in (root, *sorted(path for path in root.iterdir() if path.is_dir())):
        if (folder / "sqitch.plan").is_file() and (folder / "deploy").is_dir():
            deploy = (folder / "deploy").relative_to(root).as_posix()
            plan = (folder / "sqitch.plan").relative_to(root).as_posix()
            return FoundTool("Sqitch", plan, {"schema": deploy})
    return None


def _folder(root: Path) -> FoundTool | None:
    for place in _FOLDERS:
        folder = root / place
        if folder.is_dir() and (tool := tool_of(folder)):
            return FoundTool(tool, place, {"schema": place})
    return None


def _dump(root: Path) -> FoundTool | None:
    for place in _DUMPS:
        if (root / place).is_file():
            return FoundTool("a dump", place, {"schema": place})
    return None
