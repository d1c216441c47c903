"""The progress of index builds: bars at a terminal, elsewhere a line at each change, until none runs."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import psycopg
from psycopg import sql
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from plainsql.cli.exit_codes import FINDINGS, FINE
from plainsql.workload.index_builds import EndedBuild, IndexBuild, ended_builds, read_builds, read_indexes

__all__ = ["notes_of", "remedy", "watch_builds"]

_GAP_S: Final = 0.2
"""The pause before a second look: between two indexes of one migration no build runs for a moment."""
_STEP_PERCENT: Final = 10


def watch_builds(
    connection: psycopg.Connection[Any], schemas: Sequence[str] | None, *, every: float, json: bool
) -> int:
    """Show the builds on tables of the schemas, all for None, until none runs; return the exit code."""
    builds = read_builds(connection, schemas)
    notes = notes_of(connection, builds)
    indexes = read_indexes(connection, builds)
    ended: list[EndedBuild] = []
    with _display(json=json) as display:
        display.show(builds, [], notes)
        while builds:
            time.sleep(every)
            now = read_builds(connection, schemas)
            if not now:
                time.sleep(_GAP_S)
                now = read_builds(connection, schemas)
            new: list[EndedBuild] = []
            if {_key(build) for build in now} != {_key(build) for build in builds}:
                after = read_indexes(connection, now)
                new = ended_builds([each for each in builds if not _goes_on(each, now)], indexes, after)
                indexes = after
            builds = now
            ended += new
            display.show(builds, new, ())
    if not json:
        print("no index is being built")
    return FINDINGS if any(each.result == "invalid" for each in ended) else FINE


def notes_of(connection: psycopg.Connection[Any], builds: Sequence[IndexBuild]) -> list[str]:
    """Return the limits of what the role sees, one line each."""
    hidden = sum(build.hidden for build in builds)
    if not hidden:
        return []
    [(role,)] = connection.execute("select current_user::text").fetchall()
    what = "1 build of another role is" if hidden == 1 else f"{hidden} builds of other roles are"
    return [
        f"{what} hidden from {role}: grant pg_read_all_stats to {sql.Identifier(role).as_string(connection)}"
    ]


def remedy(index: str) -> str:
    """Return the hint for an invalid index."""
    if index.rstrip('"0123456789').endswith(("_ccnew", "_ccold")):  # left by reindex concurrently
        return f"drop index concurrently {index}"
    return f"reindex index concurrently {index}, or drop it"


def _key(build: IndexBuild) -> tuple[int, int | None, int | None]:
    return (build.pid, build.table_oid, build.index_oid)


def _goes_on(build: IndexBuild, now: Sequence[IndexBuild]) -> bool:
    """Report whether a build still runs. A concurrent one reports its index only after a moment."""
    return any(
        (each.pid, each.table_oid) == (build.pid, build.table_oid)
        and build.index_oid in (None, each.index_oid)
        for each in now
    )


class _Lines:
    """A line at each new phase and each tenth of it, or each change as JSON."""

    def __init__(self, *, json: bool) -> None:
        self._json = json
        self._shown: dict[int, object] = {}

    def show(self, builds: Sequence[IndexBuild], ended: Sequence[EndedBuild], notes: Sequence[str]) -> None:
        steps: dict[int, object] = {build.pid: _step(build) for build in builds}
        if self._json:
            changed = steps != self._shown or ended or not self._shown
            if changed:
                document = {"builds": builds, "ended": ended, "notes": notes}
                print(msgspec.json.encode(document).decode(), flush=True)
        else:
            for note in notes:
                print(f"note: {note}", flush=True)
            for build in builds:
                if self._shown.get(build.pid) != steps[build.pid]:
                    print(build.line, flush=True)
            for each in ended:
                print(_result(each), flush=True)
        self._shown = steps


class _Bars:
    """A bar for each build."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[int, TaskID] = {}

    def show(self, builds: Sequence[IndexBuild], ended: Sequence[EndedBuild], notes: Sequence[str]) -> None:
        for note in notes:
            self._progress.console.print(f"note: {note}", markup=False)
        for build in builds:
            if build.pid not in self._tasks:
                self._tasks[build.pid] = self._progress.add_task(build.name, total=None)
            self._progress.update(
                self._tasks[build.pid],
                description=f"{build.name}: {build.activity}",
                completed=build.done if build.total else 0,
                total=build.total or None,
            )
        for pid in self._tasks.keys() - {build.pid for build in builds}:
            self._progress.remove_task(self._tasks.pop(pid))
        for each in ended:
            self._progress.console.print(_result(each), markup=False)


@contextmanager
def _display(*, json: bool) -> Generator[_Bars | _Lines]:
    console = Console(stderr=True, highlight=False)
    if json or not console.is_terminal:
        yield _Lines(json=json)
        return
    with Progress(
        # Names come from the database: no markup in them.
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        console=console,
    ) as progress:
        yield _Bars(progress)


def _step(build: IndexBuild) -> object:
    part = build.fraction
    tenth = None if part is None else int(part * 100) // _STEP_PERCENT
    return (build.index, build.phase, build.waits_for, tenth)


def _result(each: EndedBuild) -> str:
    if each.result == "built":
        return f"built: {each.name}"
    if each.result == "invalid":
        return f"invalid: {each.name}: its build has failed\nHINT: {remedy(each.index or each.name)}"
    return f"ended: {each.name}: no new index is visible, it was rolled back or its transaction is still open"
