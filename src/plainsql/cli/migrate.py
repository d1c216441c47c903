"""``plainsql migrate``: apply, roll back, look, mark, write a new one.

Exit codes: 0 done, or nothing to do; 1 a migration failed, the files are not what was applied, or
``status --check`` found the database not current; 2 it could not run: usage, files, connection, lock.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from plainsql.cli.exit_codes import COULD_NOT_RUN, FINDINGS, FINE
from plainsql.errors import PlainsqlError, SettingsError
from plainsql.layers.files import migrations_folder
from plainsql.settings import Project, resolve_database

if TYPE_CHECKING:
    from plainsql.migrate import Mark, MigrationStatus, Progress, Run, Status, Step

__all__ = ["app"]

app = App(
    name="migrate",
    help="""Apply the plain SQL migrations that are pending.

    Files are migrations/LAYER/NNNN_WHAT.sql, each with NNNN_WHAT.rollback.sql, run in the order of their
    numbers. A file and its record are one transaction, unless it starts with '-- transactional: false'.

    Exit codes: 0 done, or nothing to do; 1 a migration failed, applied files were edited or are gone, or
    'status --check' found the database not current; 2 it could not run (usage, files, connection, lock).
    """,
)


@Parameter(name="*")
@dataclass(frozen=True)
class Where:
    """Which migrations, and which database."""

    database: Annotated[str | None, Parameter(name="--database")] = None
    "URL of the database. Without it: DATABASE_URL or DB_*, then pyproject.toml, then the embedded server."
    folder: Annotated[Path | None, Parameter(name="--folder")] = None
    "Folder of the migrations; by default that of pyproject.toml, or 'migrations'."
    layer: Annotated[tuple[str, ...], Parameter(name="--layer", negative=(), show_default=False)] = ()
    """Only this layer; may be given several times, and is run in that order. One that comes with plainsql
    (realty, whatsapp, …) need not be in the folder."""

    @property
    def path(self) -> Path:
        if self.folder is not None:
            return self.folder
        own = Project.load().migrations_folder
        if self.layer and not any((own / layer).is_dir() for layer in self.layer):
            with suppress(SettingsError):
                return migrations_folder(self.layer[0]).parent
        return own

    @property
    def layers(self) -> Sequence[str] | None:
        return self.layer or None


@Parameter(name="*")
@dataclass(frozen=True)
class Patience:
    """How long to wait."""

    lock_timeout: Annotated[float, Parameter(name="--lock-timeout")] = 5.0
    "Seconds a statement waits for a lock, in files that run in a transaction; 0 waits for ever."
    wait: Annotated[float, Parameter(name="--wait")] = 60.0
    "Seconds to wait for another run of migrations to end."
    pooler: Annotated[Literal["session"] | None, Parameter(name="--pooler", show_default=False)] = None
    """A pooler is in front of the server, and lends its connections for a session. Without this, and in
    transaction mode, it is refused."""


_DRY = Parameter(name="--dry-run", negative=(), show_default=False)


@app.default
def apply(
    *,
    where: Where = Where(),
    patience: Patience = Patience(),
    to: str | None = None,
    dry_run: Annotated[bool, _DRY] = False,
    allow_edited: Annotated[bool, Parameter(name="--allow-edited", negative=(), show_default=False)] = False,
) -> int:
    """Apply the plain SQL migrations that are pending.

    Parameters
    ----------
    to
        Stop after this one: 0003, 0003_add_index or realty/0003.
    dry_run
        Print the SQL that would run, in its order, and run nothing.
    allow_edited
        Go on though applied files were edited or are gone.
    """

    def run(url: str) -> int:
        from plainsql import migrate

        done = migrate.apply(
            url,
            where.path,
            to=to,
            layers=where.layers,
            dry_run=dry_run,
            allow_edited=allow_edited,
            lock_timeout=patience.lock_timeout,
            wait=patience.wait,
            pooler=patience.pooler,
            on_progress=_Lines(),
        )
        return _finish(done, dry_run=dry_run)

    return _with_database(run, where)


@app.command
def rollback(
    *,
    where: Where = Where(),
    patience: Patience = Patience(),
    to: str | None = None,
    steps: int | None = None,
    all_: Annotated[bool, Parameter(name="--all", negative=(), show_default=False)] = False,
    dry_run: Annotated[bool, _DRY] = False,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative=(), show_default=False)] = False,
) -> int:
    """Undo applied migrations by their rollback files, the last one first; one step unless said otherwise.

    Parameters
    ----------
    to
        Undo what was applied after this one, in its layer; it stays applied itself.
    steps
        How many to undo.
    all_
        Undo all of them.
    dry_run
        Print the SQL that would run, in its order, and run nothing.
    yes
        Do not ask. Without a terminal it never asks.
    """
    if sum((to is not None, steps is not None, all_)) > 1:
        return _refuse("--to, --steps and --all exclude each other")

    def run(url: str) -> int:
        from plainsql import migrate

        ask = not yes and sys.stdin.isatty() and sys.stdout.isatty()
        done = migrate.rollback(
            url,
            where.path,
            to=to,
            steps=1 if steps is None else steps,
            all=all_,
            layers=where.layers,
            dry_run=dry_run,
            confirm=_confirm if ask else None,
            lock_timeout=patience.lock_timeout,
            wait=patience.wait,
            pooler=patience.pooler,
            on_progress=_Lines(),
        )
        return _finish(done, dry_run=dry_run)

    return _with_database(run, where)


@app.command
def mark(
    name: str,
    /,
    *,
    where: Where = Where(),
    not_applied: Annotated[bool, Parameter(name="--not-applied", negative=(), show_default=False)] = False,
    dry_run: Annotated[bool, _DRY] = False,
    force: Annotated[bool, Parameter(name="--force", negative=(), show_default=False)] = False,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative=(), show_default=False)] = False,
    wait: float = 60.0,
    pooler: Annotated[Literal["session"] | None, Parameter(show_default=False)] = None,
) -> int:
    """Record that a migration is applied as its file stands, or that it is not; nothing of it is run.

    For a run that was cut off and was ended by hand, and for a file that was edited with no change of what it
    does. It is refused if what the file makes is plainly not there (with --not-applied: is there), or an
    index of it is invalid.

    Exits with 0 if it is recorded, 2 if it is not.

    Parameters
    ----------
    name
        The migration: 0003, 0003_add_index or realty/0003.
    not_applied
        Record that it is not applied.
    dry_run
        Say what would be recorded, and record nothing.
    force
        Record it though the database is found to be otherwise.
    yes
        Do not ask. Without a terminal it must be given.
    wait
        Seconds to wait for another run of migrations to end.
    pooler
        A pooler is in front of the server, and lends its connections for a session.
    """
    ask = not (yes or dry_run)
    if ask and not (sys.stdin.isatty() and sys.stdout.isatty()):
        return _refuse(
            "there is no terminal for the question\nHINT: add --yes, or check first with --dry-run"
        )

    def run(url: str) -> int:
        from plainsql import migrate

        marks = migrate.mark(
            url,
            where.path,
            name,
            applied=not not_applied,
            layers=where.layers,
            dry_run=dry_run,
            force=force,
            confirm=_confirm_marks if ask else None,
            wait=wait,
            pooler=pooler,
            on_progress=_Lines(),
        )
        for each in marks:
            print(_mark_line(each))
        if dry_run or not marks:
            print("nothing was recorded")
        return FINE if marks else COULD_NOT_RUN

    return _with_database(run, where)


@app.command
def status(
    *,
    where: Where = Where(),
    json_: Annotated[bool, Parameter(name="--json", negative=(), show_default=False)] = False,
    check: Annotated[bool, Parameter(name="--check", negative=(), show_default=False)] = False,
) -> int:
    """Show which migrations are applied, pending, edited since, missing or interrupted.

    Parameters
    ----------
    json_
        Print a JSON array, one object for each migration.
    check
        Exit with 1 unless every migration is applied as it stands.
    """

    def run(url: str) -> int:
        from plainsql import migrate

        found = migrate.status(url, where.path, layers=where.layers)
        if json_:
            print(json.dumps([_as_json(item) for item in found.migrations], indent=2))
        else:
            _show(found)
        return FINDINGS if check and not found.is_current else FINE

    return _with_database(run, where)


@app.command
def new(
    what: str,
    *,
    layer: str | None = None,
    folder: Path | None = None,
) -> int:
    """Write the two files of a new migration, with the next number.

    Parameters
    ----------
    what
        What it does, in a few words: "add phone to leads".
    layer
        The layer it belongs to; needed where the folder has layers.
    folder
        Folder of the migrations; by default that of pyproject.toml, or 'migrations'.
    """

    def write() -> int:
        from plainsql import migrate
        from plainsql.migrate.discovery import shown

        for path in migrate.new(folder or Project.load().migrations_folder, what, layer=layer):
            print(shown(path))
        return FINE

    return _guarded(write)


def _with_database(run: Callable[[str], int], where: Where) -> int:
    def resolved() -> int:
        with resolve_database(where.database) as url:
            return run(url)

    return _guarded(resolved)


def _guarded(run: Callable[[], int]) -> int:
    try:
        return run()
    except (PlainsqlError, ModuleNotFoundError) as error:
        print(error, file=sys.stderr)
        return _exit_code(error)
    except KeyboardInterrupt as interrupt:
        if str(interrupt):  # it says what is kept of the file that it ended
            raise
        raise KeyboardInterrupt("interrupted; what was reported as done is kept, and nothing else") from None


def _exit_code(error: Exception) -> int:
    if isinstance(error, ModuleNotFoundError):
        return COULD_NOT_RUN
    from plainsql.migrate.errors import DriftError, MigrationFailedError

    return FINDINGS if isinstance(error, DriftError | MigrationFailedError) else COULD_NOT_RUN


def _refuse(message: str) -> int:
    print(message, file=sys.stderr)
    return COULD_NOT_RUN


class _Lines:
    """One line for each migration, begun when it starts and ended when it is committed."""

    def __init__(self) -> None:
        self._open = False

    def __call__(self, progress: Progress) -> None:
        if progress.stage == "waiting":
            print(f"waiting for another run of migrations: {progress.text}", file=sys.stderr, flush=True)
        elif progress.stage == "started":
            self._write(f"{progress.name} … ", opens=True)
        elif progress.stage == "notice":
            self._write(("\n" if self._open else "") + f"  {progress.text}\n", opens=False)
        else:
            lead = "" if self._open else f"{progress.name} … "
            outcome = f"{progress.seconds:.2f} s" if progress.stage == "done" else "failed"
            self._write(f"{lead}{outcome}\n", opens=False)

    def _write(self, text: str, *, opens: bool) -> None:
        print(text, end="", flush=True)
        self._open = opens


def _finish(run: Run, *, dry_run: bool) -> int:
    word = "applied" if run.direction == "apply" else "rolled back"
    if dry_run:
        for step in run.planned:
            print(f"-- {step.path}\n{step.sql}")
        print(f"-- {_count(len(run.planned))} would be {word}; nothing was run")
    elif run.done:
        print(f"{word} {_count(len(run.done))} in {run.seconds:.2f} s")
    elif run.planned:
        print("nothing was rolled back")
    else:
        print(f"nothing to {'apply' if run.direction == 'apply' else 'roll back'}")
    return FINE


def _confirm(steps: Sequence[Step]) -> bool:
    return _agreed([step.name for step in steps], f"Roll back {_count(len(steps))}?")


def _mark_line(mark: Mark) -> str:
    return f"{mark.name}: {'applied' if mark.applied else 'not applied'} (was: {mark.before.state})"


def _confirm_marks(marks: Sequence[Mark]) -> bool:
    return _agreed([_mark_line(each) for each in marks], f"Record it of {_count(len(marks))}?")


def _agreed(lines: Sequence[str], question: str) -> bool:
    for line in lines:
        print(f"  {line}")
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _count(count: int) -> str:
    return f"{count} migration{'' if count == 1 else 's'}"


def _as_json(item: MigrationStatus) -> dict[str, object]:
    return {
        "name": item.name,
        "layer": item.layer,
        "id": item.id,
        "state": item.state,
        "late": item.late,
        "applied_at": item.applied_at.isoformat() if item.applied_at else None,
        "seconds": item.seconds,
        "interrupted_at": item.interrupted_at.isoformat() if item.interrupted_at else None,
        "undoing": item.undoing,
        "statements_done": item.statements_done,
    }


def _cells(item: MigrationStatus) -> tuple[str, str, str, str, str]:
    return (
        item.layer or "-",
        item.id,
        f"{item.state}, late" if item.late and item.state == "pending" else item.state,
        item.applied_at.strftime("%Y-%m-%d %H:%M:%S UTC") if item.applied_at else "-",
        f"{item.seconds:.2f} s" if item.seconds is not None else "-",
    )


_COLUMNS = ("layer", "migration", "state", "applied at", "took")
_COLOURS = {"applied": "green", "pending": "yellow", "edited": "red", "missing": "red", "interrupted": "red"}


def _show(found: Status) -> None:
    """A table for a terminal; elsewhere the same cells, one line each, separated by two spaces or more."""
    rows = [_cells(item) for item in found.migrations]
    from plainsql.cli.tables import print_table

    styles = [_COLOURS[item.state] if item.state != "applied" else None for item in found.migrations]
    print_table(_COLUMNS, rows, styles=styles)
    for item in found.having("interrupted"):
        print(_cut_off(item))
    states = ("applied", "pending", "edited", "missing", "interrupted")
    counts = [(len([item for item in found.migrations if item.state == state]), state) for state in states]
    print(", ".join(f"{count} {state}" for count, state in counts if count) or "no migrations")


def _cut_off(item: MigrationStatus) -> str:
    """Say how a migration was cut off, and which command goes on."""
    at = f"{item.interrupted_at:%Y-%m-%d %H:%M:%S} UTC" if item.interrupted_at else "an unknown time"
    what = "its rollback was" if item.undoing else "it was"
    done = item.statements_done
    far = "" if done is None else f", after {done} statement{'' if done == 1 else 's'}"
    if item.file_gone:
        far += "; its file is gone"
        ways = (
            f"restore it from version control; or undo by hand what is left of it, and say so: "
            f"plainsql migrate mark --not-applied {item.name}"
        )
    elif item.undoing:
        ways = f"plainsql migrate rollback; ended by hand: plainsql migrate mark --not-applied {item.name}"
    else:
        ways = (
            f"plainsql migrate (from its top), or plainsql migrate rollback; ended by hand: "
            f"plainsql migrate mark {item.name}"
        )
    return f"{item.name}: {what} cut off; recorded last at {at}{far}\nHINT: {ways}"
