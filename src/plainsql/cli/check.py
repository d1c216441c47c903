"""``plainsql check``: every query against PostgreSQL, and the generated modules against the queries."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter

from plainsql.check.cache_map import CacheEntry, invalidations
from plainsql.check.problems import Problem
from plainsql.check.project_check import check_project
from plainsql.cli.exit_codes import FINDINGS, FINE
from plainsql.cli.project import load_project, repository_root
from plainsql.errors import SettingsError, printable
from plainsql.settings import Project

__all__ = ["check"]

_FLAG = Parameter(negative=(), show_default=False)


def check(
    *files: Path,
    scratch: str | None = None,
    no_cache: Annotated[bool, _FLAG] = False,
    format: Literal["text", "json", "github"] = "text",
    cache_map: Annotated[bool, _FLAG] = False,
    sql_only: Annotated[bool, _FLAG] = False,
) -> int:
    """Check every query against PostgreSQL: its SQL, its header, its generated module.

    With --cache-map it also prints the map of cached results: for each query with a cache line the tables or
    partitions that it depends on, and below them each query that writes there. A write invalidates all
    results of the read; with columns in brackets, only those with its values of these columns.

    Findings go to standard output.

    Exits with 0 if there are no findings, 1 if there are some, 2 if it could not run.

    Parameters
    ----------
    files
        Only these files of the SQL folder, and no modules; by default all. For a file of the migrations, all
        queries are checked.
    scratch
        URL of a server to build the scratch database on; by default the one named for it, else the embedded
        server.
    no_cache
        Ignore the results of earlier checks: build the scratch database again, and analyse every query.
    format
        text for people, json for tools (one array), github for annotations of a pull request.
    cache_map
        Also print the map of cached results; in JSON, an object with problems and cache.
    sql_only
        Do not check the generated modules: for a project or a review without them.
    """
    began = time.perf_counter()
    project = load_project()
    only = _only(project, files)
    found = check_project(project, scratch, only=only, no_cache=no_cache)
    problems = [*found.errors, *found.findings]
    if only:
        problems = [problem for problem in problems if Path(problem.path).resolve() in only]
    if not found.errors and not files and not sql_only:
        problems += found.outdated(project)
    took = time.perf_counter() - began
    summary = f"{_counted(len(found.statements), 'query', 'queries')}, {took:.1f} s"
    entries = invalidations(found.inspection.checked)
    if format == "json":
        report = {"problems": problems, "cache": entries} if cache_map else problems
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(report)).decode() + "\n")
    elif format == "github":
        for problem in problems:
            print(_annotation(problem, repository_root()))
    else:
        for problem in problems:
            print(f"{problem}\n")
        for entry in entries if cache_map else ():
            print(f"{printable(_entry(entry))}\n")
    if problems:
        print(
            f"{_counted(len(problems), 'problem')} in {summary}",
            file=sys.stdout if format == "text" else sys.stderr,
        )
        return FINDINGS
    if format == "text":
        print(f"clean: {summary}")
        if entries:
            writes = {each.write for entry in entries for each in entry.invalidated}
            print(f"cached: {_counted(len(entries), 'read')}, made stale by {_counted(len(writes), 'write')}")
    return FINE


def _only(project: Project, files: Sequence[Path]) -> list[Path]:
    """Return the files to check, an empty list for all of them.

    Raises ``SettingsError`` if one is neither a query nor a migration of the project.
    """
    if not files:
        return []
    sql, migrations = project.sql_folder.resolve(), project.schema_path.resolve()
    found = []
    for file in files:
        # A hook names files from the root of the repository, even if the project is a folder in it.
        path = next((each for each in (file, repository_root() / file) if each.exists()), file).resolve()
        if not path.is_file():
            raise SettingsError(f"{file}: there is no such file", hint="name files of the SQL folder")
        if path.is_relative_to(migrations):
            return []
        if not path.is_relative_to(sql) or path.suffix != ".sql":
            raise SettingsError(
                f"{file} is no query: it is no .sql file below {os.path.relpath(sql)}",
                hint="name files of the SQL folder or of the migrations; of another project: plainsql -C DIR",
            )
        found.append(path)
    return found


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def _entry(entry: CacheEntry) -> str:
    """Return a cached read as lines: its name and time, its dependencies, the writes that invalidate it."""
    lines = [f"{entry.read}, {entry.ttl:g} s"]
    lines += [f"  depends on {depends}" for depends in entry.depends or ("no table",)]
    width = max((len(each.write) for each in entry.invalidated), default=0)
    for each in entry.invalidated:
        by = f" [{', '.join(each.by)}]" if each.by else ""
        lines.append(f"    {each.write:<{width}}  {', '.join(each.tables)}{by}")
    return "\n".join(lines)


def _annotation(problem: Problem, root: Path) -> str:
    """Return a problem as a workflow command of GitHub Actions.

    Its values escape percent signs and line ends, its properties more characters. Paths are relative to the
    root of the repository.
    """
    path = Path.cwd() / problem.path
    shown = path.relative_to(root).as_posix() if path.is_relative_to(root) else problem.path

    def data(text: str) -> str:
        return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")

    def attribute(text: str) -> str:
        return data(text).replace(":", "%3A").replace(",", "%2C")

    place = f"file={attribute(shown)}"
    if problem.line:
        place += f",line={problem.line}"
    if problem.column:
        place += f",col={problem.column}"
    lines = [problem.message]
    lines += [f"DETAIL: {problem.detail}"] if problem.detail else []
    lines += [f"HINT: {problem.hint}"] if problem.hint else []
    title = attribute(f"plainsql {problem.name}")
    return f"::error {place},title={title}::{printable(data(chr(10).join(lines)))}"
