"""``plainsql db doctor``: the checks of PostgreSQL, pgvector, the migrations, Redis and the compiled part."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Annotated, Any

import msgspec
import psycopg
from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from plainsql.cli.db.common import COMMON, FLAG, Common, connected, print_json
from plainsql.cli.db.layer_selection import known_layers
from plainsql.cli.exit_codes import FINDINGS, FINE
from plainsql.errors import PlainsqlError
from plainsql.health.redis_check import check_redis
from plainsql.health.replica_check import PrimaryPosition, primary_position, replica_check
from plainsql.health.results import Check, failure
from plainsql.health.server_checks import Place, server_checks
from plainsql.health.speed_check import check_speed
from plainsql.health.steps import RefusedStepError, Rows, run_steps
from plainsql.patroni import PatroniClient
from plainsql.replica_sources import (
    STANDBYS_SQL,
    Primary,
    Source,
    Urls,
    configured_source,
    member_url,
    of_primary,
    standbys,
)
from plainsql.settings import database_url

__all__ = ["doctor", "execute_step"]

_STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red", "skipped": "dim"}


def doctor(
    *layers: str,
    redis: Annotated[str | None, Parameter(show_default=False)] = None,
    require_redis: Annotated[bool, FLAG] = False,
    common: Common = COMMON,
) -> int:
    """Check PostgreSQL, its replicas, pgvector, Redis, pending migrations and the compiled part.

    The result of each check is ok, a warning, failed or skipped, with a hint.

    Exits with 0 if no check failed, 1 if one did.

    Parameters
    ----------
    layers
        The layers to check: their migrations, extensions and indexes, and whether the role can run their
        queries. By default, the migrations of the layers of the project and of the database.
    redis
        URL of Redis; by default the configured one.
    require_redis
        Fail if no Redis is configured.
    """
    known_layers(layers)  # refuses a wrong name before any check runs
    checks = []
    for check in _all(layers, common.database, redis, required=require_redis):
        checks.append(check)
        if not common.json:
            _show(check)
    failed = [check for check in checks if check.state == "failed"]
    if common.json:
        print_json({"ok": not failed, "checks": checks})
    else:
        print(_summary(checks))
    return FINDINGS if failed else FINE


def _summary(checks: Sequence[Check]) -> str:
    failed, warnings = (sum(check.state == state for check in checks) for state in ("failed", "warning"))
    if failed:
        return f"{failed} of {len(checks)} checks failed"
    if warnings:
        return f"no check failed; {warnings} {'warning' if warnings == 1 else 'warnings'}"
    return "everything answers"


def _all(
    layers: Sequence[str], database: str | None, redis: str | None, *, required: bool
) -> Iterator[Check]:
    yield from _postgresql(layers, database)
    if database is None:
        yield from _replicas()
    yield check_redis(redis, required=required)
    yield check_speed()


def _postgresql(layers: Sequence[str], database: str | None) -> Iterable[Check]:
    try:
        with connected(database) as session:
            connection = session.connection
            place = Place(session.address, connection.info.host)
            steps = server_checks(place, known_layers(layers), only_present=not layers, in_depth=bool(layers))
            yield from run_steps(steps, partial(execute_step, connection))
    except (PlainsqlError, OSError) as error:
        yield failure("postgresql", error)


def _replicas() -> Iterable[Check]:
    """Check the replicas of the environment, if the database is that of the environment too."""
    primary: PrimaryPosition | None = None
    url = database_url() or ""
    rows: Rows = []
    try:
        source = configured_source()
        if source == Urls(()):
            return
        with suppress(PlainsqlError, OSError), connected(None) as session:  # its own check names the error
            url = session.url
            primary = PrimaryPosition.of(execute_step(session.connection, primary_position()))
            if isinstance(source, Primary):
                rows = execute_step(session.connection, STANDBYS_SQL)
        urls = _urls_of(source, url, rows)
    except PlainsqlError as error:
        # Its reads run on the primary.
        yield msgspec.structs.replace(failure("replicas", error), state="warning")
        return
    for number, each in enumerate(urls, 1):
        name = f"replica {number}"
        try:
            with connected(each) as session:
                steps = replica_check(name, session.address, primary)
                yield from run_steps(steps, partial(execute_step, session.connection))
        except (PlainsqlError, OSError) as error:
            yield msgspec.structs.replace(failure(name, error), state="warning")


def _urls_of(source: Source, url: str, rows: Rows) -> Sequence[str]:
    """Return the URLs of the replicas of the primary at ``url``; ``rows``: those of ``STANDBYS_SQL``."""
    source = of_primary(source, url)
    if isinstance(source, Urls):
        return source.urls
    found = standbys(source, rows) if isinstance(source, Primary) else PatroniClient(source).ask()
    return [member_url(url, member) for member in found]


def execute_step(connection: psycopg.Connection[Any], sql: str) -> Rows:
    """Return the rows of a step's SQL. Raises ``RefusedStepError`` if the server refuses it."""
    try:
        return connection.execute(sql.encode()).fetchall()
    except psycopg.Error as error:
        if error.sqlstate is None or error.sqlstate[:2] in ("08", "57"):
            raise
        message = error.diag.message_primary or type(error).__name__
        raise RefusedStepError(message, error.sqlstate, error.diag.message_hint) from None


def _show(check: Check) -> None:
    if sys.stdout.isatty():
        console = Console(highlight=False)
        console.print(
            Text.assemble((f"{check.state:8}", _STYLES[check.state]), (f"{check.name}  ", "bold"), check.text)
        )
        if check.hint:
            console.print(Text(f"{'':8}→ {check.hint}", style="dim"))
    else:
        print(f"{check.state:8}{check.name}: {check.text}", flush=True)
        if check.hint:
            print(f"{'':8}HINT: {check.hint}", flush=True)
