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

import plainsql
from plainsql.check.baseline import Baseline
from plainsql.check.cache_map import CacheEntry, invalidations, times_of
from plainsql.check.finding_pages import finding_page
from plainsql.check.problems import Edit, Problem
from plainsql.check.project_check import check_project
from plainsql.check.quick_fixes import apply_edits, with_fixes
from plainsql.check.sarif import sarif_log
from plainsql.cli.check_distributed import distribution_report, print_distribution
from plainsql.cli.check_release import refuse_options, release_report
from plainsql.cli.exit_codes import FINDINGS, FINE
from plainsql.cli.markdown import print_markdown
from plainsql.cli.project import load_project, repository_root
from plainsql.errors import SettingsError, SqlFileError, printable
from plainsql.files import replace_file
from plainsql.plans.table_sizes import large_tables
from plainsql.settings import Project
from plainsql.statements.discovery import FRAGMENTS_FOLDER, read_text

__all__ = ["annotation", "check"]

_FLAG = Parameter(negative=(), show_default=False)


def check(
    *files: Path,
    scratch: str | None = None,
    no_cache: Annotated[bool, _FLAG] = False,
    format: Literal["text", "json", "github", "sarif"] = "text",
    schema: Annotated[bool, _FLAG] = False,
    cache_map: Annotated[bool, _FLAG] = False,
    sql_only: Annotated[bool, _FLAG] = False,
    baseline: Path | None = None,
    update_baseline: Annotated[bool, _FLAG] = False,
    prune_baseline: Annotated[bool, _FLAG] = False,
    fix: Annotated[bool, _FLAG] = False,
    release: str | None = None,
    distributed: str | None = None,
    reference: str | None = None,
    explain: str | None = None,
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
        Only these files and folders of the SQL folder, and no modules; by default all. For a file of the
        migrations and for a fragment, all queries are checked.
    scratch
        URL of a server to build the scratch database on; by default the one named for it, else the embedded
        server.
    no_cache
        Ignore the results of earlier checks: build the scratch database again, and analyse every query.
    format
        text for people, json for tools (one array), github for annotations of a pull request,
        sarif for GitHub code scanning and other viewers of SARIF 2.1.0.
    schema
        Also lint the schema that the migrations make: its indexes, keys and policies. Not if only some
        queries are checked.
    cache_map
        Also print the map of cached results; in JSON, an object with problems and cache.
    sql_only
        Do not check the generated modules: for a project or a review without them.
    baseline
        Accept the findings of this file; others are reported, and so are lines whose finding is gone. By
        default the file that pyproject.toml names.
    update_baseline
        Write the findings of today to the baseline, the new ones too.
    prune_baseline
        Remove the findings that are gone from the baseline, and add none.
    fix
        Make the edits of the problems that have one (a star is written out, a name is corrected, a cast is
        added), and check again.
    release
        Check the queries of a running release instead, on the schema of this working tree: a tag, a branch
        or a commit of git, such as v1.4. Reports what breaks between the migrations and the restart.
    distributed
        Check instead whether the queries and tables fit a database that is distributed by this column, such
        as tenant_id: each query is bound to one tenant, and each key holds the column. In JSON, an object
        with problems, queries and tables.
    reference
        With --distributed: the tables that every server has a copy of, as schema.table or schema.*, with
        commas between them.
    explain
        Print the page of a finding, and check nothing.
    """
    if explain is not None:
        print_markdown(finding_page(explain))
        return FINE
    began = time.perf_counter()
    project = load_project()
    if release is not None:
        refuse_options(
            "--release",
            files=bool(files),
            distributed=distributed is not None,
            schema=schema,
            cache_map=cache_map,
            sql_only=sql_only,
            baseline=baseline is not None,
            update_baseline=update_baseline,
            prune_baseline=prune_baseline,
            fix=fix,
        )
        in_work_tree = format in ("github", "sarif")
        broken, lines = release_report(
            project, release, scratch, no_cache=no_cache, in_work_tree=in_work_tree
        )
        _print(broken, None, format)
        print("\n".join(lines), file=sys.stdout if format == "text" else sys.stderr)
        return FINDINGS if broken else FINE
    only = _only(project, files)
    if reference is not None and distributed is None:
        raise SettingsError("--reference: expected --distributed with it, got none")
    if distributed is not None:
        refuse_options(
            "--distributed",
            schema=schema,
            cache_map=cache_map,
            sql_only=sql_only,
            baseline=baseline is not None,
            update_baseline=update_baseline,
            prune_baseline=prune_baseline,
            fix=fix,
        )
        copies = [name for name in map(str.strip, (reference or "").split(",")) if name]
        spread, lines = distribution_report(
            project, distributed, copies, scratch, only=only, no_cache=no_cache
        )
        if format == "text":
            print_distribution(spread)
        _print(spread.problems, None, format, whole=spread)
        print("\n".join(lines), file=sys.stdout if format == "text" else sys.stderr)
        return FINDINGS if spread.problems else FINE
    accepted = _baseline(project, baseline, update=update_baseline, prune=prune_baseline)
    lint = (schema or project.check_schema) and not only
    found = check_project(
        project, scratch, only=only, no_cache=no_cache, lint=lint, large=large_tables(project)
    )
    problems = [*found.errors, *found.findings]
    if only:
        problems = [problem for problem in problems if Path(problem.path).resolve() in only]
    found_here, written = len(problems), ""
    if accepted is not None:
        checked = accepted.checked(only, found.errors, lint=lint)
        if found.analysed and (update_baseline or prune_baseline):
            written = accepted.update(problems, checked, add=update_baseline)
        gone = accepted.fixed(problems, checked) if found.analysed else []
        problems = [*accepted.new(problems), *gone]
        found_here -= len(problems) - len(gone)
    if not found.errors and not files and not sql_only:
        problems += found.outdated(project)
    if format != "text" or fix:
        problems = with_fixes(problems, _text)
    if fix and (fixed := _apply_fixes(problems)):
        print(f"fixed {_counted(fixed, 'problem')}", file=sys.stdout if format == "text" else sys.stderr)
        return check(
            *files,
            scratch=scratch,
            format=format,
            schema=schema,
            cache_map=cache_map,
            sql_only=sql_only,
            baseline=baseline,
        )
    took = time.perf_counter() - began
    summary = f"{_counted(len(found.statements), 'query', 'queries')}, {took:.1f} s"
    if accepted is not None and found_here:
        summary += f"; {_counted(found_here, 'finding')} in the baseline"
    entries = invalidations(found.inspection.checked, times_of(project))
    _print(problems, entries if cache_map else None, format)
    notes = [f"{_counted(len(problems), 'problem')} in {summary}"] if problems else []
    if format == "text" and not problems:
        notes.append(f"clean: {summary}")
        if entries:
            writes = {each.write for entry in entries for each in entry.invalidated}
            notes.append(
                f"cached: {_counted(len(entries), 'read')}, made stale by {_counted(len(writes), 'write')}"
            )
    notes = [*(f"note: {note}" for note in found.notes), *notes]
    for note in (written, *notes) if written else notes:
        print(note, file=sys.stdout if format == "text" else sys.stderr)
    return FINDINGS if problems else FINE


def _print(
    problems: Sequence[Problem],
    entries: Sequence[CacheEntry] | None,
    format: str,
    *,
    whole: msgspec.Struct | None = None,
) -> None:
    """Print problems, and the map of cached results if it is given; in JSON, ``whole`` in their place."""
    if format == "json":
        report: object = problems if entries is None else {"problems": problems, "cache": entries}
        report = whole if whole is not None else report
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(report)).decode() + "\n")
    elif format == "sarif":
        report = sarif_log(problems, repository_root(), version=plainsql.__version__)
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(report)).decode() + "\n")
    elif format == "github":
        for problem in problems:
            print(annotation(problem, repository_root()))
    else:
        for problem in problems:
            print(f"{problem}\n")
        for entry in entries or ():
            print(f"{printable(_entry(entry))}\n")


def _apply_fixes(problems: Sequence[Problem]) -> int:
    """Make the edits of problems in their files; return the number of problems."""
    edits: dict[str, list[Edit]] = {}
    fixed = 0
    for problem in problems:
        if problem.fix is not None:
            edits.setdefault(problem.path, []).extend(problem.fix.edits)
            fixed += 1
    for path, changes in edits.items():
        text = _text(path)
        if text is not None:
            with replace_file(Path(path)) as file:
                file.write(apply_edits(text, changes).encode())
    return fixed


def _text(path: str) -> str | None:
    """Return the text of a SQL file of a problem; ``None`` for other files, and for one that is not text."""
    try:
        return read_text(Path(path)) if path.endswith(".sql") else None
    except SqlFileError:
        return None


def _baseline(project: Project, file: Path | None, *, update: bool, prune: bool) -> Baseline | None:
    """Return the baseline to check against, or ``None`` without one.

    Raises ``SettingsError`` if there is none to write, or none to read.
    """
    if file is None and project.baseline:
        file = project.root / project.baseline
    if update and prune:
        raise SettingsError(
            "--update-baseline and --prune-baseline: expected one of them, got both",
            hint="--update-baseline removes what is gone, too",
        )
    if file is None:
        if update or prune:
            raise SettingsError(
                f"{'--update-baseline' if update else '--prune-baseline'}: there is no baseline to write",
                hint="name its file: --baseline FILE, or baseline in [tool.plainsql]",
            )
        return None
    found = Baseline(_from_root(file), project)
    found.read(update=update)
    return found


def _only(project: Project, files: Sequence[Path]) -> list[Path]:
    """Return the files to check, an empty list for all of them.

    Raises ``SettingsError`` if one is neither a query nor a migration of the project.
    """
    if not files:
        return []
    sql, migrations = project.sql_folder.resolve(), project.schema_path.resolve()
    found: list[Path] = []
    for file in files:
        path = _from_root(file).resolve()
        if not path.exists():
            raise SettingsError(f"{file}: there is no such file", hint="name files of the SQL folder")
        if path.is_relative_to(migrations) or FRAGMENTS_FOLDER in path.parts[len(sql.parts) :]:
            return []
        inside = sorted(path.rglob("*.sql")) if path.is_dir() else [path] if path.suffix == ".sql" else []
        if not path.is_relative_to(sql) or not inside:
            what = (
                "no .sql file is in it"
                if path.is_dir()
                else f"it is no .sql file below {os.path.relpath(sql)}"
            )
            raise SettingsError(
                f"{file} is no query: {what}",
                hint="name files of the SQL folder or of the migrations; of another project: plainsql -C DIR",
            )
        found += inside
    return found


def _from_root(file: Path) -> Path:
    """Return a path from the working folder, or from the root of the repository if it is there alone.

    A hook names files from the root of the repository, even if the project is a folder in it.
    """
    return next((each for each in (file, repository_root() / file) if each.exists()), file)


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def _entry(entry: CacheEntry) -> str:
    """Return a cached read as lines: its name and time, its dependencies, the writes that invalidate it."""
    time = "never stored" if entry.ttl is None else f"{entry.ttl:g} s"
    if entry.header_ttl is not None:
        time += f", by {entry.set_by}; its header has {entry.header_ttl:g} s"
    lines = [f"{entry.read}, {time}"]
    lines += [f"  depends on {depends}" for depends in entry.depends or ("no table",)]
    width = max((len(each.write) for each in entry.invalidated), default=0)
    for each in entry.invalidated:
        by = f" [{', '.join(each.by)}]" if each.by else ""
        lines.append(f"    {each.write:<{width}}  {', '.join(each.tables)}{by}")
    return "\n".join(lines)


def annotation(problem: Problem, root: Path) -> str:
    """Return a problem as a workflow command of GitHub Actions.

    Its values escape percent signs and line ends, its properties more characters. Paths are relative to the
    root of the repository.
    """
    path = Path(os.path.normpath(Path.cwd() / problem.path))
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
