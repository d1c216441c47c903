"""The plan of a run: its steps in order, from the files and the records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from plainsql.errors import MigrationError, Place
from plainsql.migrate import comparison
from plainsql.migrate.discovery import Folder, Migration
from plainsql.migrate.errors import MigrationFolderError
from plainsql.migrate.ledger import Ledger
from plainsql.migrate.lock_limit import LockLimit
from plainsql.migrate.results import Direction, MigrationStatus, Step, milliseconds
from plainsql.migrate.script import Script

__all__ = ["Ledgers", "plan_apply", "plan_rollback", "plan_step"]

Ledgers = Mapping[str | None, Ledger]

_NEVER = datetime.min.replace(tzinfo=UTC)


def plan_apply(
    files: Folder, ledgers: Ledgers, *, target: Migration | None, allow_edited: bool, limit: LockLimit
) -> list[Step]:
    """Return the pending migrations, up to the target if there is one.

    Raises ``DriftError`` if an applied file was edited or is gone, ``MigrationError`` if a number is missing
    or if a rollback was cut off.
    """
    current = comparison.compare(files, ledgers)
    comparison.refuse_gaps(files, current)
    if not allow_edited:
        comparison.refuse_drift(files, current)
    for item in current.having("interrupted"):
        if item.undoing:
            by_hand = f"undo the rest by hand, and say so: plainsql migrate mark --not-applied {item.name}"
            raise MigrationError(
                f"{item.name}: its rollback was cut off, so part of it may be undone",
                hint=f"its file is gone: restore it from version control; or {by_hand}"
                if item.file_gone
                else "end it with 'plainsql migrate rollback', then apply",
            )
    marked = {item.name for item in current.migrations if item.marked}
    return [
        plan_step(migration, "apply", limit)
        for migration in files.migrations
        if migration.name not in marked
        and (target is None or (migration.layer == target.layer and migration.number <= target.number))
    ]


def plan_rollback(
    files: Folder, ledgers: Ledgers, *, target: Migration | None, steps: int | None, limit: LockLimit
) -> list[Step]:
    """Return the rollback of the migrations applied after the target, the last one first.

    Without a target it is that of the last ``steps`` migrations, of all if ``steps`` is ``None``. Migrations
    whose run was cut off come before all others, and count as steps: their part depends on the applied ones.

    Raises ``MigrationError`` if the target is not applied or if a needed file is missing,
    ``MigrationFolderError`` if a rollback file holds no statement.
    """
    cut_off = comparison.compare(files, ledgers).having("interrupted")
    cut_off_names = {item.name for item in cut_off}
    applied = [
        (at, layer, name)
        for layer, ledger in ledgers.items()
        for id_, at in ledger.applied().items()
        if (name := f"{layer}/{id_}" if layer else id_) not in cut_off_names
    ]
    applied.sort(key=lambda item: (item[0], item[2]), reverse=True)
    begun = [(item.interrupted_at or _NEVER, item.layer, item.name) for item in cut_off]
    begun.sort(key=lambda item: (item[0], item[2]), reverse=True)
    names = [name for _, _, name in (*begun, *applied)]
    if target is not None:
        if target.name in cut_off_names:
            raise MigrationError(
                f"{target.name}: a run of it was cut off, so it is no place to stop",
                hint=f"end it first: plainsql migrate, or plainsql migrate mark {target.name}",
            )
        if target.name not in names:
            raise MigrationError(f"{target.name} is not applied", hint="see 'plainsql migrate status'")
        after = (*begun, *applied)[: names.index(target.name)]
        names = [name for _, layer, name in after if layer == target.layer]
    elif steps is not None:
        names = names[:steps]
    found = _with_rollback(files, names, cut_off)
    return [plan_step(migration, "rollback", limit) for migration in found]


def _with_rollback(
    files: Folder, names: Sequence[str], cut_off: Sequence[MigrationStatus]
) -> list[Migration]:
    known = {migration.name: migration for migration in files.migrations}
    for item in cut_off:
        if item.file_gone and item.name in names:
            what = "its rollback" if item.undoing else "a run of it"
            raise MigrationError(
                f"{item.name}: {what} was cut off, and its file is gone",
                hint="restore it from version control; or undo by hand what is left of it, and say so: "
                f"plainsql migrate mark --not-applied {item.name}; nothing was rolled back",
            )
    if lost := [name for name in names if name not in known]:
        raise MigrationError(
            f"{', '.join(lost)}: applied, but {'its file is' if len(lost) == 1 else 'their files are'} gone",
            hint="restore them from version control; nothing was rolled back",
        )
    found = [known[name] for name in names]
    if without := [migration.rollback_path for migration in found if migration.rollback is None]:
        raise MigrationError(
            f"{', '.join(without)}: no such file, so it cannot be rolled back",
            hint="write it; nothing was rolled back",
        )
    if empty := [
        MigrationError(
            "holds no statement",
            place=Place(migration.rollback_path),
            hint="write the statements that undo the migration, or select 1; if there is nothing to undo",
        )
        for migration in found
        if migration.rollback is not None and not migration.rollback.statements
    ]:
        raise MigrationFolderError(empty)
    return found


def plan_step(migration: Migration, direction: Direction, limit: LockLimit) -> Step:
    """Return the step of one migration, with the SQL that psql could run."""
    step = Step(migration, direction, "")
    text = step.script.source.rstrip()
    # The file may end in a comment, so the semicolon is on a line of its own.
    text += "" if text.endswith(";") or not step.script.statements else "\n;"
    if step.transactional:
        sql = f"begin;\nset local lock_timeout = {milliseconds(limit.timeout_s)};\n{text}\ncommit;\n"
    else:
        sql = f"{_with_settings(text, step.script, limit)}\nreset lock_timeout;\n"
    return replace(step, sql=sql)


def _with_settings(text: str, script: Script, limit: LockLimit) -> str:
    """Return the text of a file with ``set lock_timeout`` before each statement that has another one."""
    parts, at, before = list[str](), 0, None
    for statement in script.statements:
        value = limit.setting(script, statement)
        if value != before and value is not None:
            # The first one is above the comments of the file.
            start = 0 if before is None else statement.start
            parts += [text[at:start], f"set lock_timeout = {value};\n"]
            at, before = start, value
    return "".join([*parts, text[at:]])
