"""A whole project, inspected: its SQL folder against its scratch database, and the modules that this makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from plainsql import codegen, statements
from plainsql.analysis.scratch import scratch_database
from plainsql.codegen.modules import Module
from plainsql.errors import PlainsqlError
from plainsql.review.inspect import Inspection, inspect
from plainsql.settings import Project
from plainsql.statements import Statement

__all__ = ["Review", "review"]


@dataclass(frozen=True, slots=True)
class Review:
    """What a project's SQL is, and what is wrong with it."""

    statements: tuple[Statement, ...]
    inspection: Inspection
    modules: tuple[Module, ...]
    errors: tuple[PlainsqlError, ...]
    """In the order of files and places; empty where everything holds."""
    files: dict[Path, str]
    """The generated files, relative to the output folder."""


def review(
    project: Project, database: str | None = None, *, only: Sequence[Path] = (), anew: bool = False
) -> Review:
    """Inspect a project.

    Args:
        project: where its files are.
        database: a database of the server to build the scratch database on.
        only: SQL files to look at; all by default.
        anew: build the scratch database even where it is there.

    Raises ``SqlFileError`` or ``SqlFolderError`` where files cannot be loaded, and what ``scratch_database`` raises.
    """
    catalog = statements.load(project.sql_folder)
    wanted = {file.resolve() for file in only}
    chosen = tuple(s for s in catalog.values() if not wanted or Path(s.path).resolve() in wanted)
    with scratch_database(project.migrations_folder, database, anew=anew) as connection:
        inspection = inspect(connection, chosen)
    modules, contradictions = codegen.plan_modules(inspection.checked, project.import_name)
    errors = sorted([*inspection.errors, *contradictions], key=_order)
    files = codegen.sources(modules, project.sql)
    return Review(chosen, inspection, tuple(modules), tuple(errors), files)


def _order(error: PlainsqlError) -> tuple[str, int, int]:
    place = error.place
    return (place.path, place.line, place.column) if place else ("", 0, 0)
