"""Plain SQL migrations, applied through yoyo on psycopg 3.

The files are ``migrations/<layer>/NNNN_<what>.sql``, each with ``NNNN_<what>.rollback.sql``; without layers
they are in the folder itself. A file runs in one transaction together with its record, unless it starts with
``-- transactional: false``. yoyo's own tools can read the records.

    from plainsql import migrate

    migrate.apply("postgresql://localhost/shop", "migrations")
"""

from __future__ import annotations

try:
    from plainsql.migrate.discovery import Folder, Migration, read_folder
    from plainsql.migrate.errors import (
        DriftError,
        LockedError,
        MigrationFailedError,
        MigrationFolderError,
        MigrationInterrupted,
    )
    from plainsql.migrate.marks import Mark
    from plainsql.migrate.results import MigrationStatus, Progress, Run, Status, Step
    from plainsql.migrate.reversibility import SchemaDifference, Verification, verify
    from plainsql.migrate.run import apply, mark, rollback, status
    from plainsql.migrate.scaffold import new
except ModuleNotFoundError as error:
    if error.name not in ("psycopg", "yoyo"):
        raise
    raise ModuleNotFoundError(
        f"plainsql.migrate needs {error.name}, which is not installed\nHINT: pip install 'plainsql[migrate]'",
        name=error.name,
    ) from error

__all__ = [
    "DriftError",
    "Folder",
    "LockedError",
    "Mark",
    "Migration",
    "MigrationFailedError",
    "MigrationFolderError",
    "MigrationInterrupted",
    "MigrationStatus",
    "Progress",
    "Run",
    "SchemaDifference",
    "Status",
    "Step",
    "Verification",
    "apply",
    "mark",
    "new",
    "read_folder",
    "rollback",
    "status",
    "verify",
]
