"""The files of the queries of a project, and of the layers that come with plainsql."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from plainsql.errors import PlainsqlError
from plainsql.layer_folders import packaged_folder
from plainsql.settings import Project
from plainsql.statements import Statement, load_sound

__all__ = ["QueryFile", "QueryFiles"]


class QueryFile(msgspec.Struct, frozen=True):
    """The place of a query's statement."""

    path: str
    """The file, relative to the working folder if that is shorter."""
    line: int
    """The 1-based line at which the statement begins."""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


class QueryFiles:
    """The queries that statements of a server can be of, by name."""

    def __init__(self, project: Project) -> None:
        self.has_project = project.sql_folder.is_dir()
        """False if there is no folder of queries, so that a missing name says nothing."""
        self._folder = project.sql_folder
        self._statements: dict[str, Statement] = {}
        self._layers: set[str] = set()
        if self.has_project:
            try:
                self._statements.update(load_sound(project.sql_folder)[0])
            except PlainsqlError:  # the folder is empty, or cannot be read
                self.has_project = False

    @property
    def statements(self) -> Mapping[str, Statement]:
        """The statements of the project, and of the layers that a name was found in."""
        return self._statements

    def find(self, name: str) -> QueryFile | None:
        """Return the place of a query; None if there is no file of that name."""
        if name not in self._statements:
            self._load_layer(name.partition(".")[0])
        statement = self._statements.get(name)
        if statement is not None:
            return QueryFile(statement.path, statement.body_line)
        file = self._folder.joinpath(*name.split(".")).with_suffix(".sql")
        if file.is_file():  # it has an error, so where its statement begins is not known
            return QueryFile(os.path.relpath(file), 1)
        return None

    def _load_layer(self, layer: str) -> None:
        """Read the queries of a layer that comes with plainsql; those of the project win."""
        if layer in self._layers:
            return
        self._layers.add(layer)
        try:
            folder = packaged_folder("sql", layer)
            found, _ = load_sound(folder)
        except PlainsqlError:
            return
        for name, statement in found.items():
            self._statements.setdefault(f"{layer}.{name}", statement)
