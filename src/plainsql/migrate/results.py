"""What migrating reports: states, steps, progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from plainsql.migrate.discovery import Migration
from plainsql.migrate.script import Script

__all__ = [
    "Direction",
    "MigrationStatus",
    "OnProgress",
    "Progress",
    "Run",
    "State",
    "Status",
    "Step",
    "milliseconds",
]

Direction = Literal["apply", "rollback"]
"""The time for which a pooler lends a connection to a client."""
State = Literal["applied", "pending", "edited", "missing", "interrupted"]


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """One migration and what the database knows of it."""

    name: str
    """``realty/0003_add_index``, or ``0003_add_index`` where there is no layer."""
    layer: str | None
    id: str
    state: State
    """``edited``: applied, and its file changed since. ``missing``: applied, and its file is gone.
    ``interrupted``: a run of a non-transactional file was cut off, so part of it may be there."""
    applied_at: datetime | None = None
    """With its time zone, UTC; ``None`` where it is not applied."""
    seconds: float | None = None
    """How long it ran; ``None`` where it is not applied, or was applied by yoyo itself."""
    late: bool = False
    """Pending, though one with a higher number of the same layer is applied."""
    marked: bool = False
    """The tables of yoyo hold it: it counts as applied."""
    interrupted_at: datetime | None = None
    """With its time zone, UTC: the last that is recorded of a run that was cut off."""
    undoing: bool = False
    """The run that was cut off was a rollback."""
    statements_done: int | None = None
    """The number of statements that the run is known to have done; ``None`` if it is not known."""
    file_gone: bool = False
    """The folder has no file of it any more."""


@dataclass(frozen=True, slots=True)
class Status:
    """All migrations of a folder, and those missing in it, in the order in which they run."""

    migrations: tuple[MigrationStatus, ...]

    def having(self, *states: State) -> tuple[MigrationStatus, ...]:
        return tuple(item for item in self.migrations if item.state in states)

    @property
    def applied(self) -> tuple[MigrationStatus, ...]:
        return self.having("applied")

    @property
    def pending(self) -> tuple[MigrationStatus, ...]:
        return self.having("pending")

    @property
    def drifted(self) -> tuple[MigrationStatus, ...]:
        """Edited or missing: what the files say is not what was applied."""
        return self.having("edited", "missing")

    @property
    def is_current(self) -> bool:
        """Every migration is applied, as it stands in its file."""
        return len(self.applied) == len(self.migrations)


@dataclass(frozen=True, slots=True)
class Step:
    """One file that a run sends, or would send."""

    migration: Migration
    direction: Direction
    sql: str
    """As psql could run it: the file's text, with what is sent around it. Our records are not in it."""

    @property
    def path(self) -> str:
        return self.migration.path if self.direction == "apply" else self.migration.rollback_path

    @property
    def name(self) -> str:
        return self.migration.name

    @property
    def script(self) -> Script:
        script = self.migration.script if self.direction == "apply" else self.migration.rollback
        assert script is not None  # a migration without a rollback file never becomes a step of a rollback
        return script

    @property
    def transactional(self) -> bool:
        apply = self.direction == "apply"
        return self.migration.transactional if apply else self.migration.rollback_transactional


@dataclass(frozen=True, slots=True)
class Run:
    """What a run did. In a dry run ``done`` is empty, and ``planned`` is what would run."""

    direction: Direction
    planned: tuple[Step, ...]
    """In the order of execution."""
    done: tuple[str, ...]
    """Names, in the order in which they were committed."""
    seconds: float
    """From the moment the lock was held."""


@dataclass(frozen=True, slots=True)
class Progress:
    """One thing that happened during a run."""

    stage: Literal["waiting", "started", "notice", "done", "failed"]
    """``done`` is reported after the commit, never before."""
    direction: Direction
    name: str = ""
    """The migration; empty while waiting for the lock."""
    seconds: float = 0.0
    """With ``done`` and ``failed``: how long it took."""
    text: str = ""
    """With ``waiting``: who holds the lock. With ``notice``: what the server said."""


OnProgress = Callable[[Progress], None]


def milliseconds(seconds: float) -> str:
    """A duration as the value of a setting."""
    return f"'{round(seconds * 1000)}ms'"
