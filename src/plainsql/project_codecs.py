"""The codecs that ``[tool.plainsql.codecs]`` names, imported when a database is connected."""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from typing import Any

from plainsql.codec import Codec, CodecMap
from plainsql.errors import Place, SettingsError
from plainsql.settings import Project

__all__ = ["codecs_of_project", "codecs_once"]


def codecs_of_project(given: CodecMap | None = None) -> CodecMap:
    """Return the codecs that are given, else those of ``[tool.plainsql.codecs]``, whose modules are imported.

    Raises ``SettingsError`` if there is no such module, or no codec of that name in it.
    """
    if given is not None:
        return given
    project = Project.load()
    return {name: _imported(name, path, project) for name, path in project.codecs.items()}


@cache
def codecs_once() -> CodecMap:
    """Return the project's codecs. They are read once: executors are made often."""
    return codecs_of_project()


def _imported(name: str, path: object, project: Project) -> Codec[Any]:
    module, _, attribute = path.rpartition(".") if isinstance(path, str) else ("", "", "")
    place = f"codecs.{name} in [tool.plainsql]"
    if not module:
        raise _error(project, f"{place}: expected the path of a Codec, got {path!r}")
    try:
        found: object = getattr(_import(module, project), attribute, None)
    except Exception as error:  # the module is the project's, and may raise anything
        raise _error(project, f"{place}: {module} cannot be imported: {error}") from error
    if not isinstance(found, Codec):
        raise _error(project, f"{place}: expected a plainsql.Codec, got {type(found).__name__}")
    return found


def _import(module: str, project: Project) -> Any:
    """Import a module; a command is not started from the folder of the project's modules."""
    folders = [str(folder) for folder in (project.root, project.root / "src")]
    before = list(sys.path)
    sys.path += [folder for folder in folders if folder not in sys.path]
    try:
        return import_module(module)
    finally:
        sys.path[:] = before


def _error(project: Project, message: str) -> SettingsError:
    return SettingsError(
        message,
        place=Place(str(project.root / "pyproject.toml")),
        hint='write, for example, geometry = "shop.codecs.geometry", and define that plainsql.Codec',
    )
