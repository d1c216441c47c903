"""The folders of the layers' SQL files: in the installed package, or at the root of a checkout."""

from __future__ import annotations

from pathlib import Path

from plainsql.layer_folders import packaged_folder

__all__ = ["migrations_folder", "sql_folder"]


def migrations_folder(layer: str) -> Path:
    """Return the folder of a layer's migrations; ``migrate`` takes its parent, with ``layers=[layer]``.

    Raises ``SettingsError`` if there is no such layer.
    """
    return packaged_folder("migrations", layer)


def sql_folder(layer: str) -> Path:
    """Return the folder of a layer's queries.

    Raises ``SettingsError`` if there is no such layer.
    """
    return packaged_folder("sql", layer)
