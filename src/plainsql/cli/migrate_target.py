"""The migrations that a command of ``plainsql migrate`` is about, and the errors that end it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from plainsql.cli.exit_codes import COULD_NOT_RUN, FINDINGS
from plainsql.errors import PlainsqlError, SettingsError
from plainsql.layers.files import migrations_folder
from plainsql.settings import Project

__all__ = ["Target", "guarded", "of_database", "own_folder"]


def own_folder() -> Path:
    """Return the project's folder of migrations.

    Raises ``SettingsError`` if the schema is not plainsql's: then nothing is created in its database.
    """
    project = Project.load()
    if not project.owns_schema:
        raise SettingsError(
            f"the schema is not plainsql's: {project.schema_origin} in [tool.plainsql] makes it; "
            "nothing was run",
            hint="use that; to move to plainsql's migrations, set migrations in its place, then "
            "plainsql migrate mark --to NNNN",
        )
    return project.migrations_folder


@Parameter(name="*")
@dataclass(frozen=True)
class Target:
    """The options of all commands: the database and the migrations."""

    database: Annotated[str | None, Parameter(name="--database")] = None
    "URL of the database. Without it: DATABASE_URL or DB_*, then pyproject.toml, then the embedded server."
    folder: Annotated[Path | None, Parameter(name="--folder")] = None
    "Folder of the migrations; by default that of pyproject.toml, or 'migrations'."
    layer: Annotated[tuple[str, ...], Parameter(name="--layer", negative=(), show_default=False)] = ()
    """Only this layer; repeat it for several, which run in that order. A layer that comes with plainsql
    (realty, whatsapp, …) need not be in the folder."""

    @property
    def path(self) -> Path:
        if self.folder is not None:
            return self.folder
        own = own_folder()
        if self.layer and not any((own / layer).is_dir() for layer in self.layer):
            with suppress(SettingsError):
                return migrations_folder(self.layer[0]).parent
        return own

    @property
    def layers(self) -> Sequence[str] | None:
        return self.layer or None


def guarded(run: Callable[[], int]) -> int:
    """Run a command, print its error, and return its exit code."""
    try:
        return run()
    except (PlainsqlError, ModuleNotFoundError) as error:
        if isinstance(error, PlainsqlError) and error.hint:
            error.hint = of_database(error.hint)
        print(error, file=sys.stderr)
        return _exit_code(error)
    except KeyboardInterrupt as interrupt:
        if str(interrupt):  # it says which part of the interrupted file is kept
            raise
        raise KeyboardInterrupt("interrupted; only the migrations reported as done are kept") from None


def of_database(text: str) -> str:
    """Return a text whose commands of ``plainsql migrate`` name the database, in a project with several."""
    if "plainsql migrate" not in text:
        return text
    name = Project.load().name
    return text.replace("plainsql migrate", f"plainsql --db {name} migrate") if name else text


def _exit_code(error: Exception) -> int:
    if isinstance(error, ModuleNotFoundError):
        return COULD_NOT_RUN
    from plainsql.migrate.errors import DriftError, MigrationFailedError

    return FINDINGS if isinstance(error, DriftError | MigrationFailedError) else COULD_NOT_RUN
