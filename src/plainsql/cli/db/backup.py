"""``plainsql db backup``: a backup of a database, or of its whole server."""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from plainsql.cli.db.common import COMMON, FLAG, Common, print_json
from plainsql.cli.db.progress import bars
from plainsql.cli.exit_codes import FINE
from plainsql.cli.number_range import NumberRange
from plainsql.errors import SettingsError
from plainsql.files import create_file
from plainsql.settings import Project, resolve_database

__all__ = ["backup"]

_JOBS = NumberRange("jobs", 1, 64, "4")
_KEEP = NumberRange("backups", 1, 100_000, "14")
_DAYS = NumberRange("days", 1, 36_500, "30")


def backup(
    *,
    to: Path | None = None,
    keep: Annotated[int | None, Parameter(validator=_KEEP)] = None,
    keep_days: Annotated[int | None, Parameter(validator=_DAYS)] = None,
    encrypt: Annotated[bool, FLAG] = False,
    jobs: Annotated[int, Parameter(validator=_JOBS)] = 1,
    no_digests: Annotated[bool, FLAG] = False,
    physical: Annotated[bool, FLAG] = False,
    common: Common = COMMON,
) -> int:
    """Write a backup that plainsql db restore reads, with pg_dump or pg_basebackup.

    It is a folder of its own in the folder of backups, named after the database and the time. It appears when
    it is complete and on the disk. It is a snapshot of one moment, whatever is written meanwhile.

    It is encrypted if PLAINSQL_BACKUP_KEYS is set: id:key,id:key. The first one encrypts.

    Exits with 0 if it is written, 2 if it could not be, 130 or 143 after Ctrl-C or SIGTERM; nothing is left
    then.

    Parameters
    ----------
    to
        The folder of backups, made if it is missing; by default backups in the project, which git ignores.
    keep
        Remove older backups of the same database, except for this number of them.
    keep_days
        Remove those that are older than this number of days. With --keep, only those that neither keeps.
    encrypt
        Fail if there is no key to encrypt with.
    jobs
        The tables that are dumped at the same time.
    no_digests
        Do not read all rows for the digests that db restore --verify compares with.
    physical
        Copy the files of the whole server with pg_basebackup.
    """
    from plainsql.backup import create_base_backup, create_dump, remove_old_backups
    from plainsql.backup.backup_folder import remove_unfinished
    from plainsql.crypto.file_encryption import FILE_KEYS_VARIABLE, FileKeys

    if physical and (jobs > 1 or no_digests):
        raise SettingsError(
            "--physical: --jobs and --no-digests are for dumps", hint="leave them out, or --physical"
        )
    keys = FileKeys.from_environment()
    if encrypt and keys is None:
        raise SettingsError(
            f"--encrypt: {FILE_KEYS_VARIABLE} is not set", hint="create a key: plainsql crypto new-key"
        )
    parent = Project.load().root / "backups" if to is None else to
    for left in remove_unfinished(parent):
        print(f"removed {left}: an earlier backup was killed", file=sys.stderr)
    with resolve_database(common.database) as url:
        try:
            with bars() as shown:
                if physical:
                    folder, manifest = create_base_backup(url, parent, keys=keys, on_progress=shown)
                else:
                    folder, manifest = create_dump(
                        url, parent, keys=keys, jobs=jobs, digests=not no_digests, on_progress=shown
                    )
        except KeyboardInterrupt:
            raise KeyboardInterrupt("interrupted; nothing is left of the backup") from None
    if to is None:
        with suppress(FileExistsError), create_file(parent / ".gitignore") as ignore:
            ignore.write(b"*\n")
    old = remove_old_backups(
        parent, manifest, keep=keep, keep_days=keep_days, now=datetime.now(UTC), keys=keys
    )
    for warning in old.left:
        print(f"warning: {warning}", file=sys.stderr)
    if manifest.kind != "physical" and manifest.program_major > manifest.server_major:
        print(
            f"warning: it was written by pg_dump {manifest.program}, and the server is PostgreSQL "
            f"{manifest.server}: an older server than {manifest.program_major} may refuse it\n"
            f"HINT: install the client programs of PostgreSQL {manifest.server_major}",
            file=sys.stderr,
        )
    if common.json:
        print_json(
            {
                "backup": str(folder),
                "kind": manifest.kind,
                "database": manifest.database,
                "server": manifest.server,
                "program": manifest.program,
                "bytes": manifest.size_bytes,
                "key": manifest.key,
                "files": {file.name: file.sha256 for file in manifest.files},
                "removed": [str(each) for each in old.removed],
            }
        )
        return FINE
    how = "not encrypted" if manifest.key is None else f"encrypted with the key {manifest.key}"
    what = f"the server of {manifest.database}" if physical else manifest.database
    seconds = (manifest.finished - manifest.started).total_seconds()
    print(f"backed up {what} to {folder} in {seconds:.1f} s: {manifest.size_bytes:,} bytes, {how}")
    for each in old.removed:
        print(f"removed {each}")
    return FINE
