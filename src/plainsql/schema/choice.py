"""The source of a project's schema, by its settings."""

from __future__ import annotations

from plainsql.schema.migrations import MigrationsFolder
from plainsql.schema.schema_source import SchemaSource
from plainsql.settings import Project

__all__ = ["schema_source"]


def schema_source(project: Project) -> SchemaSource:
    """Return the source of a project's schema."""
    return MigrationsFolder(project.migrations_folder)
