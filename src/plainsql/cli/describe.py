"""``plainsql describe``."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from plainsql.analysis import Analysis
from plainsql.cli.exits import FINDINGS, FINE
from plainsql.review.project import review
from plainsql.settings import Project
from plainsql.statements import Statement

__all__ = ["describe"]


def describe(file: Path, /, *, database: str | None = None, json: bool = False) -> int:
    """Show what PostgreSQL says of a query: its parameters, its columns and their types, with the reasons.

    Parameters
    ----------
    file
        The SQL file, or the query's name: ``realty.leads.get_by_id``.
    database
        URL of a server to build the scratch database on; by default what is configured, else the embedded server.
    json
        Print JSON.
    """
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
            sys.stdout.write(_as_json(checked.statement, checked.analysis) + "\n")
        else:
            _print(checked.statement, checked.analysis)
    return FINDINGS if found.errors else FINE


def _as_json(statement: Statement, analysis: Analysis) -> str:
    facts = {
        "id": statement.name,
        "parameters": [
            {"name": p.name, "type": str(p.type), "nullable": p.nullable} for p in analysis.parameters
        ],
        "columns": [
            {"name": c.name, "type": str(c.type), "nullable": c.nullable, "because": c.because}
            for c in analysis.columns
        ],
        "rows": analysis.rows,
        "reads": sorted({str(use) for use in analysis.reads}),
        "writes": sorted({str(use) for use in analysis.writes}),
        "read_only": analysis.read_only,
        "session_safe": analysis.session_safe,
    }
    return msgspec.json.encode(facts).decode()


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
