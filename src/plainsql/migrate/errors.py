"""The errors that stop migrations, divided by the operator's next step."""

from __future__ import annotations

from collections.abc import Sequence

from plainsql.errors import MigrationError, Place

__all__ = [
    "DriftError",
    "LockedError",
    "MigrationFailedError",
    "MigrationFolderError",
    "MigrationInterrupted",
]


class MigrationFolderError(MigrationError):
    """The files of a folder cannot be run; the error has all their faults."""

    def __init__(self, errors: Sequence[MigrationError]) -> None:
        self.errors = tuple(errors)
        """At least one, in the order of path and line."""
        count = len(self.errors)
        super().__init__(f"{count} {'error' if count == 1 else 'errors'} in migrations; nothing was run")

    def __str__(self) -> str:
        return "\n\n".join([*map(str, self.errors), self.message])


class MigrationFailedError(MigrationError):
    """The server refused a statement of a migration. ``detail`` says what was kept."""

    def __init__(
        self,
        message: str,
        *,
        migration: str,
        sqlstate: str | None,
        done: Sequence[str],
        place: Place,
        detail: str | None,
        hint: str | None,
    ) -> None:
        super().__init__(message, place=place, detail=detail, hint=hint)
        self.migration = migration
        """The migration's name, such as ``realty/0003_add_index``."""
        self.sqlstate = sqlstate
        """``None`` if the connection was lost."""
        self.done = tuple(done)
        """Names of the migrations that this run completed before; they are kept."""


class MigrationInterrupted(KeyboardInterrupt):
    """A run was interrupted inside a file; the text says which part of the file is kept."""

    def __init__(self, report: MigrationFailedError) -> None:
        super().__init__(str(report))
        self.report = report
        """The same as an error, with the migration, the cancelled statement and a hint."""


class DriftError(MigrationError):
    """The files are not those that were applied: one was edited, or is missing."""


class LockedError(MigrationError):
    """Another run held the lock for longer than the given wait."""
