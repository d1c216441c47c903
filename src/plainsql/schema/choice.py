"""The source of a project's schema, by its settings."""

from __future__ import annotations

from plainsql.errors import SettingsError
from plainsql.schema.migrations import MigrationsFolder
from plainsql.schema.schema_command import CommandSchema
from plainsql.schema.schema_source import SchemaSource
from plainsql.schema.sql_schema import SqlSchema
from plainsql.settings import Project

__all__ = ["schema_source"]


def schema_source(project: Project) -> SchemaSource:
    """Return the source of a project's schema."""
    if project.schema:
        return SqlSchema(project.root / project.schema)
    if project.schema_from:
        return _pulled(project)
    if project.schema_command:
        return CommandSchema(
            project.root,
            project.schema_command,
            project.schema_watch,
            project.schema_variables,
            project.schema_timeout,
        )
    return MigrationsFolder(project.migrations_folder)


def _pulled(project: Project) -> SqlSchema:
    file = project.schema_path
    if not file.is_file():
        raise SettingsError(
            f"schema_file in [tool.plainsql]: there is no file {project.schema_file}",
            hint="write it: plainsql schema pull",
        )
    return SqlSchema(file)
