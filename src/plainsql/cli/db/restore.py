"""``plainsql db restore``: a backup as a new database, or on trial."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from plainsql.cli.db.common import FLAG, print_json
from plainsql.cli.db.progress import bars
from plainsql.cli.exit_codes import FINDINGS, FINE
from plainsql.cli.number_range import NumberRange
from plainsql.errors import SettingsError, printable
from plainsql.settings import hide_password
from plainsql.urls import plain_url

if TYPE_CHECKING:
    from plainsql.backup.restore import Restored

__all__ = ["restore"]

_JOBS = NumberRange("jobs", 1, 64, "4")
_HOURS = NumberRange("hours", 1, 876_000, "26")
_CLOCK_STEP = timedelta(hours=1)


def restore(
    backup: Path,
    /,
    *,
    to: str | None = None,
    verify: Annotated[bool, FLAG] = False,
    replace: Annotated[bool, FLAG] = False,
    no_owner: Annotated[bool, FLAG] = False,
    create_roles: Annotated[bool, FLAG] = False,
    unencrypted: Annotated[bool, FLAG] = False,
    max_age: Annotated[int | None, Parameter(validator=_HOURS)] = None,
    jobs: Annotated[int, Parameter(validator=_JOBS)] = 1,
    json: Annotated[bool, Parameter(name="--json", negative=(), show_default=False)] = False,
) -> int:
    """Restore a backup as a new database, or try it on the embedded server.

    The configured database is never restored into: you name the target. All files are checked first. The
    backup is restored into another database, which gets the target's name when it is whole.

    A backup runs its statements on the server: restore only backups that you trust.

    Exits with 0 if it is restored, 1 if --verify finds a difference, 2 if it could not run, 130 or 143 after
    Ctrl-C or SIGTERM; the server is as it was then.

    Parameters
    ----------
    backup
        The backup's folder, or a folder of backups of one database: its newest one is taken.
    to
        URL of the database, which is missing or empty; of a physical backup, a new folder.
    verify
        Compare all rows and objects with the backup. Without --to, restore it on a private embedded server
        for that, which is removed afterwards.
    replace
        Put it in the place of a database that is not empty: that one is renamed, and its sessions are ended.
    no_owner
        Leave out owners and privileges.
    create_roles
        Create the roles of the backup that the server lacks, without passwords, and never as superusers.
    unencrypted
        Take a backup that is not encrypted, though PLAINSQL_BACKUP_KEYS is set. Anyone can have written it.
    max_age
        Exit with 1 if the backup is older than this number of hours, or dated in the future. It is restored
        all the same.
    jobs
        The tables that are restored at the same time.
    """
    if to is None and not verify:
        raise SettingsError(
            "the target is not named", hint="name a database with --to URL, or try the backup with --verify"
        )
    from plainsql.backup import check_backup, find_backup, restore_dump, unpack_base_backup
    from plainsql.crypto.file_encryption import FileKeys

    folder, manifest = find_backup(backup)
    place: Path | None = None
    if manifest.kind == "physical" and (replace or no_owner or create_roles or jobs > 1):
        raise SettingsError(
            f"{folder} is a physical backup: --replace, --no-owner, --create-roles and --jobs are for dumps",
            hint="leave them out",
        )
    keys = FileKeys.from_environment()
    try:
        with bars() as shown:
            if manifest.kind == "physical":
                place = unpack_base_backup(
                    folder,
                    manifest,
                    None if to is None else Path(to),
                    keys=keys,
                    verify=verify,
                    unencrypted=unencrypted,
                    on_progress=shown,
                )
                done = None
            elif to is None:
                done = check_backup(folder, manifest, keys=keys, unencrypted=unencrypted, on_progress=shown)
            else:
                done = restore_dump(
                    plain_url(to),
                    folder,
                    manifest,
                    keys=keys,
                    replace=replace,
                    no_owner=no_owner,
                    create_roles=create_roles,
                    jobs=jobs,
                    verify=verify,
                    unencrypted=unencrypted,
                    on_progress=shown,
                )
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted; nothing is left of the restore") from None
    if done is None:
        code = _print_physical(folder, place, verify=verify, json=json)
    else:
        where = "the embedded server" if to is None else hide_password(to)
        taken = f"{manifest.started:%Y-%m-%d %H:%M:%S %Z}"
        code = _print_dump(folder, taken, where, done, verify=verify, json=json, kept=to)
    fault = None if max_age is None else _age_fault(manifest.finished, max_age)
    if fault is not None:
        print(f"{folder} is {fault}", file=sys.stderr)
        return FINDINGS
    return code


def _age_fault(finished: datetime, hours: int) -> str | None:
    age = datetime.now(UTC) - finished
    if age < -_CLOCK_STEP:
        return f"dated in the future: {finished:%Y-%m-%d %H:%M:%S %Z}"
    if age > timedelta(hours=hours):
        return f"{age / timedelta(hours=1):,.1f} hours old: expected at most {hours:,}"
    return None


def _print_physical(folder: Path, place: Path | None, *, verify: bool, json: bool) -> int:
    if json:
        print_json(
            {"backup": str(folder), "folder": None if place is None else str(place), "verified": verify}
        )
    elif place is None:
        print(f"{folder}: all files are as the server had them")
    else:
        print(f"unpacked {folder} to {place}; start it with: pg_ctl -D {place} start")
    return FINE


def _print_dump(
    folder: Path, taken: str, where: str, done: Restored, *, verify: bool, json: bool, kept: str | None
) -> int:
    tables = done.contents.tables or ()
    rows = sum(table.rows for table in tables)
    for name in done.dropped:
        print(f"dropped the database {name}: an earlier restore was killed", file=sys.stderr)
    if json:
        print_json(
            {
                "backup": str(folder),
                "target": None if kept is None else where,
                "verified": verify,
                "differences": done.differences,
                "tables": {table.name: table.rows for table in tables},
                "replaced": done.old_name,
                "created_roles": done.created_roles,
                "notes": done.notes,
            }
        )
    elif done.differences:
        print(f"{folder} came back with differences on {where}")
        for difference in done.differences:
            print(f"  {printable(difference)}")
    elif kept is None:
        objects = f"{rows:,} rows of {len(tables)} tables, {len(done.contents.objects):,} objects"
        print(f"{folder} came back whole: {objects}, as of {taken}")
    else:
        checked = f", and compared: {rows:,} rows of {len(tables)} tables" if verify else ""
        print(f"restored {folder} to {where}{checked}")
    if done.differences:
        if kept is not None:
            print("nothing was restored", file=sys.stderr)
        return FINDINGS
    if json:
        return FINE
    for note in done.notes:
        print(f"note: {printable(note)}", file=sys.stderr)
    if done.created_roles:
        names = printable(", ".join(done.created_roles))
        print(f"created the roles {names}: they have no passwords")
    if done.old_name is not None:
        print(f"the database that was there is {done.old_name} now: drop it when you do not need it")
        print("results of it may be in the cache of your programs: clear it with db.cache.clear()")
    return FINE
