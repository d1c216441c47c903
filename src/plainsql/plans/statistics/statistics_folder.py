"""The folder of production's statistics, by the project's settings."""

from __future__ import annotations

from pathlib import Path

from plainsql.errors import Place, SettingsError
from plainsql.settings import Project

__all__ = ["statistics_folder"]


def statistics_folder(project: Project) -> Path | None:
    """Return the folder that the setting ``stats`` names; None if it has its default and there is none.

    Raises ``SettingsError`` if it names another folder that does not exist.
    """
    folder = project.stats_folder
    if folder.is_dir():
        return folder
    if project.stats:
        raise SettingsError(
            f"stats in [tool.plainsql]: there is no folder {project.stats!r}",
            place=Place(str(project.root / "pyproject.toml")),
            hint=f"write it: plainsql stats pull --database URL -o {project.stats}",
        )
    return None
