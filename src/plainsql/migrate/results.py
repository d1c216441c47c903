"""The results of migrations: states, steps, progress."""

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
State = Literal["applied", "pending", "edited", "missing", "interrupted"]


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """The state of one migration in a database."""

    name: str
    """``realty/0003_add_index``, or ``0003_add_index`` without a layer."""
    layer: str | None
    id: str
    state: State
    """``edited``: applied, and its file has changed since. ``missing``: applied, and its file is gone.
    ``interrupted``: a run of a non-transactional file was cut off, so a part of it may be applied."""
    applied_at: datetime | None = None
    """A time in UTC; ``None`` if it is not applied."""
    seconds: float | None = None
    """The duration of its run; ``None`` if it is not applied, or if yoyo itself applied it."""
    late: bool = False
    """True if it is pending, though one with a higher number of the same layer is applied."""
    marked: bool = False
    """True if yoyo's tables hold it, so that it counts as applied."""
    interrupted_at: datetime | None = None
    """The time (UTC) of the last record of a run that was cut off."""
    undoing: bool = False
    """True if the run that was cut off was a rollback."""
    statements_done: int | None = None
    """The number of statements that the run is known to have done; ``None`` if it is not known."""
    file_gone: bool = False
    """True if its file is gone from the folder."""


@dataclass(frozen=True, slots=True)
class Status:
    """All migrations of a folder and those missing from it, in the order in which they run."""

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
        """The edited and the missing ones, whose files are not those that were applied."""
        return self.having("edited", "missing")

    @property
    def is_current(self) -> bool:
        """True if every migration is applied with the content of its file."""
        return len(self.applied) == len(self.migrations)


@dataclass(frozen=True, slots=True)
class Step:
    """One file that a run sends, or would send."""

    migration: Migration
    direction: Direction
    sql: str
    """The file's text with the statements around it, as psql could run it. Our records are not in it."""

    @property
    def path(self) -> str:
        return self.migration.path if self.direction == "apply" else self.migration.rollback_path

    @property
    def name(self) -> str:
        return self.migration.name

    @property
    def script(self) -> Script:
        script = self.migration.script if self.direction == "apply" else self.migration.rollback
        assert script is not None  # the plan of a rollback refuses a migration without a rollback file
        return script

    @property
    def transactional(self) -> bool:
        apply = self.direction == "apply"
        return self.migration.transactional if apply else self.migration.rollback_transactional


@dataclass(frozen=True, slots=True)
class Run:
    """The result of a run. In a dry run ``done`` is empty, and ``planned`` has the steps that would run."""

    direction: Direction
    planned: tuple[Step, ...]
    """In the order of execution."""
    done: tuple[str, ...]
    """The names of the migrations, in the order in which they were committed."""
    seconds: float
    """The duration since the lock was acquired."""


@dataclass(frozen=True, slots=True)
class Progress:
    """One event of a run."""

    stage: Literal["connecting", "waiting", "started", "blocked", "retrying", "notice", "done", "failed"]
    """``done`` is reported after the commit, never before; ``blocked`` from another thread."""
    direction: Direction
    name: str = ""
    """The migration; empty while waiting for the server or the lock."""
    seconds: float = 0.0
    """With ``done`` and ``failed``, the duration; with ``retrying``, the pause before the next try."""
    text: str = ""
    """With ``connecting``, the reason to wait for the server; with ``waiting``, the holder of the runs' lock;
    with ``blocked``, a session that a statement waits for; with ``retrying``, the reason; with ``notice``,
    the server's message."""


OnProgress = Callable[[Progress], None]


def milliseconds(seconds: float) -> str:
    """Return a duration as the value of a setting."""
    return f"'{round(seconds * 1000)}ms'"
