"""The schema that plainsql's own migrations create."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from plainsql import migrate
from plainsql.errors import SettingsError
from plainsql.migrate.discovery import SCHEMA_FILE, display_path
from plainsql.schema.schema_files import refuse_python, tool_of

__all__ = ["MigrationsFolder"]


@dataclass(frozen=True, slots=True)
class MigrationsFolder:
    """A folder of plainsql's migrations; if it does not exist, the schema is empty."""

    folder: Path
    to: str | None = None
    """The last migration to apply; all by default."""
    layers: tuple[str, ...] | None = None
    """Only these layers."""

    @property
    def identity(self) -> bytes:
        return os.fsencode(self.folder.resolve())

    def digest(self) -> str:
        """Return the digest of the migrations, without rollbacks and the file of their schema."""
        digest = hashlib.sha256(repr((self.to, self.layers)).encode() if self.to or self.layers else b"")
        for file in sorted(self.folder.rglob("*.sql")):
            if not file.name.endswith(".rollback.sql") and file.name != SCHEMA_FILE:
                digest.update(str(file.relative_to(self.folder)).encode() + b"\0" + file.read_bytes() + b"\0")
        return digest.hexdigest()

    def apply(self, url: str) -> None:
        if not self.folder.is_dir():
            return
        refuse_python(self.folder)
        try:
            migrate.apply(url, self.folder, to=self.to, layers=self.layers)
        except migrate.MigrationFolderError:
            if tool := tool_of(self.folder):
                where = display_path(self.folder)
                raise SettingsError(
                    f"the migrations in {where} are {tool}'s, not plainsql's",
                    hint=f'set schema = "{where}" in [tool.plainsql] in place of migrations',
                ) from None
            raise
        except migrate.MigrationFailedError as error:
            where = "on the scratch database, which is dropped: no other database was changed"
            error.detail = f"{error.detail}\n        {where}" if error.detail else where
            raise
