"""Backups of a database by PostgreSQL's own programs: whole or absent, compared after a trial restore.

A backup is a folder with a manifest. Its files are those of ``pg_dump`` or ``pg_basebackup``, encrypted if
there are keys. A backup goes through the modules in this order: ``contents``, ``child_process``,
``backup_folder``, ``manifest``, ``dump`` or ``physical``, ``retention``; and comes back through
``stored_files``, ``role_definitions``, ``target_database``, ``restore``. All functions block.
"""

from __future__ import annotations

from plainsql.backup.dump import create_dump
from plainsql.backup.errors import BackupError
from plainsql.backup.manifest import Manifest
from plainsql.backup.physical import create_base_backup, unpack_base_backup
from plainsql.backup.restore import Restored, check_backup, restore_dump
from plainsql.backup.retention import Retention, remove_old_backups
from plainsql.backup.stored_files import find_backup
from plainsql.crypto.file_encryption import FileKeys

__all__ = [
    "BackupError",
    "FileKeys",
    "Manifest",
    "Restored",
    "Retention",
    "check_backup",
    "create_base_backup",
    "create_dump",
    "find_backup",
    "remove_old_backups",
    "restore_dump",
    "unpack_base_backup",
]
