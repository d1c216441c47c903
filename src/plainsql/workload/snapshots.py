"""Counters in a file, and the difference of a later reading from them.

The file has numbers and identities only: no texts, no values.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from plainsql.errors import PlainsqlError
from plainsql.files import read_file, replace_file
from plainsql.workload.counters import Counters, Entry, Key, Reading

__all__ = ["Snapshot", "read_snapshot", "since_snapshot", "write_snapshot"]

_FORMAT: Final = 1


class _Saved(msgspec.Struct, frozen=True):
    key: Key
    counters: Counters


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the file."""

    plainsql_snapshot: int
    """The version of the format."""
    database: str
    database_oid: int
    started_at: datetime
    taken_at: datetime
    reset_at: datetime | None
    evicted: int
    nested: Counters
    statements: tuple[_Saved, ...]


def write_snapshot(path: Path, reading: Reading) -> None:
    """Write the counters of a reading into a file, completely or not at all."""
    snapshot = Snapshot(
        plainsql_snapshot=_FORMAT,
        database=reading.database,
        database_oid=reading.database_oid,
        started_at=reading.started_at,
        taken_at=reading.taken_at,
        reset_at=reading.reset_at,
        evicted=reading.evicted,
        nested=reading.nested,
        statements=tuple(_Saved(entry.key, entry.counters) for entry in reading.entries),
    )
    with replace_file(path) as file:
        file.write(msgspec.json.encode(snapshot) + b"\n")


def read_snapshot(path: Path) -> Snapshot:
    """Return the content of a file that ``write_snapshot`` has written.

    Raises ``PlainsqlError`` if it is another file.
    """
    try:
        snapshot = msgspec.json.decode(read_file(path), type=Snapshot)
    except FileNotFoundError:
        raise PlainsqlError(
            f"{path}: there is no such file", hint=f"write one with: plainsql slow --save {path}"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise PlainsqlError(
            f"{path}: expected a snapshot of 'plainsql slow', got another file",
            hint="write one with: plainsql slow --save FILE",
        ) from None
    if snapshot.plainsql_snapshot != _FORMAT:
        raise PlainsqlError(
            f"{path}: expected a snapshot of format {_FORMAT}, got {snapshot.plainsql_snapshot}",
            hint="write it again with this version: plainsql slow --save FILE",
        )
    return snapshot


def since_snapshot(reading: Reading, snapshot: Snapshot) -> Reading:
    """Return a reading with the counters since a snapshot, and notes about what was lost in between.

    Statements that did not run since are left out.

    Raises ``PlainsqlError`` if the snapshot is of another database or later than the reading.
    """
    if (snapshot.database, snapshot.database_oid) != (reading.database, reading.database_oid):
        raise PlainsqlError(
            f"the snapshot is of another database: expected {reading.database}, got {snapshot.database}"
            + (" that was dropped since" if snapshot.database == reading.database else ""),
            hint="write one for this database with: plainsql slow --save FILE",
        )
    if snapshot.taken_at > reading.taken_at:
        raise PlainsqlError(
            f"the snapshot is from the future: {snapshot.taken_at:%Y-%m-%d %H:%M:%S %Z}",
            hint="compare the clocks of the servers, or write a new snapshot",
        )
    notes = list(reading.notes)
    if reading.reset_at != snapshot.reset_at and reading.reset_at is not None:
        notes.append(
            f"all counters were reset at {_time(reading.reset_at)}, after the snapshot: "
            "the numbers are since then"
        )
        before: dict[Key, Counters] = {}
        nested = reading.nested
    else:
        before = {saved.key: saved.counters for saved in snapshot.statements}
        nested = reading.nested - snapshot.nested
    if reading.started_at > snapshot.taken_at:
        notes.append(f"the server was started at {_time(reading.started_at)}, after the snapshot")
    if reading.evicted > snapshot.evicted and before:
        notes.append("the server has forgotten statements since the snapshot: their time is missing")
    entries = []
    for entry in reading.entries:
        counters = _difference(entry, before.get(entry.key), snapshot.taken_at)
        if counters.calls:
            entries.append(msgspec.structs.replace(entry, counters=counters))
    return msgspec.structs.replace(reading, entries=tuple(entries), nested=nested, notes=tuple(notes))


def _difference(entry: Entry, before: Counters | None, taken_at: datetime) -> Counters:
    """Return the counters since a snapshot; all of them if the entry was made or reset after it."""
    now = entry.counters
    is_new = entry.since is not None and entry.since > taken_at
    if before is None or is_new or now.calls < before.calls or now.total_ms < before.total_ms:
        return now
    return now - before


def _time(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}"
