"""The folders of the layers' SQL files: in the installed package, or at the root of a checkout."""

from __future__ import annotations

from pathlib import Path

from plainsql.errors import SettingsError

__all__ = ["migrations_folder", "sql_folder"]


def migrations_folder(layer: str) -> Path:
    """Return the folder of a layer's migrations; ``migrate`` takes its parent, with ``layers=[layer]``.

    Raises ``SettingsError`` if there is no such layer.
    """
    return _folder("migrations", layer)


def sql_folder(layer: str) -> Path:
    """Return the folder of a layer's queries.

    Raises ``SettingsError`` if there is no such layer.
    """
    return _folder("sql", layer)


def _folder(kind: str, layer: str) -> Path:
    here = Path(__file__).resolve()
    # src/plainsql/layers/files.py is three folders below the root of a checkout.
    roots = (here.parent / f"_{kind}", here.parents[3] / kind)
    for root in roots:
        if (root / layer).is_dir():
            return root / layer
    layers = sorted(
        {path.name for root in roots if root.is_dir() for path in root.iterdir() if path.is_dir()}
    )
    raise SettingsError(f"there is no layer {layer!r}", hint=f"the layers are {', '.join(layers)}")
