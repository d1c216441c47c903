"""``plainsql migrate partitions``: the partitions of the time to come, made ahead of time."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from plainsql.cli.exit_codes import FINDINGS, FINE
from plainsql.cli.migrate_target import guarded
from plainsql.cli.number_range import LOCK_RETRIES, LOCK_TIMEOUT
from plainsql.errors import SettingsError, printable
from plainsql.settings import Project, resolve_database

if TYPE_CHECKING:
    from plainsql.migrate.partitions import PartitionStep

__all__ = ["partitions"]

_FLAG = Parameter(negative=(), show_default=False)
_DONE = {"create": "made", "detach": "detached", "finish detach": "finished the detach of"}


def partitions(
    *,
    database: str | None = None,
    detach: Annotated[bool, _FLAG] = False,
    dry_run: Annotated[bool, _FLAG] = False,
    check: Annotated[bool, _FLAG] = False,
    lock_timeout: Annotated[float | None, Parameter(validator=LOCK_TIMEOUT)] = None,
    lock_retries: Annotated[int | None, Parameter(validator=LOCK_RETRIES)] = None,
    json: Annotated[bool, _FLAG] = False,
) -> int:
    """Make the partitions of the time to come, for the tables of [tool.plainsql.partitions].

    Run it as often as you like, such as each day: a range that has a partition is left alone. Readers and
    writers of the table do not wait for it.

    Exits with 0 if all partitions are there, 1 if one cannot be made, or is missing with --check, 2 if it
    could not run.

    Parameters
    ----------
    database
        URL of the database. Without it: DATABASE_URL or DB_*, then pyproject.toml, then the embedded server.
    detach
        Also detach the partitions that are older than keep. Their tables stay, with their rows.
    dry_run
        Print the SQL that would run, and run nothing.
    check
        Change nothing, and exit with 1 if a partition is missing.
    lock_timeout
        Seconds that a statement waits for a lock; 0 is no limit. By default lock_timeout of pyproject.toml,
        or 5.
    lock_retries
        Number of tries after the first. By default lock_retries of pyproject.toml, or 5.
    json
        Print JSON.
    """

    def run() -> int:
        from plainsql.migrate.partitions import declared_partitions, ensure_partitions

        project = Project.load()
        declared = declared_partitions(project)
        if not declared:
            raise SettingsError(
                "there is no table in [tool.plainsql.partitions]",
                hint='name it there: "shop.events" = { every = "month", ahead = 3 }',
            )
        with resolve_database(database) as url:
            done = ensure_partitions(
                url,
                declared,
                detach=detach,
                dry_run=dry_run or check,
                lock_timeout=project.lock_timeout if lock_timeout is None else lock_timeout,
                lock_retries=project.lock_retries if lock_retries is None else lock_retries,
                on_waiting=lambda text: print(f"waiting: {printable(text)}", file=sys.stderr),
            )
        if json:
            from plainsql.cli.db.common import print_json

            print_json([_entry(step, done=done.done) for step in done.steps])
        else:
            _print(done.steps, done=done.done, tables=len(declared))
        missing = done.steps if check else done.refused
        return FINDINGS if missing else FINE

    return guarded(run)


def _entry(step: PartitionStep, *, done: bool) -> dict[str, Any]:
    return {**asdict(step), "done": done and not step.refused}


def _print(steps: Sequence[PartitionStep], *, done: bool, tables: int) -> None:
    for step in steps:
        what = f"{step.partition}, {_time(step.start, 'the beginning')} to {_time(step.end, 'the end')}"
        if step.refused:
            print(printable(f"{what}: {step.refused}\nHINT: {step.hint}"))
        elif done:
            print(printable(f"{_DONE[step.action]} {what}"))
        else:
            print(printable(f"-- {step.action} {what}"))
            for statement in step.sql:
                print(printable(f"{statement};"))
    if not steps:
        print(f"all partitions are there: {tables} {'table' if tables == 1 else 'tables'}")


def _time(time: datetime | None, unbounded: str) -> str:
    if time is None:
        return unbounded
    return f"{time:%Y-%m-%d}" if not time.hour else f"{time:%Y-%m-%d %H:%M}"
