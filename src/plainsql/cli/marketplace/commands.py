"""``plainsql marketplace``: what a marketplace needs once a day."""

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
    help="""Keep the tables of the marketplace layer in order, and report on a day.

    'daily' does all of it: have it run once a night. Work goes in batches, may
    be interrupted and run again, and two runs at once share it.

    Exit codes: 0 done, or nothing to do; 1 the server refused; 2 it could not
    run (usage, connection, no tables).
    """,
)


@Parameter(name="*")
@dataclass(frozen=True)
class Where:
    """Which database, and how to tell of it."""

    database: Annotated[str | None, Parameter(name="--database")] = None
    "URL of the database. Without it: DATABASE_URL or DB_*, then pyproject.toml, then the embedded server."
    json: Annotated[bool, Parameter(name="--json", negative=(), show_default=False)] = False
    "Print a JSON object and nothing else."


@Parameter(name="*")
@dataclass(frozen=True)
class Which:
    """Which day, and where it begins."""

    day: Annotated[str | None, Parameter(name="--day")] = None
    "The day, as 2026-11-20; yesterday by default."
    time_zone: Annotated[str, Parameter(name="--time-zone")] = "UTC"
    "Where the day begins and ends: Europe/Madrid."
    picture: Annotated[Path | None, Parameter(name="--picture")] = None
    "A file that ends in .png or .svg, for the day as a picture; it is replaced."

    def checked(self) -> date | None:
        """The day, None for yesterday; an error where it, or the picture's name, is none."""
        if self.picture is not None:
            chart.suffix(self.picture)
        try:
            return None if self.day is None else date.fromisoformat(self.day)
        except ValueError:
            raise BindError(f"--day: {self.day!r} is no day", hint="write it as 2026-11-20") from None

    def draw(self, report: DailyReport, *, quiet: bool) -> None:
        if self.picture is not None:
            chart.draw(report, self.picture)
            if not quiet:
                print(f"wrote {self.picture}")


_BATCH = Parameter(name="--batch")


@app.command
def delete_old_sessions(
    *, where: Where = Where(), days: int = KEEP_SESSIONS_DAYS, batch: Annotated[int, _BATCH] = BATCH
) -> int:
    """Delete the bot sessions that were last heard of long ago.

    Parameters
    ----------
    days
        How many days ago at least.
    batch
        How many are deleted at once, each batch in a transaction of its own: 1 to 10000.
    """

    async def run(db: plainsql.Database, bar: _Bar) -> int:
        return await maintenance.delete_old_sessions(db, days=days, batch=batch, advance=bar.advance)

    def told(deleted: int) -> None:
        _tell(where, {"deleted_sessions": deleted}, f"deleted {deleted:,} bot sessions")

    return _with_database(where, run, told, "bot sessions")


@app.command
def archive_conversations(
    *, where: Where = Where(), days: int = ARCHIVE_AFTER_DAYS, batch: Annotated[int, _BATCH] = BATCH
) -> int:
    """Archive the conversations that were completed long ago.

    Parameters
    ----------
    days
        How many days ago at least.
    batch
        How many are archived at once, each batch in a transaction of its own: 1 to 10000.
    """

    async def run(db: plainsql.Database, bar: _Bar) -> int:
        return await maintenance.archive_conversations(db, days=days, batch=batch, advance=bar.advance)

    def told(archived: int) -> None:
        _tell(where, {"archived_conversations": archived}, f"archived {archived:,} conversations")

    return _with_database(where, run, told, "conversations")


@app.command
def recompute_trust(*, where: Where = Where(), batch: Annotated[int, _BATCH] = BATCH) -> int:
    """Recompute the trust scores of all buyers, from what they promised and kept.

    Parameters
    ----------
    batch
        How many are looked at at once, each batch in a transaction of its own: 1 to 10000.
    """

    async def run(db: plainsql.Database, bar: _Bar) -> maintenance.TrustScores:
        bar.total(await buyers.count(db))
        return await maintenance.recompute_trust_scores(db, batch=batch, advance=bar.advance)

    def told(scores: maintenance.TrustScores) -> None:
        text = f"looked at {scores.examined:,} buyers, {scores.changed:,} scores changed"
        _tell(where, scores, text)

    return _with_database(where, run, told, "buyers")


@app.command
def report(*, where: Where = Where(), which: Which = Which()) -> int:
    """Report on a day: conversations, answers, sales, revenue, time to sale, by category."""
    day = which.checked()

    async def run(db: plainsql.Database, bar: _Bar) -> DailyReport:
        return await daily_report(db, day=day, time_zone=which.time_zone)

    def told(made: DailyReport) -> None:
        if where.json:
            _print_json(made)
        else:
            print_report(_console(), made)
        which.draw(made, quiet=where.json)

    return _with_database(where, run, told)


@app.command
def daily(
    *,
    where: Where = Where(),
    which: Which = Which(),
    session_days: int = KEEP_SESSIONS_DAYS,
    archive_days: int = ARCHIVE_AFTER_DAYS,
    batch: Annotated[int, _BATCH] = BATCH,
) -> int:
    """Do all of it: delete old sessions, archive conversations, recompute trust scores, report.

    Parameters
    ----------
    session_days
        Bot sessions that were last heard of more days ago are deleted.
    archive_days
        Conversations that were completed more days ago are archived.
    batch
        How many rows are changed at once, each batch in a transaction of its own: 1 to 10000.
    """
    day = which.checked()

    async def run(db: plainsql.Database, bar: _Bar) -> maintenance.Daily:
        return await maintenance.daily(
            db,
            session_days=session_days,
            archive_days=archive_days,
            batch=batch,
            day=day,
            time_zone=which.time_zone,
        )

    def told(done: maintenance.Daily) -> None:
        if where.json:
            _print_json(done)
        else:
            scores = done.trust_scores
            print(f"deleted {done.deleted_sessions:,} bot sessions")
            print(f"archived {done.archived_conversations:,} conversations")
            print(f"looked at {scores.examined:,} buyers, {scores.changed:,} scores changed")
            print()
            print_report(_console(), done.report)
        which.draw(done.report, quiet=where.json)

    return _with_database(where, run, told)


class _Bar:
    """How far the batches have got: on a terminal a bar, elsewhere nothing."""

    def __init__(self, progress: Progress, what: str) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=None)

    def total(self, count: int) -> None:
        """Know from now on how many there are."""
        self._progress.update(self._task, total=count)

    def advance(self, count: int) -> None:
        """Have done so many more."""
        self._progress.advance(self._task, count)


def _with_database(
    where: Where,
    run: Callable[[plainsql.Database, _Bar], Awaitable[T]],
    told: Callable[[T], None],
    what: str = "",
) -> int:
    # Here, so that other commands do not load the driver.
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
            with _progress(shown=bool(what) and not where.json) as progress:
                return await run(db, _Bar(progress, what))

    try:
        with resolve_database(where.database) as url:
            result = asyncio.run(connected(url))
    except (InvalidSchemaNameError, UndefinedTableError) as error:
        return _failed(
            f"the database has no marketplace: {error}", "run `plainsql migrate --layer marketplace`"
        )
    except (PostgresConnectionError, InterfaceError) as error:
        return _failed(f"the database has gone away: {error}", "check its log, and try again")
    except InsufficientPrivilegeError as error:
        return _failed(f"{error}", "grant the role what it needs, or use another one")
    except PostgresError as error:
        print(f"the server refused: {error}", file=sys.stderr)
        return FINDINGS
    told(result)
    return FINE


def _failed(text: str, hint: str) -> int:
    print(f"{text.partition(chr(10))[0]}\nHINT: {hint}", file=sys.stderr)
    return COULD_NOT_RUN


def _progress(*, shown: bool) -> Progress:
    # Beside the output and not in it, and gone when it is done.
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


def _tell(where: Where, result: object, text: str) -> None:
    if where.json:
        _print_json(result)
    else:
        print(text)


def _print_json(result: object) -> None:
    print(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())
