"""The plans of a whole project against its plan files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

from psycopg import Connection

from plainsql import statements
from plainsql.errors import BindError, ContractError, SettingsError
from plainsql.plans.baseline.measurement import measured_plans
from plainsql.plans.baseline.plan_file import PlanFileError, is_plan_file, parse_plans
from plainsql.plans.baseline.plan_folder import PlanFolder
from plainsql.plans.baseline.query_report import MeasuredPlan, QueryReport, fresh_text, report_query
from plainsql.plans.baseline.recorded_node import quoted_name
from plainsql.plans.baseline.ties import break_ties
from plainsql.settings import Project
from plainsql.statements import Statement
from plainsql.statements.header import close_match

__all__ = ["ProjectPlans", "check_plans"]

_LARGE_ROWS: Final = 10_000
"""The rows of a table whose scan makes a plan worse."""
_MAX_CONNECTIONS: Final = 4
_QUERIES_PER_CONNECTION: Final = 20
"""A further connection costs more than it brings for fewer queries."""
_LIKENESS: Final = 0.6
"""The ratio from which on a name is one that may be meant."""
_WILDCARDS: Final = "*?["
_LARGE_TABLES: Final = """
select n.nspname, c.relname
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where c.relkind in ('r', 'm') and c.reltuples >= %s
"""


@dataclass(slots=True)
class ProjectPlans:
    """The reports of a project's queries, and the texts of their plan files."""

    folder: PlanFolder
    queries: list[QueryReport] = field(default_factory=list)
    leftovers: list[Path] = field(default_factory=list)
    """The plan files of queries that are gone."""
    texts: dict[Path, str] = field(default_factory=dict)
    """The text of each file that is not up to date."""

    @property
    def fails(self) -> bool:
        """True if a plan turned worse, or if a file is missing, left over or unreadable."""
        failures = ("worse", "missing", "unreadable", "refused")
        return bool(self.leftovers) or any(each.state in failures for each in self.queries)

    @property
    def is_current(self) -> bool:
        """True if all files are what would be written."""
        return not self.leftovers and all(each.state == "same" for each in self.queries)

    def write(self) -> None:
        """Write the files that are not up to date, and remove the leftovers."""
        for file, text in sorted(self.texts.items()):
            self.folder.write(file, text)
        for file in self.leftovers:
            self.folder.remove(file)


def check_plans(
    project: Project, connect: Callable[[], Connection[Any]], accept: Sequence[str] = ()
) -> ProjectPlans:
    """Compare the plans of a project's queries with its plan files.

    Args:
        project: the project.
        connect: returns a new connection in autocommit mode, to a database that plans as production does.
        accept: patterns of queries whose worse plans are written as well; only these queries are planned, and
            their files alone are in the result. By default all queries.

    Another program's file in the place of a plan file is unreadable. It is replaced only if ``accept`` names
    its query.

    Raises ``SqlFileError`` if a SQL file cannot be read, and ``SettingsError`` if a pattern names no query.
    """
    catalog = statements.load(project.sql_folder)
    chosen = _accepted(list(catalog.values()), accept)
    found = ProjectPlans(PlanFolder(project.plans_folder, project.sql_folder))
    recorded = [(each, found.folder.read(found.folder.file(each.path))) for each in chosen]
    checked = _check_queries(project, connect, found.folder, recorded, accept=bool(accept))
    for statement, (report, text) in zip(chosen, checked, strict=True):
        found.queries.append(report)
        if text is not None:
            found.texts[found.folder.file(statement.path)] = text
    if not accept:
        files = [found.folder.file(statement.path) for statement in catalog.values()]
        others = [each.plans_folder for each in Project.load_all(project.root) if each.name != project.name]
        found.leftovers = found.folder.leftovers(files, others)
    return found


def _check_queries(
    project: Project,
    connect: Callable[[], Connection[Any]],
    folder: PlanFolder,
    recorded: Sequence[tuple[Statement, str | None]],
    *,
    accept: bool,
) -> list[tuple[QueryReport, str | None]]:
    """Check queries on several connections: the server's processes plan at the same time."""
    with ExitStack() as stack:
        idle: SimpleQueue[Connection[Any]] = SimpleQueue()
        count = max(1, min(_MAX_CONNECTIONS, os.cpu_count() or 1, len(recorded) // _QUERIES_PER_CONNECTION))
        for _ in range(count):
            connection = stack.enter_context(closing(connect()))
            # Otherwise psycopg deallocates all prepared statements when a savepoint is rolled back.
            connection.prepare_threshold = None
            idle.put(connection)
        connection = idle.get()
        rows = connection.execute(_LARGE_TABLES, [_LARGE_ROWS]).fetchall()
        large = {".".join(map(quoted_name, row)) for row in rows}
        idle.put(connection)

        def check(each: tuple[Statement, str | None]) -> tuple[QueryReport, str | None]:
            connection = idle.get()
            try:
                file = folder.file(each[0].path)
                return _check_query(project, connection, each[0], file, each[1], large=large, accept=accept)
            finally:
                idle.put(connection)

        pool = stack.enter_context(ThreadPoolExecutor(count, thread_name_prefix="plainsql-plans"))
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)  # after an error, or Ctrl-C
        return list(pool.map(check, recorded))


def _check_query(
    project: Project,
    connection: Connection[Any],
    statement: Statement,
    file: Path,
    text: str | None,
    *,
    large: Collection[str],
    accept: bool,
) -> tuple[QueryReport, str | None]:
    """Return the report of a query, and the text to write; ``None`` if the file is up to date."""
    query = (statement.name, statement.path, statement.body_line, os.path.relpath(file))
    source = Path(os.path.relpath(statement.path, project.root)).as_posix()
    try:
        measured: Sequence[MeasuredPlan] = measured_plans(connection, statement, project.search_path)
    except (ContractError, BindError) as error:
        return QueryReport(*query, "refused", str(error)), None
    if text is None:
        return QueryReport(*query, "missing", "there is no plan file"), fresh_text(source, measured)
    if not is_plan_file(text):
        message = f"{query[-1]} is not a file that plainsql wrote"
        hint = f"move the file, or replace it: --accept {statement.name}"
        report = QueryReport(*query, "unreadable", message, is_kept=not accept, hint=hint)
        return report, fresh_text(source, measured) if accept else None
    try:
        recorded = parse_plans(text)
    except PlanFileError as error:
        message = f"{query[-1]}:{error.line} is not a line that plainsql writes"
        return QueryReport(*query, "unreadable", message), fresh_text(source, measured)
    measured = break_ties(connection, statement, recorded, measured, search_path=project.search_path)
    report, written = report_query(query, text, recorded, measured, source=source, large=large, accept=accept)
    return report, None if written == text else written


def _accepted(queries: list[Statement], patterns: Sequence[str]) -> list[Statement]:
    for pattern in patterns:
        if any(fnmatchcase(query.name, pattern) for query in queries):
            continue
        names = [query.name for query in queries]
        if any(mark in pattern for mark in _WILDCARDS):
            raise SettingsError(
                f"--accept: no query matches the pattern {pattern!r}", hint=_hint_for_pattern(pattern, names)
            )
        meant = close_match(pattern, names, _LIKENESS)
        raise SettingsError(
            f"--accept: there is no query {pattern!r}",
            hint=f"did you mean {meant}?"
            if meant
            else "write its whole name or a pattern: shop.orders.list, or 'shop.*'",
        )
    if not patterns:
        return queries
    return [query for query in queries if any(fnmatchcase(query.name, pattern) for pattern in patterns)]


def _hint_for_pattern(pattern: str, names: Sequence[str]) -> str:
    """Return the pattern of the nearest folder that has queries, else the names that there are."""
    folder = re.split(r"[*?\[]", pattern, maxsplit=1)[0].rpartition(".")[0]
    while folder:
        if any(name.startswith(f"{folder}.") for name in names):
            return f"for all queries of the folder: '{folder}.*'"
        folder = folder.rpartition(".")[0]
    return f"a name is, for example, {names[0]}" if names else "there are no queries"
