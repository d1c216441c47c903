"""The folders of layers: those of a project, and those that come with plainsql.

A layer is a schema with migrations and queries of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from plainsql.errors import SettingsError
from plainsql.settings import Project

__all__ = [
    "Layer",
    "known_layer",
    "known_layers",
    "packaged_folder",
    "packaged_layers",
    "project_layers",
]

_WITHOUT_LAYER: Final = "public"


@dataclass(frozen=True, slots=True)
class Layer:
    """A schema with migrations and queries of its own."""

    name: str
    """The schema."""
    migrations: Path
    """The folder that holds the layers' folders of migrations, as ``migrate`` takes it."""
    sql: Path
    """The folder of its queries, which may not exist."""
    is_flat: bool = False
    """True if its migrations are in the folder itself: those of a project without layers, in public."""

    @property
    def ledger(self) -> str | None:
        """The layer's name for ``migrate``, None for a project without layers."""
        return None if self.is_flat else self.name


def project_layers(project: Project) -> dict[str, Layer]:
    """Return the layers of a project by name; none if plainsql's migrations do not make its schema."""
    root = project.migrations_folder
    if not project.owns_schema or not root.is_dir():
        return {}
    found = {
        folder.name: Layer(folder.name, root, project.sql_folder / folder.name)
        for folder in root.iterdir()
        if folder.is_dir() and _has_migrations(folder)
    }
    if _has_migrations(root):
        found[_WITHOUT_LAYER] = Layer(_WITHOUT_LAYER, root, project.sql_folder, is_flat=True)
    return found


def _has_migrations(folder: Path) -> bool:
    # schema.sql is the schema that the migrations make.
    return any(file.name != "schema.sql" for file in folder.glob("*.sql"))


def packaged_layers() -> dict[str, Layer]:
    """Return the layers that come with plainsql, by name."""
    return {
        name: Layer(name, packaged_folder("migrations", name).parent, packaged_folder("sql", name))
        for name in _names("migrations") & _names("sql")
    }


def known_layers() -> dict[str, Layer]:
    """Return the layers that come with plainsql and those of the project, which count first, by name."""
    return packaged_layers() | project_layers(Project.load())


def known_layer(name: str) -> Layer:
    """Return the layer of a name.

    Raises ``SettingsError`` if there is none.
    """
    known = known_layers()
    if name not in known:
        meant = next(iter(get_close_matches(name, known, 1)), None)
        raise SettingsError(
            f"there is no layer {name!r}",
            hint=f"did you mean {meant}?" if meant else f"the layers are {', '.join(sorted(known))}",
        )
    return known[name]


def packaged_folder(kind: str, layer: str) -> Path:
    """Return the folder of a layer that comes with plainsql, ``migrations`` or ``sql`` by ``kind``.

    Raises ``SettingsError`` if there is no such layer.
    """
    for root in _roots(kind):
        if (root / layer).is_dir():
            return root / layer
    raise SettingsError(
        f"there is no layer {layer!r}", hint=f"the layers are {', '.join(sorted(_names(kind)))}"
    )


def _names(kind: str) -> set[str]:
    return {path.name for root in _roots(kind) if root.is_dir() for path in root.iterdir() if path.is_dir()}


def _roots(kind: str) -> tuple[Path, Path]:
    """Return the folder in the installed package, and that at the root of a checkout."""
    package = Path(__file__).resolve().parent
    # src/plainsql is two folders below the root of a checkout.
    return package / "layers" / f"_{kind}", package.parents[1] / kind
