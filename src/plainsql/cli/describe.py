"""``plainsql describe``."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from plainsql.analysis import Analysis
from plainsql.cli.exits import FINDINGS, FINE
from plainsql.errors import SettingsError
from plainsql.review.lines import as_json, describe_lines
from plainsql.review.project import review
from plainsql.settings import Project
from plainsql.statements import Statement

__all__ = ["describe"]


def describe(
    file: Path | None = None, /, *, database: str | None = None, json: bool = False, jsonl: bool = False
) -> int:
    """Show what PostgreSQL says of a query: its parameters, its columns and their types, with the reasons.

    Parameters
    ----------
    file
        The SQL file, or the query's name: ``realty.leads.get_by_id``.
    database
        URL of a server to build the scratch database on; by default what is configured, else the embedded
        server.
    json
        Print JSON.
    jsonl
        For tools: read lines ``{"id", "schema", "sql"}`` from standard input, where ``schema`` is DDL and
        ``sql`` uses
        ``:name``, and write one line for each.
    """
    if jsonl:
        for line in describe_lines(sys.stdin.buffer, database):
            sys.stdout.buffer.write(line + b"\n")
            sys.stdout.buffer.flush()
        return FINE
    if file is None:
        raise SettingsError(
            "describe: which query?", hint="name a SQL file, or a query: realty.leads.get_by_id"
        )
    project = Project.load()
    if not file.exists():
        named = project.sql_folder.joinpath(*str(file).split(".")).with_suffix(".sql")
        file = named if named.exists() else file
    found = review(project, database, only=[file])
    for error in found.errors:
        print(f"{error}\n", file=sys.stderr)
    if not found.statements and not found.errors:
        print(f"{file}: there is no such file below {project.sql_folder}", file=sys.stderr)
        return FINDINGS
    for checked in found.inspection.checked:
        if json:
            facts = {"id": checked.statement.name, **as_json(checked.analysis)}
            sys.stdout.write(msgspec.json.encode(facts).decode() + "\n")
        else:
            _print(checked.statement, checked.analysis)
    return FINDINGS if found.errors else FINE


def _print(statement: Statement, analysis: Analysis) -> None:
    console = Console(soft_wrap=True)
    console.print(f"[bold]{statement.name}[/]  {statement.path}", highlight=False)
    if statement.description:
        console.print(statement.description, highlight=False, markup=False)
    console.print(f"returns {statement.returns}: {analysis.rows} ({analysis.rows_because})", highlight=False)
    if analysis.parameters:
        table = Table("parameter", "type", "null", "because")
        for parameter in analysis.parameters:
            table.add_row(
                parameter.name, str(parameter.type), "yes" if parameter.nullable else "no", parameter.because
            )
        console.print(table)
    if analysis.columns:
        table = Table("column", "type", "null", "because", "from")
        for column in analysis.columns:
            origin = str(column.origin or "")
            table.add_row(
                column.name, str(column.type), "yes" if column.nullable else "no", column.because, origin
            )
        console.print(table)
    for what, uses in (("reads", analysis.reads), ("writes", analysis.writes)):
        if uses:
            console.print(f"{what} {', '.join(sorted({str(use) for use in uses}))}", highlight=False)
