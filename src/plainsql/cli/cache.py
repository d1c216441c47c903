"""``plainsql cache``: audit the read-through cache, and report external writes to it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import App, Parameter

from plainsql.cli.cache_triggers import triggers
from plainsql.cli.exit_codes import COULD_NOT_RUN, FINDINGS, FINE
from plainsql.cli.number_range import NumberRange
from plainsql.errors import PlainsqlError, SettingsError
from plainsql.settings import redis_url, resolve_database

if TYPE_CHECKING:
    from rich.progress import Progress

    from plainsql.cache.shared_audit import AuditResult, SharedAudit

__all__ = ["app"]

app = App(
    name="cache",
    help="""Audit the read-through cache, and report external writes to it.

    Exit codes: 0 fine; 1 an audit found violations, or queries cannot be analysed; 2 it could not run;
    130 interrupted.
    """,
)

_FLAG = Parameter(negative=(), show_default=False)
_JSON = Parameter(name="--json", negative=(), show_default=False)
_FIRST_PROCESS_WAIT_S = 10.0
"""The limit for the first process to take part: processes poll every two seconds."""
_LAST_REPORT_WAIT_S = 5.0
"""The limit for processes to report their results after the end."""
_SECONDS = NumberRange("seconds", 0, 86_400, "60", above_low=True)

app.command(triggers)


@app.command
def audit(
    *,
    sample: str = "1%",
    seconds: Annotated[float, Parameter(validator=_SECONDS)] = 60.0,
    redis: Annotated[str | None, Parameter(show_default=False)] = None,
    json_: Annotated[bool, _JSON] = False,
) -> int:
    """Read a sample of cache hits again from PostgreSQL, and count those that differ.

    The processes that share the cache do this in the background for the given time: only they know the
    arguments. A hit is a violation if it differs from PostgreSQL although no write has invalidated it. The
    cause is an external write, or a mistake in plainsql. Hits that a process serves without Redis ('local'
    in a header) are not audited.

    Exits with 0 if no violation was found, 1 if one was, 2 if it could not run: no Redis, no process that
    takes part, another audit in progress.

    Parameters
    ----------
    sample
        The part of the hits to read again: 1%, 0.01.
    seconds
        The duration of the audit.
    redis
        URL of Redis; by default the configured one.
    json_
        Print one JSON object and nothing else.
    """
    rate = _part(sample)
    url = _redis(redis)
    tally = asyncio.run(_audit(url, rate, seconds, quiet=json_))
    if not tally.processes:
        print(
            "no process answered: nothing was audited\n"
            "HINT: start a program with connect(redis=…) on this Redis: programs take part while they run",
            file=sys.stderr,
        )
        return COULD_NOT_RUN
    if json_:
        report = {
            "sample": rate,
            "seconds": seconds,
            "processes": tally.processes,
            "audited": tally.audited,
            "violations": tally.violations,
            "queries": tally.queries,
            "found": [{"query": one.query, "tables": one.tables, "at": _time(one.at)} for one in tally.found],
        }
        print(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        _say(tally)
    return FINDINGS if tally.violations else FINE


async def _audit(url: str, rate: float, seconds: float, *, quiet: bool) -> AuditResult:
    from plainsql.application import cache_namespace
    from plainsql.cache.redis_store import RedisStore

    store = RedisStore(url, namespace=cache_namespace(None))
    try:
        audits = store.audits
        id = await audits.request(rate, seconds)
        try:
            with _bar(quiet=quiet) as progress:
                tally = await _watch(audits, id, seconds, progress)
        except BaseException:
            # Also after an interrupt: the processes must not go on auditing.
            await audits.result(id, remove=True)
            raise
        await audits.result(id, remove=True)
        return tally
    finally:
        await store.aclose()


async def _watch(audits: SharedAudit, id: str, seconds: float, progress: Progress) -> AuditResult:
    loop = asyncio.get_running_loop()
    began = loop.time()
    task = progress.add_task("waiting for processes", total=seconds)
    while True:
        tally = await audits.result(id)
        spent = loop.time() - began
        if tally.processes:
            text = f"{tally.processes} processes, {tally.audited} hits, {tally.violations} violations"
            progress.update(task, description=text)
        progress.update(task, completed=min(spent, seconds))
        if spent >= seconds + _LAST_REPORT_WAIT_S or (spent >= seconds and tally.processes == tally.done > 0):
            return tally
        if not tally.processes and spent >= _FIRST_PROCESS_WAIT_S:
            return tally
        await asyncio.sleep(0.2)


def _say(tally: AuditResult) -> None:
    for one in tally.found[-10:]:
        print(f"{_time(one.at)}  {one.query}  {', '.join(one.tables)}")
    if tally.found:
        print()
    rows = [(each.query, f"{each.audited:,}", f"{each.violations:,}") for each in tally.queries]
    width = max((len(query) for query, _, _ in rows), default=0)
    for query, audited, violations in (("query", "audited", "violations"), *rows) if rows else ():
        print(f"{query:<{width}}  {audited:>9}  {violations:>10}")
    total, wrong = _counted(tally.audited, "hit"), _counted(tally.violations, "violation")
    print(f"{total} audited by {_counted(tally.processes, 'process', 'es')}: {wrong}")
    if not tally.audited:
        print("HINT: no hit was picked: let it run longer, or take a larger sample", file=sys.stderr)
    if tally.violations:
        print(
            "HINT: who writes to these tables past plainsql? See 'plainsql cache triggers' and "
            "db.cache.invalidate",
            file=sys.stderr,
        )


@app.command
def drain(
    *,
    database: str | None = None,
    redis: Annotated[str | None, Parameter(show_default=False)] = None,
    once: Annotated[bool, _FLAG] = False,
) -> int:
    """Invalidate cached results after external writes, which the triggers of 'cache triggers' record.

    It runs until it is interrupted. connect(cache_outbox=True) does the same inside a program. Any number of
    both may run; one of them drains at a time.

    Parameters
    ----------
    database
        URL of the database; by default the configured one, else the embedded server.
    redis
        URL of Redis; by default the configured one.
    once
        Process the writes recorded so far, and end. Exits with 2 if Redis does not answer; no record is lost
        then.
    """
    url = _redis(redis)
    with resolve_database(database) as database_url:
        asyncio.run(_drain(database_url, url, once=once))
    return FINE


async def _drain(database: str, redis: str, *, once: bool) -> None:
    import plainsql

    stopped = asyncio.Event()
    connecting = plainsql.connect(
        database,
        redis=redis,
        max_size=2,
        application_name="plainsql cache drain",
        cache_outbox=not once,
    )
    async with connecting as db:
        if once:
            print(f"{_counted(await db.cache.drain(), 'external write')} processed")
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
        print(f"draining {db.name}", file=sys.stderr, flush=True)
        await stopped.wait()
        print(f"{_counted(db.cache.stats().drained, 'external write')} processed")


def _redis(given: str | None) -> str:
    url = redis_url(given)
    if not url:
        raise SettingsError("no Redis is configured", hint="set REDIS_URL, or pass --redis URL")
    return url


def _part(text: str) -> float:
    number, percent, rest = text.strip().partition("%")
    try:
        part = float(number) / (100 if percent else 1)
    except ValueError:
        part = 0.0
    if rest or not 0 < part <= 1:
        raise PlainsqlError(f"--sample: expected a part of the hits, such as 1% or 0.01, got {text!r}")
    return part


def _time(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _counted(count: int, what: str, plural: str = "s") -> str:
    return f"{count:,} {what}{'' if count == 1 else plural}"


@contextmanager
def _bar(*, quiet: bool) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as progress:
        yield progress
