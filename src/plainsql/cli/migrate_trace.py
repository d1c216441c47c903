"""``plainsql migrate trace``: the locks, rewrites and scans of migrations, and the hazards in them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from cyclopts import Parameter

import plainsql
from plainsql.cli.exit_codes import COULD_NOT_RUN, FINDINGS, FINE
from plainsql.cli.number_range import LOCK_TIMEOUT, NumberRange
from plainsql.cli.project import repository_root
from plainsql.errors import MigrationError, Place, PlainsqlError, SettingsError, printable
from plainsql.layers.files import migrations_folder
from plainsql.settings import Project, resolve_database

if TYPE_CHECKING:
    from plainsql.migrate.trace import Hazard, MigrationTrace, StatementTrace, TableSize

__all__ = ["trace"]

_FLAG = Parameter(negative=(), show_default=False)
_MAX_SQL_CHARS = 90
_MAY_BLOCK = NumberRange("seconds", 0, 2**31, "1")


def trace(
    *names: str,
    since: str | None = None,
    all_: Annotated[bool, Parameter(name="--all", negative=(), show_default=False)] = False,
    database: str | None = None,
    folder: Path | None = None,
    layer: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = (),
    lock_timeout: Annotated[float | None, Parameter(validator=LOCK_TIMEOUT)] = None,
    stats: Path | None = None,
    may_block: Annotated[float, Parameter(validator=_MAY_BLOCK)] = 1.0,
    scratch: str | None = None,
    json: Annotated[bool, _FLAG] = False,
    format: Literal["text", "github", "sarif"] = "text",
) -> int:
    """Show what migrations lock, rewrite and read, and name those that may stop production.

    Each statement runs on a scratch database, which is dropped at the end; the database itself is only read
    for the pending migrations. A hazard is a lock that blocks the application for long, or a change that the
    code in production does not survive: docs/safe-migrations.md has the safe way to each. A comment above
    the statement allows it: -- allow: create-index: the table is small

    Exits with 0 if there is no hazard, 1 if there is one that nothing allows, 2 if it could not run.

    Parameters
    ----------
    names
        The migrations to trace: 0003, 0003_add_index or realty/0003. By default those that are pending in
        the database.
    since
        Trace the migrations that a branch, a tag or a commit does not have, as one deployment. The queries
        that it has are the code in production.
    all_
        Trace all migrations of the folder, each as a deployment of its own.
    database
        URL of the database; by default the configured one, else the embedded server.
    folder
        Folder of the migrations; by default that of pyproject.toml, or 'migrations'.
    layer
        Only this layer; repeat it for several.
    lock_timeout
        Seconds that a statement waits for a lock, as of 'plainsql migrate'; 0 is no limit. By default
        lock_timeout of pyproject.toml, or 5.
    stats
        Folder of production's statistics; by default that of pyproject.toml, or 'stats' if it is there.
        Small tables are then no hazard.
    may_block
        Seconds for which work on a table may block the application. It is estimated from the statistics;
        a hazard below is a warning, and one below a tenth is not reported.
    scratch
        URL of a server for the scratch database; by default the one named for it, else the embedded server.
    json
        Print a JSON array with one object for each migration.
    format
        text for people, github for annotations of a pull request, sarif for viewers of SARIF 2.1.0.
    """
    if sum((bool(names), since is not None, all_, database is not None)) > 1:
        print(
            "names, --since, --all and --database: expected one of them, got more\n"
            "HINT: give one; without any, the pending migrations of the configured database are traced",
            file=sys.stderr,
        )
        return COULD_NOT_RUN
    from plainsql.check.migration_traces import trace_migrations

    began = time.perf_counter()
    project = Project.load()
    if folder is None and layer and not any((project.migrations_folder / each).is_dir() for each in layer):
        with suppress(SettingsError):  # a layer that comes with plainsql
            folder = migrations_folder(layer[0]).parent
    pending = None
    if not (names or all_ or since is not None):
        pending = _pending(project, database, folder, layer)
    traces = trace_migrations(
        project,
        names,
        since=since,
        pending=pending,
        folder=folder,
        layers=layer or None,
        scratch=scratch,
        lock_timeout=project.lock_timeout if lock_timeout is None else lock_timeout,
        sizes=_sizes(project, stats),
        max_blocked_s=may_block,
    )
    if json:
        print(msgspec.json.format(msgspec.json.encode([_as_json(each) for each in traces])).decode())
    else:
        _print(traces, format, time.perf_counter() - began)
    return FINDINGS if any(each.severity == "error" for each in _open(traces)) else FINE


def _sizes(project: Project, folder: Path | None) -> dict[str, TableSize] | None:
    """Return the sizes of production's tables; ``None`` without statistics."""
    from plainsql.plans.statistics.statistics_files import read_statistics
    from plainsql.plans.statistics.statistics_folder import statistics_folder
    from plainsql.plans.table_sizes import table_sizes

    found = folder or statistics_folder(project)
    return None if found is None else table_sizes(read_statistics(found))


def _pending(project: Project, database: str | None, folder: Path | None, layers: Sequence[str]) -> list[str]:
    """Return the names of the migrations that are pending in the database."""
    from plainsql import migrate

    if folder is None and not project.owns_schema:
        return []  # it is refused when the folder is read
    path = folder or project.migrations_folder
    try:
        with resolve_database(database) as url:
            status = migrate.status(url, path, layers=layers or None)
    except MigrationError:
        raise
    except PlainsqlError as error:
        error.hint = "name migrations, --since REF or --all: they need no database"
        raise
    return [each.name for each in status.having("pending", "interrupted")]


def _open(traces: Sequence[MigrationTrace]) -> list[Hazard]:
    return [hazard for each in traces for hazard in each.open_hazards]


def _print(traces: Sequence[MigrationTrace], format: str, seconds: float) -> None:
    from plainsql.check.migration_traces import problems_of_traces

    problems = problems_of_traces(traces)
    found = _open(traces)
    allowed = [hazard for each in traces for hazard in each.hazards if hazard.allowed is not None]
    warnings = len(found) - len(problems)
    summary = f"{_counted(len(traces), 'migration')}, {seconds:.1f} s"
    summary = f"{_counted(len(problems), 'hazard')} in {summary}" if problems else f"no hazard: {summary}"
    summary += f"; {_counted(warnings, 'warning')}" if warnings else ""
    summary += f"; {len(allowed)} allowed" if allowed else ""
    if format == "sarif":
        from plainsql.check.sarif import sarif_log

        log = sarif_log(problems, repository_root(), version=plainsql.__version__)
        print(msgspec.json.format(msgspec.json.encode(log)).decode())
    elif format == "github":
        from plainsql.cli.check import annotation

        for problem in problems:
            print(annotation(problem, repository_root()))
        for problem in problems_of_traces(traces, "warning"):
            print(annotation(problem, repository_root()).replace("::error", "::warning", 1))
    else:
        for each in traces:
            print("\n".join(map(printable, _lines(each))))
        print()
        for hazard in found:
            print(f"{_shown(hazard)}\n")
        for hazard in allowed:
            print(printable(f"{hazard.path}:{hazard.line}: allowed: {hazard.name}: {hazard.allowed}"))
    print(summary, file=sys.stdout if format == "text" else sys.stderr)


def _lines(trace: MigrationTrace) -> Iterator[str]:
    """Yield the lines of a migration: its name, then each statement that locks or works on a table."""
    facts = [f"blocks {trace.blocks}"]
    if trace.time != "instant":
        facts.append(_time(trace.time))
    if not trace.transactional:
        facts.append("outside a transaction")
    yield f"{trace.name}: {', '.join(facts)}"
    for statement in trace.statements:
        effects = list(_effects(statement))
        if effects:
            yield f"  {statement.line:>4}  {_first_words(statement.sql)}"
            yield from (f"        {effect}" for effect in effects)


def _effects(statement: StatementTrace) -> Iterator[str]:
    """Yield the effects of a statement on tables that production has."""
    if not statement.was_run:
        yield "was not run"
    for lock in statement.locks:
        if not lock.is_new and (lock.blocks != "nothing" or lock.mode == "share update exclusive"):
            yield f"{lock.mode} on {lock.relation}: blocks {lock.blocks}"
    rewrites = [each for each in statement.rewrites if not each.is_new]
    rewritten = [each.relation for each in rewrites if each.kind != "index"]
    if rewritten:
        yield f"rewrites {', '.join(rewritten)}"
    built = [each.index for each in statement.built_indexes if not each.is_new]
    built += [each.relation for each in rewrites if each.kind == "index" and each.table not in rewritten]
    if built:
        yield f"builds {', '.join(built)}"
    read = [each.table for each in statement.scans if not each.is_new and each.table not in rewritten]
    if read:
        yield f"reads all rows of {', '.join(read)}"


def _first_words(sql: str) -> str:
    text = " ".join(sql.split())
    return text if len(text) <= _MAX_SQL_CHARS else text[: _MAX_SQL_CHARS - 1].rstrip() + "…"


def _time(time_class: str) -> str:
    return f"takes {time_class}" if time_class in ("seconds", "minutes") else time_class


def _shown(hazard: Hazard) -> str:
    place = Place(hazard.path, hazard.line, hazard.column, hazard.excerpt)
    warning = "warning: " if hazard.severity == "warning" else ""
    return str(
        PlainsqlError(
            f"{warning}{hazard.message} [{hazard.name}]", place=place, detail=hazard.detail, hint=hazard.hint
        )
    )


def _as_json(trace: MigrationTrace) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(trace)
    return found | {"blocks": trace.blocks, "time": trace.time, "locks": msgspec.to_builtins(trace.locks)}


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
