"""The error of a backup and of a restore."""

from __future__ import annotations

from plainsql.errors import PlainsqlError

__all__ = ["BackupError"]


class BackupError(PlainsqlError):
    """A backup or a restore failed, and left nothing: no backup, no database."""
