"""``plainsql migrate``: apply and roll back migrations, show their state, mark one, write a new one."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from plainsql.cli.exit_codes import COULD_NOT_RUN, FINDINGS, FINE
from plainsql.cli.migrate_partitions import partitions
from plainsql.cli.migrate_schema import schema
from plainsql.cli.migrate_target import Target, guarded, of_database, own_folder
from plainsql.cli.migrate_trace import trace
from plainsql.cli.migrate_verify import verify
from plainsql.cli.number_range import LOCK_RETRIES, LOCK_TIMEOUT, WAIT, NumberRange
from plainsql.settings import Project, resolve_database

if TYPE_CHECKING:
    from plainsql.migrate import Mark, MigrationStatus, Progress, Run, Status, Step

__all__ = ["app"]

_WAIT_S = 120.0
"""A run that retries a lock five times takes up to 98 seconds for it."""
_SERVER_WAIT_S = 60.0
_EVERY = Target()
_STEPS = NumberRange("an integer", 1, 2**31 - 1, "2")

app = App(
    name="migrate",
    help="""Apply the plain SQL migrations that are pending.

    Files are migrations/LAYER/NNNN_WHAT.sql, each with NNNN_WHAT.rollback.sql, run in the order of their
    numbers. A file and its record are one transaction, unless it starts with '-- transactional: false'.

    Exit codes: 0 done, or nothing to do; 1 a migration failed, applied files were edited or are gone, or
    'status --check' found the database not current; 2 it could not run (usage, files, connection, lock).
    """,
)
app.command(trace)
app.command(verify)
app.command(schema)
app.command(partitions)


@Parameter(name="*")
@dataclass(frozen=True)
class RunOptions:
    """The options of a run: its time limits, and the pooler."""

    lock_timeout: Annotated[float | None, Parameter(name="--lock-timeout", validator=LOCK_TIMEOUT)] = None
    """Seconds that a statement waits for a lock; 0 is no limit. By default lock_timeout of pyproject.toml,
    or 5."""
    lock_retries: Annotated[int | None, Parameter(name="--lock-retries", validator=LOCK_RETRIES)] = None
    """Number of tries after the first that got no lock in time; the migration is rolled back before. By
    default lock_retries of pyproject.toml, or 5."""
    wait: Annotated[
        tuple[float, ...] | None,
        Parameter(
            name="--wait",
            consume_multiple=(0, 1),
            negative=(),
            show_default=False,
            metavar="[SECONDS]",
            validator=WAIT,
        ),
    ] = None
    """Wait for a server that is starting, by default 60 seconds, and for another run of migrations to end, by
    default 120. Without it, only the other run is waited for."""
    pooler: Annotated[Literal["session"] | None, Parameter(name="--pooler", show_default=False)] = None
    """A pooler in session mode is in front of the server. Without this, and in transaction mode, poolers are
    refused."""

    @property
    def waits(self) -> tuple[float, float]:
        """The seconds to wait for another run, and for the server."""
        if self.wait is None:
            return _WAIT_S, 0.0
        return (self.wait[0], self.wait[0]) if self.wait else (_WAIT_S, _SERVER_WAIT_S)

    @property
    def lock_limit(self) -> tuple[float, int]:
        """The timeout in seconds and the number of retries."""
        project = Project.load()
        timeout = project.lock_timeout if self.lock_timeout is None else self.lock_timeout
        return timeout, project.lock_retries if self.lock_retries is None else self.lock_retries


_DRY = Parameter(name="--dry-run", negative=(), show_default=False)


@app.default
def apply(
    *,
    target: Target = _EVERY,
    options: RunOptions = RunOptions(),
    to: str | None = None,
    dry_run: Annotated[bool, _DRY] = False,
    allow_edited: Annotated[bool, Parameter(name="--allow-edited", negative=(), show_default=False)] = False,
) -> int:
    """Apply the plain SQL migrations that are pending.

    Parameters
    ----------
    to
        Stop after this migration: 0003, 0003_add_index or realty/0003.
    dry_run
        Print the SQL that would run, in its order, and run nothing.
    allow_edited
        Continue although applied files were edited or are gone.
    """

    def run(url: str) -> int:
        from plainsql import migrate

        (timeout, retries), (wait, server_wait) = options.lock_limit, options.waits
        done = migrate.apply(
            url,
            target.path,
            to=to,
            layers=target.layers,
            dry_run=dry_run,
            allow_edited=allow_edited,
            lock_timeout=timeout,
            lock_retries=retries,
            wait=wait,
            server_wait=server_wait,
            pooler=options.pooler,
            on_progress=_Lines(),
        )
        return _finish(done, dry_run=dry_run)

    return _with_database(run, target)


@app.command
def rollback(
    *,
    target: Target = _EVERY,
    options: RunOptions = RunOptions(),
    to: str | None = None,
    steps: Annotated[int | None, Parameter(validator=_STEPS)] = None,
    all_: Annotated[bool, Parameter(name="--all", negative=(), show_default=False)] = False,
    dry_run: Annotated[bool, _DRY] = False,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative=(), show_default=False)] = False,
) -> int:
    """Undo applied migrations by their rollback files, the last one first; by default one.

    Parameters
    ----------
    to
        Undo the migrations of its layer that were applied after this one, which stays applied.
    steps
        The number of migrations to undo.
    all_
        Undo all of them.
    dry_run
        Print the SQL that would run, in its order, and run nothing.
    yes
        Do not prompt. Without a terminal there is never a prompt.
    """
    if sum((to is not None, steps is not None, all_)) > 1:
        return _refuse("--to, --steps and --all exclude each other")

    def run(url: str) -> int:
        from plainsql import migrate

        ask = not yes and sys.stdin.isatty() and sys.stdout.isatty()
        (timeout, retries), (wait, server_wait) = options.lock_limit, options.waits
        done = migrate.rollback(
            url,
            target.path,
            to=to,
            steps=1 if steps is None else steps,
            all=all_,
            layers=target.layers,
            dry_run=dry_run,
            confirm=_confirm if ask else None,
            lock_timeout=timeout,
            lock_retries=retries,
            wait=wait,
            server_wait=server_wait,
            pooler=options.pooler,
            on_progress=_Lines(),
        )
        return _finish(done, dry_run=dry_run)

    return _with_database(run, target)


@app.command
def mark(
    name: str | None = None,
    /,
    *,
    to: str | None = None,
    target: Target = _EVERY,
    not_applied: Annotated[bool, Parameter(name="--not-applied", negative=(), show_default=False)] = False,
    dry_run: Annotated[bool, _DRY] = False,
    force: Annotated[bool, Parameter(name="--force", negative=(), show_default=False)] = False,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative=(), show_default=False)] = False,
    wait: Annotated[float, Parameter(validator=WAIT)] = _WAIT_S,
    pooler: Annotated[Literal["session"] | None, Parameter(show_default=False)] = None,
    scratch: str | None = None,
) -> int:
    """Record that a migration is applied with the content of its file, or that it is not; run nothing.

    With --to, all migrations up to that one are recorded, for a database that another tool has made. They are
    applied to a scratch database, and what they create is compared with the database: tables, columns with
    their types and defaults, constraints, indexes, views, functions, types, policies, triggers, sequences.

    Use it after a run that was cut off and that you completed by hand, or for an edited file that still does
    the same. It is refused if the objects that the file creates do not exist (with --not-applied: exist), or
    if an index of it is invalid.

    Exits with 0 if it is recorded, 1 if the database differs from it (with --to), 2 if it could not run.

    Parameters
    ----------
    name
        The migration: 0003, 0003_add_index or realty/0003.
    to
        Record it of all migrations of its layer up to this one that are not applied.
    scratch
        With --to, URL of the server for the scratch database; by default the embedded server.
    not_applied
        Record that it is not applied.
    dry_run
        Print the record that would be written, and write nothing.
    force
        Record it although the database contradicts it.
    yes
        Do not prompt. Without a terminal it is required.
    wait
        Seconds to wait for another run of migrations to end.
    pooler
        A pooler in session mode is in front of the server.
    """
    if (name is None) is (to is None):
        return _refuse("expected the name of a migration, or --to with the last one\nHINT: give one of them")
    if to is not None and not_applied:
        return _refuse("--to and --not-applied exclude each other\nHINT: name one migration")
    ask = not (yes or dry_run)
    if ask and not (sys.stdin.isatty() and sys.stdout.isatty()):
        return _refuse("there is no terminal for the prompt\nHINT: add --yes, or try it with --dry-run")

    def run(url: str) -> int:
        from plainsql import migrate

        if to is not None and not force:
            wrong = _missing(url, target, to, scratch)
            for line in wrong:
                print(line)
            if wrong:
                print("nothing was recorded", file=sys.stderr)
                return FINDINGS
        marks = migrate.mark(
            url,
            target.path,
            name,
            to=to,
            applied=not not_applied,
            layers=target.layers,
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

    return _with_database(run, target)


def _missing(url: str, target: Target, to: str, scratch: str | None) -> list[str]:
    """Return what the database lacks of the migrations up to one, one line each."""
    from plainsql.analysis.scratch_database import scratch_database
    from plainsql.migrate.discovery import read_folder
    from plainsql.migrate.mark_differences import differences
    from plainsql.migrate.schema import dump, dump_of
    from plainsql.schema.migrations import MigrationsFolder

    last = read_folder(target.path).only(target.layers).find(to)
    layers = (last.layer,) if last.layer else None
    source = MigrationsFolder(target.path, last.name, layers)
    with scratch_database(source, scratch) as connection:
        return differences(dump_of(connection), dump(url))


@app.command
def status(
    *,
    target: Target = _EVERY,
    json_: Annotated[bool, Parameter(name="--json", negative=(), show_default=False)] = False,
    check: Annotated[bool, Parameter(name="--check", negative=(), show_default=False)] = False,
) -> int:
    """Show the state of each migration: applied, pending, edited since, missing or interrupted.

    Parameters
    ----------
    json_
        Print a JSON array with one object for each migration.
    check
        Exit with 1 unless every migration is applied with the content of its file.
    """

    def run(url: str) -> int:
        from plainsql import migrate

        found = migrate.status(url, target.path, layers=target.layers)
        if json_:
            print(json.dumps([_as_json(item) for item in found.migrations], indent=2))
        else:
            _show(found)
        return FINDINGS if check and not found.is_current else FINE

    return _with_database(run, target)


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
        A few words for its name and title: "add phone to leads".
    layer
        The layer it belongs to; required if the folder has layers.
    folder
        Folder of the migrations; by default that of pyproject.toml, or 'migrations'.
    """

    def write() -> int:
        from plainsql import migrate
        from plainsql.migrate.discovery import display_path

        for path in migrate.new(folder or own_folder(), what, layer=layer):
            print(display_path(path))
        return FINE

    return guarded(write)


def _with_database(run: Callable[[str], int], target: Target) -> int:
    def resolved() -> int:
        _ = target.path  # a schema that is not plainsql's is refused without a connection
        with resolve_database(target.database) as url:
            return run(url)

    return guarded(resolved)


def _refuse(message: str) -> int:
    print(message, file=sys.stderr)
    return COULD_NOT_RUN


class _Lines:
    """The output of a run: one line for each migration, begun when it starts, ended after its commit."""

    def __init__(self) -> None:
        self._open = False

    def __call__(self, progress: Progress) -> None:
        if progress.stage == "connecting":
            print(f"waiting for the server: {progress.text}", file=sys.stderr, flush=True)
        elif progress.stage == "waiting":
            print(f"waiting for another run of migrations: {progress.text}", file=sys.stderr, flush=True)
        elif progress.stage == "started":
            self._write(f"{progress.name} … ", opens=True)
        elif progress.stage in ("notice", "blocked", "retrying"):
            lead = "blocked by " if progress.stage == "blocked" else ""
            self._write(("\n" if self._open else "") + f"  {lead}{progress.text}\n", opens=False)
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
    """Print a table at a terminal; else the same cells, one line a row, separated by two spaces or more."""
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
    """Return how far a migration came that was cut off, and the command to continue."""
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
    return f"{item.name}: {what} cut off; recorded last at {at}{far}\nHINT: {of_database(ways)}"
