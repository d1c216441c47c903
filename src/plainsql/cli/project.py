"""The project that a command works on, and the SQL that comes with plainsql."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from plainsql.application import tenant_settings
from plainsql.errors import SettingsError
from plainsql.layers.files import migrations_folder, sql_folder
from plainsql.settings import Project

__all__ = ["has_sql", "load_project", "no_project", "packaged_layer", "repository_root", "values_of_tenant"]


def load_project() -> Project:
    """Return the project of the working folder.

    Raises ``SettingsError`` if there is no SQL folder, and so no project.
    """
    project = Project.load()
    if not has_sql(project):
        raise no_project(project)
    return project


def has_sql(project: Project) -> bool:
    """Return True if there is a SQL folder, also if it cannot be read."""
    return os.path.lexists(project.sql_folder)


def no_project(project: Project) -> SettingsError:
    """Return the error of a folder without a project."""
    shown = os.path.relpath(project.sql_folder)
    return SettingsError(
        f"there is no project here: no folder {shown}",
        hint="start one with 'plainsql init'; or name its folder: plainsql -C DIR …; "
        "or set sql in [tool.plainsql]",
    )


def packaged_layer(name: str) -> Project | None:
    """Return the SQL that comes with plainsql, for a query such as ``realty.leads.get_by_id``.

    None if the first part of the name is no layer.
    """
    layer = name.partition(".")[0]
    try:
        sql, migrations = sql_folder(layer), migrations_folder(layer)
    except SettingsError:
        return None
    own = replace(Project.load(), sql=str(sql.parent), migrations=str(migrations.parent))
    return replace(own, schema="", schema_command="", schema_from="")


def values_of_tenant(tenant: str, user: str = "") -> dict[str, str]:
    """Return the settings, with their values, that make a transaction one of a tenant.

    These are the project's, and those that the policies of plainsql's own layers read.
    """
    tenant_setting, user_setting = tenant_settings()
    return {"app.jwt_tenant": tenant, "app.jwt_user": user, tenant_setting: tenant, user_setting: user}


def repository_root() -> Path:
    """Return the root of the repository around the working folder, else the working folder."""
    here = Path.cwd()
    workspace = os.environ.get("GITHUB_WORKSPACE")
    if workspace and here.is_relative_to(Path(workspace).resolve()):
        return Path(workspace).resolve()
    return next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)
