"""``plainsql marketplace``: the nightly maintenance of the marketplace layer, and its daily report."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import plainsql
from plainsql.cli.exit_codes import COULD_NOT_RUN, FINDINGS, FINE
from plainsql.cli.marketplace.report_table import print_report
from plainsql.errors import BindError
from plainsql.layers.marketplace import buyers, chart, maintenance
from plainsql.layers.marketplace.daily_report import DailyReport, daily_report
from plainsql.layers.marketplace.maintenance import ARCHIVE_AFTER_DAYS, BATCH, KEEP_SESSIONS_DAYS
from plainsql.settings import resolve_database

__all__ = ["app"]

T = TypeVar("T")

app = App(
    name="marketplace",
    help="""Maintain the tables of the marketplace layer, and report on a day.

    'daily' does all of it: run it once a night. The work is done in batches. You may interrupt it and run it
    again; two runs at the same time share it.

    Exit codes: 0 done, or nothing to do; 1 the server refused; 2 it could not run (usage, connection, no
    tables).
    """,
)


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """The options of all commands: the database and the output."""

    database: Annotated[str | None, Parameter(name="--database")] = None
    "URL of the database. Without it: DATABASE_URL or DB_*, then pyproject.toml, then the embedded server."
    json: Annotated[bool, Parameter(name="--json", negative=(), show_default=False)] = False
    "Print a JSON object and nothing else."


@Parameter(name="*")
@dataclass(frozen=True)
class DayOptions:
    """The options of a report: its day and its chart."""

    day: Annotated[str | None, Parameter(name="--day")] = None
    "The day, as 2026-11-20; yesterday by default."
    time_zone: Annotated[str, Parameter(name="--time-zone")] = "UTC"
    "The time zone in which the day begins and ends: Europe/Madrid."
    picture: Annotated[Path | None, Parameter(name="--picture")] = None
    "A file ending in .png or .svg for a chart of the day; an existing file is replaced."

    def checked(self) -> date | None:
        """Return the day, None for yesterday.

        Raises ``BindError`` if the day or the name of the chart's file cannot be read.
        """
        if self.picture is not None:
            chart.suffix(self.picture)
        try:
            return None if self.day is None else date.fromisoformat(self.day)
        except ValueError:
            raise BindError(
                f"--day: expected a day, got {self.day!r}", hint="write it as 2026-11-20"
            ) from None

    def draw(self, report: DailyReport, *, quiet: bool) -> None:
        if self.picture is not None:
            chart.draw(report, self.picture)
            if not quiet:
                print(f"wrote {self.picture}")


_BATCH = Parameter(name="--batch")


@app.command
def delete_old_sessions(
    *, common: Common = Common(), days: int = KEEP_SESSIONS_DAYS, batch: Annotated[int, _BATCH] = BATCH
) -> int:
    """Delete the bot sessions without a heartbeat for many days.

    Parameters
    ----------
    days
        The minimum number of days since the last heartbeat.
    batch
        Sessions of one batch, each of which is a transaction: 1 to 10000.
    """

    async def run(db: plainsql.Database, bar: _Bar) -> int:
        return await maintenance.delete_old_sessions(db, days=days, batch=batch, advance=bar.advance)

    def report_result(deleted: int) -> None:
        _print_result(common, {"deleted_sessions": deleted}, f"deleted {deleted:,} bot sessions")

    return _with_database(common, run, report_result, "bot sessions")


@app.command
def archive_conversations(
    *, common: Common = Common(), days: int = ARCHIVE_AFTER_DAYS, batch: Annotated[int, _BATCH] = BATCH
) -> int:
    """Archive the conversations that were completed long ago.

    Parameters
    ----------
    days
        The minimum number of days since their completion.
    batch
        Conversations of one batch, each of which is a transaction: 1 to 10000.
    """

    async def run(db: plainsql.Database, bar: _Bar) -> int:
        return await maintenance.archive_conversations(db, days=days, batch=batch, advance=bar.advance)

    def report_result(archived: int) -> None:
        _print_result(common, {"archived_conversations": archived}, f"archived {archived:,} conversations")

    return _with_database(common, run, report_result, "conversations")


@app.command
def recompute_trust(*, common: Common = Common(), batch: Annotated[int, _BATCH] = BATCH) -> int:
    """Recompute the trust scores of all buyers from their kept and broken promises.

    Parameters
    ----------
    batch
        Buyers of one batch, each of which is a transaction: 1 to 10000.
    """

    async def run(db: plainsql.Database, bar: _Bar) -> maintenance.TrustScores:
        bar.total(await buyers.count(db))
        return await maintenance.recompute_trust_scores(db, batch=batch, advance=bar.advance)

    def report_result(scores: maintenance.TrustScores) -> None:
        text = f"examined {scores.examined:,} buyers, {scores.changed:,} scores changed"
        _print_result(common, scores, text)

    return _with_database(common, run, report_result, "buyers")


@app.command
def report(*, common: Common = Common(), options: DayOptions = DayOptions()) -> int:
    """Report on a day: conversations, answers, sales, revenue, time to sale, by category."""
    day = options.checked()

    async def run(db: plainsql.Database, bar: _Bar) -> DailyReport:
        return await daily_report(db, day=day, time_zone=options.time_zone)

    def report_result(made: DailyReport) -> None:
        if common.json:
            _print_json(made)
        else:
            print_report(_console(), made)
        options.draw(made, quiet=common.json)

    return _with_database(common, run, report_result)


@app.command
def daily(
    *,
    common: Common = Common(),
    options: DayOptions = DayOptions(),
    session_days: int = KEEP_SESSIONS_DAYS,
    archive_days: int = ARCHIVE_AFTER_DAYS,
    batch: Annotated[int, _BATCH] = BATCH,
) -> int:
    """Delete old sessions, archive conversations, recompute trust scores, and report.

    Parameters
    ----------
    session_days
        Delete bot sessions without a heartbeat for more days.
    archive_days
        Archive conversations that were completed more days ago.
    batch
        Rows of one batch, each of which is a transaction: 1 to 10000.
    """
    day = options.checked()

    async def run(db: plainsql.Database, bar: _Bar) -> maintenance.Daily:
        return await maintenance.daily(
            db,
            session_days=session_days,
            archive_days=archive_days,
            batch=batch,
            day=day,
            time_zone=options.time_zone,
        )

    def report_result(done: maintenance.Daily) -> None:
        if common.json:
            _print_json(done)
        else:
            scores = done.trust_scores
            print(f"deleted {done.deleted_sessions:,} bot sessions")
            print(f"archived {done.archived_conversations:,} conversations")
            print(f"examined {scores.examined:,} buyers, {scores.changed:,} scores changed")
            print()
            print_report(_console(), done.report)
        options.draw(done.report, quiet=common.json)

    return _with_database(common, run, report_result)


class _Bar:
    """The progress of the batches: a bar at a terminal, else nothing."""

    def __init__(self, progress: Progress, what: str) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=None)

    def total(self, count: int) -> None:
        """Set the length of the bar."""
        self._progress.update(self._task, total=count)

    def advance(self, count: int) -> None:
        """Advance the bar by ``count``."""
        self._progress.advance(self._task, count)


def _with_database(
    common: Common,
    run: Callable[[plainsql.Database, _Bar], Awaitable[T]],
    report_result: Callable[[T], None],
    what: str = "",
) -> int:
    # Imported here, so that --help does not import the driver.
    from asyncpg.exceptions import (
        InsufficientPrivilegeError,
        InterfaceError,
        InvalidSchemaNameError,
        PostgresConnectionError,
        PostgresError,
        UndefinedTableError,
    )

    async def connected(url: str) -> T:
        async with plainsql.connect(url, max_size=2) as db:
            with _progress(shown=bool(what) and not common.json) as progress:
                return await run(db, _Bar(progress, what))

    try:
        with resolve_database(common.database) as url:
            result = asyncio.run(connected(url))
    except (InvalidSchemaNameError, UndefinedTableError) as error:
        return _failed(
            f"the database has no marketplace layer: {error}", "run `plainsql migrate --layer marketplace`"
        )
    except (PostgresConnectionError, InterfaceError) as error:
        return _failed(f"the connection to the database was lost: {error}", "read its log, and try again")
    except InsufficientPrivilegeError as error:
        return _failed(f"{error}", "grant the role the privileges it needs, or use another one")
    except PostgresError as error:
        print(f"the server refused: {error}", file=sys.stderr)
        return FINDINGS
    report_result(result)
    return FINE


def _failed(text: str, hint: str) -> int:
    print(f"{text.partition(chr(10))[0]}\nHINT: {hint}", file=sys.stderr)
    return COULD_NOT_RUN


def _progress(*, shown: bool) -> Progress:
    # On standard error, and removed when it is done.
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not (shown and console.is_terminal),
    )


def _console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def _print_result(common: Common, result: object, text: str) -> None:
    if common.json:
        _print_json(result)
    else:
        print(text)


def _print_json(result: object) -> None:
    print(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())
