"""The comparison of files with records: the state of each migration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

from plainsql.errors import MigrationError
from plainsql.migrate.discovery import Folder, Migration, gaps
from plainsql.migrate.errors import DriftError, MigrationFolderError
from plainsql.migrate.ledger import Record
from plainsql.migrate.results import MigrationStatus, Status

__all__ = ["Records", "compare", "refuse_drift", "refuse_gaps"]


class Records(Protocol):
    """The records of one layer."""

    def applied(self) -> dict[str, datetime]:
        """Return the time at which each marked migration was applied, by its id."""
        ...

    def records(self) -> dict[str, Record]:
        """Return our own record of each migration, by its id."""
        ...


def compare(folder: Folder, ledgers: Mapping[str | None, Records]) -> Status:
    """Return the state of each migration, from the files of a folder and the records of its layers."""
    found: list[MigrationStatus] = []
    for layer, members in folder.sets.items():
        found.extend(_layer(layer, members, ledgers[layer]))
    return Status(tuple(found))


def _layer(layer: str | None, members: Iterable[Migration], ledger: Records) -> list[MigrationStatus]:
    applied, records = ledger.applied(), ledger.records()
    last = max(applied, default="")
    files = {migration.id: migration for migration in members}
    states = []
    cut_off = {id_ for id_, record in records.items() if record.interrupted}
    for id_ in sorted({*files, *applied, *cut_off}):
        migration, record, at = files.get(id_), records.get(id_), applied.get(id_)
        name = f"{layer}/{id_}" if layer else id_
        marked = at is not None
        seconds = record.seconds if record and marked else None
        if record is not None and record.interrupted:
            states.append(_cut_off(name, layer, id_, migration, record, at, late=not marked and id_ < last))
        elif migration is None:
            states.append(
                MigrationStatus(name, layer, id_, "missing", at, seconds, marked=True, file_gone=True)
            )
        elif at is None:
            states.append(MigrationStatus(name, layer, id_, "pending", late=id_ < last))
        elif record is not None and record.checksum != migration.checksum:
            states.append(MigrationStatus(name, layer, id_, "edited", at, seconds, marked=True))
        else:
            states.append(MigrationStatus(name, layer, id_, "applied", at, seconds, marked=True))
    return states


def _cut_off(
    name: str,
    layer: str | None,
    id_: str,
    migration: Migration | None,
    record: Record,
    applied_at: datetime | None,
    *,
    late: bool,
) -> MigrationStatus:
    undoing = record.state == "rolling back"
    counted = not undoing and migration is not None and migration.checksum == record.checksum
    return MigrationStatus(
        name,
        layer,
        id_,
        "interrupted",
        applied_at,
        late=late,
        marked=applied_at is not None,
        interrupted_at=record.changed_at,
        undoing=undoing,
        statements_done=record.statements_done if counted else None,
        file_gone=migration is None,
    )


def refuse_drift(folder: Folder, status: Status) -> None:
    """Raise ``DriftError`` if a migration was edited or its file is gone; it names all of them."""
    what = {"edited": "its file was edited after it was applied", "missing": "its file is gone"}
    lines = [f"{item.name}: {what[item.state]}" for item in status.drifted]
    lost = [item for item in status.having("interrupted") if item.file_gone]
    lines += [f"{item.name}: a run of it was cut off, and its file is gone" for item in lost]
    if not lines:
        return
    hint = "restore the files and write the change as a new migration; or go on with --allow-edited"
    if lost:
        hint += f"; one undone by hand: plainsql migrate mark --not-applied {lost[0].name}"
    raise DriftError(
        f"{folder.path}: the files are not those that were applied; nothing was run",
        detail="; ".join(lines),
        hint=hint,
    )


def refuse_gaps(folder: Folder, status: Status) -> None:
    """Raise ``MigrationFolderError`` if a number is in neither the files nor the records; it names all."""
    errors: list[MigrationError] = []
    for layer, members in folder.sets.items():
        ids = [item.id for item in status.migrations if item.layer == layer]
        known = [int(id_[:4]) for id_ in ids if id_[:4].isdecimal()]
        errors.extend(gaps(members, known))
    if errors:
        raise MigrationFolderError(errors)
